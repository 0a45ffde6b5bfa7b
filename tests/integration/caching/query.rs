//! `QUERY` (RFC 10008), whose content says what is asked for.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Backend, Gateway, Message, within};
use tokio::sync::watch;

use super::{answer, backend, cached, cached_as, end, get, in_front_of, send, status, with};
use crate::gateway;

const JSON: &str = "Content-Type: application/json";

/// A backend that answers with its count and what it was asked.
async fn echoing(fields: &'static str) -> Backend {
    backend(move |request, number| {
        let method = request.start.split(' ').next().unwrap();
        answer(
            "200 OK",
            fields,
            &format!("{number} {method} {}", request.text()),
        )
    })
    .await
}

async fn query(gateway: &Gateway, content: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = content.len();
    client
        .send(format!(
            "QUERY / HTTP/1.1\r\nHost: gateway.test\r\n{fields}Content-Length: {length}\r\n\r\n{content}"
        ))
        .await;
    client.response().await
}

async fn chunked(gateway: &Gateway, chunks: &[&str], trailers: &str) -> Message {
    let mut client = gateway.client().await;
    let chunks: String = chunks
        .iter()
        .map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()))
        .collect();
    client
        .send(format!(
            "QUERY / HTTP/1.1\r\nHost: gateway.test\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn an_answer_is_for_those_who_ask_the_same() {
    let backend =
        echoing("Cache-Control: max-age=60\r\nAccept-Query: \"application/json\"\r\n").await;
    let gateway = in_front_of(&backend).await;
    let first = query(&gateway, "{\"a\":1}", &[JSON]).await;
    assert_eq!(first.text(), "0 QUERY {\"a\":1}");
    assert_eq!(status(&first), "fwd=uri-miss; stored");
    for same in [
        query(&gateway, "{\"a\":1}", &[JSON]).await,
        chunked(&gateway, &["{\"a\"", ":1}"], "").await,
    ] {
        assert_eq!(same.text(), first.text());
        assert!(status(&same).starts_with("hit"), "{same:?}");
        assert_eq!(same.field("accept-query"), Some("\"application/json\""));
    }
    let mut number = 0;
    for (content, fields) in [
        // Nothing is made the same that may mean something else.
        ("{\"a\": 1}", &[JSON][..]),
        ("", &[JSON]),
        ("{\"a\":1}", &["Content-Type: text/plain"]),
        ("{\"a\":1}", &[]),
        ("{\"a\":1}", &[JSON, "Content-Encoding: gzip"]),
        ("{\"a\":1}", &[JSON, "Content-Language: de"]),
    ] {
        number += 1;
        for _ in 0..2 {
            let other = query(&gateway, content, fields).await;
            assert_eq!(
                other.text(),
                format!("{number} QUERY {content}"),
                "{fields:?}"
            );
        }
    }
    assert_eq!(
        get(&gateway, "/", &[]).await.text(),
        format!("{} GET ", number + 1)
    );
}

#[tokio::test]
async fn what_is_too_large_or_has_trailers_passes_whole_and_is_not_stored() {
    let backend = echoing("Cache-Control: max-age=60\r\n").await;
    let large = "x".repeat(70_000);
    for (cache, content) in [
        (json!({}), &*large),
        (json!({ "maxQuerySize": 3 }), "four"),
        (json!({ "maxQuerySize": 0 }), "x"),
    ] {
        let gateway = with(cached_as(&backend.url(), cache)).start().await;
        let (one, rest) = content.split_at(1);
        let rest = [one, rest];
        let rest = if content.len() > 1 {
            &rest[..]
        } else {
            &rest[..1]
        };
        for answer in [
            query(&gateway, content, &[JSON]).await,
            query(&gateway, content, &[JSON]).await,
            chunked(&gateway, rest, "").await,
            chunked(&gateway, rest, "").await,
        ] {
            assert!(answer.text().ends_with(&format!("QUERY {content}")));
            assert_eq!(status(&answer), "fwd=bypass; detail=method");
        }
    }
    let gateway = in_front_of(&backend).await;
    let before = backend.requests().len();
    for _ in 0..2 {
        let answer = chunked(&gateway, &["a"], "X-Sum: 1\r\n").await;
        assert!(answer.text().ends_with("QUERY a"));
    }
    assert_eq!(backend.requests().len(), before + 2);
    assert_eq!(
        backend.last().trailers,
        [("x-sum".to_owned(), "1".to_owned())]
    );
}

#[tokio::test]
async fn the_largest_that_is_cached_is_as_large_as_is_said() {
    let backend = echoing("Cache-Control: max-age=60\r\n").await;
    for (cache, size) in [
        (json!({}), 65_536),
        (json!({ "maxQuerySize": "1KiB" }), 1_024),
    ] {
        let gateway = with(cached_as(&backend.url(), cache)).start().await;
        let content = "y".repeat(size);
        query(&gateway, &content, &[JSON]).await;
        assert!(status(&query(&gateway, &content, &[JSON]).await).starts_with("hit"));
    }
}

#[tokio::test]
async fn a_content_that_is_waited_for_is_asked_for_once_and_not_announced_again() {
    let backend = echoing("Cache-Control: max-age=60\r\n").await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "QUERY / HTTP/1.1\r\nHost: gateway.test\r\n{JSON}\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        ))
        .await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    client.send("x").await;
    assert_eq!(client.response().await.text(), "0 QUERY x");
    assert_eq!(backend.last().field("expect"), None);
    assert!(status(&query(&gateway, "x", &[JSON]).await).starts_with("hit"));
}

#[tokio::test]
async fn what_is_stale_is_validated_with_the_content() {
    for (tag, expected) in [("\"1\"", "0 x"), ("\"2\"", "2 x")] {
        let backend = backend(move |request, number| {
            assert!(request.start.starts_with("QUERY"), "{request:?}");
            assert_eq!(request.text(), "x");
            if request.field("if-none-match").is_some() {
                return format!(
                    "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: {tag}\r\n\r\n"
                );
            }
            let age = if number == 0 { "Age: 100\r\n" } else { "" };
            let fields = format!("Cache-Control: max-age=60\r\nETag: \"1\"\r\n{age}");
            answer("200 OK", &fields, &format!("{number} x"))
        })
        .await;
        let gateway = in_front_of(&backend).await;
        query(&gateway, "x", &[JSON]).await;
        assert_eq!(query(&gateway, "x", &[JSON]).await.text(), expected);
        let same = query(&gateway, "x", &[JSON, "If-None-Match: \"1\""]).await;
        assert_eq!(same.status(), 304, "{same:?}");
        let sent = backend.requests().len();
        query(&gateway, "x", &[JSON]).await;
        assert_eq!(backend.requests().len(), sent);
    }
}

#[tokio::test]
async fn what_is_served_stale_is_renewed_with_the_content_whatever_a_client_has_of_it() {
    let backend = backend(|request, number| {
        assert!(request.start.starts_with("QUERY") && request.text() == "x");
        let fields = match number {
            0 => "Cache-Control: max-age=1\r\nAge: 10\r\nETag: \"1\"\r\n",
            _ => "Cache-Control: max-age=60\r\n",
        };
        answer("200 OK", fields, &number.to_string())
    })
    .await;
    let route = cached_as(&backend.url(), json!({ "staleWhileRevalidate": 100 }));
    let gateway = with(route).start().await;
    query(&gateway, "x", &[JSON]).await;
    let same = query(&gateway, "x", &[JSON, "If-None-Match: \"1\""]).await;
    assert_eq!(same.status(), 304);
    within("the answer to be renewed", async {
        while query(&gateway, "x", &[JSON]).await.text() != "1" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(backend.requests().len(), 2);
    end(backend).await;
    assert_eq!(query(&gateway, "x", &[JSON]).await.text(), "1");
    assert_eq!(query(&gateway, "y", &[JSON]).await.status(), 502);
}

#[tokio::test]
async fn those_who_ask_the_same_at_once_share_one_request() {
    let (open, opened) = watch::channel(false);
    let backend = Backend::scripted(move |mut connection| {
        let mut opened = opened.clone();
        async move {
            while let Some(request) = connection.request().await {
                opened.wait_for(|open| *open).await.unwrap();
                connection.send(answer("200 OK", "", &request.text())).await;
            }
        }
    })
    .await;
    let gateway = with(cached(&backend.url())).start().await;
    let contents = ["a", "b"];
    let all = join_all((0..60).map(|number| query(&gateway, contents[number % 2], &[JSON])));
    let opens = async {
        backend.wait_for_requests(2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        open.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(all, opens);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.text(), contents[number % 2]);
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_query_changes_nothing_and_is_taken_out_by_what_does() {
    let backend = echoing(
        "Cache-Control: max-age=60\r\nContent-Location: /results/1\r\nLocation: /queries/1\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    for path in ["/", "/results/1", "/queries/1"] {
        get(&gateway, path, &[]).await;
    }
    query(&gateway, "x", &[JSON]).await;
    for path in ["/", "/results/1", "/queries/1"] {
        let kept = get(&gateway, path, &[]).await;
        assert!(status(&kept).starts_with("hit"), "{kept:?}");
        assert!(
            kept.text().contains("GET"),
            "a query is not the answer to a GET"
        );
    }
    assert!(status(&query(&gateway, "x", &[JSON]).await).starts_with("hit"));
    send(&gateway, "POST", "/", &["Content-Length: 0"]).await;
    assert_eq!(
        status(&query(&gateway, "x", &[JSON]).await),
        "fwd=uri-miss; stored"
    );
}

#[tokio::test]
async fn routes_may_be_for_queries_and_web_pages_may_ask_them() {
    let backend = echoing("").await;
    let mut route = cached(&backend.url());
    route["methods"] = json!(["QUERY"]);
    let gateway = gateway()
        .routes(&crate::routes(&[route]))
        .env("ALLOWED_ORIGINS", "https://a.example")
        .start()
        .await;
    let mut client = gateway.client().await;
    client
        .request(
            "OPTIONS",
            "/",
            &[
                "Origin: https://a.example",
                "Access-Control-Request-Method: QUERY",
                "Access-Control-Request-Headers: content-type",
            ],
        )
        .await;
    let preflight = client.response().await;
    assert_eq!(preflight.status(), 204, "{preflight:?}");
    assert_eq!(
        preflight.field("access-control-allow-methods"),
        Some("QUERY")
    );
    let origin = "Origin: https://a.example";
    let answer = query(&gateway, "x", &[JSON, origin]).await;
    assert_eq!(answer.text(), "0 QUERY x");
    assert_eq!(
        answer.field("access-control-allow-origin"),
        Some("https://a.example")
    );
    let refused = get(&gateway, "/", &[]).await;
    assert_eq!(
        (refused.status(), refused.field("allow")),
        (405, Some("QUERY"))
    );
}
