//! What a routes file says of upstreams, and of sending requests again.

mod check;
mod fallback;
mod guard;
mod hedge;
mod pool;
mod retry;
mod spec;
mod split;
mod tls;
mod written;

pub(super) use check::Upstreams;
pub(super) use fallback::CheckedFallback;
pub(super) use spec::GuardSpec;
pub(in crate::config) use spec::UpstreamSpec;
pub(super) use split::CheckedSplit;
pub(super) use written::{Breaker, Fallback, Hedge, Mirror, Retry, Split, Upstream};
