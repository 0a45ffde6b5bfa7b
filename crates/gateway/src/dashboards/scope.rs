//! For what dashboards are made.

use crate::config::{Route, Snapshot};

/// The routes and features that dashboards are about.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The routes' names; none to ask Prometheus for them.
    pub(super) routes: Option<Vec<String>>,
    /// The upstreams' names; none to ask Prometheus for them.
    pub(super) upstreams: Option<Vec<String>>,
    used: Vec<Feature>,
}

/// Something that a routes file may use, and that has metrics of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    Auth,
    Breakers,
    Cache,
    ConnectionLimits,
    Cors,
    Names,
    RateLimits,
    SentAgain,
}

const ALL: [Feature; 8] = [
    Feature::Auth,
    Feature::Breakers,
    Feature::Cache,
    Feature::ConnectionLimits,
    Feature::Cors,
    Feature::Names,
    Feature::RateLimits,
    Feature::SentAgain,
];

impl Scope {
    /// Whatever the routes are.
    pub(crate) fn any() -> Self {
        Self {
            routes: None,
            upstreams: None,
            used: ALL.to_vec(),
        }
    }

    /// What this configuration has.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let routes = snapshot.routes.iter().map(|it| it.name.to_string());
        let upstreams = snapshot.upstreams.iter().map(|it| it.name.to_string());
        Self {
            routes: Some(routes.collect()),
            upstreams: Some(upstreams.collect()),
            used: ALL
                .into_iter()
                .filter(|feature| feature.is_used(snapshot))
                .collect(),
        }
    }

    pub(super) fn uses(&self, feature: Option<Feature>) -> bool {
        feature.is_none_or(|feature| self.used.contains(&feature))
    }
}

impl Feature {
    fn is_used(self, snapshot: &Snapshot) -> bool {
        let a_route = |is: fn(&Route) -> bool| snapshot.routes.iter().any(|route| is(route));
        let upstreams = &snapshot.upstreams;
        match self {
            Self::Auth => a_route(|route| route.access.is_some()),
            Self::Breakers => {
                a_route(|route| route.guard.is_some())
                    || upstreams.iter().any(|it| it.guard.is_some())
            }
            Self::Cache => a_route(|route| route.cache.is_some()),
            Self::ConnectionLimits => upstreams.iter().any(|upstream| {
                let pooling = upstream.pooling.as_ref();
                pooling.is_some_and(|pooling| pooling.connections.is_some())
            }),
            Self::Cors => a_route(|route| route.cors.is_some()),
            Self::Names => upstreams.iter().any(|upstream| upstream.names() > 0),
            Self::RateLimits => a_route(|route| {
                let limits = &route.rate_limits;
                limits.on_arrival.is_some() || limits.once_known.is_some()
            }),
            Self::SentAgain => a_route(|route| {
                route.retry.is_some()
                    || route.hedge.is_some()
                    || route.fallback.is_some()
                    || route.mirror.is_some()
            }),
        }
    }
}
