//! What is served although it is stale.

use std::time::Duration;

use serde_json::json;
use testkit::{Backend, Gateway, within};

use super::{DEAD, answer, backend, cached_as, end, get, in_front_of, numbering, status, with};
use crate::assert_problem;

/// Stale as soon as it is stored.
const OLD: &str = "Cache-Control: max-age=1\r\nAge: 10\r\nETag: \"1\"\r\n";

async fn until_fresh(gateway: &Gateway, fields: &[&str], body: &str) {
    within("the response to be renewed", async {
        while get(gateway, "/", fields).await.text() != body {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stale_response_is_served_while_it_is_renewed() {
    let backend = backend(|_, number| {
        let fields = if number == 0 {
            OLD
        } else {
            "Cache-Control: max-age=60\r\n"
        };
        answer("200 OK", fields, &number.to_string())
    })
    .await;
    let route = cached_as(&backend.url(), json!({ "staleWhileRevalidate": 100 }));
    let gateway = with(route).start().await;
    get(&gateway, "/", &[]).await;
    let stale = get(&gateway, "/", &[]).await;
    assert_eq!(stale.text(), "0");
    assert!(status(&stale).starts_with("hit; ttl=-"), "{stale:?}");
    assert!(status(&stale).ends_with("detail=stale-while-revalidate"));
    until_fresh(&gateway, &[], "1").await;
    assert_eq!(backend.requests().len(), 2);
    assert_eq!(backend.last().field("if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn whatever_a_client_asks_of_it_a_stale_response_is_renewed_whole_and_once() {
    const KEPT: &str = "Cache-Control: public, max-age=1, stale-while-revalidate=100\r\nAge: 10\r\nETag: \"1\"\r\n";
    for (method, field) in [
        ("GET", "If-None-Match: \"1\""),
        ("GET", "Range: bytes=0-0"),
        ("HEAD", "X-A: 1"),
        ("GET", "Authorization: a"),
    ] {
        let backend = backend(|request, number| {
            let fields = if number == 0 {
                KEPT
            } else {
                "Cache-Control: public, max-age=60\r\n"
            };
            assert!(request.start.starts_with("GET") && request.field("range").is_none());
            answer("200 OK", fields, &number.to_string())
        })
        .await;
        let gateway = with(cached_as(&backend.url(), json!({}))).start().await;
        get(&gateway, "/", &[]).await;
        let mut client = gateway.client().await;
        client.request(method, "/", &[field]).await;
        let stale = match method {
            "HEAD" => client.response_to_head().await,
            _ => client.response().await,
        };
        assert!(
            status(&stale).ends_with("detail=stale-while-revalidate"),
            "{stale:?}"
        );
        // Those with credentials share nothing with those without.
        let fields = [field];
        let same = field.starts_with("Authorization");
        until_fresh(&gateway, if same { &fields } else { &[] }, "1").await;
        assert_eq!(backend.requests().len(), 2, "{method} {field}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_backend_that_does_not_answer_while_it_is_asked_again() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            if connection.number == 0 {
                connection
                    .send(answer(
                        "200 OK",
                        &format!("{OLD}Connection: close\r\n"),
                        "x",
                    ))
                    .await;
                return;
            }
        }
    })
    .await;
    let route = cached_as(&backend.url(), json!({ "staleWhileRevalidate": 100 }));
    let gateway = with(route).start().await;
    for _ in 0..20 {
        assert_eq!(get(&gateway, "/", &[]).await.text(), "x");
    }
    backend.wait_for_requests(2).await;
    assert_eq!(backend.requests().len(), 2, "one asks for all");
}

#[tokio::test]
async fn a_stale_response_is_served_when_the_backend_fails() {
    for failure in ["503 Service Unavailable", "500 Internal Server Error", ""] {
        let backend = backend(move |_, number| match number {
            0 => answer("200 OK", &format!("{OLD}Connection: close\r\n"), "good"),
            _ if failure.is_empty() => "nonsense\r\n\r\n".to_owned(),
            _ => answer(failure, "", "bad"),
        })
        .await;
        let route = cached_as(&backend.url(), json!({ "staleIfError": "1h" }));
        let gateway = with(route).start().await;
        get(&gateway, "/", &[]).await;
        let stale = get(&gateway, "/", &[]).await;
        assert_eq!((stale.status(), &*stale.text()), (200, "good"));
        assert!(status(&stale).starts_with("fwd=stale"), "{stale:?}");
        assert!(
            status(&stale).ends_with("detail=stale-if-error"),
            "{stale:?}"
        );
    }
}

#[tokio::test]
async fn a_dead_backend_is_stood_in_for_where_response_or_route_allow_it() {
    let refusing = "Cache-Control: max-age=1, must-revalidate\r\nAge: 10\r\nETag: \"1\"\r\n";
    let allowing = "Cache-Control: max-age=1, stale-if-error=100\r\nAge: 10\r\nETag: \"1\"\r\n";
    for (fields, cache, served) in [
        (allowing, json!({}), true),
        (OLD, json!({ "staleIfError": 100 }), true),
        (OLD, json!({ "staleIfError": 0 }), false),
        (refusing, json!({ "staleIfError": 100 }), false),
    ] {
        let backend = numbering(fields).await;
        let gateway = with(cached_as(&backend.url(), cache)).start().await;
        get(&gateway, "/", &[]).await;
        end(backend).await;
        let answer = get(&gateway, "/", &[]).await;
        if served {
            assert_eq!((answer.status(), &*answer.text()), (200, "0"), "{fields}");
        } else {
            assert!([502, 504].contains(&answer.status()), "{fields} {answer:?}");
        }
    }
}

#[tokio::test]
async fn who_says_nothing_gets_what_is_stale_for_a_minute_while_the_backend_is_not_there() {
    let lasting = "Cache-Control: max-age=1\r\nETag: \"1\"\r\nAge: ";
    for (fields, served) in [
        (format!("{lasting}40\r\n"), true),
        (format!("{lasting}70\r\n"), false),
        (
            OLD.replace("max-age=1", "max-age=1, stale-if-error=0"),
            false,
        ),
        (
            OLD.replace("max-age=1", "max-age=1, must-revalidate"),
            false,
        ),
        (
            OLD.replace("max-age=1", "max-age=1, proxy-revalidate"),
            false,
        ),
        (OLD.replace("max-age=1", "max-age=1, no-cache"), false),
        (OLD.replace("max-age=1", "s-maxage=1"), false),
    ] {
        let first = fields.clone();
        let backend = backend(move |_, _| answer("200 OK", &first, "kept")).await;
        let gateway = in_front_of(&backend).await;
        get(&gateway, "/", &[]).await;
        end(backend).await;
        for _ in 0..3 {
            let answer = get(&gateway, "/", &[]).await;
            if served {
                assert_eq!((answer.status(), &*answer.text()), (200, "kept"));
                assert!(
                    status(&answer).ends_with("detail=disconnected"),
                    "{answer:?}"
                );
            } else {
                assert_problem(
                    &answer,
                    502,
                    "upstream-unreachable",
                    "destination_unavailable",
                );
            }
        }
        let reload = get(&gateway, "/", &["Cache-Control: no-cache"]).await;
        assert_eq!(reload.status(), 502, "{fields}");
    }
}

#[tokio::test]
async fn who_says_nothing_gets_what_a_backend_says_that_is_there() {
    for failure in ["503 Service Unavailable", ""] {
        let backend = backend(move |_, number| match number {
            0 => answer("200 OK", &format!("{OLD}Connection: close\r\n"), "good"),
            _ if failure.is_empty() => "nonsense\r\n\r\n".to_owned(),
            _ => answer(failure, "", "bad"),
        })
        .await;
        let gateway = in_front_of(&backend).await;
        get(&gateway, "/", &[]).await;
        let expected = if failure.is_empty() { 502 } else { 503 };
        assert_eq!(get(&gateway, "/", &[]).await.status(), expected);
    }
}

#[tokio::test]
async fn a_backend_that_closes_instead_of_answering_is_not_there() {
    let backend = Backend::scripted(|mut connection| async move {
        if connection.request().await.is_some() && connection.number == 0 {
            let fields = format!("{OLD}Connection: close\r\n");
            connection.send(answer("200 OK", &fields, "kept")).await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    for _ in 0..3 {
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!((answer.status(), &*answer.text()), (200, "kept"));
    }
    assert!(backend.requests().len() > 2);
}

#[tokio::test]
async fn validations_that_fail_in_the_background_are_counted_and_logged() {
    let backend = backend(|_, number| match number {
        0 => answer("200 OK", OLD, "old"),
        _ => answer("503 Service Unavailable", "", ""),
    })
    .await;
    let route = cached_as(&backend.url(), json!({ "staleWhileRevalidate": 100 }));
    let gateway = with(route).start().await;
    for _ in 0..3 {
        assert_eq!(get(&gateway, "/", &[]).await.text(), "old");
    }
    gateway
        .wait_for_diagnostics(1, "stale response not validated")
        .await;
    let text = gateway.diagnostics().join("\n");
    assert!(
        text.contains("cached") && text.contains("status 503"),
        "{text}"
    );
    end(backend).await;
    let series = "api_gateway_cache_failed_validations_total{route=\"cached\"}";
    let before = gateway.metric(series).await;
    assert!(before > 0);
    assert_eq!(get(&gateway, "/", &[]).await.text(), "old");
    within("another failure", async {
        while gateway.metric(series).await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let lines = gateway.diagnostics();
    let told = lines.iter().filter(|it| it.contains("not validated"));
    assert_eq!(told.count(), 1, "the next are quiet: {lines:?}");
}

#[tokio::test]
async fn a_fallback_is_what_is_stored_however_old_it_is() {
    let backend = numbering("Cache-Control: max-age=1\r\nAge: 100000\r\nETag: \"1\"\r\n").await;
    let mut route = cached_as(&backend.url(), json!({}));
    route["fallback"] = json!({ "stale": true });
    let gateway = with(route).start().await;
    get(&gateway, "/", &[]).await;
    end(backend).await;
    let stale = get(&gateway, "/", &[]).await;
    assert_eq!((stale.status(), &*stale.text()), (200, "0"));
    assert!(status(&stale).ends_with("detail=fallback"), "{stale:?}");
    assert_eq!(stale.field("warning"), None);
    let answer = get(&gateway, "/other", &[]).await;
    assert_problem(
        &answer,
        502,
        "upstream-unreachable",
        "destination_unavailable",
    );
}

#[tokio::test]
async fn a_fallback_stands_in_while_the_breaker_is_open() {
    let backend = backend(|_, number| match number {
        0 => answer("200 OK", OLD, "good"),
        _ => answer("500 Internal Server Error", "", "bad"),
    })
    .await;
    let mut route = cached_as(&backend.url(), json!({}));
    route["fallback"] = json!({ "stale": true });
    route["breaker"] = json!({ "consecutiveFailures": 2, "open": 60 });
    let gateway = with(route).start().await;
    get(&gateway, "/", &[]).await;
    for _ in 0..2 {
        assert_eq!(get(&gateway, "/", &[]).await.status(), 500);
    }
    assert_eq!(get(&gateway, "/", &[]).await.text(), "good");
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn what_another_upstream_or_the_gateway_answers_in_its_place_is_not_cached() {
    let other = numbering("Cache-Control: max-age=60\r\n").await;
    for fallback in [
        json!({ "status": 200, "body": "fixed" }),
        json!({ "upstream": "other" }),
    ] {
        let config = json!({
            "upstreams": {
                "other": { "endpoints": [other.url()] },
                "dead": { "endpoints": [DEAD] },
            },
            "routes": [{ "path": "/*path", "upstream": "dead", "cacheable": true, "fallback": fallback }],
        });
        let gateway = crate::gateway().routes(&config).start().await;
        for _ in 0..2 {
            let answer = get(&gateway, "/", &[]).await;
            assert_eq!(
                (answer.status(), status(&answer)),
                (200, "fwd=uri-miss; detail=stand-in")
            );
        }
    }
    assert_eq!(other.requests().len(), 2);
}
