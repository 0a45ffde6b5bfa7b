//! What others learn of TLS: spans, and services that decide.

use serde_json::json;
use testkit::{Authority, Backend, Collector};

use super::fixtures::{Tls, connect, showing};
use crate::gateway;

#[tokio::test]
async fn spans_tell_the_scheme_the_version_and_whether_a_session_was_resumed() {
    let authority = Authority::new("test");
    let (collector, backend) = (Collector::start().await, Backend::ok().await);
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        .start()
        .await;
    let config = Tls::trusting(&authority).config();
    for path in ["/first", "/second"] {
        let client = connect(config.clone(), gateway.https(), "api.test").await;
        let answer = client.unwrap().get("api.test", path, &[]).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(gateway.client().await.get("/plain").await.status(), 200);
    let spans = collector.spans(6).await;
    for (path, scheme, version, resumed) in [
        ("/first", "Str(https)", "Str(1.3)", "Bool(false)"),
        ("/second", "Str(https)", "Str(1.3)", "Bool(true)"),
        ("/plain", "Str(http)", "", ""),
    ] {
        let path = format!("Str({path})");
        let span = spans.iter().find(|span| span.told("url.path") == path);
        let span = span.unwrap();
        assert_eq!(span.told("url.scheme"), scheme, "{span:?}");
        assert_eq!(span.told("tls.protocol.version"), version, "{span:?}");
        assert_eq!(span.told("tls.resumed"), resumed, "{span:?}");
    }
}

#[tokio::test]
async fn spans_tell_the_scheme_that_a_trusted_proxy_knows() {
    let (collector, backend) = (Collector::start().await, Backend::ok().await);
    let gateway = gateway()
        .routes(&crate::everything_to(&backend.url()))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        .env("TRUSTED_PROXIES", "127.0.0.0/8")
        .start()
        .await;
    let mut client = gateway.client().await;
    client
        .request("GET", "/", &["X-Forwarded-Proto: https"])
        .await;
    assert_eq!(client.response().await.status(), 200);
    let spans = collector.spans(2).await;
    let server = spans.iter().find(|span| span.kind == "SPAN_KIND_SERVER");
    assert_eq!(server.unwrap().told("url.scheme"), "Str(https)");
}

#[tokio::test]
async fn a_service_that_decides_is_told_of_https() {
    let authority = Authority::new("test");
    let (service, backend) = (Backend::ok().await, Backend::ok().await);
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .routes(&json!({ "routes": [{
            "path": "/*path",
            "targetURL": backend.url(),
            "auth": { "forward": { "url": service.url() } },
        }] }))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
    assert_eq!(service.last().field("x-forwarded-proto"), Some("https"));
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(service.last().field("x-forwarded-proto"), Some("http"));
}
