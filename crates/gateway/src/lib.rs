//! The gateway as a library: `main.rs` is a thin shell around [`cli`].

mod admin;
mod auth;
mod caching;
pub mod cli;
pub mod config;
mod counters;
mod dashboards;
mod demo;
mod diagnostics;
mod error;
mod explain;
mod handler;
mod metrics;
mod middleware;
mod proxy;
mod redis_connection;
pub mod router;
pub mod server;
mod tls;
mod trace;
pub mod upstream;

pub use admin::openapi;
pub use handler::Steps;
pub use metrics::reference as metrics_reference;
pub use proxy::preview;
pub use trace::{Sampler, Trust, begin_bench};
