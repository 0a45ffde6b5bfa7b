//! What is remembered of the word of a service that decides.

use serde_json::{Value, json};
use testkit::{Backend, Gateway};

use super::fixtures::requests::get;
use super::forward_auth::asking;
use crate::{gateway, routes};

async fn deciding(status: &str, cache: &str) -> Backend {
    let field = if cache.is_empty() {
        String::new()
    } else {
        format!("Cache-Control: {cache}\r\n")
    };
    Backend::answering(format!(
        "HTTP/1.1 {status}\r\n{field}X-User: anna\r\nContent-Length: 0\r\n\r\n"
    ))
    .await
}

async fn started(service: &Backend, backend: &Backend, more: &Value) -> Gateway {
    asking(&service.url(), backend, more).start().await
}

#[tokio::test]
async fn an_answer_is_remembered_for_as_long_as_it_says() {
    let backend = Backend::ok().await;
    for (cache, remembered) in [
        ("max-age=60", true),
        ("MAX-AGE=60", true),
        ("private, max-age=60", true),
        ("", false),
        ("no-store", false),
        ("max-age=60, no-store", false),
        ("no-store, max-age=60", false),
        ("max-age=60, no-cache", false),
        ("max-age=0", false),
        ("max-age=-1", false),
        ("max-age=soon", false),
        ("x-max-age=60", false),
    ] {
        let service = deciding("200 OK", cache).await;
        let gateway = started(&service, &backend, &json!({})).await;
        for _ in 0..3 {
            assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
            assert_eq!(backend.last().field("x-user"), Some("anna"), "{cache}");
        }
        let asked = if remembered { 1 } else { 3 };
        assert_eq!(service.requests().len(), asked, "{cache}");
    }
}

#[tokio::test]
async fn what_is_over_is_asked_again() {
    let backend = Backend::ok().await;
    let service = deciding("200 OK", "max-age=1").await;
    let gateway = started(&service, &backend, &json!({})).await;
    let start = std::time::Instant::now();
    testkit::within("another question", async {
        while service.requests().len() < 2 {
            assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(start.elapsed() >= std::time::Duration::from_millis(900));
}

#[tokio::test]
async fn refusals_are_remembered_too_and_failures_are_not() {
    let backend = Backend::ok().await;
    for (status, code, remembered) in [
        ("403 Forbidden", 403, true),
        ("401 Unauthorized", 401, true),
        ("302 Found", 302, true),
        ("500 Internal Server Error", 503, false),
    ] {
        let service = deciding(status, "max-age=60").await;
        let gateway = started(&service, &backend, &json!({})).await;
        for _ in 0..3 {
            assert_eq!(get(&gateway, "/", &[]).await.status(), code);
        }
        let asked = if remembered { 1 } else { 3 };
        assert_eq!(service.requests().len(), asked, "{status}");
    }
    assert!(backend.requests().is_empty());
}

/// Requests that would be asked about in other words than the one for `/a` with `Authorization: x` by GET.
const OTHERS: [(&str, &str, &[&str]); 7] = [
    ("GET", "/b", &["Authorization: x"]),
    ("GET", "/a?q", &["Authorization: x"]),
    ("POST", "/a", &["Authorization: x"]),
    ("GET", "/a", &["Authorization: y"]),
    ("GET", "/a", &[]),
    ("GET", "/a", &["Authorization: x", "Cookie: a=b"]),
    (
        "GET",
        "/a",
        &["Authorization: x", "X-Forwarded-For: 192.0.2.7"],
    ),
];

async fn ask(gateway: &Gateway, method: &str, target: &str, fields: &[&str]) {
    let mut client = gateway.client().await;
    client.request(method, target, fields).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn it_is_remembered_for_questions_in_the_same_words_only() {
    let backend = Backend::ok().await;
    for (method, target, fields) in OTHERS {
        let service = deciding("200 OK", "max-age=60").await;
        let gateway = asking(&service.url(), &backend, &json!({}))
            .env("TRUSTED_PROXIES", "127.0.0.1")
            .start()
            .await;
        let first = ["Authorization: x", "X-Unknown-To-It: 1"];
        ask(&gateway, "GET", "/a", &first).await;
        ask(&gateway, "GET", "/a", &["Authorization: x"]).await;
        assert_eq!(service.requests().len(), 1);
        ask(&gateway, method, target, fields).await;
        assert_eq!(service.requests().len(), 2, "{method} {target} {fields:?}");
        ask(&gateway, "GET", "/a", &["Authorization: x"]).await;
        assert_eq!(service.requests().len(), 2);
    }
}

#[tokio::test]
async fn another_host_is_another_question() {
    let backend = Backend::ok().await;
    let service = deciding("200 OK", "max-age=60").await;
    let gateway = started(&service, &backend, &json!({})).await;
    for host in ["a.example.com", "b.example.com", "a.example.com"] {
        let mut client = gateway.client().await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn words_of_several_fields_are_not_mixed_up() {
    let backend = Backend::ok().await;
    let service = deciding("200 OK", "max-age=60").await;
    let more = json!({ "requestHeaders": ["X-A", "X-B"] });
    let gateway = started(&service, &backend, &more).await;
    for (number, fields) in [
        &["X-A: 1", "X-B: 2"][..],
        &["X-A: 2", "X-B: 1"],
        &["X-A: 12"],
        &["X-B: 12"],
        &["X-A: 1", "X-A: 2"],
        &["X-A: 1"],
        &["X-A:"],
        &[],
    ]
    .into_iter()
    .enumerate()
    {
        ask(&gateway, "GET", "/", fields).await;
        assert_eq!(service.requests().len(), number + 1, "{fields:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_told_of_paths_decides_for_all_of_the_routes() {
    let backend = Backend::ok().await;
    let service = deciding("200 OK", "max-age=60").await;
    let gateway = started(&service, &backend, &json!({ "byPath": false })).await;
    for target in ["/a", "/b", "/a?q=secret"] {
        ask(&gateway, "GET", target, &["Authorization: x"]).await;
    }
    assert_eq!(service.requests().len(), 1);
    ask(
        &gateway,
        "GET",
        "/elsewhere?q=secret",
        &["Authorization: y"],
    )
    .await;
    assert_eq!(service.requests().len(), 2);
    let asked = format!("{:?}", service.last());
    assert!(
        !asked.contains("elsewhere") && !asked.contains("secret"),
        "{asked}"
    );
    assert!(service.last().fields("x-forwarded-uri").is_empty());
}

#[tokio::test]
async fn a_remembered_decision_tells_each_route_what_it_asks_for() {
    let backend = Backend::ok().await;
    let service = Backend::answering(
        *b"HTTP/1.1 204 Yes\r\nCache-Control: max-age=60\r\nX-User: anna\r\nX-Suspended: 1\r\n\r\n",
    )
    .await;
    let route = |path: &str, told: &[&str], rule: &str| {
        let forward = json!({ "url": service.url(), "byPath": false, "responseHeaders": told });
        let auth = json!({ "forward": forward, "require": rule });
        json!({ "path": path, "targetURL": backend.url(), "auth": auth })
    };
    let all = [
        route("/a", &["X-User"], "true"),
        route(
            "/b",
            &["X-User", "X-Suspended"],
            "!('x-suspended' in claims)",
        ),
    ];
    let gateway = gateway().routes(&routes(&all)).start().await;
    assert_eq!(get(&gateway, "/a", &[]).await.status(), 200);
    assert_eq!(get(&gateway, "/b", &[]).await.status(), 403);
}
