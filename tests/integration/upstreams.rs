//! Upstreams: which endpoint a request goes to, and what users notice of those that fail.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message, within};

use crate::gateway;

/// A gateway whose route `/*path` goes to an upstream of these endpoints.
pub(crate) fn in_front_of(endpoints: &[String], upstream: Value, route: Value) -> GatewayBuilder {
    let mut upstream = upstream;
    upstream["endpoints"] = json!(endpoints);
    let mut route = route;
    route["path"] = "/*path".into();
    route["upstream"] = "all".into();
    gateway().routes(&json!({ "upstreams": { "all": upstream }, "routes": [route] }))
}

pub(crate) async fn answering(status: &str, body: &str) -> Backend {
    let length = body.len();
    Backend::answering(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await
}

pub(crate) async fn get(gateway: &Gateway, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", "/", fields).await;
    client.response().await
}

async fn post(gateway: &Gateway, body: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = body.len();
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn requests_take_turns_at_the_endpoints_of_a_named_upstream() {
    let (one, two) = (
        answering("200 OK", "one").await,
        answering("200 OK", "two").await,
    );
    let gateway = in_front_of(&[one.url(), two.url()], json!({}), json!({}))
        .start()
        .await;
    for _ in 0..10 {
        get(&gateway, &[]).await;
    }
    assert_eq!((one.requests().len(), two.requests().len()), (5, 5));
}

#[tokio::test]
async fn the_same_key_finds_the_same_endpoint() {
    let backends = [
        answering("200 OK", "one").await,
        answering("200 OK", "two").await,
        answering("200 OK", "three").await,
    ];
    let urls = backends.each_ref().map(Backend::url);
    for table in ["maglev", "ring"] {
        let balance = json!({ "policy": "consistentHash", "by": "header:X-User", "table": table });
        let gateway = in_front_of(&urls, json!({ "balance": balance }), json!({}))
            .start()
            .await;
        let mut found = HashSet::new();
        for user in 0..20 {
            let field = format!("X-User: {user}");
            let first = get(&gateway, &[&field]).await.text();
            for _ in 0..3 {
                assert_eq!(get(&gateway, &[&field]).await.text(), first);
            }
            found.insert(first);
        }
        assert_eq!(found.len(), 3, "{table}");
    }
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_by_a_cookie() {
    let (one, two) = (
        answering("200 OK", "one").await,
        answering("200 OK", "two").await,
    );
    let upstream = json!({ "sticky": { "cookie": "stay", "ttl": "1h" } });
    let gateway = in_front_of(&[one.url(), two.url()], upstream, json!({}))
        .start()
        .await;
    let first = get(&gateway, &[]).await;
    let cookie = first.field("set-cookie").unwrap_or_default().to_owned();
    assert!(
        cookie.starts_with("stay=") && cookie.ends_with("; Max-Age=3600"),
        "{cookie}"
    );
    assert!(!cookie.contains("127.0.0.1"), "{cookie}");
    let field = format!(
        "Cookie: a=b; {}",
        cookie.split(';').next().unwrap_or_default()
    );
    for _ in 0..5 {
        let answer = get(&gateway, &[&field]).await;
        assert_eq!(
            (answer.text(), answer.field("set-cookie")),
            (first.text(), None)
        );
    }
}

#[tokio::test]
async fn a_request_that_finds_no_connection_goes_to_another_endpoint() {
    let good = Backend::ok().await;
    let refused = format!("http://{}", Backend::refused().await);
    let gateway = in_front_of(&[refused, good.url()], json!({}), json!({ "retry": {} }))
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(get(&gateway, &[]).await.status(), 200);
        assert_eq!(post(&gateway, "hello", &[]).await.status(), 200);
    }
    let log = gateway.log(8).await;
    assert!(log.iter().any(|line| line["retries"] == 1), "{log:?}");
    assert!(
        good.requests()
            .iter()
            .any(|request| request.text() == "hello")
    );
}

#[tokio::test]
async fn many_requests_that_find_no_connection_at_once_all_go_to_another_endpoint() {
    let good = Backend::ok().await;
    let refused = format!("http://{}", Backend::refused().await);
    let upstream = json!({ "outliers": false });
    let gateway = in_front_of(&[refused, good.url()], upstream, json!({ "retry": {} }))
        .start()
        .await;
    // Many more than the three that the budget always has.
    let requests = (0..100).map(|_| get(&gateway, &[]));
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
}

#[tokio::test]
async fn an_answer_that_says_try_again_is_tried_elsewhere_unless_it_may_have_been_carried_out() {
    let (bad, good) = (
        answering("503 No", "").await,
        answering("200 OK", "ok").await,
    );
    let gateway = in_front_of(
        &[bad.url(), good.url()],
        json!({ "outliers": false }),
        json!({ "retry": {} }),
    )
    .start()
    .await;
    for _ in 0..4 {
        assert_eq!(get(&gateway, &[]).await.status(), 200);
        let key = ["Idempotency-Key: 1"];
        assert_eq!(post(&gateway, "twice", &key).await.status(), 200);
    }
    let statuses = [
        post(&gateway, "once", &[]).await,
        post(&gateway, "once", &[]).await,
    ]
    .map(|answer| answer.status());
    assert!(
        statuses.contains(&503) && statuses.contains(&200),
        "{statuses:?}"
    );
    let bodies = |backend: &Backend, body: &str| {
        backend
            .requests()
            .iter()
            .filter(|request| request.text() == body)
            .count()
    };
    assert_eq!(bodies(&good, "twice"), 4);
    assert_eq!(bodies(&good, "once") + bodies(&bad, "once"), 2);
}

#[tokio::test]
async fn a_body_that_is_too_large_to_be_kept_is_sent_once() {
    let bad = answering("503 No", "").await;
    let retry = json!({ "retry": { "maxBodySize": 4, "nonIdempotent": true } });
    let gateway = in_front_of(&[bad.url()], json!({}), retry).start().await;
    assert_eq!(post(&gateway, "four", &[]).await.status(), 503);
    assert_eq!(bad.requests().len(), 3);
    assert_eq!(post(&gateway, "fives", &[]).await.status(), 503);
    assert_eq!(bad.requests().len(), 4);
}

#[tokio::test]
async fn each_attempt_is_told_how_long_it_has() {
    let backend = Backend::ok().await;
    let route = json!({ "timeout": 5, "retry": { "tryTimeout": 0.5 } });
    let gateway = in_front_of(&[backend.url()], json!({}), route)
        .start()
        .await;
    get(&gateway, &["X-Request-Timeout-Ms: 999999"]).await;
    let told = backend
        .last()
        .field("x-request-timeout-ms")
        .map(str::to_owned);
    let left: u64 = told.unwrap().parse().unwrap();
    assert!((400..=500).contains(&left), "{left}");
}

#[tokio::test]
async fn an_attempt_is_told_what_others_have_left_of_the_time() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            connection
                .send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    // All endpoints have been tried by the second attempt.
    let route = json!({ "timeout": 5, "retry": { "attempts": 2 } });
    let gateway = in_front_of(&[backend.url()], json!({}), route)
        .start()
        .await;
    get(&gateway, &[]).await;
    let told: Vec<u64> = backend
        .requests()
        .iter()
        .map(|request| {
            request
                .field("x-request-timeout-ms")
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(told.len(), 3);
    assert!(
        told[0] <= 5000 && told[1] <= 4700 && told[2] <= 4400,
        "{told:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_gives_no_answers_is_left_alone() {
    let good = Backend::ok().await;
    let closing = Backend::closing(*b"").await;
    let gateway = in_front_of(&[closing.url(), good.url()], json!({}), json!({}))
        .start()
        .await;
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(get(&gateway, &[]).await.status() != 200);
    }
    assert_eq!(failed, 5);
    assert!(
        gateway
            .diagnostics()
            .iter()
            .any(|line| line.contains("endpoint ejected"))
    );
}

#[tokio::test]
async fn an_endpoint_whose_check_fails_gets_no_requests_until_it_passes() {
    let (healthy, health) = tokio::sync::watch::channel(false);
    let sick = Backend::scripted(move |mut connection| {
        let health = health.clone();
        async move {
            while let Some(request) = connection.request().await {
                let is_check = request.target() == "/health";
                let status = if is_check && !*health.borrow() {
                    500
                } else {
                    200
                };
                connection
                    .send(format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nsick"
                    ))
                    .await;
            }
        }
    })
    .await;
    let well = answering("200 OK", "well").await;
    let upstream = json!({ "health": { "path": "/health", "interval": 0.05, "timeout": 1 } });
    let gateway = in_front_of(&[sick.url(), well.url()], upstream, json!({}))
        .start()
        .await;
    let until = async |wanted: bool| {
        within("the check to be heeded", async {
            loop {
                let texts = [
                    get(&gateway, &[]).await.text(),
                    get(&gateway, &[]).await.text(),
                ];
                if texts.iter().any(|text| text == "sick") == wanted {
                    break;
                }
            }
        })
        .await;
    };
    until(false).await;
    for _ in 0..6 {
        assert_eq!(get(&gateway, &[]).await.text(), "well");
    }
    healthy.send(true).unwrap();
    until(true).await;
}

#[tokio::test]
async fn an_upstream_that_is_full_takes_no_more_requests() {
    let silent = Backend::silent().await;
    let gateway = in_front_of(&[silent.url()], json!({ "maxRequests": 1 }), json!({}))
        .start()
        .await;
    let mut first = gateway.client().await;
    first.request("GET", "/", &[]).await;
    silent.wait_for_requests(1).await;
    let refused = get(&gateway, &[]).await;
    assert_eq!(
        (refused.status(), refused.json()["code"].as_str()),
        (503, Some("upstream-full"))
    );
    drop(first);
    within("the place to be free", async {
        while get_status(&gateway).await == Some(503) {}
    })
    .await;
}

/// The status of an answer that comes at once; none where one is waited for.
async fn get_status(gateway: &Gateway) -> Option<u16> {
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    if client.is_silent_for(Duration::from_millis(100)).await {
        return None;
    }
    Some(client.response().await.status())
}

#[tokio::test]
async fn something_else_stands_in_for_an_upstream_that_cannot_be_asked() {
    let backup = answering("200 OK", "backup").await;
    let refused = format!("http://{}", Backend::refused().await);
    let file = |fallback: Value| {
        json!({
            "upstreams": { "main": { "endpoints": [refused] }, "backup": { "endpoints": [backup.url()] } },
            "routes": [{ "path": "/*path", "upstream": "main", "fallback": fallback }],
        })
    };
    let elsewhere = gateway()
        .routes(&file(json!({ "upstream": "backup" })))
        .start()
        .await;
    assert_eq!(get(&elsewhere, &[]).await.text(), "backup");
    assert_eq!(post(&elsewhere, "hello", &[]).await.text(), "backup");
    assert_eq!(backup.last().text(), "hello");
    let fixed = json!({ "status": 200, "body": "{}", "contentType": "application/json" });
    let fixed = gateway().routes(&file(fixed)).start().await;
    let answer = get(&fixed, &[]).await;
    assert_eq!(
        (
            answer.status(),
            answer.field("content-type"),
            answer.text().as_str()
        ),
        (200, Some("application/json"), "{}")
    );
}

#[tokio::test]
async fn less_important_requests_are_refused_first_where_latency_grows() {
    let silent = Backend::silent().await;
    let upstream = json!({ "endpoints": [silent.url()], "adaptive": { "min": 2, "max": 2 } });
    let route = |priority: &str| json!({ "path": format!("/{priority}"), "upstream": "all", "priority": priority, "timeout": 5 });
    let routes = ["low", "high", "critical"].map(route);
    let gateway = gateway()
        .routes(&json!({ "upstreams": { "all": upstream }, "routes": routes }))
        .start()
        .await;
    let mut clients = Vec::new();
    for target in ["/low", "/high"] {
        let mut client = gateway.client().await;
        client.request("GET", target, &[]).await;
        clients.push(client);
    }
    silent.wait_for_requests(2).await;
    for target in ["/low", "/high"] {
        let mut client = gateway.client().await;
        client.request("GET", target, &[]).await;
        let answer = client.response().await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (503, Some("upstream-overloaded")),
            "{target}"
        );
    }
    let mut critical = gateway.client().await;
    critical.request("GET", "/critical", &[]).await;
    silent.wait_for_requests(3).await;
}

#[tokio::test]
async fn a_share_of_requests_goes_to_a_new_version_and_all_that_ask_for_it() {
    let (stable, canary) = (
        answering("200 OK", "stable").await,
        answering("200 OK", "canary").await,
    );
    let split = json!({ "by": "header:X-User", "upstreams": [
        { "upstream": "stable", "weight": 3 },
        { "upstream": "canary", "weight": 1, "when": ["header:X-Canary=always", "cookie:canary"] },
    ] });
    let gateway = gateway()
        .routes(&json!({
            "upstreams": {
                "stable": { "endpoints": [stable.url()] }, "canary": { "endpoints": [canary.url()] },
            },
            "routes": [{ "path": "/*path", "split": split }],
        }))
        .start()
        .await;
    for fields in [&["X-Canary: always"][..], &["Cookie: a=b; canary=1"]] {
        assert_eq!(get(&gateway, fields).await.text(), "canary");
    }
    let mut canaries = 0;
    for user in 0..60 {
        let field = format!("X-User: {user}");
        let first = get(&gateway, &[&field, "X-Canary: never"]).await.text();
        assert_eq!(get(&gateway, &[&field]).await.text(), first);
        canaries += usize::from(first == "canary");
    }
    assert!((5..30).contains(&canaries), "{canaries}");
}

#[tokio::test]
async fn a_mirror_gets_copies_and_nobody_waits_for_its_answers() {
    let main = answering("200 OK", "main").await;
    let silent = Backend::silent().await;
    let closing = Backend::closing(*b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    for mirror in [&silent, &closing] {
        let gateway = gateway()
            .routes(&json!({
                "upstreams": { "main": { "endpoints": [main.url()] }, "mirror": { "endpoints": [mirror.url()] } },
                "routes": [{ "path": "/*path", "upstream": "main", "mirror": { "upstream": "mirror" } }],
            }))
            .start()
            .await;
        assert_eq!(get(&gateway, &["X-A: 1"]).await.text(), "main");
        assert_eq!(post(&gateway, "hello", &[]).await.text(), "main");
        assert_eq!(
            post(&gateway, &"x".repeat(100_000), &[]).await.text(),
            "main"
        );
        mirror.wait_for_requests(2).await;
        let copies = mirror.requests();
        assert!(copies.iter().any(|copy| copy.field("x-a") == Some("1")));
        assert!(copies.iter().any(|copy| copy.text() == "hello"));
        // What is too large to be kept is not mirrored.
        assert_eq!(copies.len(), 2);
        assert!(
            gateway
                .log(3)
                .await
                .iter()
                .all(|line| line["status"] == 200)
        );
    }
}

#[tokio::test]
async fn a_mirror_gets_a_share_of_the_requests() {
    let (main, mirror) = (answering("200 OK", "main").await, Backend::ok().await);
    let gateway = gateway()
        .routes(&json!({
            "upstreams": { "main": { "endpoints": [main.url()] }, "mirror": { "endpoints": [mirror.url()] } },
            "routes": [{ "path": "/*path", "upstream": "main", "mirror": { "upstream": "mirror", "percent": 20 } }],
        }))
        .start()
        .await;
    for _ in 0..100 {
        get(&gateway, &[]).await;
    }
    assert_eq!(main.requests().len(), 100);
    let copies = mirror.requests().len();
    assert!((3..50).contains(&copies), "{copies}");
}
