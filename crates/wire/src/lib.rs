//! HTTP/1.1 on both edges: connections, framing, bodies and buffers. Knows nothing of gateways.
//!
//! [`server::serve`] drives one client connection, [`client::Connection`] one backend connection. Both live on the
//! thread that made them, and a request that is forwarded is driven by one task from its first byte to the last of
//! its answer: the response's [`Body`] carries the rest of the request's, so that polling the one moves the other.
//! No channel, no lock, no task of its own; what must be shared between a connection and the body that is read from
//! it is an `Rc`.
//!
//! Framing is strict in both directions: whatever two readers of RFC 9112 could take differently is refused, even
//! where the standard would allow to repair it.

pub mod chunked;
pub mod client;
pub mod farewell;
pub mod head;
pub mod proxy_protocol;
pub mod server;
pub mod tls;
pub mod tunnel;
pub mod websocket;

mod batch;
mod body;
mod date;
mod deadline;
mod decoder;
mod io;
mod read_buffer;
mod write_queue;

pub use body::{Body, BodyError};
pub use date::date;
pub use deadline::Deadline;
pub use io::{Idle, Io};
