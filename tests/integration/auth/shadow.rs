//! Policies that are tried out: judged and logged, and nobody is refused by them.

use serde_json::{Value, json};
use testkit::{Backend, GatewayBuilder, Message};

use super::fixtures::gateways::with_joe;
use super::fixtures::requests::bearer;
use super::fixtures::signing::{P256, RSA};
use crate::{gateway, routes};

/// A route whose every policy refuses a POST with three bytes and without credentials.
fn refusing(backend: &Backend, shadow: &Value) -> GatewayBuilder {
    let route = json!({
        "path": "/*path", "targetURL": backend.url(), "shadow": shadow,
        "ip": { "deny": ["127.0.0.1"] },
        "cors": { "origins": ["https://app.example.com"] },
        "rateLimit": { "name": "one", "limit": 1, "window": "1h", "cost": 1 },
        "maxBodySize": 2,
        "auth": { "scopes": ["a"] }
    });
    gateway()
        .routes(&routes(&[route]))
        .env("JWT_SECRET", "own secret")
}

async fn post(gateway: &testkit::Gateway, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    let fields = [
        &["Origin: https://evil.example", "Content-Length: 3"],
        fields,
    ]
    .concat();
    client.request("POST", "/", &fields).await;
    client.send("abc").await;
    client.response().await
}

fn codes(line: &Value) -> Vec<String> {
    let codes = line["shadow"].as_array().cloned().unwrap_or_default();
    let mut codes: Vec<String> = codes
        .iter()
        .filter_map(|code| code.as_str().map(str::to_owned))
        .collect();
    codes.sort();
    codes
}

#[tokio::test]
async fn all_policies_can_be_tried_out() {
    let backend = Backend::ok().await;
    let gateway = refusing(&backend, &json!(true)).start().await;
    for _ in 0..2 {
        let answer = post(&gateway, &[]).await;
        assert_eq!(
            (answer.status(), answer.field("access-control-allow-origin")),
            (200, Some("https://evil.example"))
        );
        assert_eq!(backend.last().text(), "abc");
    }
    let log = gateway.log(2).await;
    let expected = [
        "address-not-allowed",
        "body-too-large",
        "origin-not-allowed",
        "rate-limited",
        "unauthorized",
    ];
    assert_eq!(codes(&log[1]), expected);
    assert!(!codes(&log[0]).iter().any(|told| told == "rate-limited"));
    for line in &log {
        assert_eq!(
            (&line["error"], &line["status"]),
            (&Value::Null, &json!(200))
        );
    }
}

#[tokio::test]
async fn each_policy_can_be_tried_out_alone() {
    let backend = Backend::ok().await;
    // What refuses, with its policies in the order in which they are judged, whatever that is.
    let all = ["ip", "cors", "rateLimit", "maxBodySize", "auth"];
    for policy in all {
        let others: Vec<&str> = all.into_iter().filter(|other| *other != policy).collect();
        let gateway = refusing(&backend, &json!(others)).start().await;
        let asked = backend.requests().len();
        let answers = [post(&gateway, &[]).await, post(&gateway, &[]).await];
        let statuses = answers.each_ref().map(Message::status);
        let refused = match policy {
            "ip" => [403, 403],
            // Web browsers refuse, by what they are told.
            "cors" => [200, 200],
            "rateLimit" => [200, 429],
            "maxBodySize" => [413, 413],
            _ => [401, 401],
        };
        assert_eq!(statuses, refused, "{policy}");
        let allowed = answers[0].field("access-control-allow-origin");
        assert_eq!(allowed.is_some(), policy != "cors", "{policy}");
        let passed = refused.iter().filter(|status| **status == 200).count();
        assert_eq!(backend.requests().len() - asked, passed);
    }
}

#[tokio::test]
async fn preflights_are_answered_as_if_their_origin_were_allowed() {
    let backend = Backend::ok().await;
    let cors = json!({ "cors": { "origins": ["https://app.example.com"] } });
    for (shadow, refused) in [(json!(false), true), (json!(["cors"]), false)] {
        let mut route = cors.clone();
        route["path"] = "/*path".into();
        route["targetURL"] = backend.url().into();
        route["shadow"] = shadow;
        let gateway = gateway().routes(&routes(&[route])).start().await;
        let mut client = gateway.client().await;
        let fields = [
            "Origin: https://evil.example",
            "Access-Control-Request-Method: PUT",
        ];
        client.request("OPTIONS", "/", &fields).await;
        let answer = client.response().await;
        assert_eq!(answer.status() == 403, refused, "{}", answer.start);
        let line = &gateway.log(1).await[0];
        if refused {
            assert_eq!(line["error"], "origin-not-allowed");
        } else {
            assert_eq!(codes(line), ["origin-not-allowed"]);
        }
    }
}

#[tokio::test]
async fn what_would_have_been_refused_stands_in_the_log_and_nothing_else_does() {
    let backend = Backend::ok().await;
    let route = json!({
        "path": "/*path", "targetURL": backend.url(), "shadow": ["auth", "ip"],
        "ip": { "deny": ["10.0.0.0/8"] }, "auth": { "scopes": ["a"] },
        "forwardClaims": { "X-User": "sub" }
    });
    let gateway = with_joe(&[route]).start().await;
    let claims = json!({ "sub": "anna", "scope": "a" });
    let poor = json!({ "sub": "anna" });
    let requests = [
        (Some(P256.token(&claims)), &[][..], Some("anna")),
        (Some(P256.token(&poor)), &["forbidden"], None),
        (Some(RSA.token(&claims)), &["unauthorized"], None),
        (Some("x.y.z".to_owned()), &["unauthorized"], None),
        (None, &["unauthorized"], None),
    ];
    for (token, _, user) in &requests {
        let mut client = gateway.client().await;
        let field = token.as_deref().map(bearer);
        let fields: Vec<&str> = field.iter().map(String::as_str).collect();
        client.request("GET", "/", &fields).await;
        let answer = client.response().await;
        assert_eq!(answer.status(), 200);
        assert!(answer.fields("www-authenticate").is_empty());
        if let Some(user) = user {
            assert_eq!(backend.last().field("x-user"), Some(*user));
        }
    }
    let log = gateway.log(requests.len()).await;
    for ((_, told, _), line) in requests.iter().zip(&log) {
        assert_eq!(codes(line), *told);
        assert_eq!(line.get("shadow").is_some(), !told.is_empty());
    }
}

#[tokio::test]
async fn an_issuer_or_service_that_is_not_there_refuses_nobody_either() {
    let backend = Backend::ok().await;
    let refused = Backend::refused().await;
    let forward = json!({ "forward": { "url": format!("http://{refused}/") } });
    let route = json!({ "path": "/*path", "targetURL": backend.url(), "shadow": ["auth"], "auth": forward });
    let gateway = gateway().routes(&routes(&[route])).start().await;
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(codes(&gateway.log(1).await[0]), ["auth-unavailable"]);
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
