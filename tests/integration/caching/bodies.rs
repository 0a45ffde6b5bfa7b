//! Bodies that are stored, and those that must not be.

use std::time::Duration;

use serde_json::json;
use testkit::Backend;
use tokio::sync::watch;

use super::{answer, backend, cached, cached_as, get, in_front_of, status, with};
use crate::http2::{connect, read, request, send};

const MIB: usize = 1024 * 1024;

fn text(length: usize) -> String {
    (0..length)
        .map(|at| char::from(b'a' + u8::try_from(at * 7 / 5 % 26).unwrap()))
        .collect()
}

fn chunked(body: &str, size: usize) -> Vec<u8> {
    let mut out =
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for chunk in body.as_bytes().chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[tokio::test]
async fn bodies_of_every_size_and_framing_come_out_as_they_went_in() {
    for length in [0, 1, 65_535, 65_536, 200_000, 3 * MIB] {
        let body = text(length);
        let whole = answer("200 OK", "Cache-Control: max-age=60\r\n", &body).into_bytes();
        for bytes in [whole, chunked(&body, 10_000)] {
            let backend = Backend::answering(bytes).await;
            let gateway = in_front_of(&backend).await;
            for _ in 0..3 {
                let answer = get(&gateway, "/", &[]).await;
                assert!(answer.text() == body, "{length}");
            }
            assert_eq!(backend.requests().len(), 1);
            let hit = get(&gateway, "/", &[]).await;
            assert_eq!(hit.field("content-length"), Some(&*length.to_string()));
            let (mut sender, _connection) = connect(&gateway).await;
            for _ in 0..2 {
                let (response, _) = send(&mut sender, request("GET", "/"), true);
                assert!(read(response).await.1 == body.as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn what_breaks_off_or_lies_about_its_length_is_never_stored() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz",
    ] {
        let backend = Backend::closing(bytes).await;
        let gateway = in_front_of(&backend).await;
        for number in 1..=3 {
            let answer = get(&gateway, "/", &[]).await;
            assert!(answer.cut, "{answer:?}");
            assert_eq!(backend.requests().len(), number, "{bytes}");
        }
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_stored_when_its_connection_ends() {
    let bytes = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nall of it";
    let backend = Backend::closing(bytes).await;
    let gateway = in_front_of(&backend).await;
    for _ in 0..2 {
        assert_eq!(get(&gateway, "/", &[]).await.text(), "all of it");
    }
}

#[tokio::test]
async fn what_is_too_large_passes_and_is_not_stored() {
    let body = text(300_000);
    let whole = answer("200 OK", "", &body).into_bytes();
    for bytes in [whole, chunked(&body, 10_000)] {
        let backend = Backend::answering(bytes).await;
        for (cache, setting) in [
            (json!({ "maxObjectSize": "100KiB" }), "8MiB"),
            (json!({}), "64KiB"),
        ] {
            let route = cached_as(&backend.url(), cache);
            let gateway = with(route)
                .env("CACHE_MAX_OBJECT_SIZE", setting)
                .start()
                .await;
            let before = backend.requests().len();
            for _ in 0..2 {
                assert!(get(&gateway, "/", &[]).await.text() == body);
            }
            assert_eq!(backend.requests().len(), before + 2);
        }
    }
}

#[tokio::test]
async fn a_slow_client_of_a_body_that_is_too_large_gets_all_of_it_and_little_is_kept() {
    let body = text(24 * MIB);
    let backend = Backend::answering(chunked(&body, 100_000)).await;
    let route = cached_as(&backend.url(), json!({ "maxObjectSize": "1MiB" }));
    let gateway = with(route).start().await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    // It reads nothing while the backend sends as fast as it may.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let peak = gateway.peak_memory();
    assert!(client.response().await.text() == body);
    assert!(peak < 100 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn a_slow_client_holds_nobody_up() {
    let body = text(7 * MIB);
    let backend = Backend::answering(answer("200 OK", "", &body)).await;
    let gateway = in_front_of(&backend).await;
    let mut slow = gateway.client().await;
    slow.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    for _ in 0..3 {
        assert!(get(&gateway, "/", &[]).await.text() == body);
    }
    assert!(slow.response().await.text() == body);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn trailers_are_for_those_who_read_along_and_not_stored() {
    let (open, opened) = watch::channel(false);
    let backend = Backend::scripted(move |mut connection| {
        let mut opened = opened.clone();
        async move {
            while connection.request().await.is_some() {
                let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
                connection.send(format!("{head}2\r\nab\r\n")).await;
                opened.wait_for(|open| *open).await.unwrap();
                connection
                    .send("2\r\ncd\r\n0\r\nX-Sum: 9\r\n\r\n")
                    .await;
            }
        }
    })
    .await;
    for (cache, hits) in [(json!({}), true), (json!({ "maxObjectSize": 1 }), false)] {
        open.send(false).unwrap();
        let before = backend.requests().len();
        let gateway = with(cached_as(&backend.url(), cache)).start().await;
        let fields = ["TE: trailers"];
        let both = async {
            tokio::join!(
                get(&gateway, "/", &fields),
                get(&gateway, "/", &fields),
                get(&gateway, "/", &["Authorization: a", "TE: trailers"])
            )
        };
        let opens = async {
            backend.wait_for_requests(before + 2).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            open.send(true).unwrap();
        };
        let (answers, ()) = tokio::join!(both, opens);
        for answer in [answers.0, answers.1, answers.2] {
            assert_eq!(answer.text(), "abcd");
            assert_eq!(answer.trailers, [("x-sum".to_owned(), "9".to_owned())]);
        }
        assert_eq!(backend.requests().len(), before + 2);
        let next = get(&gateway, "/", &fields).await;
        assert_eq!((&*next.text(), next.trailers.is_empty()), ("abcd", hits));
        assert_eq!(next.field("trailer").is_none(), hits);
        assert_eq!(status(&next).starts_with("hit"), hits);
    }
}

#[tokio::test]
async fn what_is_for_one_client_alone_is_stored_as_it_passes() {
    let backend =
        backend(|_, _| answer("200 OK", "Cache-Control: public, max-age=60\r\n", "x")).await;
    let gateway = in_front_of(&backend).await;
    let first = get(&gateway, "/", &["Authorization: a"]).await;
    assert_eq!(status(&first), "fwd=uri-miss; stored");
    assert!(status(&get(&gateway, "/", &[]).await).starts_with("hit"));
}

#[tokio::test]
async fn cached_text_is_compressed_for_those_who_want_it() {
    let body = text(10_000);
    let fields = "Content-Type: text/plain\r\nETag: \"1\"\r\n";
    let whole = answer("200 OK", fields, &body);
    let backend = Backend::answering(whole).await;
    let mut route = cached(&backend.url());
    route["compress"] = json!(true);
    let gateway = with(route).start().await;
    assert!(get(&gateway, "/", &[]).await.text() == body);
    let small = get(&gateway, "/", &["Accept-Encoding: gzip"]).await;
    assert_eq!(small.field("content-encoding"), Some("gzip"));
    assert_eq!(small.field("etag"), Some("W/\"1\""));
    let same = get(
        &gateway,
        "/",
        &["Accept-Encoding: gzip", "If-None-Match: W/\"1\""],
    )
    .await;
    assert_eq!(same.status(), 304);
    assert_eq!(backend.requests().len(), 1);
}
