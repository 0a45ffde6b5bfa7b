//! Behaviour of the real program over real sockets.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr
)]

mod admin;
mod auth;
mod bad_input;
mod breakers;
mod caching;
mod command_line;
mod compression;
mod conformance;
mod connection_limits;
mod cors;
mod deployment;
mod dns;
mod documentation;
mod explain;
mod failures;
mod header_fields;
mod hedging;
mod http2;
mod interim;
mod limits;
mod logging;
mod metrics;
mod pooling;
mod prometheus;
mod proxying;
mod rate_limit;
mod rate_limit_redis;
mod rate_limit_script;
mod reload;
mod routing;
mod shutdown;
mod streaming;
mod tls;
mod tracing;
mod upgrade;
mod upstreams;
mod websocket;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

/// The program that is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_api-gateway");

fn gateway() -> GatewayBuilder {
    GatewayBuilder::new(PROGRAM)
}

/// A routes file with these routes.
fn routes(routes: &[Value]) -> Value {
    json!({ "routes": routes })
}

/// A routes file that sends everything to one place.
fn everything_to(url: &str) -> Value {
    routes(&[json!({ "path": "/*path", "targetURL": url })])
}

/// A gateway in front of one backend.
async fn in_front_of(backend: &Backend) -> Gateway {
    gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await
}

/// That `answer` is the gateway's own problem document, and tells nothing of the inside.
#[track_caller]
fn assert_problem(answer: &Message, status: u16, code: &str, proxy_status: &str) {
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.text()
    );
    assert_eq!(
        answer.field("proxy-status"),
        Some(&*format!("api-gateway; error={proxy_status}"))
    );
    assert_eq!(answer.json()["status"], status);
    assert_eq!(
        answer.json()["type"],
        format!("urn:api-gateway:error:{code}")
    );
    assert!(
        !answer.text().contains("127.0.0.1"),
        "internal addresses stay inside: {}",
        answer.text()
    );
}
