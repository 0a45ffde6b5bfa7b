//! What routes there are, for people.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Destination, Route, Snapshot};
use crate::middleware::rate_limit::RateLimit;
use crate::router::{HeaderMatch, QueryMatch, RouteMatch, ValueMatch};

/// A route in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteSummary {
    pub(crate) name: Box<str>,
    /// None for any host.
    pub(crate) hosts: Vec<String>,
    /// None for any method.
    pub(crate) methods: Vec<String>,
    pub(crate) path: String,
    /// Fields and query parameters that must be there.
    pub(crate) matchers: Vec<String>,
    /// Where requests go: targets, shares of upstreams, or the service that answers.
    pub(crate) targets: Vec<String>,
    /// From a request's head to its answer's, seconds.
    pub(crate) timeout: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) strip_prefix: Box<str>,
    /// Whether clients must show who they are.
    pub(crate) auth: bool,
    pub(crate) cached: bool,
    pub(crate) preserve_host: bool,
}

/// A rate limit in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitSummary {
    pub(crate) name: Box<str>,
    /// Units in each window.
    pub(crate) limit: u32,
    /// Seconds.
    pub(crate) window: f64,
    /// Units that a request takes.
    pub(crate) cost: u32,
    /// What tells clients apart; nothing where they share it.
    pub(crate) by: Vec<String>,
    /// Networks that it does not hold for.
    pub(crate) exempt: Vec<String>,
    /// Whether it is only tried out.
    pub(crate) shadow: bool,
    /// `memory`, each gateway for itself, or `redis`, for all together.
    pub(crate) store: &'static str,
    pub(crate) routes: Vec<Box<str>>,
}

/// All rate limits, as they stand in the routes file.
pub(crate) fn limit_summaries(snapshot: &Snapshot) -> Vec<LimitSummary> {
    let limits = snapshot.rate_limits.all().iter().enumerate();
    let summary = |(index, limit): (usize, &RateLimit)| LimitSummary {
        name: (&*limit.name).into(),
        limit: limit.policy.limit(),
        window: limit.policy.window().as_secs_f64(),
        cost: limit.cost,
        by: limit.by.iter().map(ToString::to_string).collect(),
        exempt: limit.exempt.iter().map(ToString::to_string).collect(),
        shadow: limit.shadow,
        store: if limit.shared.is_some() {
            "redis"
        } else {
            "memory"
        },
        routes: routes_with(snapshot, index),
    };
    limits.map(summary).collect()
}

fn routes_with(snapshot: &Snapshot, limit: usize) -> Vec<Box<str>> {
    let has = |route: &&Arc<Route>| route.rate_limits.all().any(|it| it.limit == limit);
    let routes = snapshot.routes.iter().filter(has);
    routes.map(|route| route.name.clone()).collect()
}

/// All routes, in the order in which they are matched.
pub(crate) fn summaries(snapshot: &Snapshot) -> Vec<RouteSummary> {
    let order = snapshot.router.in_match_order().into_iter();
    order.map(|route| summary(snapshot, route)).collect()
}

fn summary(snapshot: &Snapshot, index: usize) -> RouteSummary {
    let route = &snapshot.routes[index];
    let matched = snapshot.router.route(index);
    RouteSummary {
        name: route.name.clone(),
        hosts: matched.hosts.iter().map(ToString::to_string).collect(),
        methods: matched.methods.iter().map(ToString::to_string).collect(),
        path: matched.path.to_string(),
        matchers: matchers(matched),
        targets: targets(&route.destination),
        timeout: route.timeout.as_secs_f64(),
        strip_prefix: route.strip_prefix.clone(),
        auth: route.access.is_some(),
        cached: route.cache.is_some(),
        preserve_host: route.preserve_host,
    }
}

fn targets(destination: &Destination) -> Vec<String> {
    match destination {
        Destination::Upstream(upstream) => {
            let endpoints = upstream.endpoints().iter();
            endpoints
                .map(|endpoint| endpoint.target.to_string())
                .collect()
        }
        Destination::Split(split) => {
            let shares = split.shares.iter();
            let share = shares.map(|share| {
                let name = &share.upstream.name;
                format!("{name}:{}", share.weight)
            });
            share.collect()
        }
        Destination::Service(service) => vec![format!("service:{}", service.name())],
    }
}

fn matchers(matched: &RouteMatch) -> Vec<String> {
    let shown = |name: &str, value: &ValueMatch| match value {
        ValueMatch::Present => name.to_owned(),
        ValueMatch::Exact(exact) => format!("{name}={exact}"),
    };
    let headers = matched
        .headers
        .iter()
        .map(|HeaderMatch { name, value }| shown(name.as_str(), value));
    let query = matched
        .query
        .iter()
        .map(|QueryMatch { name, value }| format!("?{}", shown(name, value)));
    headers.chain(query).collect()
}
