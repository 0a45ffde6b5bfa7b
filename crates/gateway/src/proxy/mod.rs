//! Forwarding: from a routed request to the backend's answer.

mod attempt;
mod attempts;
mod fields;
mod forward;
mod forwarded;
mod hedge;
mod join;
mod mirror;
mod pool;
mod preview;
mod replay;
mod request_head;
mod retry;
mod safe_idle;
mod send;
mod trailers;

pub(crate) use attempt::Holds;
pub(crate) use fields::{asks_for_websocket, ends_at_the_gateway, strip_answer, strip_nominated};
pub(crate) use forward::{Forwarded, Proxy, Routed, forward};
pub(crate) use forwarded::{ClientSide, Entrance};
pub(crate) use hedge::{Hedge, Percentile};
pub(crate) use mirror::{Mirror, Mirrors};
pub(crate) use pool::Pools;
pub use preview::preview;
pub(crate) use preview::{Beside, head_for};
pub(crate) use retry::Retry;
