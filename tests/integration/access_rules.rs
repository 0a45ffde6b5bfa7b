//! Addresses, fields, and policies that are only tried out.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message};

use crate::{assert_problem, gateway, routes};

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

#[tokio::test]
async fn only_some_addresses_may_use_a_route() {
    let backend = Backend::ok().await;
    let rules = json!({ "allow": ["127.0.0.0/8", "192.0.2.0/24"], "deny": ["192.0.2.66"] });
    let route = json!({ "path": "/*path", "targetURL": backend.url(), "ip": rules });
    let gateway = gateway()
        .routes(&routes(&[route]))
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    for (address, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.66", 403),
        ("198.51.100.1", 403),
    ] {
        let field = format!("X-Forwarded-For: {address}");
        let answer = get(&gateway, "/", &[&field]).await;
        assert_eq!(answer.status(), status, "{address}");
        if status == 403 {
            assert_problem(&answer, 403, "address-not-allowed", "http_request_denied");
        }
    }
    assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
}

#[tokio::test]
async fn behind_a_known_number_of_proxies_the_client_is_so_many_places_from_the_right() {
    let backend = Backend::ok().await;
    let route =
        json!({ "path": "/*path", "targetURL": backend.url(), "ip": { "allow": ["192.0.2.1"] } });
    let gateway = gateway()
        .routes(&routes(&[route]))
        .env("TRUSTED_PROXY_HOPS", "2")
        .start()
        .await;
    for (chain, status) in [
        ("192.0.2.1, 10.0.0.1", 200),
        ("203.0.113.9, 192.0.2.1, 10.0.0.1", 200),
        ("192.0.2.1, 203.0.113.9, 10.0.0.1", 403),
        ("192.0.2.1", 403),
    ] {
        let field = format!("X-Forwarded-For: {chain}");
        assert_eq!(
            get(&gateway, "/", &[&field]).await.status(),
            status,
            "{chain}"
        );
    }
}

#[tokio::test]
async fn fields_with_underscores_are_dropped_kept_or_refused() {
    let backend = Backend::ok().await;
    for (setting, status, seen) in [
        ("drop", 200, None),
        ("keep", 200, Some("1")),
        ("reject", 400, None),
    ] {
        let gateway = gateway()
            .routes(&routes(&[
                json!({ "path": "/*path", "targetURL": backend.url() }),
            ]))
            .env("UNDERSCORE_HEADERS", setting)
            .start()
            .await;
        assert_eq!(
            get(&gateway, "/", &["X_A: 1", "X-B: 2"]).await.status(),
            status
        );
        if status == 200 {
            assert_eq!(backend.last().field("x_a"), seen, "{setting}");
            assert_eq!(backend.last().field("x-b"), Some("2"));
        }
    }
}

#[tokio::test]
async fn answers_tell_browsers_to_be_careful_where_that_is_asked_for() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nX-Frame-Options: SAMEORIGIN\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({ "path": "/a", "targetURL": backend.url() }),
            json!({ "path": "/b", "targetURL": backend.url(), "securityHeaders": false }),
        ]))
        .env("SECURITY_HEADERS", "true")
        .start()
        .await;
    let careful = get(&gateway, "/a", &[]).await;
    assert_eq!(careful.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(careful.field("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(
        get(&gateway, "/b", &[])
            .await
            .field("x-content-type-options"),
        None
    );
    assert_eq!(
        get(&gateway, "/none", &[]).await.field("referrer-policy"),
        Some("no-referrer")
    );
}

#[tokio::test]
async fn every_policy_can_be_tried_out() {
    let backend = Backend::ok().await;
    let policies = |shadow: Value| {
        json!({
            "path": "/*path", "targetURL": backend.url(), "requireAuth": true, "maxBodySize": 1, "shadow": shadow,
            "ip": { "allow": ["192.0.2.1"] }, "cors": { "origins": ["https://a.example"] },
            "rateLimit": { "limit": 1, "window": "1h" },
        })
    };
    let start = async |shadow: Value| gateway().routes(&routes(&[policies(shadow)])).start().await;
    let send = async |gateway: &Gateway| {
        let mut client = gateway.client().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        client.response().await
    };
    let tried = start(json!(true)).await;
    for _ in 0..2 {
        let answer = send(&tried).await;
        assert_eq!(
            (answer.status(), answer.field("access-control-allow-origin")),
            (200, Some("https://b.example"))
        );
    }
    let log = tried.log(2).await;
    let codes = [
        "address-not-allowed",
        "rate-limited",
        "unauthorized",
        "origin-not-allowed",
        "body-too-large",
    ];
    let mut found: Vec<String> = serde_json::from_value(log[1]["shadow"].clone()).unwrap();
    found.sort();
    let mut expected = codes.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    // One by one they are enforced again.
    for (shadow, status) in [
        (json!(["cors", "rateLimit", "maxBodySize", "auth"]), 403),
        (json!(["ip", "cors", "rateLimit", "auth"]), 413),
        (json!(["ip", "cors", "rateLimit", "maxBodySize"]), 401),
    ] {
        let gateway = start(shadow.clone()).await;
        assert_eq!(send(&gateway).await.status(), status, "{shadow}");
    }
    let unread = start(json!(["ip", "rateLimit", "maxBodySize", "auth"])).await;
    assert_eq!(
        send(&unread).await.field("access-control-allow-origin"),
        None
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_watched_to_its_end() {
    let backend = Backend::ok().await;
    let route = json!({ "path": "/*path", "targetURL": backend.url(), "maxBodySize": 4, "shadow": ["maxBodySize"] });
    let gateway = gateway().routes(&routes(&[route])).start().await;
    let mut client = gateway.client().await;
    for body in ["4\r\nfour\r\n", "3\r\nfou\r\n3\r\nrth\r\n"] {
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.response().await.status(), 200);
    }
    let log = gateway.log(2).await;
    assert_eq!(log[0].get("shadow"), None);
    assert_eq!(log[1]["shadow"], json!(["body-too-large"]));
    assert_eq!(backend.last().text(), "fourth");
}
