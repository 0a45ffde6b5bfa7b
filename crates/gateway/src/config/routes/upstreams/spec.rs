//! An upstream that is right in itself, and what is made of it.

use std::collections::HashMap;
use std::sync::Arc;

use circuit_breaker::adaptive::{self, AdaptiveLimit};
use circuit_breaker::concurrency::Limit;
use circuit_breaker::{Breaker, Policy, RetryBudget};
use load_balancer::Settings;
use load_balancer::outlier;
use tokio::time::Instant;

use crate::counters::{EndpointCounts, UpstreamCounts};
use crate::upstream::{
    Balancer, ConnectionLimit, Endpoint, Guard, GuardScope, HashKey, HealthCheck, Peers,
    PoolLimits, Pooling, Roster, Statuses, Sticky, Upstream,
};

/// What an upstream is made of.
#[derive(Debug, Clone)]
pub(in crate::config::routes) struct UpstreamSpec {
    pub(in crate::config::routes) endpoints: Vec<Endpoint>,
    pub(super) balance: Settings,
    pub(super) hash_key: Option<HashKey>,
    pub(super) sticky: Option<Sticky>,
    pub(super) outliers: Option<outlier::Settings>,
    pub(super) health: Option<HealthCheck>,
    pub(super) guard: Option<GuardSpec>,
    pub(super) pool: Option<PoolSpec>,
    pub(super) max_requests: Option<u32>,
    pub(super) adaptive: Option<adaptive::Policy>,
}

/// How connections are kept, and how many there may be.
#[derive(Debug, Clone)]
pub(super) struct PoolSpec {
    pub(super) limits: PoolLimits,
    pub(super) max_connections: Option<u32>,
    pub(super) max_pending: u32,
}

/// What breakers are made of.
#[derive(Debug, Clone)]
pub(in crate::config::routes) struct GuardSpec {
    pub(super) policy: Policy,
    pub(super) scope: BreakerScope,
    pub(super) failures: Statuses,
}

/// What one breaker watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerScope {
    /// The upstream as a whole.
    Upstream,
    /// An endpoint.
    Endpoint,
    /// What one route asks of its upstream.
    Route,
}

impl UpstreamSpec {
    /// With nothing but its endpoints said about it: round robin, and an endpoint that gives no answers is left alone
    /// for a while, as in nginx.
    pub(in crate::config::routes) fn of(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            balance: Settings::default(),
            hash_key: None,
            sticky: None,
            outliers: Some(default_outliers()),
            health: None,
            guard: None,
            pool: None,
            max_requests: None,
            adaptive: None,
        }
    }

    /// The upstream, from now on, of which so many workers count.
    pub(in crate::config::routes) fn build(
        mut self,
        name: &str,
        peers: &Arc<Peers>,
        workers: usize,
    ) -> Upstream {
        share_counts(&mut self.endpoints, workers);
        let breaker = self.guard.as_ref().and_then(GuardSpec::of_endpoints);
        let pooling = self.pool.map(|pool| Arc::new(pool.build()));
        let roster = Roster {
            endpoints: self.endpoints.into(),
            balance: self.balance,
            outliers: self.outliers,
            breaker,
            peers: pooling.as_ref().map_or_else(
                || Arc::clone(peers),
                |pooling| Arc::new(peers.apart(Arc::clone(pooling))),
            ),
        };
        Upstream {
            name: name.into(),
            balancer: Balancer::new(roster, self.hash_key, self.sticky, Instant::now()),
            guard: self.guard.and_then(|guard| guard.build(name)),
            pooling,
            limit: self.max_requests.map(|most| Arc::new(Limit::new(most))),
            // What is not possible has been found already.
            adaptive: self
                .adaptive
                .and_then(|policy| AdaptiveLimit::new(&policy, fastrand::u64(..)).ok())
                .map(Arc::new),
            budget: RetryBudget::default(),
            health: self.health,
            counts: Arc::new(UpstreamCounts::new(workers)),
        }
    }
}

/// Gives endpoints their counters. Those with the same URL are one series, and have one.
fn share_counts(endpoints: &mut [Endpoint], workers: usize) {
    let mut by_target: HashMap<String, Arc<EndpointCounts>> = HashMap::new();
    for endpoint in endpoints {
        let counts = by_target
            .entry(endpoint.target.to_string())
            .or_insert_with(|| Arc::new(EndpointCounts::new(workers)));
        endpoint.counts = Arc::clone(counts);
    }
}

impl PoolSpec {
    fn build(self) -> Pooling {
        let limit = |most| ConnectionLimit::new(most as usize, self.max_pending as usize);
        Pooling {
            limits: self.limits,
            connections: self.max_connections.map(limit).map(Arc::new),
        }
    }
}

impl GuardSpec {
    /// The breaker that each endpoint gets, where each gets one.
    fn of_endpoints(&self) -> Option<Policy> {
        (self.scope == BreakerScope::Endpoint).then(|| self.policy.clone())
    }

    /// None when the policy is not possible, which has been found already. `name` is that of what is watched.
    pub(in crate::config::routes) fn build(self, name: &str) -> Option<Guard> {
        let breaker = || Breaker::new(&self.policy).ok().map(Arc::new);
        let scope = match self.scope {
            BreakerScope::Upstream => GuardScope::Upstream(breaker()?),
            BreakerScope::Endpoint => GuardScope::Endpoint,
            BreakerScope::Route => GuardScope::Route(breaker()?),
        };
        Some(Guard::new(name.into(), scope, self.failures))
    }
}

/// Only for want of answers, which is never the request's fault.
pub(super) fn default_outliers() -> outlier::Settings {
    outlier::Settings {
        consecutive_server_errors: 0,
        success_rate: None,
        ..outlier::Settings::default()
    }
}
