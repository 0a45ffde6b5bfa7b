//! The gateway's routes file in each scenario.
//!
//! All that a scenario tells the gateway about its upstreams is here, so that a new key (of health checks, retries,
//! balancing, breakers) is written in one place.

use serde_json::{Value, json};

/// One of three endpoints is killed.
pub(crate) fn killed(endpoints: &[String]) -> Value {
    checked(endpoints)
}

/// All endpoints are restarted, one after the other.
pub(crate) fn rolling(endpoints: &[String]) -> Value {
    checked(endpoints)
}

/// One server closes idle connections.
pub(crate) fn keep_alive(endpoint: &str) -> Value {
    file(json!({ "endpoints": [endpoint] }), json!({}))
}

/// One of three endpoints is slow; `policy` balances.
pub(crate) fn slow(endpoints: &[String], policy: &str) -> Value {
    file(
        json!({ "endpoints": endpoints, "balance": policy }),
        json!({}),
    )
}

/// All answers are failures; endpoints that fail are kept, or there would be nobody to ask.
pub(crate) fn storm(endpoints: &[String]) -> Value {
    file(
        json!({ "endpoints": endpoints, "outliers": false }),
        json!({ "retry": { "attempts": 3 } }),
    )
}

/// All endpoints are down, and come back.
pub(crate) fn outage(endpoints: &[String]) -> Value {
    let mut file = checked(endpoints);
    file["upstreams"]["all"]["breaker"] = json!({ "consecutiveFailures": 5, "open": 1 });
    file
}

/// Health checks once a second, and retries.
fn checked(endpoints: &[String]) -> Value {
    file(
        json!({ "endpoints": endpoints, "health": { "path": "/health", "interval": 1 } }),
        json!({ "retry": {}, "timeout": 5 }),
    )
}

fn file(upstream: Value, mut route: Value) -> Value {
    route["name"] = json!("all");
    route["path"] = json!("/*path");
    route["upstream"] = json!("all");
    json!({ "upstreams": { "all": upstream }, "routes": [route] })
}
