//! Answers in a coding that the client understands.

use std::io::Read;

use brotli::Decompressor;
use flate2::read::MultiGzDecoder;
use serde_json::json;
use testkit::{Backend, Gateway, Message};

use crate::streaming::events;
use crate::{gateway, routes};

const TEXT: &str = "The quick brown fox jumps over the lazy dog. ";

async fn in_front_of(backend: &Backend) -> Gateway {
    let compressed = json!({ "path": "/*path", "targetURL": backend.url(), "compress": true });
    let plain = json!({ "path": "/plain", "targetURL": backend.url() });
    gateway()
        .routes(&routes(&[compressed, plain]))
        .start()
        .await
}

fn text(fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

#[tokio::test]
async fn every_coding_comes_out_as_it_went_in_and_smaller() {
    let body = TEXT.repeat(20_000);
    let backend = Backend::answering(text("ETag: \"1\"\r\n", &body)).await;
    let gateway = in_front_of(&backend).await;
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let answer = get(&gateway, "/", &[&accept]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.field("content-encoding"), Some(coding));
        assert_eq!(answer.field("content-length"), None);
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.field("etag"), Some("W/\"1\""));
        assert!(answer.body.len() < body.len() / 10, "{}", answer.body.len());
        assert!(decode_whole(coding, &answer.body) == body, "{coding}");
        // The backend is told what the client said, and its answer is the same.
        assert_eq!(backend.last().field("accept-encoding"), Some(coding));
    }
}

#[tokio::test]
async fn what_is_not_asked_for_or_not_worth_it_stays_as_it_is() {
    let body = TEXT.repeat(100);
    let plain = text("", &body);
    let small = text("", "small");
    let encoded = text("Content-Encoding: gzip\r\n", &body);
    let kept = text("Cache-Control: no-transform\r\n", &body);
    let image = plain.replace("text/plain", "image/png");
    let part = plain.replace("200 OK", "206 Partial Content");
    for (answer, target, accept, vary) in [
        (&plain, "/plain", "gzip", false),
        (&plain, "/", "gzip;q=0", true),
        (&plain, "/", "deflate", true),
        (&small, "/", "gzip", false),
        (&encoded, "/", "br", false),
        (&kept, "/", "gzip", false),
        (&image, "/", "gzip", false),
        (&part, "/", "gzip", true),
    ] {
        let backend = Backend::answering(answer.clone()).await;
        let gateway = in_front_of(&backend).await;
        let accept = format!("Accept-Encoding: {accept}");
        let received = get(&gateway, target, &[&accept]).await;
        let (_, sent) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(received.text(), sent, "{answer}");
        assert_eq!(received.field("vary").is_some(), vary, "{answer}");
    }
}

#[tokio::test]
async fn trailers_follow_and_a_head_tells_what_a_get_would() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-End, Digest\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nX-End: yes\r\nDigest: sha-256=x\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let fields = ["Accept-Encoding: gzip", "TE: trailers"];
    let answer = get(&gateway, "/", &fields).await;
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    assert_eq!(decode_whole("gzip", &answer.body), "hello");
    assert_eq!(answer.trailers, [("x-end".to_owned(), "yes".to_owned())]);

    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("HEAD", "/", &["Accept-Encoding: gzip"])
        .await;
    let answer = client.response_to_head().await;
    // As that to a GET.
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    assert_eq!(answer.field("content-length"), None);
}

#[tokio::test]
async fn a_304_is_that_of_the_form_which_the_client_has() {
    let not_modified = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 4500\r\n\r\n";
    let backend = Backend::answering(not_modified).await;
    let gateway = in_front_of(&backend).await;
    for (known, expected) in [("W/\"1\"", "W/\"1\""), ("\"1\"", "\"1\"")] {
        let known = format!("If-None-Match: {known}");
        let answer = get(&gateway, "/", &["Accept-Encoding: gzip", &known]).await;
        assert_eq!(
            (answer.status(), answer.field("etag")),
            (304, Some(expected))
        );
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.field("content-length"), None);
    }
}

#[tokio::test]
async fn nothing_stays_nothing() {
    let backend = Backend::answering(
        "HTTP/1.1 302 Found\r\nContent-Type: text/html\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let answer = get(&gateway, "/", &["Accept-Encoding: gzip"]).await;
    assert_eq!(
        (answer.field("content-encoding"), answer.body.len()),
        (None, 0)
    );
}

#[tokio::test]
async fn a_part_never_looks_like_the_whole() {
    let cut = text("", &TEXT.repeat(1000));
    let backend = Backend::closing(cut[..cut.len() / 2].to_owned()).await;
    let gateway = in_front_of(&backend).await;
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let answer = get(&gateway, "/", &[&accept]).await;
        assert!(answer.cut, "{coding}");
    }
}

/// The chunks that have come whole, and the rest.
fn chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let Some(chunk) = bytes.get(line + 2..line + 2 + size) else {
            break;
        };
        content.extend_from_slice(chunk);
        bytes = bytes.get(line + 2 + size + 2..).unwrap_or_default();
    }
    content
}

#[tokio::test]
async fn an_event_is_there_when_it_has_been_sent() {
    let (backend, next) = events().await;
    let gateway = in_front_of(&backend).await;
    for coding in ["gzip", "br", "zstd"] {
        let mut client = gateway.client().await;
        let accept = format!("Accept-Encoding: {coding}");
        client.request("GET", "/", &[&accept]).await;
        client.until("\r\n\r\n").await;
        let (mut received, mut expected) = (Vec::new(), String::new());
        for event in 1..=3 {
            // The next event is made only when the one before has arrived.
            next.send(()).await.unwrap();
            expected += &format!("data: {event}\n\n");
            while decode_so_far(coding, &chunks(&received)) != expected {
                received.extend(client.bytes().await);
            }
        }
        while !received.ends_with(b"\r\n0\r\n\r\n") {
            received.extend(client.bytes().await);
        }
        assert_eq!(decode_whole(coding, &chunks(&received)), expected);
    }
}

fn decoder<'a>(coding: &str, body: &'a [u8]) -> Box<dyn Read + 'a> {
    match coding {
        "gzip" => Box::new(MultiGzDecoder::new(body)),
        "br" => Box::new(Decompressor::new(body, 4096)),
        _ => Box::new(zstd::Decoder::new(body).unwrap()),
    }
}

/// All of it, which has an end.
pub(crate) fn decode_whole(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    decoder(coding, body).read_to_string(&mut text).unwrap();
    text
}

/// What can be decoded already.
fn decode_so_far(coding: &str, body: &[u8]) -> String {
    let mut decoder = decoder(coding, body);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = decoder.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap()
}
