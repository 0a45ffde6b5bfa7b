//! The cache in the way of a request: [`Caching`] stands between the handler and the proxy.
//!
//! A hit is answered at once, from memory that all workers share. Everything else goes to the backend as it would
//! without a cache, breakers, retries and hedges included, and what comes back is stored where it may be.
//!
//! What a request shares with others is fetched by a task of its own ([`Job`](job)), whose answer the request follows as
//! the others do: a client that is slow or leaves holds nobody up. What is for one client alone, because it has
//! credentials, conditions or ranges, is fetched by that client's own task, as without a cache.
//!
//! ```text
//! answer.rs        what is done with a request: a hit is answered
//! asked.rs         the request as the cache sees it, and its key
//! query.rs         the content of a QUERY, which is in its key
//! coalescing.rs    what goes to the backend, for others as well, or waits for another
//! revalidation.rs  what is stale and goes to be validated
//! errand.rs        asks the tiers and the backend
//! received.rs      what an answer is to the cache
//! job.rs           an errand in a task of its own
//! body.rs          bodies that are stored as they pass, and bodies that others fetch
//! route.rs         what a route's configuration says
//! explanation.rs   what would be done with a request
//! report.rs        what was done: Cache-Status, and the access log's word
//! purge.rs         purging, as operators ask for it
//! tiers/           what is behind the memory: disk and Redis
//! ```

mod answer;
mod asked;
mod body;
mod coalescing;
mod errand;
mod explanation;
mod job;
mod purge;
mod query;
mod received;
mod report;
mod revalidation;
mod route;
mod tiers;

pub(crate) use answer::Caching;
pub(crate) use body::stored_body;
pub(crate) use errand::Now;
pub(crate) use explanation::explain;
pub(crate) use purge::{PurgeRequest, Purger};
pub(crate) use report::{LastTold, Outcome, Report};
pub(crate) use route::RouteCache;
pub(crate) use tiers::TierError;
pub(crate) use tiers::{Answer, Tier, Tiers, Told, Write};

use std::sync::{Arc, OnceLock};

/// The cache of all workers.
#[derive(Debug, Clone)]
pub(crate) struct OpenCache {
    pub(crate) cache: cache::Cache,
    /// What is behind its memory.
    pub(crate) tiers: Option<Arc<Tiers>>,
}

/// The cache, as soon as a route is cached.
pub(crate) type SharedCache = Arc<OnceLock<OpenCache>>;
