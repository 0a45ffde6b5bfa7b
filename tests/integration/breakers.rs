//! Circuit breakers: of upstreams, of endpoints and of routes.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message, within};

use crate::gateway;
use crate::upstreams::{answering, get, in_front_of};

/// Answers 500 where a request asks for it.
async fn failing_when_asked() -> Backend {
    Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let status = if request.field("x-fail").is_some() {
                500
            } else {
                200
            };
            connection
                .send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
                .await;
        }
    })
    .await
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_closes_when_the_backend_is_back() {
    let backend = failing_when_asked().await;
    let breaker =
        json!({ "consecutiveFailures": 3, "open": 0.3, "successes": 1, "halfOpenCalls": 1 });
    let gateway = in_front_of(&[backend.url()], json!({ "breaker": breaker }), json!({}))
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(get(&gateway, &["X-Fail: 1"]).await.status(), 500);
    }
    let refused = get(&gateway, &[]).await;
    assert_eq!(
        (
            refused.status(),
            refused.json()["code"].as_str(),
            refused.field("retry-after")
        ),
        (503, Some("circuit-open"), Some("1"))
    );
    assert_eq!(backend.requests().len(), 3);
    within("the breaker to close", async {
        while get(&gateway, &[]).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(get(&gateway, &[]).await.status(), 200);
}

#[tokio::test]
async fn a_breaker_for_each_endpoint_leaves_the_others() {
    let (bad, good) = (
        answering("500 No", "").await,
        answering("200 OK", "ok").await,
    );
    let upstream = json!({
        "outliers": false,
        "breaker": { "scope": "endpoint", "consecutiveFailures": 2, "open": "1h" },
    });
    let gateway = in_front_of(&[bad.url(), good.url()], upstream, json!({}))
        .start()
        .await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(get(&gateway, &[]).await.status() != 200);
    }
    assert_eq!((failed, bad.requests().len()), (2, 2));
}

/// The routes `/one` and `/two` to one upstream. The first has a breaker of its own, and what else `route` says.
fn two_routes(endpoint: &str, upstream: Value, breaker: &Value, route: Value) -> Value {
    let (mut upstream, mut route) = (upstream, route);
    upstream["endpoints"] = json!([endpoint]);
    for (key, value) in [("path", "/one"), ("upstream", "all")] {
        route[key] = value.into();
    }
    route["breaker"] = breaker.clone();
    json!({
        "upstreams": { "all": upstream },
        "routes": [route, { "path": "/two", "upstream": "all" }],
    })
}

async fn ask(gateway: &Gateway, path: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", path, fields).await;
    client.response().await
}

#[tokio::test]
async fn a_breaker_of_a_route_leaves_other_routes_to_the_same_upstream() {
    let backend = failing_when_asked().await;
    let breaker = json!({ "consecutiveFailures": 2, "open": "1h" });
    let file = two_routes(&backend.url(), json!({}), &breaker, json!({}));
    let gateway = gateway().routes(&file).start().await;
    for _ in 0..3 {
        // What fails for others is not counted.
        assert_eq!(ask(&gateway, "/two", &["X-Fail: 1"]).await.status(), 500);
        assert_eq!(ask(&gateway, "/one", &[]).await.status(), 200);
    }
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/one", &["X-Fail: 1"]).await.status(), 500);
    }
    let refused = ask(&gateway, "/one", &[]).await;
    assert_eq!(
        (refused.status(), refused.json()["code"].as_str()),
        (503, Some("circuit-open"))
    );
    assert!(refused.field("retry-after").is_some());
    assert_eq!(ask(&gateway, "/two", &[]).await.status(), 200);
    assert_eq!(backend.requests().len(), 9);
    let told = gateway.diagnostics();
    let told = told.iter().find(|line| line.contains("circuit breaker"));
    assert!(told.is_some_and(|line| line.contains("/one")), "{told:?}");
}

#[tokio::test]
async fn another_upstream_stands_in_while_the_breaker_of_a_route_is_open() {
    let (bad, backup) = (
        answering("500 No", "").await,
        answering("200 OK", "backup").await,
    );
    let breaker = json!({ "consecutiveFailures": 1, "open": "1h" });
    let route = json!({ "fallback": { "upstream": "backup" } });
    let mut file = two_routes(&bad.url(), json!({}), &breaker, route);
    file["upstreams"]["backup"] = json!({ "endpoints": [backup.url()] });
    let gateway = gateway().routes(&file).start().await;
    assert_eq!(ask(&gateway, "/one", &[]).await.status(), 500);
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/one", &[]).await.text(), "backup");
    }
    assert_eq!(bad.requests().len(), 1);
}

#[tokio::test]
async fn leave_of_one_breaker_is_given_back_when_the_other_refuses() {
    // One is half-open long before the other, and may let one request pass.
    for (of_route, of_upstream) in [(0.05, 0.6), (0.6, 0.05)] {
        let backend = failing_when_asked().await;
        let breaker = |open: f64| json!({ "consecutiveFailures": 2, "open": open, "halfOpenCalls": 1, "successes": 1 });
        let upstream = json!({ "breaker": breaker(of_upstream) });
        let file = two_routes(&backend.url(), upstream, &breaker(of_route), json!({}));
        let gateway = gateway().routes(&file).start().await;
        for _ in 0..2 {
            assert_eq!(ask(&gateway, "/one", &["X-Fail: 1"]).await.status(), 500);
        }
        let mut refused = 0;
        within("both to close", async {
            while ask(&gateway, "/one", &[]).await.status() != 200 {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert!(
            refused > 5,
            "{refused}: the one that opens for longer holds"
        );
        assert_eq!(backend.requests().len(), 3);
    }
}
