//! Services that decide who may pass.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};
use tokio::io::AsyncWriteExt;

use super::fixtures::gateways::{everywhere, with, with_joe};
use super::fixtures::requests::{assert_unavailable, bearer, get};
use super::fixtures::signing::P256;
use crate::{gateway, routes};

const PASS: &str = "HTTP/1.1 200 OK\r\nX-User: anna\r\nX-Plan: gold\r\nX-Other: secret\r\nContent-Length: 0\r\n\r\n";

/// A gateway whose route asks a service, and what else is said of that.
pub(crate) fn asking(service: &str, backend: &Backend, more: &Value) -> GatewayBuilder {
    let forward = json!({
        "url": format!("{service}/check"), "timeout": 5, "responseHeaders": ["X-User", "X-Plan"]
    });
    let auth = json!({ "auth": { "forward": with(forward, more) } });
    gateway().routes(&routes(&[everywhere(backend, &auth)]))
}

/// A service whose answer can be changed.
async fn service(answer: &str) -> (Backend, Arc<Mutex<String>>) {
    let answer = Arc::new(Mutex::new(answer.to_owned()));
    let shared = Arc::clone(&answer);
    let service = Backend::scripted(move |mut connection| {
        let shared = Arc::clone(&shared);
        async move {
            while connection.request().await.is_some() {
                let answer = shared.lock().unwrap().clone();
                connection.send(answer).await;
            }
        }
    })
    .await;
    (service, answer)
}

fn answer(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n")
}

async fn send(gateway: &Gateway, request: &str) -> Message {
    let mut client = gateway.client().await;
    client.send(request).await;
    client.response().await
}

#[tokio::test]
async fn the_service_gets_a_get_that_tells_of_the_request() {
    let backend = Backend::ok().await;
    let service = Backend::answering(PASS).await;
    let gateway = asking(&service.url(), &backend, &json!({})).start().await;
    let answer = send(
        &gateway,
        "POST /a/%62?c=d&e HTTP/1.1\r\nHost: shop.example.com\r\nAuthorization: Bearer t\r\nCookie: a=b\r\n\
         X-Other: hidden\r\nX-User: root\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /public\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Original-URL: /public\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert_eq!(answer.status(), 200);
    let asked = service.last();
    assert_eq!(asked.start, "GET /check HTTP/1.1");
    for (name, value) in [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-uri", "/a/b?c=d&e"),
        ("x-forwarded-for", "127.0.0.1"),
        ("authorization", "Bearer t"),
        ("cookie", "a=b"),
        ("host", &service.address().to_string()),
    ] {
        assert_eq!(asked.fields(name), [value], "{name}");
    }
    for name in ["x-other", "x-user", "content-type", "x-original-url"] {
        assert!(asked.fields(name).is_empty(), "{name}");
    }
    assert!(asked.body.is_empty());
    let seen = backend.last();
    assert_eq!(
        (seen.start.as_str(), seen.text().as_str()),
        ("POST /a/b?c=d&e HTTP/1.1", "hello")
    );
}

#[tokio::test]
async fn the_service_gets_the_fields_that_the_route_names() {
    let backend = Backend::ok().await;
    let service = Backend::answering(PASS).await;
    let more = json!({ "requestHeaders": ["X-Session", "Accept-Language", "X-Real-IP"] });
    let gateway = asking(&service.url(), &backend, &more).start().await;
    let fields = [
        "x-session: 7",
        "Accept-Language: de",
        "Accept-Language: en",
        "Authorization: x",
        "Cookie: a=b",
        "X-Real-IP: 192.0.2.1",
    ];
    assert_eq!(get(&gateway, "/", &fields).await.status(), 200);
    let asked = service.last();
    assert_eq!(asked.fields("x-session"), ["7"]);
    assert_eq!(asked.fields("accept-language").join(", "), "de, en");
    assert!(asked.fields("authorization").is_empty() && asked.fields("cookie").is_empty());
    // Only a trusted proxy may say this.
    assert!(asked.fields("x-real-ip").is_empty());
}

#[tokio::test]
async fn what_the_service_is_shown_is_kept_from_the_backend_where_the_route_says_so() {
    let backend = Backend::ok().await;
    let (service, _) = service("HTTP/1.1 204 No Content\r\n\r\n").await;
    for (forwards, expected) in [(true, Some("s")), (false, None)] {
        let forward = json!({ "url": service.url(), "requestHeaders": ["X-Session", "Cookie"] });
        let auth = json!({ "forward": forward, "forwardCredentials": forwards });
        let route = everywhere(&backend, &json!({ "auth": auth }));
        let gateway = gateway().routes(&routes(&[route])).start().await;
        let request =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Session: s\r\nCookie: s\r\nX-Other: o\r\n\r\n";
        assert_eq!(send(&gateway, request).await.status(), 200);
        assert_eq!(service.last().field("x-session"), Some("s"));
        let seen = backend.last();
        assert_eq!(
            (seen.field("x-session"), seen.field("cookie")),
            (expected, expected)
        );
        assert_eq!(seen.field("x-other"), Some("o"));
    }
}

#[tokio::test]
async fn fields_of_its_answer_go_to_the_backend_in_place_of_the_clients() {
    let backend = Backend::ok().await;
    let forged = [
        "X-User: root",
        "x-user: root",
        "X_User: root",
        "X-Plan: root",
        "Connection: X-User",
    ];
    for (status, fields, user, plan) in [
        (
            "200 OK",
            "X-User: anna\r\nX-Plan: gold\r\nX-Other: secret\r\n",
            Some("anna"),
            Some("gold"),
        ),
        ("204 No Content", "x-user: anna\r\n", Some("anna"), None),
        ("299 Fine", "", None, None),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n");
        let service = Backend::closing(answer).await;
        let gateway = asking(&service.url(), &backend, &json!({})).start().await;
        assert_eq!(get(&gateway, "/", &forged).await.status(), 200, "{status}");
        let seen = backend.last();
        assert_eq!(seen.field("x-user"), user);
        assert_eq!(seen.field("x-plan"), plan);
        let whole = format!("{seen:?}");
        assert!(
            !whole.contains("secret") && !whole.contains("root"),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn fields_of_its_answer_are_claims_by_their_lower_case_names() {
    let backend = Backend::ok().await;
    let service = Backend::answering(PASS).await;
    for (rule, status) in [
        (
            "claims['x-user'] == 'anna' && claims['x-plan'] == 'gold'",
            200,
        ),
        ("claims['x-user'] == 'bert'", 403),
        ("'X-User' in claims", 403),
        ("'x-other' in claims", 403),
    ] {
        let forward =
            json!({ "url": service.url(), "timeout": 5, "responseHeaders": ["X-User", "X-Plan"] });
        let auth = json!({ "forward": forward, "require": rule });
        let route = json!({
            "path": "/*path", "targetURL": backend.url(), "auth": auth, "forwardClaims": { "X-Name": "x-user" }
        });
        let gateway = gateway().routes(&routes(&[route])).start().await;
        assert_eq!(get(&gateway, "/", &[]).await.status(), status, "{rule}");
    }
    assert_eq!(backend.last().field("x-name"), Some("anna"));
}

#[tokio::test]
async fn a_3xx_or_4xx_is_the_answer_to_the_client() {
    let backend = Backend::ok().await;
    for (status, code) in [
        ("300 Multiple Choices", 300),
        ("302 Found", 302),
        ("307 Temporary Redirect", 307),
        ("401 Unauthorized", 401),
        ("403 Forbidden", 403),
        ("404 Not Found", 404),
        ("418 Teapot", 418),
        ("429 Too Many Requests", 429),
        ("499 Whatever", 499),
    ] {
        let service = Backend::answering(format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\ngo away"
        ))
        .await;
        let gateway = asking(&service.url(), &backend, &json!({ "onError": "open" }))
            .start()
            .await;
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!((answer.status(), answer.text().as_str()), (code, "go away"));
        assert_eq!(answer.field("content-type"), Some("text/plain"));
        assert_eq!(service.requests().len(), 1);
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn its_refusal_reaches_the_client_with_its_fields() {
    let backend = Backend::ok().await;
    let mut lost = Vec::new();
    for (name, value) in [
        ("Location", "https://login.example.com/?a=b"),
        ("WWW-Authenticate", "Negotiate"),
        ("Set-Cookie", "a=b; Secure"),
        ("Retry-After", "7"),
        ("Content-Language", "de"),
        ("Cache-Control", "no-store"),
        ("X-Reason", "because"),
    ] {
        let service =
            Backend::answering(answer("401 Unauthorized", &format!("{name}: {value}\r\n"))).await;
        let gateway = asking(&service.url(), &backend, &json!({})).start().await;
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!(answer.status(), 401);
        if answer.field(name) != Some(value) {
            lost.push(name);
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn fields_for_one_hop_of_its_refusal_stay_on_it() {
    let backend = Backend::ok().await;
    let service = Backend::answering(
        "HTTP/1.1 403 Forbidden\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    )
    .await;
    let gateway = asking(&service.url(), &backend, &json!({})).start().await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
        assert_eq!(
            (answer.field("x-hop"), answer.field("keep-alive")),
            (None, None)
        );
    }
    client.request("HEAD", "/", &[]).await;
    assert_eq!(client.response_to_head().await.status(), 403);
    assert_eq!(client.get("/").await.status(), 403);
}

#[tokio::test]
async fn a_failure_of_the_service_refuses_or_lets_pass_as_the_route_says() {
    let backend = Backend::ok().await;
    let mut services = Vec::new();
    for bytes in [
        answer("500 Internal Server Error", "X-User: anna\r\n"),
        answer("503 Service Unavailable", ""),
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n",
            "x".repeat(1_000_000)
        ),
    ] {
        services.push(Backend::closing(bytes).await);
    }
    services.push(Backend::silent().await);
    let mut urls: Vec<String> = services.iter().map(Backend::url).collect();
    urls.push(format!("http://{}", Backend::refused().await));
    urls.push("http://nowhere.invalid".to_owned());
    for url in urls {
        for (setting, open) in [(None, false), (Some("closed"), false), (Some("open"), true)] {
            let mut more = json!({ "timeout": 0.3 });
            if let Some(setting) = setting {
                more["onError"] = setting.into();
            }
            let passed = backend.requests().len();
            let gateway = asking(&url, &backend, &more).start().await;
            let answer = get(&gateway, "/", &["X-User: root", "X_User: root"]).await;
            if open {
                assert_eq!(answer.status(), 200, "{url}");
                let seen = format!("{:?}", backend.last());
                assert!(!seen.contains("root") && !seen.contains("anna"), "{seen}");
            } else {
                assert_unavailable(&answer);
                assert_eq!(backend.requests().len(), passed);
            }
        }
    }
}

#[tokio::test]
async fn what_the_route_asks_for_besides_holds_while_the_service_is_away() {
    let backend = Backend::ok().await;
    let away = format!("http://{}", Backend::refused().await);
    for (more, method, status) in [
        (json!({ "require": "method == 'GET'" }), "GET", 200),
        (json!({ "require": "method == 'GET'" }), "DELETE", 403),
        (
            json!({ "require": "claims['x-user'] == 'anna'" }),
            "GET",
            403,
        ),
        (json!({ "roles": ["boss"] }), "GET", 403),
        (json!({ "scopes": ["a"] }), "GET", 403),
    ] {
        let forward = json!({ "url": away, "onError": "open" });
        let auth = with(json!({ "forward": forward }), &more);
        let route = everywhere(&backend, &json!({ "auth": auth }));
        let gateway = gateway().routes(&routes(&[route])).start().await;
        let mut client = gateway.client().await;
        client.request(method, "/", &[]).await;
        let answer = client.response().await;
        assert_eq!(answer.status(), status, "{more} {method}");
    }
}

#[tokio::test]
async fn an_answer_without_end_holds_nobody_up() {
    let backend = Backend::ok().await;
    for (start, statuses) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", &[403, 503][..]),
        ("HTTP/1.1 200 OK\r\n\r\n", &[200, 503]),
        ("HTTP/1.1 200 OK\r\nX-Endless: ", &[503]),
        ("HTTP/1.1 103 Early Hints\r\nX-Endless: ", &[503]),
    ] {
        let endless = Backend::scripted(move |mut connection| async move {
            connection.request().await;
            connection.send(start).await;
            let piece = [b'x'; 65_536];
            while AsyncWriteExt::write_all(&mut connection.stream, &piece)
                .await
                .is_ok()
            {}
            connection.ended().await;
        })
        .await;
        let gateway = asking(&endless.url(), &backend, &json!({ "timeout": 0.5 }))
            .start()
            .await;
        let answer = get(&gateway, "/", &[]).await;
        assert!(
            statuses.contains(&answer.status()),
            "{start}: {}",
            answer.start
        );
        endless.wait_for_ends(1).await;
        assert!(gateway.peak_memory() < 200 * 1024);
    }
}

#[tokio::test]
async fn a_service_has_a_fifth_of_a_second_where_nothing_else_is_said() {
    let backend = Backend::ok().await;
    let slow = Backend::silent().await;
    let forward = json!({ "url": slow.url() });
    let route =
        json!({ "path": "/*path", "targetURL": backend.url(), "auth": { "forward": forward } });
    let gateway = gateway().routes(&routes(&[route])).start().await;
    let start = Instant::now();
    assert_unavailable(&get(&gateway, "/", &[]).await);
    let taken = start.elapsed();
    assert!(taken >= Duration::from_millis(200), "{taken:?}");
    assert!(taken < Duration::from_secs(2), "{taken:?}");
    // Nobody is left waiting there.
    slow.wait_for_ends(1).await;
}

#[tokio::test]
async fn kinds_of_credentials_are_tried_in_their_order() {
    let backend = Backend::ok().await;
    let (service, word) = service(&answer("403 Forbidden", "")).await;
    let forward = json!({ "url": service.url(), "timeout": 5 });
    let auth = json!({ "accept": ["jwt", "forward"], "forward": forward });
    let route = everywhere(&backend, &json!({ "auth": auth }));
    let gateway = with_joe(&[route]).start().await;
    // Who shows a good token needs no service.
    let good = bearer(&P256.token(&json!({})));
    assert_eq!(get(&gateway, "/", &[&good]).await.status(), 200);
    assert!(service.requests().is_empty());
    let bad = bearer("a.b.c");
    for fields in [&[][..], &[&*bad]] {
        assert_eq!(get(&gateway, "/", fields).await.status(), 403);
    }
    assert_eq!(service.requests().len(), 2);
    *word.lock().unwrap() = answer("200 OK", "");
    assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
}
