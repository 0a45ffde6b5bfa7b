//! Fields that the gateway drops, refuses or adds as it is told.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

use crate::{assert_problem, gateway, routes};

/// A route for everything below `/a`, of which `more` says the rest.
fn with_route(backend: &Backend, more: &Value) -> GatewayBuilder {
    let mut route = json!({ "path": "/a/*path", "targetURL": backend.url() });
    for (key, value) in more.as_object().into_iter().flatten() {
        route[key] = value.clone();
    }
    gateway().routes(&routes(&[route]))
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

#[tokio::test]
async fn fields_with_underscores_are_dropped_kept_or_refused() {
    let backend = Backend::ok().await;
    for (setting, kept, status) in [
        (None, false, 200),
        (Some("drop"), false, 200),
        (Some("keep"), true, 200),
        (Some("reject"), false, 400),
    ] {
        let mut builder = with_route(&backend, &json!({}));
        if let Some(setting) = setting {
            builder = builder.env("UNDERSCORE_HEADERS", setting);
        }
        let gateway = builder.start().await;
        let asked = backend.requests().len();
        let answer = get(&gateway, "/a/b", &["X_User: root", "_: 1", "X-User: anna"]).await;
        assert_eq!(answer.status(), status, "{setting:?}");
        if status == 200 {
            let seen = backend.last();
            assert_eq!(!seen.fields("x_user").is_empty(), kept, "{setting:?}");
            assert_eq!(!seen.fields("_").is_empty(), kept, "{setting:?}");
            assert_eq!(seen.fields("x-user"), ["anna"]);
        } else {
            assert_problem(&answer, 400, "malformed-request", "http_request_error");
            assert_eq!(backend.requests().len(), asked);
        }
        // A value may have them.
        let answer = get(&gateway, "/a/b", &["X-User: a_b"]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(backend.last().fields("x-user"), ["a_b"]);
    }
}

#[tokio::test]
async fn answers_get_the_security_headers_that_they_lack() {
    let expected = [
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ];
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nx-frame-options: SAMEORIGIN\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    for (setting, own, there) in [
        ("false", None, false),
        ("true", None, true),
        ("false", Some(true), true),
        ("true", Some(false), false),
    ] {
        let more = own.map_or(json!({}), |own| json!({ "securityHeaders": own }));
        let gateway = with_route(&backend, &more)
            .env("SECURITY_HEADERS", setting)
            .start()
            .await;
        let answer = get(&gateway, "/a/b", &[]).await;
        for (name, value) in expected {
            let value = match name {
                "x-frame-options" => Some("SAMEORIGIN"),
                _ => there.then_some(value),
            };
            assert_eq!(answer.field(name), value, "{setting} {own:?}");
        }
        // Where no route is, the setting says.
        let answer = get(&gateway, "/nowhere", &[]).await;
        for (name, value) in expected {
            let value = (setting == "true").then_some(value);
            assert_eq!(answer.field(name), value, "{setting}");
        }
    }
    // The gateway's own answers are answers too.
    let more = json!({ "securityHeaders": true, "ip": { "deny": ["127.0.0.1"] } });
    let gateway = with_route(&backend, &more).start().await;
    let answer = get(&gateway, "/a/b", &[]).await;
    assert_eq!(answer.status(), 403);
    for (name, value) in expected {
        assert_eq!(answer.field(name), Some(value));
    }
}

#[tokio::test]
async fn kept_underscores_make_no_field_that_only_the_gateway_or_a_proxy_may_write() {
    let backend = Backend::ok().await;
    let gateway = with_route(&backend, &json!({}))
        .env("UNDERSCORE_HEADERS", "keep")
        .start()
        .await;
    let fields = [
        "X_Forwarded_For: 192.0.2.1",
        "X_Real_IP: 192.0.2.1",
        "Content_Length: 7",
        "X_Request_ID: other",
        "X_Other: 1",
    ];
    assert_eq!(get(&gateway, "/a/b", &fields).await.status(), 200);
    let seen = backend.last();
    for name in [
        "x_forwarded_for",
        "x_real_ip",
        "content_length",
        "x_request_id",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x_other"), Some("1"));
}

#[tokio::test]
async fn a_strangers_word_on_addresses_does_not_reach_the_backend() {
    let backend = Backend::ok().await;
    for (proxies, expected) in [("10.0.0.0/8", None), ("127.0.0.0/8", Some("192.0.2.1"))] {
        let gateway = with_route(&backend, &json!({}))
            .env("TRUSTED_PROXIES", proxies)
            .start()
            .await;
        let names = [
            "true-client-ip",
            "cf-connecting-ip",
            "x-cluster-client-ip",
            "x-real-ip",
        ];
        let fields = names.map(|name| format!("{name}: 192.0.2.1"));
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(get(&gateway, "/a/b", &fields).await.status(), 200);
        for name in names {
            assert_eq!(backend.last().field(name), expected, "{name}");
        }
    }
}
