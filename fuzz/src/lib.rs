//! Hostile bytes for the wire.
//!
//! Each function takes any bytes and panics when they show a fault. The measure is [`reference`]: a second reader,
//! written line by line from RFC 9112 without a look at the first one and without its parser. Ours may refuse what
//! the reference takes; what ours takes, the reference must take too, and read the same way. Then nobody behind the
//! gateway can be made to see another message than the gateway saw.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "to panic is what these functions are for"
)]

mod chunked;
mod forwarded;
mod head;
mod reference;

pub use chunked::chunked;
pub use forwarded::forwarded;
pub use head::{request_head, response_head};
