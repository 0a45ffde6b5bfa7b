//! From the written routes to the compiled snapshot, with every error on the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cache::KeyRecipe;
use serde::Deserialize;
use serde_json::Value;

use super::auth::Issuers;
use super::check::{Check, Checked, CheckedDestination, Shared};
use super::limit::Redis;
use super::rate_limits::Limits;
use super::upstreams::{CheckedFallback, UpstreamSpec, Upstreams};
use super::written::Route as Written;
use crate::auth::{Authority, Consumers, Hidden, Service, TokenIssuer};
use crate::config::document::{Document, Step};
use crate::config::live::{Carried, RouteState, UpstreamKey};
use crate::config::source_files::{Digest, SourceFiles};
use crate::config::structure::Structure;
use crate::config::{Destination, Fallback, Finding, Policy, Route, Settings, Snapshot};
use crate::counters::counting_workers;
use crate::middleware::rate_limit::RateLimits;
use crate::proxy::Mirror;
use crate::router::Router;
use crate::upstream::{Peers, Upstream};

/// A snapshot, and what its author should know about it.
#[derive(Debug)]
pub(in crate::config) struct Compiled {
    pub(in crate::config) snapshot: Snapshot,
    pub(in crate::config) warnings: Vec<Finding>,
}

/// What a routes file may refer to, from other files.
#[derive(Debug)]
pub(in crate::config) struct Credentials {
    pub(in crate::config) issuer: TokenIssuer,
    pub(in crate::config) consumers: Option<(Digest, Arc<Consumers>)>,
}

/// What a configuration is made of besides its text.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Sources<'a> {
    /// What is known from the configuration before.
    pub(in crate::config) carried: &'a Carried,
    /// Reads what is referred to.
    pub(in crate::config) files: &'a SourceFiles,
}

/// Compiles a routes file, or tells everything that is wrong with it.
pub(in crate::config) fn compile(
    document: &Document<'_>,
    settings: &Settings,
    credentials: Credentials,
    sources: Sources<'_>,
) -> Result<Compiled, Vec<Finding>> {
    let schema = super::schema_value();
    let mut findings = Structure::new(document, &schema).check();
    let (mut checked, mut warnings) = (Vec::new(), Vec::new());
    let root: Value = serde_json::from_str(document.text()).unwrap_or_default();
    let issuers = Issuers::new(
        document,
        &root,
        settings,
        &credentials,
        sources,
        &mut findings,
        &mut warnings,
    );
    let upstreams = Upstreams::new(document, &root, settings, &mut findings, &mut warnings);
    let mut shared = Shared {
        upstreams: &upstreams,
        settings,
        limits: Limits::shared(document, &root, Redis::of(settings), &mut findings),
        cache_shares: Vec::new(),
        issuers: &issuers,
    };
    for (index, value) in routes(&root).iter().enumerate() {
        // A route whose structure is wrong has its findings already.
        if let Ok(written) = Written::deserialize(value) {
            let mut check = Check {
                document,
                index,
                findings: &mut findings,
                warnings: &mut warnings,
            };
            checked.extend(check.route(written, &mut shared));
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
            findings.push(about(document, route, "path", &message));
        }
    });
    match router {
        Ok(router) if findings.is_empty() => {
            warnings.extend(router.warnings().iter().map(|warning| {
                let route = checked[warning.route].index;
                about(document, route, "path", &warning.reason.to_string())
            }));
            warnings.sort_by_key(|finding| finding.position);
            let authority = authority(credentials, &issuers, &checked);
            Ok(Compiled {
                snapshot: Snapshot {
                    cache_shares: shared.cache_shares.into(),
                    ..assemble(
                        router,
                        checked,
                        shared.limits,
                        authority,
                        upstreams,
                        settings,
                        sources.carried,
                    )
                },
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
pub(in crate::config) fn default_route(
    settings: &Settings,
    credentials: Credentials,
    sources: Sources<'_>,
) -> Result<Snapshot, Vec<Finding>> {
    let text = r#"{"routes": [{"path": "/{*path}", "name": "default"}]}"#;
    let document = Document::parse("default routes", text).map_err(|finding| vec![finding])?;
    compile(&document, settings, credentials, sources).map(|compiled| compiled.snapshot)
}

/// The elements of `routes`, whatever they are.
fn routes(root: &Value) -> &[Value] {
    root.get("routes")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A finding about a route's `key`.
fn about(document: &Document<'_>, route: usize, key: &str, message: &str) -> Finding {
    let at = [Step::Key("routes"), Step::Index(route), Step::Key(key)];
    document.about(&at, message)
}

fn check_names(document: &Document<'_>, routes: &[Checked], findings: &mut Vec<Finding>) {
    let mut names = HashSet::new();
    for route in routes {
        if let Some(name) = route.name.as_deref().filter(|name| !names.insert(*name)) {
            let message = format!("the name \"{name}\" is used by another route");
            findings.push(about(document, route.index, "name", &message));
        }
    }
}

fn authority(credentials: Credentials, issuers: &Issuers, routes: &[Checked]) -> Authority {
    let path = |service| {
        let route = routes.iter().find(|route| route.service == Some(service));
        route.map(|route| route.matched.path.to_string().into())
    };
    Authority {
        token_path: path(Service::Token),
        keys_path: path(Service::Jwks),
        issuer: credentials.issuer,
        consumers: credentials.consumers,
        remote_keys: issuers.remote_keys(),
        issuers: issuers.all(),
    }
}

fn assemble(
    router: Router,
    routes: Vec<Checked>,
    mut limits: Limits,
    authority: Authority,
    upstreams: Upstreams,
    settings: &Settings,
    carried: &Carried,
) -> Snapshot {
    let mut names: HashSet<Box<str>> = routes
        .iter()
        .filter_map(|route| route.name.as_deref().map(Into::into))
        .collect();
    let workers = counting_workers(settings);
    let mut compiled = Vec::new();
    let mut built = Built::new(carried, workers);
    let named = built.named(upstreams);
    for route in routes {
        let pattern = route.matched.path.to_string();
        let name = route
            .name
            .map_or_else(|| free_name(&pattern, &mut names), Into::into);
        limits.name_counters(&name, &route.rate_limits);
        let before = carried.route(&name);
        let destination = match (route.service, route.destination) {
            (Some(service), _) => Destination::Service(service),
            (None, Some(CheckedDestination::Named(upstream))) => {
                let Some(upstream) = named.get(&upstream) else {
                    continue;
                };
                Destination::Upstream(Arc::clone(upstream))
            }
            (None, Some(CheckedDestination::Split(split))) => {
                Destination::Split(split.resolve(&named))
            }
            (None, Some(CheckedDestination::Own(spec))) => {
                let key = UpstreamKey::OfRoute(name.clone());
                Destination::Upstream(built.upstream(key, &name, *spec))
            }
            // It has its findings.
            (None, None) => continue,
        };
        let guard_before = before.and_then(|before| before.guard.as_ref());
        let guard = route
            .guard
            .and_then(|guard| guard.build(&name, guard_before));
        let hedge_before = before.and_then(|before| before.hedge.as_ref());
        compiled.push(Arc::new(Route {
            state: before.map_or_else(
                || Arc::new(RouteState::new(&name, workers)),
                |before| Arc::clone(&before.state),
            ),
            name,
            pattern: pattern.into(),
            destination,
            stripped_segments: route.strip_prefix.matches('/').count(),
            strip_prefix: route.strip_prefix,
            preserve_host: route.preserve_host,
            access: route.access.access,
            claims: route.access.claims,
            // Who only tries authentication out leaves it to the backend, which needs what the client shows.
            hidden: if route.shadowed.contains(Policy::Auth) {
                Hidden::default()
            } else {
                route.access.hidden
            },
            ip: route.ip,
            cache: route.cache,
            cors: route.cors,
            rate_limits: route.rate_limits,
            max_body_size: route.max_body_size,
            timeout: route.timeout,
            security_headers: route.security_headers,
            compression: route.compression,
            shadowed: route.shadowed,
            retry: route.retry,
            hedge: route.hedge.map(|hedge| hedge.going_on_from(hedge_before)),
            guard,
            fallback: route.fallback.and_then(|fallback| match fallback {
                CheckedFallback::Named(name) => named.get(&name).cloned().map(Fallback::Upstream),
                CheckedFallback::Answer(answer) => Some(Fallback::Answer(answer)),
                CheckedFallback::Stale => Some(Fallback::Stale),
            }),
            mirror: route.mirror.and_then(|(name, share)| {
                let upstream = Arc::clone(named.get(&name)?);
                Some(Mirror { upstream, share })
            }),
            priority: route.priority,
        }));
    }
    let counted = carried.counted().cloned();
    Snapshot {
        cache_recipes: recipes(&compiled),
        cache_shares: Box::default(),
        text: None,
        unrouted: carried
            .unrouted()
            .unwrap_or_else(|| Arc::new(RouteState::new("", workers))),
        peers: built.peers,
        router,
        routes: compiled.into(),
        upstreams: built.upstreams.into(),
        definitions: built.definitions.into(),
        rate_limits: Arc::new(RateLimits::new(
            limits.all,
            settings.rate_limit_fields,
            settings.rate_limit_keys,
            counted,
        )),
        authority: Arc::new(authority),
    }
}

/// Upstreams that have been made, or taken over.
struct Built<'a> {
    carried: &'a Carried,
    /// How many workers count.
    workers: usize,
    peers: Arc<Peers>,
    upstreams: Vec<Arc<Upstream>>,
    definitions: Vec<(UpstreamKey, UpstreamSpec)>,
}

impl<'a> Built<'a> {
    fn new(carried: &'a Carried, workers: usize) -> Self {
        let new = || Arc::new(Peers::new(workers));
        Self {
            carried,
            workers,
            peers: carried.peers().cloned().unwrap_or_else(new),
            upstreams: Vec::new(),
            definitions: Vec::new(),
        }
    }

    /// Those of the file, by name.
    fn named(&mut self, upstreams: Upstreams) -> HashMap<String, Arc<Upstream>> {
        let specs = upstreams.into_specs();
        let built = specs.map(|(name, spec)| {
            let key = UpstreamKey::Named(name.as_str().into());
            let upstream = self.upstream(key, &name, spec);
            (name, upstream)
        });
        built.collect()
    }

    fn upstream(&mut self, key: UpstreamKey, name: &str, spec: UpstreamSpec) -> Arc<Upstream> {
        let before = self.carried.upstream(&key);
        let upstream = spec.build(name, &self.peers, self.workers, before);
        self.upstreams.push(Arc::clone(&upstream));
        self.definitions.push((key, spec));
        upstream
    }
}

/// By what the routes make keys, each once.
fn recipes(routes: &[Arc<Route>]) -> Box<[KeyRecipe]> {
    let mut recipes: Vec<KeyRecipe> = Vec::new();
    for cache in routes.iter().filter_map(|route| route.cache.as_ref()) {
        if !recipes.contains(&cache.recipe) {
            recipes.push(cache.recipe.clone());
        }
    }
    recipes.into()
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
