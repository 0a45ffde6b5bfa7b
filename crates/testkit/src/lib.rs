//! What tests need to meet the gateway as the world does: scriptable backends, raw clients, a harness that starts and
//! stops the real program, real Redis and DNS servers and a real OpenTelemetry collector, backends in processes of their own that fail in every way, and load
//! that does not wait for them.
//!
//! Everything here panics when something does not come about in time: it is for tests only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod authority;
mod backend;
mod client;
mod collector;
mod deadline;
mod dns;
pub mod faults;
mod folder;
mod gateway;
pub mod http2;
pub mod load;
mod message;
mod nginx;
mod port;
mod process;
mod prometheus;
mod redis;

pub use authority::{Authority, Issued};
pub use backend::{Backend, Connection};
pub use client::Client;
pub use collector::{Collector, Span};
pub use deadline::within;
pub use dns::Dns;
pub use gateway::{ADMIN_FIELD, Gateway, GatewayBuilder};
pub use message::{Message, read_message};
pub use nginx::Nginx;
pub use port::free_port;
pub use prometheus::{Prometheus, promtool};
pub use redis::{Redis, RedisCluster, RedisWithSentinel};
