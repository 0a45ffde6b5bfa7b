//! How long responses are fresh, and what asks the backend again.

use serde_json::json;

use super::{
    DEAD, answer, backend, cached, cached_as, get, in_front_of, numbering, send, status, with,
};
use crate::assert_problem;

#[tokio::test]
async fn a_fresh_response_is_answered_without_the_backend() {
    let backend = numbering("X-A: 1\r\n").await;
    let gateway = in_front_of(&backend).await;
    let first = get(&gateway, "/a?b=1", &[]).await;
    assert_eq!(status(&first), "fwd=uri-miss; stored");
    let second = get(&gateway, "/a?b=1", &[]).await;
    assert_eq!((second.status(), &*second.text()), (200, "0"));
    assert_eq!(second.field("x-a"), Some("1"));
    assert_eq!(second.field("content-length"), Some("1"));
    assert!(second.field("age").is_some() && second.field("date").is_some());
    assert!(status(&second).starts_with("hit; ttl="), "{second:?}");
    assert_eq!(get(&gateway, "/a?b=2", &[]).await.text(), "1");
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "2");
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn what_says_nothing_is_fresh_for_the_routes_time_or_the_general_one() {
    for (cache, setting, fields, ttl) in [
        (None, None, "", 300),
        (None, Some("7"), "", 7),
        (Some("1m"), Some("7"), "", 60),
        (Some("1m"), None, "Cache-Control: max-age=5\r\n", 5),
        (None, Some("0"), "Cache-Control: max-age=5\r\n", 5),
    ] {
        let backend = backend(move |_, _| answer("200 OK", fields, "x")).await;
        let route = match cache {
            Some(ttl) => cached_as(&backend.url(), json!({ "ttl": ttl })),
            None => cached(&backend.url()),
        };
        let mut builder = with(route);
        if let Some(setting) = setting {
            builder = builder.env("CACHE_TTL", setting);
        }
        let gateway = builder.start().await;
        get(&gateway, "/", &[]).await;
        let hit = get(&gateway, "/", &[]).await;
        let left: i64 = status(&hit)
            .strip_prefix("hit; ttl=")
            .and_then(|ttl| ttl.parse().ok())
            .unwrap_or_else(|| panic!("{hit:?}"));
        assert!((ttl - 3..=ttl).contains(&left), "{left} of {ttl}");
        assert_eq!(backend.requests().len(), 1);
    }
}

#[tokio::test]
async fn with_no_time_to_live_only_what_says_how_long_it_is_fresh_is_cached() {
    let backend = numbering("").await;
    let route = cached(&backend.url());
    let gateway = with(route).env("CACHE_TTL", "0").start().await;
    for number in ["0", "1"] {
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!(answer.text(), number);
        assert_eq!(status(&answer), "fwd=uri-miss; detail=no-freshness");
    }
}

#[tokio::test]
async fn nothing_is_cached_where_it_is_switched_off_or_not_asked_for() {
    let backend = numbering("Cache-Control: max-age=60\r\n").await;
    let url = backend.url();
    let off = with(cached(&url))
        .env("ENABLE_CACHING", "false")
        .start()
        .await;
    let plain = with(json!({ "path": "/*path", "targetURL": url }))
        .start()
        .await;
    for (number, gateway) in [&off, &off, &plain, &plain].into_iter().enumerate() {
        let answer = get(gateway, "/", &[]).await;
        assert_eq!(answer.text(), number.to_string());
        assert_eq!(answer.field("cache-status"), None);
        assert_eq!(answer.field("age"), None);
    }
}

#[tokio::test]
async fn what_the_backend_forbids_is_not_cached() {
    for (fields, detail) in [
        ("Cache-Control: no-store\r\n", "no-store"),
        ("Cache-Control: private\r\n", "private"),
        ("Vary: *\r\n", "vary"),
        ("Vary: Accept, X-Forwarded-For\r\n", "vary"),
        ("Set-Cookie: a=b\r\n", "set-cookie"),
    ] {
        let backend = numbering(fields).await;
        let gateway = in_front_of(&backend).await;
        for number in ["0", "1"] {
            let answer = get(&gateway, "/", &[]).await;
            assert_eq!(answer.text(), number, "{fields}");
            assert!(
                status(&answer).ends_with(&format!("detail={detail}")),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn cookies_are_cached_where_the_route_says_so() {
    let backend = numbering("Set-Cookie: a=b\r\n").await;
    let route = cached_as(&backend.url(), json!({ "setCookie": true }));
    let gateway = with(route).start().await;
    get(&gateway, "/", &[]).await;
    let hit = get(&gateway, "/", &[]).await;
    assert_eq!((&*hit.text(), hit.field("set-cookie")), ("0", Some("a=b")));
}

#[tokio::test]
async fn failures_are_cached_for_as_long_as_the_route_says() {
    let backend = backend(|_, number| answer("404 Not Found", "", &number.to_string())).await;
    let route = cached_as(&backend.url(), json!({ "negative": { "404": "10s" } }));
    let gateway = with(route).start().await;
    for _ in 0..2 {
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!((answer.status(), &*answer.text()), (404, "0"));
    }
    let gateway = in_front_of(&backend).await;
    for number in ["1", "2"] {
        assert_eq!(get(&gateway, "/", &[]).await.text(), number);
    }
}

#[tokio::test]
async fn clients_that_have_the_response_get_304() {
    let backend =
        numbering("ETag: \"1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n").await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    for field in [
        "If-None-Match: \"1\"",
        "If-None-Match: W/\"1\"",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        let answer = get(&gateway, "/", &[field]).await;
        assert_eq!((answer.status(), answer.body.len()), (304, 0), "{field}");
        assert_eq!(answer.field("etag"), Some("\"1\""));
    }
    let answer = get(&gateway, "/", &["If-None-Match: \"2\""]).await;
    assert_eq!((answer.status(), &*answer.text()), (200, "0"));
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn what_is_stale_is_validated_and_counts_anew() {
    let backend = backend(|request, _| {
        let age = if request.field("x-old").is_some() {
            "Age: 100\r\n"
        } else {
            ""
        };
        let fields = format!("Cache-Control: max-age=60\r\nETag: \"1\"\r\n{age}");
        match request.field("if-none-match") {
            Some("\"1\"") => format!("HTTP/1.1 304 Not Modified\r\n{fields}X-New: 1\r\n\r\n"),
            _ => answer("200 OK", &fields, "body"),
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &["X-Old: 1"]).await;
    // The client's own condition is answered from what is stored.
    let answer = get(&gateway, "/", &["If-None-Match: \"other\""]).await;
    assert_eq!((answer.status(), &*answer.text()), (200, "body"));
    assert_eq!(backend.last().field("if-none-match"), Some("\"1\""));
    assert!(
        status(&answer).starts_with("fwd=stale; fwd-status=304; ttl="),
        "{answer:?}"
    );
    assert_eq!(answer.field("x-new"), Some("1"));
    let hit = get(&gateway, "/", &[]).await;
    assert_eq!((&*hit.text(), hit.field("x-new")), ("body", Some("1")));
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_304_about_something_else_makes_the_request_go_again() {
    let backend = backend(|request, number| {
        let fields = format!("Cache-Control: max-age=60\r\nETag: \"{number}\"\r\nAge: 100\r\n");
        match request.field("if-none-match") {
            Some(_) => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            None => answer("200 OK", &fields, &number.to_string()),
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    assert_eq!(get(&gateway, "/", &[]).await.text(), "0");
    let answer = get(&gateway, "/", &[]).await;
    assert_eq!((answer.status(), &*answer.text()), (200, "2"));
}

#[tokio::test]
async fn head_and_ranges_are_answered_from_the_whole() {
    let backend = backend(|_, _| answer("200 OK", "ETag: \"1\"\r\n", "0123456789")).await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    let mut client = gateway.client().await;
    client.request("HEAD", "/", &[]).await;
    let head = client.response_to_head().await;
    assert_eq!(
        (head.status(), head.field("content-length")),
        (200, Some("10"))
    );
    let part = get(&gateway, "/", &["Range: bytes=2-4"]).await;
    assert_eq!((part.status(), &*part.text()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let beyond = get(&gateway, "/", &["Range: bytes=20-"]).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn clients_may_refuse_what_is_cached_unless_the_route_does_not_care() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    let answer = get(&gateway, "/", &["Cache-Control: no-cache"]).await;
    assert_eq!(
        (&*answer.text(), status(&answer)),
        ("1", "fwd=request; stored")
    );
    let answer = get(&gateway, "/", &["Cache-Control: no-store"]).await;
    assert_eq!(answer.text(), "2");
    assert_eq!(get(&gateway, "/", &[]).await.text(), "1");

    let route = cached_as(&backend.url(), json!({ "clientDirectives": false }));
    let gateway = with(route).start().await;
    for _ in 0..2 {
        let answer = get(&gateway, "/", &["Cache-Control: no-cache"]).await;
        assert_eq!(answer.text(), "3");
    }
}

#[tokio::test]
async fn only_if_cached_is_answered_by_504() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    let only = ["Cache-Control: only-if-cached"];
    let answer = get(&gateway, "/", &only).await;
    assert_problem(&answer, 504, "not-cached", "http_request_error");
    get(&gateway, "/", &[]).await;
    assert_eq!(get(&gateway, "/", &only).await.text(), "0");
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn a_head_that_tells_of_another_response_makes_the_stored_one_stale() {
    let backend = backend(|request, number| {
        let whole = answer("200 OK", &format!("ETag: \"{number}\"\r\n"), "x");
        if request.start.starts_with("HEAD") {
            return whole.trim_end_matches('x').to_owned();
        }
        whole
    })
    .await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    let mut client = gateway.client().await;
    client
        .request("HEAD", "/", &["Cache-Control: no-cache"])
        .await;
    client.response_to_head().await;
    let answer = get(&gateway, "/", &[]).await;
    assert_eq!(answer.field("etag"), Some("\"2\""));
}

#[tokio::test]
async fn a_dead_backend_is_told_of_as_without_a_cache() {
    let url = DEAD;
    let gateway = with(cached(url)).start().await;
    let answer = get(&gateway, "/", &[]).await;
    assert_problem(
        &answer,
        502,
        "upstream-unreachable",
        "destination_unavailable",
    );
    assert_eq!(status(&answer), "fwd=uri-miss");
    assert_eq!(send(&gateway, "POST", "/", &[]).await.status(), 502);
}
