//! Credentials over other protocols than plain HTTP/1.1 requests.

use serde_json::json;
use testkit::Backend;

use super::fixtures::gateways::{asking, everywhere, with_joe};
use super::fixtures::requests::bearer;
use super::fixtures::signing::P256;
use crate::http2::{connect, read, request, send};

fn with(fields: &[(&'static str, &str)]) -> http::Request<()> {
    let mut request = request("GET", "/?a=b");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn tokens_are_judged_the_same_over_http2() {
    let backend = Backend::ok().await;
    let gateway = asking(&backend, &json!({})).start().await;
    let (mut sender, _connection) = connect(&gateway).await;
    let good = format!("Bearer {}", P256.token(&json!({})));
    for (fields, status) in [
        (vec![("authorization", &*good)], 200),
        (vec![], 401),
        (vec![("authorization", "Bearer x.y.z")], 401),
        (
            vec![("authorization", &good), ("authorization", &good)],
            401,
        ),
    ] {
        let (response, _) = send(&mut sender, with(&fields), true);
        let (head, _, _) = read(response).await;
        assert_eq!(head.status(), status, "{fields:?}");
        assert_eq!(
            head.headers().contains_key("www-authenticate"),
            status == 401
        );
    }
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn cookies_that_http2_cuts_into_fields_are_one_list() {
    let backend = Backend::ok().await;
    let auth = json!({ "tokenFrom": ["cookie:session"], "forwardCredentials": false });
    let gateway = asking(&backend, &auth).start().await;
    let (mut sender, _connection) = connect(&gateway).await;
    let session = format!("session={}", P256.token(&json!({})));
    for (cookies, status) in [
        (vec!["a=1", &*session, "b=2"], 200),
        (vec![&*session, &*session], 401),
        (vec!["a=1", "b=2"], 401),
    ] {
        let fields: Vec<(&str, &str)> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
        let (response, _) = send(&mut sender, with(&fields), true);
        assert_eq!(read(response).await.0.status(), status, "{cookies:?}");
    }
    assert_eq!(backend.last().fields("cookie").join("; "), "a=1; b=2");
    assert_eq!(backend.last().target(), "/?a=b");
}

#[tokio::test]
async fn a_websocket_is_opened_for_those_who_may_only() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            connection
                .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                .await;
        }
    })
    .await;
    let more = json!({
        "auth": { "tokenFrom": ["query:t", "bearer"], "forwardCredentials": false },
        "forwardClaims": { "X-User": "sub" }
    });
    let gateway = with_joe(&[everywhere(&backend, &more)]).start().await;
    let handshake = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "X-User: root",
    ];
    let good = P256.token(&json!({ "sub": "anna" }));
    let mut client = gateway.client().await;
    client.request("GET", "/chat", &handshake).await;
    assert_eq!(client.response().await.status(), 401);
    assert!(backend.requests().is_empty());
    for (target, field) in [
        (format!("/chat?t={good}"), "A: b".to_owned()),
        ("/chat".to_owned(), bearer(&good)),
    ] {
        let mut client = gateway.client().await;
        let fields = [&handshake[..], &[&*field]].concat();
        client.request("GET", &target, &fields).await;
        assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
        let seen = backend.last();
        assert_eq!(
            (seen.target(), seen.fields("x-user")),
            ("/chat", vec!["anna"])
        );
        assert_eq!(seen.field("authorization"), None);
    }
}
