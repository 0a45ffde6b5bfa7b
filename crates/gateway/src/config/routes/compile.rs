//! From the written routes to the compiled snapshot, with every error on the way.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{HeaderName, Method};
use load_balancer::WeightedRoundRobin;
use serde::Deserialize;
use serde_json::Value;

use super::document::{Document, Step};
use super::structure::Structure;
use super::written::{Matcher, Route as Written, WrittenTarget};
use crate::config::{Finding, Route, Settings, Snapshot};
use crate::router::{
    HeaderMatch, HostPattern, PathPattern, QueryMatch, RouteMatch, Router, ValueMatch, path,
};
use crate::upstream::{Endpoint, Host, Target, Upstream};

/// A snapshot, and what its author should know about it.
#[derive(Debug)]
pub(in crate::config) struct Compiled {
    pub(in crate::config) snapshot: Snapshot,
    pub(in crate::config) warnings: Vec<Finding>,
}

/// A route that is right in itself.
struct Checked {
    /// Its place in the file, from 0.
    index: usize,
    name: Option<String>,
    matched: RouteMatch,
    targets: Vec<(Target, u32)>,
    strip_prefix: Box<str>,
    preserve_host: bool,
    require_auth: bool,
    cacheable: bool,
    timeout: Duration,
}

/// Compiles a routes file, or tells everything that is wrong with it.
pub(in crate::config) fn compile(
    document: &Document<'_>,
    settings: &Settings,
) -> Result<Compiled, Vec<Finding>> {
    let schema = super::schema_value();
    let mut findings = Structure::new(document, &schema).check();
    let mut checked = Vec::new();
    for (index, value) in routes(document).iter().enumerate() {
        // A route whose structure is wrong has its findings already.
        if let Ok(written) = Written::deserialize(value) {
            let mut check = Check {
                document,
                index,
                findings: &mut findings,
            };
            checked.extend(check.route(written, settings));
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
                snapshot: assemble(router, checked),
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
fn routes(document: &Document<'_>) -> Vec<Value> {
    match serde_json::from_str::<Value>(document.text()) {
        Ok(Value::Object(mut root)) => match root.remove("routes") {
            Some(Value::Array(routes)) => routes,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Checks one route.
struct Check<'a> {
    document: &'a Document<'a>,
    index: usize,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    /// A finding about the value at `path` inside the route.
    fn finding(&self, path: &[Step<'_>], message: &str) -> Finding {
        let mut whole = vec![Step::Key("routes"), Step::Index(self.index)];
        whole.extend_from_slice(path);
        self.document.finding(self.document.offset(&whole), message)
    }

    fn say(&mut self, path: &[Step<'_>], message: &str) {
        let finding = self.finding(path, message);
        self.findings.push(finding);
    }

    fn route(&mut self, written: Written, settings: &Settings) -> Option<Checked> {
        let before = self.findings.len();
        let path = PathPattern::parse(&written.path)
            .map_err(|error| self.say(&[Step::Key("path")], &error.to_string()));
        let hosts = self.hosts(written.hosts.as_deref().unwrap_or_default());
        let methods = self.methods(written.methods.as_deref().unwrap_or_default());
        let headers = self.headers(&written);
        let query = self.query(&written);
        let targets = self.targets(&written, settings);
        let strip_prefix = self.strip_prefix(&written, path.as_ref().ok());
        let (Ok(path), true) = (path, self.findings.len() == before) else {
            return None;
        };
        Some(Checked {
            index: self.index,
            name: written.name,
            matched: RouteMatch {
                hosts,
                path,
                methods,
                headers,
                query,
            },
            targets,
            strip_prefix,
            preserve_host: written.preserve_host,
            require_auth: written.require_auth,
            cacheable: written.cacheable,
            timeout: written
                .timeout
                .map_or(settings.timeouts.request, Duration::from_secs_f64),
        })
    }

    fn hosts(&mut self, hosts: &[String]) -> Box<[HostPattern]> {
        let parsed = hosts.iter().enumerate().filter_map(|(index, host)| {
            HostPattern::parse(host)
                .map_err(|error| {
                    self.say(
                        &[Step::Key("hosts"), Step::Index(index)],
                        &error.to_string(),
                    )
                })
                .ok()
        });
        parsed.collect()
    }

    fn methods(&mut self, methods: &[String]) -> Box<[Method]> {
        let mut parsed: Vec<Method> = Vec::new();
        for (index, text) in methods.iter().enumerate() {
            let at = [Step::Key("methods"), Step::Index(index)];
            let upper = text.to_ascii_uppercase();
            match Method::from_bytes(text.as_bytes()) {
                Ok(_) if upper != *text => self.say(
                    &at,
                    &format!("methods are in capitals; did you mean \"{upper}\"?"),
                ),
                Ok(method) if parsed.contains(&method) => {
                    self.say(&at, &format!("\"{text}\" stands here twice"))
                }
                Ok(method) => parsed.push(method),
                Err(_) => self.say(&at, &format!("\"{text}\" is not a method")),
            }
        }
        parsed.into()
    }

    fn headers(&mut self, written: &Written) -> Box<[HeaderMatch]> {
        let mut matches = Vec::new();
        for (name, matcher) in &written.headers {
            let at = [Step::Key("headers"), Step::Key(name)];
            let value = self.matcher(&at, matcher);
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => matches.extend(value.map(|value| HeaderMatch { name, value })),
                Err(_) => self.say(
                    &at,
                    &format!("\"{name}\" is not the name of a header field"),
                ),
            }
        }
        matches.into()
    }

    fn query(&mut self, written: &Written) -> Box<[QueryMatch]> {
        let mut matches = Vec::new();
        for (name, matcher) in &written.query {
            let value = self.matcher(&[Step::Key("query"), Step::Key(name)], matcher);
            matches.extend(value.map(|value| QueryMatch {
                name: name.as_str().into(),
                value,
            }));
        }
        matches.into()
    }

    fn matcher(&mut self, at: &[Step<'_>], matcher: &Matcher) -> Option<ValueMatch> {
        match matcher {
            Matcher::Exact(value) => Some(ValueMatch::Exact(value.as_str().into())),
            Matcher::Present(true) => Some(ValueMatch::Present),
            Matcher::Present(false) => {
                self.say(at, "expected a string, or true for any value");
                None
            }
        }
    }

    fn targets(&mut self, written: &Written, settings: &Settings) -> Vec<(Target, u32)> {
        if written.target_url.is_some() && written.targets.is_some() {
            self.say(
                &[Step::Key("targets")],
                "\"targetURL\" and \"targets\" stand together; use one of the two",
            );
        }
        if let Some(url) = &written.target_url {
            return self
                .target(&[Step::Key("targetURL")], url)
                .map(|target| (target, 1))
                .into_iter()
                .collect();
        }
        let Some(written) = &written.targets else {
            return settings
                .backends
                .iter()
                .map(|target| (target.clone(), 1))
                .collect();
        };
        let weights: Vec<u32> = written.iter().map(WrittenTarget::weight).collect();
        if let Err(error) = WeightedRoundRobin::new(&weights) {
            self.say(&[Step::Key("targets")], &error.to_string());
        }
        let parsed = written.iter().enumerate().filter_map(|(index, target)| {
            let mut at = vec![Step::Key("targets"), Step::Index(index)];
            if matches!(target, WrittenTarget::Weighted(_)) {
                at.push(Step::Key("url"));
            }
            self.target(&at, target.url())
                .map(|url| (url, target.weight()))
        });
        parsed.collect()
    }

    fn target(&mut self, at: &[Step<'_>], url: &str) -> Option<Target> {
        Target::parse(url)
            .map_err(|error| self.say(at, &format!("\"{url}\" {error}")))
            .ok()
    }

    fn strip_prefix(&mut self, written: &Written, path: Option<&PathPattern>) -> Box<str> {
        let at = [Step::Key("stripPrefix")];
        let Some(prefix) = written
            .strip_prefix
            .as_deref()
            .filter(|prefix| !prefix.is_empty())
        else {
            return "".into();
        };
        let normal = match path::normalise(prefix) {
            Ok(normal) => path::names(normal.trim_end_matches('/')),
            Err(error) => {
                self.say(
                    &at,
                    &format!("\"{prefix}\" cannot be the start of a path: {error}"),
                );
                return "".into();
            }
        };
        if let Some(literal) = path.map(PathPattern::literal_prefix) {
            let fits = literal
                .strip_prefix(&*normal)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !fits {
                let shown = if literal.is_empty() {
                    "empty".to_owned()
                } else {
                    format!("\"{literal}\"")
                };
                self.say(&at, &format!("\"{prefix}\" is not a start of the literal part of \"path\", which is {shown}"));
            }
        }
        normal.into()
    }
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

fn assemble(router: Router, routes: Vec<Checked>) -> Snapshot {
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
