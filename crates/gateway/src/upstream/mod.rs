//! Where requests go: upstreams and their endpoints, as a request sees them.

mod target;

pub use target::{Host, Target, TargetError};

use load_balancer::WeightedRoundRobin;

/// A group of endpoints that serve the same requests.
#[derive(Debug)]
pub struct Upstream {
    /// Where the requests of this upstream may go. Never empty.
    pub endpoints: Box<[Endpoint]>,
    /// Decides which endpoint the next request goes to; its picks are indices into `endpoints`.
    pub balancer: WeightedRoundRobin,
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
