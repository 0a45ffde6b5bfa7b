//! The configuration as requests see it: compiled, immutable, shared by all workers.

use std::sync::Arc;
use std::time::Duration;

use crate::middleware::cors::Cors;
use crate::middleware::rate_limit::{RateLimits, RouteLimits};
use crate::router::Router;
use crate::upstream::Upstream;

/// Everything that a routes file means, ready to serve.
#[derive(Debug)]
pub struct Snapshot {
    /// Finds the route of a request; its answers are indices into `routes`.
    pub router: Router,
    /// The routes, in the order of the file.
    pub routes: Box<[Route]>,
    /// The upstreams that routes point to. Routes with the same targets do not share one.
    pub upstreams: Box<[Upstream]>,
    /// How many connection pools a worker needs: one more than the largest [`Endpoint::pool`].
    ///
    /// [`Endpoint::pool`]: crate::upstream::Endpoint::pool
    pub pools: usize,
    /// All rate limits; routes have indices into them.
    pub rate_limits: RateLimits,
}

/// What happens to the requests of one route.
#[derive(Debug)]
pub struct Route {
    /// The route's name in logs; its path pattern where the file gives no name. Unique.
    pub name: Box<str>,
    /// Index into [`Snapshot::upstreams`].
    pub upstream: usize,
    /// Removed from the start of the path before forwarding, at a segment boundary: no slash at its end.
    /// Empty when nothing is stripped.
    pub strip_prefix: Box<str>,
    /// How many segments that is.
    pub stripped_segments: usize,
    /// The client's `Host` goes to the backend, instead of the target's.
    pub preserve_host: bool,
    /// A valid JWT is needed.
    pub require_auth: bool,
    /// Responses may be cached.
    pub cacheable: bool,
    /// What web pages of other origins may do; none to leave it to the backend.
    pub cors: Option<Arc<Cors>>,
    /// How much each client may ask for.
    pub rate_limits: Option<RouteLimits>,
    /// Bytes that a request's body may have; [`u64::MAX`] for any.
    pub max_body_size: u64,
    /// From the request's head to the response's head.
    pub timeout: Duration,
}
