//! The gateway's routes file in each scenario.
//!
//! All that a scenario tells the gateway about its upstreams is here, so that a new key (of health checks, retries,
//! balancing, breakers) is written in one place. Today all scenarios have plain `targets`.

use serde_json::{Value, json};

/// One of three endpoints is killed.
pub(crate) fn killed(endpoints: &[String]) -> Value {
    plain(endpoints)
}

/// All endpoints are restarted, one after the other.
pub(crate) fn rolling(endpoints: &[String]) -> Value {
    plain(endpoints)
}

/// One server closes idle connections.
pub(crate) fn keep_alive(endpoint: &str) -> Value {
    plain(&[endpoint.to_owned()])
}

/// One of three endpoints is slow; `balancing` is the policy to try.
pub(crate) fn slow(endpoints: &[String], _balancing: Option<&str>) -> Value {
    plain(endpoints)
}

/// What [`slow`] makes of the policy asked for: what is said of it in the report.
pub(crate) fn balancing(asked: Option<&str>) -> String {
    match asked {
        None => "round robin".to_owned(),
        Some(policy) => format!("round robin ({policy} cannot be chosen yet)"),
    }
}

/// All answers are failures.
pub(crate) fn storm(endpoints: &[String]) -> Value {
    plain(endpoints)
}

/// All endpoints are down, and come back.
pub(crate) fn outage(endpoints: &[String]) -> Value {
    plain(endpoints)
}

fn plain(endpoints: &[String]) -> Value {
    json!({ "routes": [{ "name": "all", "path": "/*path", "targets": endpoints }] })
}
