//! From the written routes to the compiled snapshot, with every error on the way.

use std::collections::{HashMap, HashSet};

use load_balancer::WeightedRoundRobin;
use serde::Deserialize;
use serde_json::Value;

use super::check::{Check, Checked};
use super::document::{Document, Step};
use super::rate_limits::Limits;
use super::structure::Structure;
use super::written::Route as Written;
use crate::config::{Finding, Route, Settings, Snapshot};
use crate::middleware::rate_limit::RateLimits;
use crate::router::Router;
use crate::upstream::{Endpoint, Host, Upstream};

/// A snapshot, and what its author should know about it.
#[derive(Debug)]
pub(in crate::config) struct Compiled {
    pub(in crate::config) snapshot: Snapshot,
    pub(in crate::config) warnings: Vec<Finding>,
}

/// Compiles a routes file, or tells everything that is wrong with it.
pub(in crate::config) fn compile(
    document: &Document<'_>,
    settings: &Settings,
) -> Result<Compiled, Vec<Finding>> {
    let schema = super::schema_value();
    let mut findings = Structure::new(document, &schema).check();
    let mut checked = Vec::new();
    let root: Value = serde_json::from_str(document.text()).unwrap_or_default();
    let mut limits = Limits::shared(document, &root, &mut findings);
    for (index, value) in routes(&root).iter().enumerate() {
        // A route whose structure is wrong has its findings already.
        if let Ok(written) = Written::deserialize(value) {
            let mut check = Check {
                document,
                index,
                findings: &mut findings,
            };
            checked.extend(check.route(written, settings, &mut limits));
        }
    }
    check_names(document, &checked, &mut findings);
    let matches = checked.iter().map(|route| route.matched.clone()).collect();
    let router = Router::build(matches).map_err(|conflicts| {
        for conflict in conflicts {
            let (route, other) = (checked[conflict.route].index, checked[conflict.with].index);
            let (line, _) = document.position(document.offset(&[
                Step::Key("routes"),
                Step::Index(other),
                Step::Key("path"),
            ]));
            let message = format!("{} (the other one is in line {line})", conflict.reason);
            findings.push(
                Check {
                    document,
                    index: route,
                    findings: &mut Vec::new(),
                }
                .finding(&[Step::Key("path")], &message),
            );
        }
    });
    match router {
        Ok(router) if findings.is_empty() => {
            let warnings = warnings(document, &router, &checked, settings);
            Ok(Compiled {
                snapshot: assemble(router, checked, limits, settings),
                warnings,
            })
        }
        _ => {
            findings.sort_by_key(|finding| finding.position);
            Err(findings)
        }
    }
}

/// The configuration where there is no routes file: everything goes to the default backends.
pub(in crate::config) fn default_route(settings: &Settings) -> Result<Snapshot, Vec<Finding>> {
    let text = r#"{"routes": [{"path": "/{*path}", "name": "default"}]}"#;
    let document = Document::parse("default routes", text).map_err(|finding| vec![finding])?;
    compile(&document, settings).map(|compiled| compiled.snapshot)
}

/// The elements of `routes`, whatever they are.
fn routes(root: &Value) -> &[Value] {
    root.get("routes")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn check_names(document: &Document<'_>, routes: &[Checked], findings: &mut Vec<Finding>) {
    let mut names = HashSet::new();
    for route in routes {
        if let Some(name) = route.name.as_deref().filter(|name| !names.insert(*name)) {
            let check = Check {
                document,
                index: route.index,
                findings: &mut Vec::new(),
            };
            findings.push(check.finding(
                &[Step::Key("name")],
                &format!("the name \"{name}\" is used by another route"),
            ));
        }
    }
}

fn warnings(
    document: &Document<'_>,
    router: &Router,
    routes: &[Checked],
    settings: &Settings,
) -> Vec<Finding> {
    let mut none = Vec::new();
    let mut warn = |index, key, message: &str| {
        Check {
            document,
            index,
            findings: &mut none,
        }
        .finding(&[Step::Key(key)], message)
    };
    let mut warnings: Vec<Finding> = router
        .warnings()
        .iter()
        .map(|warning| {
            warn(
                routes[warning.route].index,
                "path",
                &warning.reason.to_string(),
            )
        })
        .collect();
    for route in routes {
        if route.require_auth && settings.jwt.secret.is_default() {
            let message = "JWT_SECRET is the documented default: anybody can make tokens for this route; set your own";
            warnings.push(warn(route.index, "requireAuth", message));
        }
        if route.cacheable {
            warnings.push(warn(
                route.index,
                "cacheable",
                "\"cacheable\" has no effect in this version",
            ));
        }
    }
    warnings.sort_by_key(|finding| finding.position);
    warnings
}

fn assemble(router: Router, routes: Vec<Checked>, limits: Limits, settings: &Settings) -> Snapshot {
    let mut names: HashSet<Box<str>> = routes
        .iter()
        .filter_map(|route| route.name.as_deref().map(Into::into))
        .collect();
    let mut pools: HashMap<(Host, u16), usize> = HashMap::new();
    let (mut compiled, mut upstreams) = (Vec::new(), Vec::new());
    for route in routes {
        let name = route.name.map_or_else(
            || free_name(&route.matched.path.to_string(), &mut names),
            Into::into,
        );
        let endpoints = route.targets.iter().map(|(target, _)| {
            let next = pools.len();
            let pool = *pools
                .entry((target.host.clone(), target.port))
                .or_insert(next);
            Endpoint {
                pool,
                target: target.clone(),
            }
        });
        let endpoints: Box<[Endpoint]> = endpoints.collect();
        let weights: Vec<u32> = route.targets.iter().map(|&(_, weight)| weight).collect();
        // The weights were checked with the targets.
        let Ok(balancer) = WeightedRoundRobin::new(&weights) else {
            continue;
        };
        compiled.push(Route {
            name,
            upstream: upstreams.len(),
            stripped_segments: route.strip_prefix.matches('/').count(),
            strip_prefix: route.strip_prefix,
            preserve_host: route.preserve_host,
            require_auth: route.require_auth,
            cacheable: route.cacheable,
            cors: route.cors,
            rate_limits: route.rate_limits,
            max_body_size: route.max_body_size,
            timeout: route.timeout,
        });
        upstreams.push(Upstream {
            endpoints,
            balancer,
        });
    }
    Snapshot {
        router,
        routes: compiled.into(),
        upstreams: upstreams.into(),
        pools: pools.len(),
        rate_limits: RateLimits::new(
            limits.all,
            settings.rate_limit_fields,
            settings.rate_limit_keys,
        ),
    }
}

/// The path for a name; numbered where several routes have it.
fn free_name(path: &str, names: &mut HashSet<Box<str>>) -> Box<str> {
    let numbered = |number: usize| {
        if number == 1 {
            path.to_owned()
        } else {
            format!("{path} #{number}")
        }
    };
    let free = (1..)
        .map(numbered)
        .find(|name| !names.contains(name.as_str()))
        .unwrap_or_default();
    let free: Box<str> = free.into();
    names.insert(free.clone());
    free
}
