//! What the gateway tells Prometheus.

use testkit::{Backend, Client};

use crate::{everything_to, gateway, in_front_of};

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
