//! Addresses that may use a route, and whose word about addresses is believed.

use serde_json::{Value, json};
use testkit::{Backend, GatewayBuilder, Message};

use super::fixtures::gateways::{asking, everywhere};
use super::fixtures::requests::{bearer, get};
use super::fixtures::signing::P256;
use crate::{assert_problem, gateway, routes};

fn route(backend: &Backend, more: &Value) -> GatewayBuilder {
    gateway().routes(&routes(&[everywhere(backend, more)]))
}

#[track_caller]
fn assert_elsewhere(answer: &Message) {
    assert_problem(answer, 403, "address-not-allowed", "http_request_denied");
}

#[tokio::test]
async fn only_allowed_addresses_that_are_not_denied_may_use_a_route() {
    let backend = Backend::ok().await;
    for (ip, passes) in [
        (json!({ "allow": ["127.0.0.1"] }), true),
        (json!({ "allow": ["127.0.0.0/8"] }), true),
        (json!({ "allow": ["10.0.0.0/8", "127.0.0.1/32"] }), true),
        (json!({ "allow": ["0.0.0.0/0"] }), true),
        (json!({ "deny": ["10.0.0.0/8"] }), true),
        (
            json!({ "allow": ["127.0.0.0/8"], "deny": ["127.0.0.2"] }),
            true,
        ),
        (json!({ "allow": ["10.0.0.0/8"] }), false),
        (json!({ "allow": ["127.0.0.2"] }), false),
        (json!({ "allow": ["::1", "2001:db8::/32"] }), false),
        (json!({ "deny": ["127.0.0.1"] }), false),
        (json!({ "deny": ["127.0.0.0/8"] }), false),
        (json!({ "deny": ["0.0.0.0/0"] }), false),
        (
            json!({ "allow": ["127.0.0.1"], "deny": ["127.0.0.0/8"] }),
            false,
        ),
        (
            json!({ "allow": ["127.0.0.0/8"], "deny": ["127.0.0.1"] }),
            false,
        ),
    ] {
        let gateway = route(&backend, &json!({ "ip": ip })).start().await;
        let asked = backend.requests().len();
        let answer = get(
            &gateway,
            "/",
            &["X-Forwarded-For: 10.0.0.1", "X-Real-IP: 127.0.0.2"],
        )
        .await;
        if passes {
            assert_eq!(answer.status(), 200, "{ip}");
        } else {
            assert_eq!(answer.status(), 403, "{ip}");
            assert_elsewhere(&answer);
            assert_eq!(backend.requests().len(), asked);
        }
    }
}

#[tokio::test]
async fn an_empty_list_of_allowed_addresses_does_not_stand_for_all() {
    let backend = Backend::ok().await;
    let builder = || route(&backend, &json!({ "ip": { "allow": [] } }));
    let (status, _, error) = builder().argument("check").finish().await;
    if status.success() {
        let gateway = builder().start().await;
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!(answer.status(), 403, "{}", answer.text());
    } else {
        assert!(error.contains("routes.json:1:"), "{error}");
    }
}

#[tokio::test]
async fn an_ipv4_address_is_the_same_on_a_socket_for_both() {
    let backend = Backend::ok().await;
    for (ip, status) in [
        (json!({ "allow": ["127.0.0.1"] }), 200),
        (json!({ "deny": ["127.0.0.0/8"] }), 403),
    ] {
        let gateway = route(&backend, &json!({ "ip": ip }))
            .env("HOST", "::")
            .start()
            .await;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.address().port()));
        let mut client = testkit::Client::connect(address).await;
        assert_eq!(client.get("/").await.status(), status, "{ip}");
        assert_eq!(gateway.log(1).await[0]["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn an_address_is_judged_before_credentials_are() {
    let backend = Backend::ok().await;
    let more = json!({ "requireAuth": true, "ip": { "allow": ["10.0.0.0/8"] } });
    let gateway = route(&backend, &more)
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    assert_elsewhere(&get(&gateway, "/", &[]).await);
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (&line["error"], &line["client"]),
        (&json!("address-not-allowed"), &json!("127.0.0.1"))
    );
}

#[tokio::test]
async fn by_default_nobody_is_believed_about_addresses() {
    let backend = Backend::ok().await;
    let gateway = route(&backend, &json!({ "ip": { "deny": ["127.0.0.1"] } }))
        .start()
        .await;
    for field in [
        "X-Forwarded-For: 192.0.2.1",
        "x-forwarded-for: 192.0.2.1, 127.0.0.2",
        "X-Real-IP: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "X-Client-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "CF-Connecting-IP: 192.0.2.1",
        "X_Forwarded_For: 192.0.2.1",
    ] {
        assert_elsewhere(&get(&gateway, "/", &[field]).await);
    }
}

#[tokio::test]
async fn rules_do_not_hear_what_strangers_say_about_addresses() {
    let backend = Backend::ok().await;
    let mut heard = Vec::new();
    for name in [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "forwarded",
        "x_any",
    ] {
        let rule = format!("'{name}' in headers && headers['{name}'].contains('192.0.2.1')");
        let gateway = asking(&backend, &json!({ "require": rule })).start().await;
        let fields = [
            bearer(&P256.token(&json!({}))),
            format!("{name}: 192.0.2.1"),
        ];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        if get(&gateway, "/", &fields).await.status() != 403 {
            heard.push(name);
        }
    }
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test]
async fn behind_trusted_proxies_the_client_is_the_last_address_that_is_none_of_them() {
    let backend = Backend::ok().await;
    let gateway = route(&backend, &json!({ "ip": { "allow": ["192.0.2.7"] } }))
        .env("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
        .start()
        .await;
    for (forwarded, client) in [
        (&["192.0.2.7"][..], "192.0.2.7"),
        (&["192.0.2.7, 10.0.0.1"], "192.0.2.7"),
        (&["192.0.2.7", "10.0.0.1"], "192.0.2.7"),
        (&["192.0.2.7,10.0.0.1 , 10.9.9.9"], "192.0.2.7"),
        (&["192.0.2.8, 192.0.2.7"], "192.0.2.7"),
        (&["192.0.2.7, 192.0.2.8"], "192.0.2.8"),
        (&["192.0.2.7", "192.0.2.8, 10.0.0.1"], "192.0.2.8"),
        (&["192.0.2.7, 10.0.0.1, 192.0.2.8"], "192.0.2.8"),
        (&["10.0.0.1, 192.0.2.7"], "192.0.2.7"),
        (&[], "127.0.0.1"),
    ] {
        let fields: Vec<String> = forwarded
            .iter()
            .map(|value| format!("X-Forwarded-For: {value}"))
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let answer = get(&gateway, "/", &fields).await;
        let status = if client == "192.0.2.7" { 200 } else { 403 };
        assert_eq!(answer.status(), status, "{forwarded:?}");
    }
    let log = gateway.log(10).await;
    let clients: Vec<&str> = log
        .iter()
        .filter_map(|line| line["client"].as_str())
        .collect();
    assert_eq!(
        clients
            .iter()
            .filter(|client| **client == "192.0.2.7")
            .count(),
        6
    );
    assert_eq!(clients.last(), Some(&"127.0.0.1"));
}

#[tokio::test]
async fn where_only_the_number_of_proxies_is_known_the_place_in_the_list_decides() {
    let backend = Backend::ok().await;
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("0", &[("192.0.2.1", "127.0.0.1")]),
        (
            "1",
            &[
                ("192.0.2.1, 192.0.2.2", "192.0.2.2"),
                ("192.0.2.1", "192.0.2.1"),
            ],
        ),
        (
            "2",
            &[
                ("192.0.2.1, 192.0.2.2", "192.0.2.1"),
                ("192.0.2.0, 192.0.2.1, 192.0.2.2", "192.0.2.1"),
                ("192.0.2.2", "127.0.0.1"),
                ("", "127.0.0.1"),
            ],
        ),
        ("3", &[("192.0.2.1, 192.0.2.2", "127.0.0.1")]),
        ("100", &[("192.0.2.1", "127.0.0.1")]),
    ];
    for (hops, lists) in cases {
        let gateway = route(&backend, &json!({}))
            .env("TRUSTED_PROXY_HOPS", hops)
            .start()
            .await;
        for (forwarded, _) in lists {
            let whole = format!("X-Forwarded-For: {forwarded}");
            let lines: Vec<String> = forwarded
                .split(", ")
                .map(|address| format!("X-Forwarded-For: {address}"))
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            // However the list is cut into fields.
            for fields in [&[&*whole][..], &lines] {
                assert_eq!(get(&gateway, "/", fields).await.status(), 200);
            }
        }
        let log = gateway.log(2 * lists.len()).await;
        for ((forwarded, client), lines) in lists.iter().zip(log.chunks(2)) {
            for line in lines {
                assert_eq!(line["client"], *client, "{hops} {forwarded}");
            }
        }
    }
}

#[tokio::test]
async fn addresses_that_are_none_are_not_believed() {
    let backend = Backend::ok().await;
    for (setting, value) in [
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("TRUSTED_PROXY_HOPS", "1"),
    ] {
        let gateway = route(&backend, &json!({ "ip": { "deny": ["127.0.0.1"] } }))
            .env(setting, value)
            .start()
            .await;
        for forwarded in [
            "unknown",
            "_hidden",
            "192.0.2.1, x",
            "192.0.2",
            "",
            ",",
            "192.0.2.1, ",
        ] {
            let field = format!("X-Forwarded-For: {forwarded}");
            let answer = get(&gateway, "/", &[&field]).await;
            assert_eq!(answer.status(), 403, "{setting} {forwarded:?}");
        }
    }
}
