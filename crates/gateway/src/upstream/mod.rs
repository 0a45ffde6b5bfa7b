//! Where requests go: upstreams and their endpoints.
//!
//! An [`Upstream`] is what the configuration says. Its endpoints, and the names in them, come to [`Member`]s; which of
//! these a request goes to is the [`Balancer`]'s business, and what is known of them, by requests and by checks, is kept
//! there: workers read it without a lock, and the control plane ([`keep`]) replaces what has changed.

mod balancer;
mod connect;
mod connection_limit;
mod dns;
mod guard;
mod hash_key;
mod health_check;
mod keeper;
mod members;
mod moment;
mod peers;
mod pooling;
mod report;
mod split;
mod status;
mod statuses;
mod sticky;
mod target;

pub(crate) use balancer::{Balancer, Nobody, Picked};
pub(crate) use connect::connect;
pub(crate) use connection_limit::{Asked, ConnectionLimit, Full, Granted, Idling};
pub(crate) use dns::{Names, most_sockets as most_dns_sockets};
pub(crate) use guard::{Guard, GuardScope, Permit};
pub(crate) use hash_key::HashKey;
pub(crate) use health_check::{Check, HealthCheck};
pub(crate) use keeper::keep;
pub(crate) use members::{Member, Roster};
pub(crate) use moment::moment;
pub(crate) use peers::{PeerRef, Peers};
pub(crate) use pooling::{PoolLimits, Pooling};
pub(crate) use report::EndpointReport;
pub(crate) use split::{Condition, Override, Share, Split};
pub(crate) use status::{Forced, MemberStatus, UpstreamStatus};
pub(crate) use statuses::Statuses;
pub(crate) use sticky::Sticky;
pub use target::{Host, Scheme, Target, TargetError};

use std::sync::Arc;

use circuit_breaker::RetryBudget;
use circuit_breaker::adaptive::AdaptiveLimit;
use circuit_breaker::concurrency::Limit;
use load_balancer::Locality;

use crate::counters::{EndpointCounts, UpstreamCounts};
use crate::tls::BackendTls;

/// A group of endpoints that serve the same requests.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in logs: that of the file, or of the route whose own it is.
    pub name: Box<str>,
    /// Decides where the next request goes.
    pub(crate) balancer: Balancer,
    /// Stops asking what fails.
    pub(crate) guard: Option<Guard>,
    /// How its connections are kept, where it shares none with other upstreams.
    pub(crate) pooling: Option<Arc<Pooling>>,
    /// Requests at once.
    pub(crate) limit: Option<Arc<Limit>>,
    /// Requests at once, as many as its latency bears.
    pub(crate) adaptive: Option<Arc<AdaptiveLimit>>,
    /// Bounds how many of its requests are retries.
    pub(crate) budget: RetryBudget,
    /// Checks apart from requests.
    pub(crate) health: Option<HealthCheck>,
    /// What is counted of it.
    pub(crate) counts: Arc<UpstreamCounts>,
}

/// One place that requests can be sent to, or one name of such places, as configured.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is, and path prefix and `Host` of what is sent there.
    pub target: Arc<Target>,
    /// How much it gets compared with the others; a service's records say how much of that each of its places gets.
    pub(crate) weight: u32,
    /// 0 is used first.
    pub(crate) priority: u32,
    pub(crate) locality: Locality,
    /// What is counted of it.
    pub(crate) counts: Arc<EndpointCounts>,
}

impl Upstream {
    /// Where its requests may go, as configured. Never empty.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.balancer.roster().endpoints
    }

    /// Whom its connections are made to.
    pub(crate) fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.balancer.roster().peers)
    }

    /// How connections to those of its endpoints are encrypted that are to be.
    pub(crate) fn tls(&self) -> Option<&Arc<BackendTls>> {
        self.balancer.roster().tls.as_ref()
    }

    /// Whether an endpoint is spoken to over TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls().is_some()
    }

    /// How many of its endpoints have to be resolved.
    pub(crate) fn names(&self) -> usize {
        let endpoints = self.endpoints().iter();
        let named = endpoints.filter(|endpoint| endpoint.target.host.question().is_some());
        named.count()
    }
}

/// By what the configuration says.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        let meant = |it: &Self| (Arc::clone(&it.target), it.weight, it.priority);
        meant(self) == meant(other) && self.locality == other.locality
    }
}

impl Endpoint {
    /// With nothing but its URL and weight said about it.
    pub(crate) fn new(target: Target, weight: u32) -> Self {
        Self {
            target: Arc::new(target),
            weight,
            priority: 0,
            locality: Locality::default(),
            counts: Arc::default(),
        }
    }
}
