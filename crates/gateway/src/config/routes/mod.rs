//! The routes file: as written, as checked, as served.

mod auth;
mod caching;
mod check;
mod compile;
mod cors;
mod limit;
mod rate_limits;
mod service;
mod upstreams;
mod written;

pub(super) use compile::{Compiled, Credentials, Sources, compile, default_route};
pub(super) use upstreams::UpstreamSpec;

use serde_json::Value;

use super::schema::{of, text};

/// The JSON Schema of the routes file, as text.
#[must_use]
pub fn schema() -> String {
    text(&schema_value())
}

/// The JSON Schema of the routes file.
pub(super) fn schema_value() -> Value {
    of::<written::RoutesFile>()
}
