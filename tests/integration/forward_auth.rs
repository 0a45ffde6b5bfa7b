//! Another service decides.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message};

use crate::{gateway, routes};

async fn started(backend: &Backend, forward: &Value) -> Gateway {
    let route =
        json!({ "path": "/*path", "targetURL": backend.url(), "auth": { "forward": forward } });
    gateway().routes(&routes(&[route])).start().await
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

#[tokio::test]
async fn the_service_is_told_of_the_request_and_tells_the_backend() {
    let backend = Backend::ok().await;
    let service =
        Backend::answering(*b"HTTP/1.1 204 Yes\r\nX-User: anna\r\nX-Other: x\r\n\r\n").await;
    let forward = json!({ "url": format!("{}/check", service.url()), "responseHeaders": ["X-User"],
                "requestHeaders": ["Authorization", "X-Real-IP"] });
    let gateway = started(&backend, &forward).await;
    let fields = [
        "Authorization: Bearer x",
        "X-Secret: s",
        "X-User: root",
        "X-Forwarded-Uri: /evil",
        "X-Forwarded-Host: evil.example.com",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 192.0.2.1",
    ];
    assert_eq!(get(&gateway, "/a/%41?b=c", &fields).await.status(), 200);
    let asked = service.last();
    assert_eq!(
        (asked.start.as_str(), asked.field("authorization")),
        ("GET /check HTTP/1.1", Some("Bearer x"))
    );
    assert_eq!(asked.field("x-forwarded-method"), Some("GET"));
    assert_eq!(asked.field("x-forwarded-uri"), Some("/a/A?b=c"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.field("x-forwarded-proto"), Some("http"));
    assert_eq!(asked.field("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(asked.field("x-real-ip"), None);
    assert_eq!(asked.field("x-secret"), None);
    let seen = backend.last();
    assert_eq!(
        (seen.field("x-user"), seen.field("x-other")),
        (Some("anna"), None)
    );
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

#[tokio::test]
async fn its_refusal_is_the_clients_answer() {
    let backend = Backend::ok().await;
    let refusals = [
        (
            401,
            "WWW-Authenticate: Custom realm=\"x\"",
            "www-authenticate",
        ),
        (403, "Content-Type: text/plain", "content-type"),
        (302, "Location: https://login.example.com/", "location"),
    ];
    for (status, field, name) in refusals {
        let service = Backend::answering(format!(
            "HTTP/1.1 {status} No\r\n{field}\r\nRetry-After: 7\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 4\r\n\r\nwhy?"
        ))
        .await;
        let gateway = started(&backend, &json!({ "url": service.url() })).await;
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, "why?"));
        let expected = field.split_once(": ").unwrap().1;
        assert_eq!(answer.field(name), Some(expected));
        assert_eq!(answer.field("retry-after"), Some("7"));
        assert_eq!(answer.field("x-hop"), None);
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn without_a_decision_in_time_the_request_is_refused_or_passes_as_the_route_says() {
    let backend = Backend::ok().await;
    let (silent, failing) = (
        Backend::silent().await,
        Backend::answering(*b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await,
    );
    let refused = format!("http://{}/", Backend::refused().await);
    for url in [silent.url(), failing.url(), refused] {
        let closed = started(&backend, &json!({ "url": url })).await;
        let begun = Instant::now();
        let answer = get(&closed, "/", &[]).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (503, Some("auth-unavailable"))
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
        let open = started(
            &backend,
            &json!({ "url": url, "onError": "open", "timeout": 0.05 }),
        )
        .await;
        assert_eq!(get(&open, "/", &[]).await.status(), 200);
    }
}

#[tokio::test]
async fn a_decision_holds_as_long_as_it_says_for_the_same_question() {
    let backend = Backend::ok().await;
    let service = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let status = if request.field("authorization") == Some("good") {
                200
            } else {
                403
            };
            let lifetime = match request.field("x-forwarded-uri") {
                Some("/never") => "no-store, max-age=60",
                _ => "max-age=60",
            };
            connection
                .send(format!(
                    "HTTP/1.1 {status} X\r\nCache-Control: {lifetime}\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
        }
    })
    .await;
    let gateway = started(&backend, &json!({ "url": service.url() })).await;
    let by_path = |by_path: bool| json!({ "url": service.url(), "byPath": by_path });
    for (target, authorization, status, asked) in [
        ("/a", "good", 200, 1),
        ("/a", "good", 200, 1),
        ("/a", "bad", 403, 2),
        ("/a", "bad", 403, 2),
        ("/b", "good", 200, 3),
        ("/never", "good", 200, 4),
        ("/never", "good", 200, 5),
    ] {
        let field = format!("Authorization: {authorization}");
        assert_eq!(get(&gateway, target, &[&field]).await.status(), status);
        assert_eq!(service.requests().len(), asked, "{target} {authorization}");
    }
    let all_paths = started(&backend, &by_path(false)).await;
    for target in ["/a", "/b", "/never"] {
        assert_eq!(
            get(&all_paths, target, &["Authorization: good"])
                .await
                .status(),
            200
        );
    }
    assert_eq!(service.requests().len(), 6);
    assert_eq!(service.last().field("x-forwarded-uri"), None);
}
