//! What is cached is compressed once, and cached in that form as well.

use serde_json::{Value, json};
use testkit::{ADMIN_FIELD, Backend, Gateway, Message};

use super::{answer, get, send, status, with};
use crate::compression::decode_whole;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. ";
const FIELDS: &str =
    "Content-Type: text/plain\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\nCache-Tag: fox\r\n";

fn compressing(url: &str) -> Value {
    json!({ "name": "cached", "path": "/*path", "targetURL": url, "cacheable": true, "compress": true })
}

async fn in_front_of(backend: &Backend) -> Gateway {
    with(compressing(&backend.url())).start().await
}

/// Whether it was there in this form: what is compressed as it streams has no length.
fn was_kept(message: &Message) -> bool {
    assert_eq!(message.field("content-encoding"), Some("gzip"));
    let length = message.field("content-length");
    assert!(length.is_none_or(|it| it == message.body.len().to_string()));
    length.is_some()
}

const GZIP: &[&str] = &["Accept-Encoding: gzip"];

#[tokio::test]
async fn a_thousand_hits_are_compressed_once() {
    for length in [40, 20_000] {
        let body = TEXT.repeat(length);
        let backend = Backend::answering(answer("200 OK", FIELDS, &body)).await;
        let gateway = in_front_of(&backend).await;
        assert!(!was_kept(&get(&gateway, "/", GZIP).await), "a miss");
        assert!(!was_kept(&get(&gateway, "/", GZIP).await), "the first hit");
        let mut client = gateway.client().await;
        for _ in 0..1_000 {
            client.request("GET", "/", GZIP).await;
            let hit = client.response().await;
            assert!(was_kept(&hit));
            assert!(status(&hit).starts_with("hit"));
            assert_eq!(hit.field("vary"), Some("Accept-Encoding"));
            assert_eq!(hit.field("etag"), Some("W/\"1\""));
        }
        let hit = get(&gateway, "/", GZIP).await;
        assert!(decode_whole("gzip", &hit.body) == body);
        assert_eq!(backend.requests().len(), 1);
    }
}

#[tokio::test]
async fn each_coding_has_its_form_and_the_plain_one_stays() {
    let body = TEXT.repeat(20_000);
    let backend = Backend::answering(answer("200 OK", FIELDS, &body)).await;
    let gateway = in_front_of(&backend).await;
    let before = get(&gateway, "/", &[]).await;
    assert_eq!(before.text(), body);
    let bytes = gateway.metric("api_gateway_cache_bytes").await;
    let mut forms = 0;
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        for _ in 0..3 {
            let answer = get(&gateway, "/", &[&accept]).await;
            assert_eq!(answer.field("content-encoding"), Some(coding));
            assert!(decode_whole(coding, &answer.body) == body, "{coding}");
        }
        let kept = get(&gateway, "/", &[&accept]).await;
        assert_eq!(
            kept.field("content-length"),
            Some(&*kept.body.len().to_string())
        );
        forms += u64::try_from(kept.body.len()).unwrap();
    }
    let plain = get(&gateway, "/", &[]).await;
    assert_eq!(plain.text(), body);
    assert_eq!(plain.field("content-encoding"), None);
    assert_eq!(plain.field("etag"), Some("\"1\""));
    let grown = gateway.metric("api_gateway_cache_bytes").await - bytes;
    assert!(grown >= forms && grown < forms * 2, "{grown} for {forms}");
}

#[tokio::test]
async fn ranges_conditions_and_heads_are_answered_as_before() {
    let body = TEXT.repeat(1_000);
    let backend = Backend::answering(answer("200 OK", FIELDS, &body)).await;
    let gateway = in_front_of(&backend).await;
    for _ in 0..3 {
        get(&gateway, "/", GZIP).await;
    }
    let part = get(
        &gateway,
        "/",
        &["Accept-Encoding: gzip", "Range: bytes=4-8"],
    )
    .await;
    assert_eq!((part.status(), &*part.text()), (206, "quick"));
    assert_eq!(part.field("content-encoding"), None);
    let tag = "If-None-Match: W/\"1\"";
    let unchanged = get(&gateway, "/", &["Accept-Encoding: gzip", tag]).await;
    assert_eq!(unchanged.status(), 304);
    assert_eq!(unchanged.field("etag"), Some("W/\"1\""));
    assert_eq!(unchanged.field("vary"), Some("Accept-Encoding"));
    let mut client = gateway.client().await;
    client.request("HEAD", "/", GZIP).await;
    let head = client.response_to_head().await;
    assert_eq!(head.field("content-encoding"), Some("gzip"));
    assert_eq!(head.field("etag"), Some("W/\"1\""));
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn forms_go_with_what_they_are_of_and_stay_when_it_is_validated() {
    let old = TEXT.repeat(1_000);
    let new = old.to_uppercase();
    let answers = [
        answer("200 OK", FIELDS, &old),
        "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\n\r\n".to_owned(),
        answer("200 OK", &FIELDS.replace("\"1\"", "\"2\""), &new),
    ];
    let backend = super::backend(move |_, number| answers[number].clone()).await;
    let gateway = in_front_of(&backend).await;
    for _ in 0..3 {
        get(&gateway, "/", GZIP).await;
    }
    let refreshed = get(
        &gateway,
        "/",
        &["Accept-Encoding: gzip", "Cache-Control: no-cache"],
    )
    .await;
    assert!(was_kept(&refreshed), "the body is the same");
    assert!(was_kept(&get(&gateway, "/", GZIP).await));
    let purged = send_purge(&gateway).await;
    assert_eq!(purged.status(), 200);
    let miss = get(&gateway, "/", GZIP).await;
    assert!(!was_kept(&miss));
    for _ in 0..2 {
        let hit = get(&gateway, "/", GZIP).await;
        assert!(decode_whole("gzip", &hit.body) == new);
        assert_eq!(hit.field("etag"), Some("W/\"2\""));
    }
    send(&gateway, "GET", "/", GZIP).await;
}

async fn send_purge(gateway: &Gateway) -> Message {
    let mut client = testkit::Client::connect(gateway.admin()).await;
    let body = r#"{"tag": "fox"}"#;
    let length = body.len();
    client
        .send(format!(
            "POST /cache/purge HTTP/1.1\r\nHost: admin\r\n{ADMIN_FIELD}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    client.response().await
}
