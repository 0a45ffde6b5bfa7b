//! What the token endpoint says to those who get none (RFC 6749 §5.2).

use serde_json::json;
use testkit::{Backend, GatewayBuilder, Message};

use super::fixtures::consumers::{ACME_PASSWORD, Consumers};
use super::fixtures::requests::{basic, get};
use super::token_endpoint::{FORM, ask, assert_not_stored, issuing, post};
use crate::{gateway, routes};

/// That `answer` is an error by RFC 6749 §5.2.
#[track_caller]
fn assert_error(answer: &Message, status: u16, error: &str) {
    let body = answer.json();
    assert_eq!(
        (answer.status(), body["error"].as_str()),
        (status, Some(error)),
        "{body}"
    );
    let kind = answer.field("content-type").unwrap();
    assert!(kind.starts_with("application/json"), "{kind}");
    assert_not_stored(answer);
    assert_eq!(body.get("access_token"), None);
    let challenged = answer
        .field("www-authenticate")
        .is_some_and(|said| said.starts_with("Basic"));
    assert_eq!(challenged, status == 401);
}

#[tokio::test]
async fn who_is_not_known_is_told_so() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await.and(json!({ "name": "keyless" }));
    let hash = consumers.all[0]["password"].clone();
    let consumers = consumers
        .and(json!({ "name": "ended", "password": hash, "expires": "2020-01-01T00:00:00Z" }));
    let gateway = issuing(&consumers, &backend, &json!({})).start().await;
    let grant = "grant_type=client_credentials";
    for field in [
        basic("acme", "wrong"),
        basic("acme", ""),
        basic("acme", &consumers.key),
        basic("nobody", ACME_PASSWORD),
        basic("keyless", ""),
        basic("ended", ACME_PASSWORD),
        "Authorization: Basic !!!".to_owned(),
        "Authorization: Basic".to_owned(),
        "Authorization: Bearer x".to_owned(),
        format!("X-API-Key: {}", consumers.key),
    ] {
        let answer = post(&gateway, &[FORM, &field], grant).await;
        assert_error(&answer, 401, "invalid_client");
    }
    for body in [
        grant.to_owned(),
        format!("{grant}&client_id=acme"),
        format!("{grant}&client_id=acme&client_secret="),
        format!("{grant}&client_id=acme&client_secret=wrong"),
        format!("{grant}&client_secret=wrong"),
    ] {
        let answer = post(&gateway, &[FORM], &body).await;
        assert_error(&answer, 401, "invalid_client");
    }
    // Credentials in the address are none.
    let mut client = gateway.client().await;
    let target = format!("/oauth/token?{grant}&client_id=acme&client_secret=wrong");
    client
        .request("POST", &target, &[FORM, "Content-Length: 0"])
        .await;
    let answer = client.response().await;
    assert!((400..=401).contains(&answer.status()), "{}", answer.start);
}

#[tokio::test]
async fn requests_that_are_none_are_told_so() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .start()
        .await;
    for body in [
        "",
        "scope=feed:read",
        "grant_type=",
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&scope=feed:read&scope=feed:write",
        "grant_type=client_credentials&client_id=acme&client_id=acme",
        "grant_type=client_credentials&client_id=acme&client_secret=x",
        "grant_type=client_credentials&client_secret=x",
        "{\"grant_type\":\"client_credentials\"}",
    ] {
        let answer = ask(&gateway, body).await;
        assert_eq!(answer.json()["error"], "invalid_request", "{body}");
        assert_error(&answer, 400, "invalid_request");
    }
    for grant in [
        "password",
        "authorization_code",
        "refresh_token",
        "CLIENT_CREDENTIALS",
        "x",
    ] {
        let answer = ask(&gateway, &format!("grant_type={grant}")).await;
        assert_error(&answer, 400, "unsupported_grant_type");
    }
    let fields = [
        &*basic("acme", ACME_PASSWORD),
        "Content-Type: application/json",
    ];
    for body in [
        "grant_type=client_credentials",
        "{\"grant_type\":\"client_credentials\"}",
    ] {
        assert_error(&post(&gateway, &fields, body).await, 400, "invalid_request");
    }
    let large = format!("grant_type=client_credentials&x={}", "x".repeat(20_000));
    assert_error(&ask(&gateway, &large).await, 400, "invalid_request");
    let large = format!("grant_type=client_credentials&x={}", "x".repeat(200_000));
    let answer = ask(&gateway, &large).await;
    assert!([400, 413].contains(&answer.status()), "{}", answer.start);
}

#[tokio::test]
async fn the_endpoint_takes_posts_only_and_is_off_unless_a_route_has_it() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let gateway = issuing(&consumers, &backend, &json!({})).start().await;
    for method in ["GET", "PUT", "DELETE"] {
        let mut client = gateway.client().await;
        let field = basic("acme", ACME_PASSWORD);
        let target = "/oauth/token?grant_type=client_credentials";
        client.request(method, target, &[&field]).await;
        let answer = client.response().await;
        assert_eq!(answer.status(), 405, "{method}");
        assert!(answer.field("allow").unwrap().contains("POST"));
    }
    for target in [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
    ] {
        let mut client = gateway.client().await;
        client.request("POST", target, &["Content-Length: 0"]).await;
        assert_eq!(client.response().await.status(), 405, "{target}");
    }
    let closed = consumers.of(gateway_without_services()).start().await;
    for target in ["/oauth/token", "/.well-known/jwks.json"] {
        assert_eq!(get(&closed, target, &[]).await.status(), 404);
    }
    assert_eq!(
        ask(&closed, "grant_type=client_credentials").await.status(),
        404
    );
}

fn gateway_without_services() -> GatewayBuilder {
    gateway().routes(&routes(&[]))
}

#[tokio::test]
async fn scopes_that_the_consumer_does_not_have_are_not_granted() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .start()
        .await;
    for asked in [
        "feed:delete",
        "feed:read+feed:delete",
        "FEED:READ",
        "feed",
        "*",
        "%ff",
    ] {
        let body = format!("grant_type=client_credentials&scope={asked}");
        assert_error(&ask(&gateway, &body).await, 400, "invalid_scope");
    }
}
