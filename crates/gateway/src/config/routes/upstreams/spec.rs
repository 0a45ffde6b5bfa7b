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
use crate::tls::BackendTls;
use crate::upstream::{
    Balancer, ConnectionLimit, Endpoint, Guard, GuardScope, HashKey, HealthCheck, Peers,
    PoolLimits, Pooling, Roster, Scheme, Statuses, Sticky, Upstream,
};

/// What an upstream is made of.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct UpstreamSpec {
    pub(in crate::config::routes) endpoints: Vec<Endpoint>,
    pub(super) balance: Settings,
    pub(super) hash_key: Option<HashKey>,
    pub(super) sticky: Option<Sticky>,
    pub(super) outliers: Option<outlier::Settings>,
    pub(super) health: Option<HealthCheck>,
    pub(super) guard: Option<GuardSpec>,
    pub(super) pool: Option<PoolSpec>,
    /// Where an endpoint is to be spoken to over TLS.
    pub(in crate::config::routes) tls: Option<TlsSpec>,
    pub(super) max_requests: Option<u32>,
    pub(super) adaptive: Option<adaptive::Policy>,
}

/// How connections are encrypted.
#[derive(Debug, Clone)]
pub(in crate::config::routes) enum TlsSpec {
    /// As is usual, with connections shared with other upstreams of which no more is said.
    Usual(Arc<BackendTls>),
    /// By rules of the upstream's own.
    Own(Arc<BackendTls>),
}

impl TlsSpec {
    fn into_tls(self) -> Arc<BackendTls> {
        let (Self::Usual(tls) | Self::Own(tls)) = self;
        tls
    }
}

/// By their rules: what files hold at present is followed.
impl PartialEq for TlsSpec {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Usual(_), Self::Usual(_)) => true,
            (Self::Own(one), Self::Own(other)) => one.rules() == other.rules(),
            _ => false,
        }
    }
}

/// How connections are kept, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolSpec {
    pub(super) limits: PoolLimits,
    pub(super) max_connections: Option<u32>,
    pub(super) max_pending: u32,
}

/// What breakers are made of.
#[derive(Debug, Clone, PartialEq)]
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
            tls: None,
            max_requests: None,
            adaptive: None,
        }
    }

    /// Whether an endpoint is to be spoken to over TLS.
    pub(in crate::config::routes) fn has_tls(&self) -> bool {
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|endpoint| endpoint.target.scheme == Scheme::Https)
    }

    /// The upstream, from now on, of which so many workers count. It is the one that was there `before` if that was meant to
    /// be the same, and takes over what is known where that holds for it as well.
    pub(in crate::config::routes) fn build(
        &self,
        name: &str,
        peers: &Arc<Peers>,
        workers: usize,
        before: Option<&(Self, Arc<Upstream>)>,
    ) -> Arc<Upstream> {
        match before {
            Some((spec, upstream)) if spec == self => Arc::clone(upstream),
            _ => Arc::new(self.clone().make(name, peers, workers, before)),
        }
    }

    fn make(
        mut self,
        name: &str,
        peers: &Arc<Peers>,
        workers: usize,
        before: Option<&(Self, Arc<Upstream>)>,
    ) -> Upstream {
        let endpoints = before.map_or(&[][..], |(_, upstream)| upstream.endpoints());
        share_counts(&mut self.endpoints, endpoints, workers);
        // What is there already of something that is the same in both.
        let known = |is_same: &dyn Fn(&Self) -> bool| {
            let same = before.filter(|(spec, _)| is_same(spec));
            same.map(|(_, upstream)| &**upstream)
        };
        let connections = known(&|spec| spec.pool == self.pool && spec.tls == self.tls);
        let limit = known(&|spec| spec.max_requests == self.max_requests);
        let adaptive = known(&|spec| spec.adaptive == self.adaptive);
        let (limit, adaptive) = (
            limit.and_then(|it| it.limit.clone()),
            adaptive.and_then(|it| it.adaptive.clone()),
        );
        let guard_before = before.and_then(|(_, upstream)| upstream.guard.as_ref());
        let breaker = self.guard.as_ref().and_then(GuardSpec::of_endpoints);
        let (pooling, peers, tls) = match connections {
            Some(before) => (
                before.pooling.clone(),
                before.peers(),
                before.tls().cloned(),
            ),
            None => {
                let pooling = self.pool.map(|pool| Arc::new(pool.build()));
                let peers = match (&pooling, &self.tls) {
                    (None, None | Some(TlsSpec::Usual(_))) => Arc::clone(peers),
                    _ => Arc::new(peers.apart(pooling.clone())),
                };
                (pooling, peers, self.tls.map(TlsSpec::into_tls))
            }
        };
        let roster = Roster {
            endpoints: self.endpoints.into(),
            balance: self.balance,
            outliers: self.outliers,
            checked: self.health.is_some(),
            breaker,
            peers,
            tls,
        };
        let balancer = before.map(|(_, upstream)| &upstream.balancer);
        Upstream {
            name: name.into(),
            balancer: Balancer::new(roster, self.hash_key, self.sticky, Instant::now(), balancer),
            guard: self.guard.and_then(|guard| guard.build(name, guard_before)),
            pooling,
            limit: limit.or_else(|| self.max_requests.map(|most| Arc::new(Limit::new(most)))),
            // What is not possible has been found already.
            adaptive: adaptive.or_else(|| {
                let limit = AdaptiveLimit::new(&self.adaptive?, fastrand::u64(..));
                limit.ok().map(Arc::new)
            }),
            budget: RetryBudget::default(),
            health: self.health,
            counts: before.map_or_else(
                || Arc::new(UpstreamCounts::new(workers)),
                |(_, upstream)| Arc::clone(&upstream.counts),
            ),
        }
    }
}

/// Gives endpoints their counters: those that there were `before`. Those with the same URL are one series, and have one.
fn share_counts(endpoints: &mut [Endpoint], before: &[Endpoint], workers: usize) {
    let known = before.iter();
    let known = known.map(|it| (it.target.to_string(), Arc::clone(&it.counts)));
    let mut by_target: HashMap<String, Arc<EndpointCounts>> = known.collect();
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

    /// None when the policy is not possible, which has been found already. `name` is that of what is watched; its breaker
    /// of `before` goes on if it is to be like that.
    pub(in crate::config::routes) fn build(
        self,
        name: &str,
        before: Option<&Guard>,
    ) -> Option<Guard> {
        let breaker = || match before.and_then(|before| before.breaker_like(&self.policy)) {
            Some(breaker) => Some(Arc::clone(breaker)),
            None => Breaker::new(&self.policy).ok().map(Arc::new),
        };
        let scope = match self.scope {
            BreakerScope::Upstream => GuardScope::Upstream(breaker()?),
            BreakerScope::Endpoint => GuardScope::Endpoint,
            BreakerScope::Route => GuardScope::Route(breaker()?),
        };
        Some(Guard::new(name.into(), scope, self.policy, self.failures))
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
