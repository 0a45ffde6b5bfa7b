//! Who never gets what another was answered.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use testkit::{Backend, Message};

use super::{answer, backend, cached, cached_as, get, in_front_of, numbering, send, status, with};
use crate::{gateway, routes};

const SECRET: &str = "a secret of the test";

fn bearer(claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["iss"] = json!("api-gateway");
    claims["exp"] = json!(4_102_444_800_u64);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).unwrap();
    format!("Authorization: Bearer {token}")
}

/// Answers with what it was asked for, and by whom.
async fn echoing(fields: &'static str) -> Backend {
    backend(move |request: &Message, number| {
        let field = |name| request.field(name).unwrap_or("-").to_owned();
        let body = format!("{} {} {number}", field("x-tell"), field("x-sub"));
        answer("200 OK", fields, &body)
    })
    .await
}

#[tokio::test]
async fn what_varies_is_told_apart_by_the_fields_that_it_names() {
    let backend = echoing("Vary: X-Tell\r\n").await;
    let gateway = in_front_of(&backend).await;
    for (field, body) in [
        ("X-Tell: a", "a - 0"),
        ("X-Tell: b", "b - 1"),
        ("X-Tell: a", "a - 0"),
        ("X-Other: a", "- - 2"),
        ("X-Tell: b", "b - 1"),
    ] {
        assert_eq!(get(&gateway, "/", &[field]).await.text(), body);
    }
    let answer = get(&gateway, "/", &["X-Tell: c"]).await;
    assert_eq!(status(&answer), "fwd=vary-miss; stored");
}

#[tokio::test]
async fn answers_to_credentials_are_for_their_owner_unless_they_are_public() {
    let authorization = ["Authorization: Basic YTpi"];
    let backend = numbering("Cache-Control: max-age=60\r\n").await;
    let gateway = in_front_of(&backend).await;
    for number in ["0", "1"] {
        let answer = get(&gateway, "/", &authorization).await;
        assert_eq!(answer.text(), number);
        assert_eq!(status(&answer), "fwd=uri-miss; detail=authorization");
    }
    assert_eq!(get(&gateway, "/", &[]).await.text(), "2");

    let backend = numbering("Cache-Control: public, max-age=60\r\n").await;
    let gateway = in_front_of(&backend).await;
    for fields in [&authorization[..], &authorization, &[]] {
        assert_eq!(get(&gateway, "/", fields).await.text(), "0");
    }
}

#[tokio::test]
async fn answers_without_a_word_on_freshness_to_requests_with_cookies_are_not_cached() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    for number in ["0", "1"] {
        assert_eq!(get(&gateway, "/", &["Cookie: a=b"]).await.text(), number);
    }
}

#[tokio::test]
async fn hosts_and_routes_have_responses_of_their_own() {
    let (one, other) = (
        numbering("X-Backend: one\r\n").await,
        numbering("X-Backend: other\r\n").await,
    );
    let mut special = cached(&other.url());
    special["name"] = json!("special");
    special["headers"] = json!({ "X-Special": true });
    let gateway = gateway()
        .routes(&routes(&[cached(&one.url()), special]))
        .start()
        .await;
    for _ in 0..2 {
        let mut client = gateway.client().await;
        for (host, number) in [
            ("a.example", "0"),
            ("b.example", "1"),
            ("A.EXAMPLE:80", "0"),
        ] {
            client
                .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            let answer = client.response().await;
            assert_eq!(
                (&*answer.text(), answer.field("x-backend")),
                (number, Some("one")),
                "{host}"
            );
        }
        client
            .send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Special: 1\r\n\r\n")
            .await;
        assert_eq!(client.response().await.field("x-backend"), Some("other"));
    }
    assert_eq!((one.requests().len(), other.requests().len()), (2, 1));
}

#[tokio::test]
async fn consumers_share_nothing_until_the_key_tells_them_apart_or_the_backend_allows_it() {
    let private = echoing("Cache-Control: max-age=60\r\n").await;
    let public = echoing("Cache-Control: public, max-age=60\r\n").await;
    let route = |backend: &Backend, cache: Value| {
        json!({
            "path": "/*path", "targetURL": backend.url(), "requireAuth": true, "cache": cache,
            "forwardClaims": { "X-Sub": "sub" },
        })
    };
    let (anna, bert) = (
        bearer(&json!({ "sub": "anna" })),
        bearer(&json!({ "sub": "bert" })),
    );
    for (backend, cache, expected) in [
        (
            &private,
            json!({}),
            ["- anna 0", "- bert 1", "- anna 2", "- bert 3"],
        ),
        (
            &private,
            json!({ "key": { "consumer": true } }),
            ["- anna 4", "- bert 5", "- anna 4", "- bert 5"],
        ),
        (&public, json!({}), ["- anna 0"; 4]),
        (
            &public,
            json!({ "key": { "claims": ["sub"] } }),
            ["- anna 1", "- bert 2", "- anna 1", "- bert 2"],
        ),
    ] {
        let builder = gateway().routes(&routes(&[route(backend, cache)]));
        let gateway = builder.env("JWT_SECRET", SECRET).start().await;
        for (token, body) in [&anna, &bert, &anna, &bert].into_iter().zip(expected) {
            assert_eq!(get(&gateway, "/", &[token]).await.text(), body);
        }
        assert_eq!(get(&gateway, "/", &[]).await.status(), 401);
    }
}

#[tokio::test]
async fn a_field_that_the_gateway_writes_is_compared_as_the_backend_sees_it() {
    let backend = echoing("Cache-Control: public, max-age=60\r\nVary: X-Sub\r\n").await;
    let route = json!({
        "path": "/*path", "targetURL": backend.url(), "requireAuth": true, "cacheable": true,
        "forwardClaims": { "X-Sub": "sub" },
    });
    let builder = gateway().routes(&routes(&[route]));
    let gateway = builder.env("JWT_SECRET", SECRET).start().await;
    let (anna, bert) = (
        bearer(&json!({ "sub": "anna" })),
        bearer(&json!({ "sub": "bert" })),
    );
    assert_eq!(get(&gateway, "/", &[&anna]).await.text(), "- anna 0");
    let answer = get(&gateway, "/", &[&bert, "X-Sub: anna"]).await;
    assert_eq!(answer.text(), "- bert 1");
    let answer = get(&gateway, "/", &[&anna, "X-Sub: bert"]).await;
    assert_eq!(answer.text(), "- anna 0");
}

#[tokio::test]
async fn the_key_has_those_parts_of_a_request_that_the_route_names() {
    let backend = echoing("").await;
    for (key, requests) in [
        (
            json!({ "query": { "only": ["a"] } }),
            [
                ("/?a=1&b=1", "", true),
                ("/?b=2&a=1", "", false),
                ("/?a=2", "", true),
            ],
        ),
        (
            json!({ "query": { "except": ["utm"] } }),
            [
                ("/?a=1&utm=1", "", true),
                ("/?a=1", "", false),
                ("/?utm=3", "", true),
            ],
        ),
        (
            json!({ "query": false }),
            [("/?a=1", "", true), ("/", "", false), ("/b", "", true)],
        ),
        (
            json!({ "sortQuery": true }),
            [
                ("/?a=1&b=1", "", true),
                ("/?b=1&a=1", "", false),
                ("/?a=1", "", true),
            ],
        ),
        (
            json!({ "headers": ["X-Tenant"] }),
            [
                ("/", "X-Tenant: 1", true),
                ("/", "X-Tenant: 1", false),
                ("/", "X-Tenant: 2", true),
            ],
        ),
    ] {
        let route = cached_as(&backend.url(), json!({ "key": key }));
        let gateway = with(route).start().await;
        for (target, field, goes) in requests {
            let before = backend.requests().len();
            get(
                &gateway,
                target,
                &[field]
                    .into_iter()
                    .filter(|it| !it.is_empty())
                    .collect::<Vec<_>>(),
            )
            .await;
            assert_eq!(
                backend.requests().len() > before,
                goes,
                "{key} {target} {field}"
            );
        }
    }
}

#[tokio::test]
async fn upstreams_of_a_split_have_responses_of_their_own() {
    let (one, other) = (
        numbering("X-Backend: one\r\n").await,
        numbering("X-Backend: other\r\n").await,
    );
    let config = json!({
        "upstreams": { "one": { "endpoints": [one.url()] }, "other": { "endpoints": [other.url()] } },
        "routes": [{
            "path": "/*path", "cacheable": true,
            "split": { "upstreams": [
                { "upstream": "one", "weight": 1 },
                { "upstream": "other", "when": ["header:X-Canary=always"] },
            ] },
        }],
    });
    let gateway = gateway().routes(&config).start().await;
    for _ in 0..2 {
        assert_eq!(
            get(&gateway, "/", &[]).await.field("x-backend"),
            Some("one")
        );
        let canary = get(&gateway, "/", &["X-Canary: always"]).await;
        assert_eq!(canary.field("x-backend"), Some("other"));
    }
    assert_eq!((one.requests().len(), other.requests().len()), (1, 1));
}

#[tokio::test]
async fn what_looks_like_credentials_counts_as_such_and_overrides_are_passed_by() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    for field in [
        "X-API-Key: a",
        "X-Auth-Token: a",
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: PUT",
    ] {
        let (first, second) = (
            get(&gateway, "/", &[field]).await,
            get(&gateway, "/", &[field]).await,
        );
        assert_ne!(first.text(), second.text(), "{field}");
        assert!(!status(&second).contains("stored"), "{second:?}");
    }
    let first = get(&gateway, "/", &[]).await.text();
    // What is there for all is for those with a key too.
    assert_eq!(get(&gateway, "/", &["X-API-Key: a"]).await.text(), first);
    let passed_by = get(&gateway, "/", &["X-Method-Override: PUT"]).await;
    assert_eq!(status(&passed_by), "fwd=bypass; detail=method");
    assert_ne!(passed_by.text(), first);
}

#[tokio::test]
async fn an_event_stream_is_for_the_one_who_listens() {
    let backend = numbering("Content-Type: text/event-stream\r\n").await;
    let gateway = in_front_of(&backend).await;
    for number in ["0", "1"] {
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!(
            (&*answer.text(), status(&answer)),
            (number, "fwd=uri-miss; detail=event-stream")
        );
    }
}

#[tokio::test]
async fn requests_with_content_are_neither_answered_from_the_cache_nor_cached() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    for (fields, number) in [
        (&[][..], "0"),
        (&["Content-Length: 1"], "1"),
        (&["Content-Length: 1"], "2"),
        (&[], "0"),
    ] {
        let mut client = gateway.client().await;
        client.request("GET", "/", fields).await;
        if !fields.is_empty() {
            client.send("x").await;
        }
        assert_eq!(client.response().await.text(), number);
    }
    assert_eq!(send(&gateway, "DELETE", "/other", &[]).await.text(), "3");
}
