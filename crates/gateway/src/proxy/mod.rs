//! Forwarding: from a routed request to the backend's answer.

mod connect;
mod fields;
mod forward;
mod forwarded;
mod join;
mod pool;
mod preview;
mod request_head;

pub(crate) use forward::{Forwarder, Routed, forward};
pub(crate) use forwarded::ClientSide;
pub(crate) use pool::{PoolLimits, Pools};
pub use preview::preview;
