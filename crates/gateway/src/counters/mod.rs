//! What the gateway counts while it serves: plain atomics, without names. `metrics` names them when somebody asks.
//!
//! What a request counts is its worker's own (`shards.rs`), found when the configuration is compiled: a [`Route`] has its
//! [`RouteCounts`], an [`Upstream`] its [`UpstreamCounts`], each behind an `Arc` that the next configuration takes over
//! for what it has under the same name. What is gone takes its counters along. With `ENABLE_METRICS=false` there are no
//! shards, and nothing is counted.
//!
//! [`Route`]: crate::config::Route
//! [`Upstream`]: crate::upstream::Upstream

mod by;
mod exemplar;
mod failures;
pub(crate) mod histogram;
mod process;
mod reload;
mod responses;
mod route;
mod shards;
mod upstream;

pub(crate) use exemplar::TraceId;
pub(crate) use failures::{FailedRequest, Failure, Failures};
pub(crate) use histogram::{BOUNDS, Totals};
pub(crate) use process::{LookedUp, Lookups, ProcessCounts, Protocol};
pub(crate) use reload::{RESULTS as RELOAD_RESULTS, ReloadStatus};
pub(crate) use responses::OTHER;
pub(crate) use route::{
    AUTH_KINDS, AUTH_RESULTS, Again, AuthResult, CrossOrigin, Direction, Limited, RouteCounts,
    RouteShard,
};
pub(crate) use shards::enter_worker;
pub(crate) use upstream::{
    Attempted, EndpointCounts, Handshake, OpenConnection, PeerCounts, UpstreamCounts, UpstreamShard,
};

use crate::config::Settings;

/// How many workers count.
pub(crate) fn counting_workers(settings: &Settings) -> usize {
    if settings.enable_metrics {
        settings.workers
    } else {
        0
    }
}
