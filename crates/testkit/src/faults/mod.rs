//! Backends that fail, each in a process of its own, and what they have executed.
//!
//! A [`FaultyBackend`] is healthy until it is told otherwise: it can refuse, reset, stall, lie about lengths, slow down,
//! flap, be killed, and be stopped as for a rolling restart. It comes back on the port that it had. Every request that
//! it has received whole counts as executed; the field [`REQUEST_ID`] says which one it was, so that [`Executions`]
//! tells those that were executed twice. A [`NodeServer`] is the same for one question: what becomes of a connection
//! that a real server closes at the moment when it is used again.
//!
//! A process of its own, because only that can be killed, and because load on a backend must not slow down the test
//! that measures it.

mod backend;
mod behaviour;
mod child;
mod connection;
mod executions;
mod node;
mod program;
mod server;

pub use backend::FaultyBackend;
pub use behaviour::{Behaviour, Command, Fault, Health, Latency};
pub use executions::{Executions, REQUEST_ID};
pub use node::{Hint, NodeServer};
pub use server::serve;
