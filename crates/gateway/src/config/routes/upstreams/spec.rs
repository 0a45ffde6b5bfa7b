//! An upstream that is right in itself, and what is made of it.

use std::collections::HashMap;
use std::sync::Arc;

use circuit_breaker::adaptive::{self, AdaptiveLimit};
use circuit_breaker::concurrency::Limit;
use circuit_breaker::{Breaker, Policy, RetryBudget};
use load_balancer::outlier::{self, Detector};
use load_balancer::{Load, Locality, Picker, Settings, identity};
use tokio::time::Instant;

use crate::upstream::{
    Balancer, Endpoint, Guard, GuardScope, HashKey, HealthCheck, Host, Statuses, Sticky, Target,
    Upstream, moment,
};

/// What an upstream is made of.
#[derive(Debug, Clone)]
pub(in crate::config::routes) struct UpstreamSpec {
    pub(in crate::config::routes) endpoints: Vec<EndpointSpec>,
    pub(super) balance: Settings,
    pub(super) hash_key: Option<HashKey>,
    pub(super) sticky: Option<Sticky>,
    pub(super) outliers: Option<outlier::Settings>,
    pub(super) health: Option<HealthCheck>,
    pub(super) guard: Option<GuardSpec>,
    pub(super) max_requests: Option<u32>,
    pub(super) adaptive: Option<adaptive::Policy>,
}

/// What an endpoint is made of.
#[derive(Debug, Clone)]
pub(in crate::config::routes) struct EndpointSpec {
    pub(in crate::config::routes) target: Target,
    pub(in crate::config::routes) weight: u32,
    pub(super) priority: u32,
    pub(super) locality: Locality,
}

/// What breakers are made of.
#[derive(Debug, Clone)]
pub(in crate::config::routes) struct GuardSpec {
    pub(super) policy: Policy,
    pub(super) scope: GuardScope,
    pub(super) failures: Statuses,
}

/// Which pool the connections to a host and port go to: numbered as they are met.
pub(in crate::config::routes) type PoolNumbers = HashMap<(Host, u16), usize>;

impl EndpointSpec {
    /// With nothing but its URL and weight said about it.
    pub(in crate::config::routes) fn new(target: Target, weight: u32) -> Self {
        Self {
            target,
            weight,
            priority: 0,
            locality: Locality::default(),
        }
    }
}

impl UpstreamSpec {
    /// With nothing but its endpoints said about it: round robin, and an endpoint that gives no answers is left alone
    /// for a while, as in nginx.
    pub(in crate::config::routes) fn of(endpoints: Vec<EndpointSpec>) -> Self {
        Self {
            endpoints,
            balance: Settings::default(),
            hash_key: None,
            sticky: None,
            outliers: Some(default_outliers()),
            health: None,
            guard: None,
            max_requests: None,
            adaptive: None,
        }
    }

    /// The upstream, from now on.
    pub(in crate::config::routes) fn build(self, name: &str, pools: &mut PoolNumbers) -> Upstream {
        let now = moment(Instant::now());
        let balanced: Vec<load_balancer::Endpoint> = self
            .endpoints
            .iter()
            .map(|endpoint| load_balancer::Endpoint {
                weight: endpoint.weight,
                priority: endpoint.priority,
                locality: endpoint.locality.clone(),
                ..load_balancer::Endpoint::new(
                    identity(&endpoint.target.to_string()),
                    Arc::new(Load::new(now)),
                )
            })
            .collect();
        let loads: Vec<Arc<Load>> = balanced
            .iter()
            .filter(|endpoint| endpoint.weight > 0)
            .map(|endpoint| Arc::clone(&endpoint.load))
            .collect();
        let detector = self
            .outliers
            .filter(|_| loads.len() > 1)
            .map(|settings| Detector::new(settings, loads, now));
        let picker = Picker::new(self.balance, balanced);
        let guard = self
            .guard
            .and_then(|guard| guard.build(name, self.endpoints.len()));
        let endpoints = self.endpoints.into_iter().map(|endpoint| {
            let next = pools.len();
            let key = (endpoint.target.host.clone(), endpoint.target.port);
            Endpoint {
                pool: *pools.entry(key).or_insert(next),
                target: endpoint.target,
            }
        });
        Upstream {
            name: name.into(),
            endpoints: endpoints.collect(),
            balancer: Balancer::new(picker, detector, self.hash_key, self.sticky),
            guard,
            limit: self.max_requests.map(|most| Arc::new(Limit::new(most))),
            // What is not possible has been found already.
            adaptive: self
                .adaptive
                .and_then(|policy| AdaptiveLimit::new(&policy, fastrand::u64(..)).ok())
                .map(Arc::new),
            budget: RetryBudget::default(),
            health: self.health,
        }
    }
}

impl GuardSpec {
    /// The breakers; none when the policy is not possible, which has been found already.
    pub(in crate::config::routes) fn build(self, name: &str, endpoints: usize) -> Option<Guard> {
        let count = match self.scope {
            GuardScope::Upstream | GuardScope::Route => 1,
            GuardScope::Endpoint => endpoints,
        };
        let breakers: Result<Box<[Arc<Breaker>]>, _> = (0..count)
            .map(|_| Breaker::new(&self.policy).map(Arc::new))
            .collect();
        Some(Guard::new(
            name.into(),
            breakers.ok()?,
            self.scope,
            self.failures,
        ))
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
