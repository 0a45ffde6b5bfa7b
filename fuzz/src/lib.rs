//! Hostile bytes for the wire and the cache.
//!
//! Each function takes any bytes and panics when they show a fault. The measure is [`reference`]: a second reader,
//! written line by line from RFC 9112 without a look at the first one and without its parser. Ours may refuse what
//! the reference takes; what ours takes, the reference must take too, and read the same way. Then nobody behind the
//! gateway can be made to see another message than the gateway saw. [`cache_fields`] does the same for the fields by
//! which a cache decides, against RFC 9111 and the grammars that it uses.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "to panic is what these functions are for"
)]

mod caching;
mod chunked;
mod forwarded;
mod head;
mod reference;

pub use caching::cache_fields;
pub use chunked::chunked;
pub use forwarded::forwarded;
pub use head::{request_head, response_head};
