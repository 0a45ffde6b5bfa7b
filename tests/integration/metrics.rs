//! What the gateway tells Prometheus.

use serde_json::json;
use testkit::{Backend, Client, Gateway, Message};

use crate::{everything_to, gateway, in_front_of, routes};

async fn metrics(gateway: &Gateway, accept: &str) -> Message {
    let mut admin = Client::connect(gateway.admin()).await;
    let accept = format!("Accept: {accept}");
    admin.request("GET", "/metrics", &[&accept]).await;
    admin.response().await
}

#[tokio::test]
async fn metrics_are_told_in_the_format_that_is_asked_for() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let plain = metrics(&gateway, "*/*").await;
    assert_eq!(
        (plain.status(), plain.field("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let open = metrics(
        &gateway,
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    )
    .await;
    assert_eq!(
        open.field("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    assert!(!plain.text().contains("# EOF"), "{}", plain.text());
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_threads",
    ] {
        assert!(gateway.metric(&format!("{name} ")).await > 0, "{name}");
    }
    let build = format!(
        "api_gateway_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(gateway.metric(&build).await, 1);
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

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status_and_never_by_path() {
    let backend = Backend::ok().await;
    let url = backend.url();
    let gateway = gateway()
        .routes(&routes(&[
            json!({ "name": "users", "path": "/users/*path", "targetURL": url }),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for (method, target) in [
        ("GET", "/users/1"),
        ("GET", "/users/2"),
        ("POST", "/users/3"),
        ("PURGE", "/users/4"),
        ("GET", "/other"),
    ] {
        client.request(method, target, &[]).await;
        client.response().await;
    }
    gateway.log(5).await;
    for (labels, count) in [
        (
            "route=\"users\",method=\"GET\",code=\"200\",class=\"2xx\"",
            2,
        ),
        (
            "route=\"users\",method=\"POST\",code=\"200\",class=\"2xx\"",
            1,
        ),
        (
            "route=\"users\",method=\"other\",code=\"200\",class=\"2xx\"",
            1,
        ),
        ("route=\"\",method=\"GET\",code=\"404\",class=\"4xx\"", 1),
    ] {
        let series = format!("api_gateway_requests_total{{{labels}}}");
        assert_eq!(gateway.metric(&series).await, count, "{series}");
    }
    let text = metrics(&gateway, "*/*").await.text();
    assert!(
        !text.contains("/users") && !text.contains("PURGE"),
        "{text}"
    );
    let endpoint = format!("upstream=\"users\",endpoint=\"{url}\"");
    for (series, count) in [
        ("request_duration_seconds_count{route=\"users\"}", 4),
        (
            "request_duration_seconds_bucket{route=\"users\",le=\"+Inf\"}",
            4,
        ),
        ("response_body_bytes_total{route=\"users\"}", 8),
        ("requests_in_flight{route=\"users\"}", 0),
        (
            "upstream_request_duration_seconds_count{upstream=\"users\"}",
            4,
        ),
        (
            "upstream_attempts_total{upstream=\"users\",result=\"2xx\"}",
            4,
        ),
        ("connections_open{protocol=\"http/1.1\"}", 1),
        ("upstream_connections_open{upstream=\"users\"}", 1),
        ("upstream_connections_idle{upstream=\"users\"}", 1),
        ("config_generation", 1),
        ("config_last_reload_success", 1),
        (&*format!("endpoint_picks_total{{{endpoint}}}"), 4),
        (&*format!("endpoint_healthy{{{endpoint}}}"), 1),
    ] {
        let series = format!("api_gateway_{series}");
        assert_eq!(gateway.metric(&series).await, count, "{series}");
    }
    let of_pool =
        |what: &str| format!("api_gateway_upstream_connections_{what}_total{{upstream=\"users\"}}");
    let made = gateway.metric(&of_pool("made")).await;
    assert_eq!(
        (made + gateway.metric(&of_pool("reused")).await, made),
        (4, backend.connections() as u64)
    );
}

#[tokio::test]
async fn a_request_in_flight_is_seen_and_one_whose_client_leaves_is_not_any_more() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    let series = "api_gateway_requests_in_flight{route=\"/{*path}\"}";
    assert_eq!(gateway.metric(series).await, 1);
    drop(client);
    gateway.log(1).await;
    assert_eq!(gateway.metric(series).await, 0);
    let gone =
        "api_gateway_requests_total{route=\"/{*path}\",method=\"GET\",code=\"499\",class=\"4xx\"}";
    assert_eq!(gateway.metric(gone).await, 1);
}

#[tokio::test]
async fn a_recorded_trace_is_an_exemplar_and_only_for_those_who_can_read_it() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for flags in ["01", "00"] {
        let trace = trace.replace('c', if flags == "01" { "c" } else { "d" });
        let field = format!("traceparent: 00-{trace}-b7ad6b7169203331-{flags}");
        client.request("GET", "/", &[&field]).await;
        client.response().await;
    }
    gateway.log(2).await;
    let open = metrics(&gateway, "application/openmetrics-text")
        .await
        .text();
    let exemplars: Vec<_> = open.lines().filter(|line| line.contains(" # {")).collect();
    assert_eq!(exemplars.len(), 1, "{open}");
    assert!(
        exemplars[0].starts_with("api_gateway_request_duration_seconds_bucket{route=\"/{*path}\",")
    );
    assert!(
        exemplars[0].contains(&format!(" # {{trace_id=\"{trace}\"}} ")),
        "{exemplars:?}"
    );
    let plain = metrics(&gateway, "text/plain").await.text();
    assert!(!plain.contains(trace), "{plain}");
}

#[tokio::test]
async fn credentials_limits_and_origins_are_counted_by_what_came_of_them() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[json!({
            "name": "guarded", "path": "/*path", "targetURL": backend.url(), "requireAuth": true,
            "rateLimit": { "limit": 3, "window": 3600 }, "cors": { "origins": ["https://app.example.com"] }
        })]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for fields in [
        &["Origin: https://app.example.com"][..],
        &[
            "Authorization: Bearer x",
            "Origin: https://evil.example.com",
        ],
        &[],
        &[],
    ] {
        client.request("GET", "/", fields).await;
        client.response().await;
    }
    gateway.log(4).await;
    for (series, count) in [
        (
            "auth_results_total{route=\"guarded\",kind=\"jwt\",result=\"missing\"}",
            2,
        ),
        (
            "auth_results_total{route=\"guarded\",kind=\"jwt\",result=\"invalid\"}",
            1,
        ),
        (
            "rate_limit_decisions_total{route=\"guarded\",decision=\"allowed\"}",
            3,
        ),
        (
            "rate_limit_decisions_total{route=\"guarded\",decision=\"refused\"}",
            1,
        ),
        (
            "cors_requests_total{route=\"guarded\",result=\"allowed\"}",
            1,
        ),
        (
            "cors_requests_total{route=\"guarded\",result=\"refused\"}",
            1,
        ),
    ] {
        let series = format!("api_gateway_{series}");
        assert_eq!(gateway.metric(&series).await, count, "{series}");
    }
}

#[test]
fn the_documentation_has_all_metrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains(&api_gateway::metrics_reference()),
        "docs/metrics.md is stale; its table is to be:\n{}",
        api_gateway::metrics_reference()
    );
}
