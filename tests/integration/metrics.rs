//! What the gateway tells Prometheus.

use serde_json::json;
use testkit::{Backend, Client};

use crate::{everything_to, gateway, in_front_of, routes};

#[tokio::test]
async fn metrics_have_a_type_and_an_end() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let answer = Client::connect(gateway.admin()).await.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.field("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
    let series = "api_gateway_rate_limit_fallback_total{mode=\"local\"}";
    assert_eq!(gateway.metric(series).await, 0);
}

#[tokio::test]
async fn metrics_can_be_turned_off() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("ENABLE_METRICS", "false")
        .start()
        .await;
    let mut admin = Client::connect(gateway.admin()).await;
    assert_eq!(admin.get("/metrics").await.status(), 404);
    assert_eq!(admin.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn failures_are_counted_by_route_and_code_and_those_in_the_shadow_apart() {
    let backend = Backend::ok().await;
    let url = backend.url();
    let gateway = gateway()
        .routes(&routes(&[
            json!({ "name": "closed", "path": "/a", "targetURL": url, "requireAuth": true }),
            json!({ "name": "tried", "path": "/b", "targetURL": url, "requireAuth": true, "shadow": true }),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for (target, status) in [("/a", 401), ("/a", 401), ("/b", 200), ("/c", 404)] {
        assert_eq!(client.get(target).await.status(), status, "{target}");
    }
    gateway.log(4).await;
    for (series, count) in [
        ("errors_total{route=\"closed\",code=\"unauthorized\"}", 2),
        ("errors_total{route=\"\",code=\"route-not-found\"}", 1),
        (
            "shadow_refusals_total{route=\"tried\",code=\"unauthorized\"}",
            1,
        ),
    ] {
        let series = format!("api_gateway_{series}");
        assert_eq!(gateway.metric(&series).await, count, "{series}");
    }
}
