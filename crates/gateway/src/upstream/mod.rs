//! Where requests go: upstreams and their endpoints.
//!
//! An [`Upstream`] is what the configuration says. Which of its endpoints a request goes to is the [`Balancer`]'s
//! business, and what is known of them, by requests and by checks, is kept there: workers read it without a lock, and
//! the control plane ([`keep`]) replaces what has changed.

mod balancer;
mod dns;
mod guard;
mod hash_key;
mod health_check;
mod keeper;
mod moment;
mod split;
mod statuses;
mod sticky;
mod target;

pub(crate) use balancer::{Balancer, Picked};
pub(crate) use guard::{Guard, GuardScope, Permit};
pub(crate) use hash_key::HashKey;
pub(crate) use health_check::{Check, HealthCheck};
pub(crate) use keeper::keep;
pub(crate) use moment::moment;
pub(crate) use split::{Condition, Override, Share, Split};
pub(crate) use statuses::Statuses;
pub(crate) use sticky::Sticky;
pub use target::{Host, Target, TargetError};

use std::sync::Arc;

use circuit_breaker::RetryBudget;
use circuit_breaker::adaptive::AdaptiveLimit;
use circuit_breaker::concurrency::Limit;

/// A group of endpoints that serve the same requests.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in logs: that of the file, or of the route whose own it is.
    pub name: Box<str>,
    /// Where its requests may go. Never empty.
    pub endpoints: Box<[Endpoint]>,
    /// Decides which endpoint the next request goes to; its picks are indices into `endpoints`.
    pub(crate) balancer: Balancer,
    /// Stops asking what fails.
    pub(crate) guard: Option<Guard>,
    /// Requests at once.
    pub(crate) limit: Option<Arc<Limit>>,
    /// Requests at once, as many as its latency bears.
    pub(crate) adaptive: Option<Arc<AdaptiveLimit>>,
    /// Bounds how many of its requests are retries.
    pub(crate) budget: RetryBudget,
    /// Checks apart from requests.
    pub(crate) health: Option<HealthCheck>,
}

/// One place that requests can be sent to.
#[derive(Debug)]
pub struct Endpoint {
    /// Names the connection pool: endpoints with the same host and port share one. Dense, counted from zero
    /// within a snapshot.
    pub pool: usize,
    /// Address, path prefix and `Host` of the endpoint.
    pub target: Target,
}
