//! Which request goes where, and what arrives there.

use serde_json::json;
use testkit::Backend;

use crate::{gateway, in_front_of, routes};

#[tokio::test]
async fn the_most_specific_route_gets_the_request_whatever_the_order() {
    let (literal, parameter, rest) = (
        Backend::ok().await,
        Backend::ok().await,
        Backend::ok().await,
    );
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/users/*path", "targetURL": rest.url()}),
            json!({"path": "/users/{id}", "targetURL": parameter.url()}),
            json!({"path": "/users/me", "targetURL": literal.url()}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for target in [
        "/users/me",
        "/users/7",
        "/users/7/posts",
        "/users",
        "/users/",
    ] {
        assert_eq!(client.get(target).await.status(), 200, "{target}");
    }
    let targets = |backend: &Backend| {
        backend
            .requests()
            .iter()
            .map(|request| request.target().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&literal), ["/users/me"]);
    assert_eq!(targets(&parameter), ["/users/7"]);
    assert_eq!(targets(&rest), ["/users/7/posts", "/users", "/users/"]);
}

#[tokio::test]
async fn hosts_headers_and_query_choose_among_routes() {
    let (plain, host, header, query) = (
        Backend::ok().await,
        Backend::ok().await,
        Backend::ok().await,
        Backend::ok().await,
    );
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/a", "targetURL": plain.url()}),
            json!({"path": "/a", "targetURL": host.url(), "hosts": ["*.example.com"]}),
            json!({"path": "/a", "targetURL": header.url(), "headers": {"X-Env": "beta"}}),
            json!({"path": "/a", "targetURL": query.url(), "query": {"debug": true}}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.get("/a").await;
    client
        .send("GET /a HTTP/1.1\r\nHost: API.example.com:80\r\n\r\n")
        .await;
    client.response().await;
    client.request("GET", "/a", &["X-Env: beta"]).await;
    client.response().await;
    client.get("/a?x=1&debug").await;
    for backend in [&plain, &host, &header, &query] {
        assert_eq!(backend.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow_and_a_wrong_path_404() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/a", "methods": ["GET", "POST"], "targetURL": backend.url()}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("DELETE", "/a", &[]).await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    assert_eq!(answer.json()["code"], "method-not-allowed");
    let answer = client.get("/b").await;
    assert_eq!(
        (answer.status(), answer.field("content-type")),
        (404, Some("application/problem+json"))
    );
    assert_eq!(answer.json()["code"], "route-not-found");
    assert_eq!(
        answer.json()["requestId"],
        answer.field("x-request-id").unwrap()
    );
    assert_eq!(
        answer.field("proxy-status"),
        Some("api-gateway; error=http_request_error")
    );
    client.request("HEAD", "/a", &[]).await;
    assert_eq!(client.response_to_head().await.status(), 200);
    assert_eq!(backend.last().start, "HEAD /a HTTP/1.1");
}

#[tokio::test]
async fn what_is_matched_is_what_is_forwarded() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    for (target, forwarded) in [
        ("/a/./b//c/../d", "/a/b/d"),
        ("/%61%2e%2E/b", "/a../b"),
        ("/a/%2e%2e/b", "/b"),
        ("/caf%c3%a9?x=%2F../%zz", "/caf%C3%A9?x=%2F../%zz"),
        ("/a?b=c?d&e", "/a?b=c?d&e"),
        ("/a?", "/a?"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/a;b=c/d", "/a;b=c/d"),
    ] {
        assert_eq!(client.get(target).await.status(), 200, "{target}");
        assert_eq!(backend.last().target(), forwarded);
    }
}

#[tokio::test]
async fn a_path_without_a_single_meaning_is_400_and_goes_nowhere() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    for target in [
        "/a%2fb",
        "/a%5Cb",
        "/..",
        "/a/../../b",
        "/%00",
        "/%0a",
        "/%",
        "/%zz",
        "/a/..;/b",
        "/;x/b",
    ] {
        let answer = gateway.client().await.get(target).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (400, Some("invalid-path")),
            "{target}"
        );
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_protected_route_cannot_be_reached_by_another_spelling() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/admin/*path", "targetURL": backend.url(), "requireAuth": true}),
            json!({"path": "/*path", "targetURL": backend.url()}),
        ]))
        .start()
        .await;
    for target in [
        "/admin",
        "/admin/",
        "//admin/x",
        "/x/../admin/x",
        "/%61dmin/x",
        "/./admin",
        "/admin;x/y",
        "/x/%2e%2e/admin",
    ] {
        let answer = gateway.client().await.get(target).await;
        assert_eq!(answer.status(), 401, "{target}");
        assert_eq!(
            answer.field("www-authenticate"),
            Some("Bearer realm=\"api-gateway\"")
        );
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn prefix_and_base_path_join_without_doubled_or_lost_slashes() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/api/users/*path", "targetURL": backend.url(), "stripPrefix": "/api/users"}),
            json!({"path": "/based/*path", "targetURL": format!("{}/v1/", backend.url()), "stripPrefix": "/based/"}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for (target, forwarded) in [
        ("/api/users", "/"),
        ("/api/users/", "/"),
        ("/api/users/7?q", "/7?q"),
        ("/based", "/v1"),
        ("/based/", "/v1/"),
        ("/based/a/b?c=d", "/v1/a/b?c=d"),
    ] {
        client.get(target).await;
        assert_eq!(backend.last().target(), forwarded, "{target}");
    }
}

#[tokio::test]
async fn targets_share_requests_by_weight() {
    let (heavy, light, off) = (
        Backend::ok().await,
        Backend::ok().await,
        Backend::ok().await,
    );
    let gateway = gateway()
        .routes(&routes(&[json!({"path": "/*path", "targets": [
            {"url": heavy.url(), "weight": 3}, light.url(), {"url": off.url(), "weight": 0}
        ]})]))
        .start()
        .await;
    let mut client = gateway.client().await;
    for _ in 0..8 {
        client.get("/").await;
    }
    assert_eq!(
        (
            heavy.requests().len(),
            light.requests().len(),
            off.requests().len()
        ),
        (6, 2, 0)
    );
}

#[tokio::test]
async fn without_a_routes_file_everything_goes_to_the_default_backends() {
    let (one, other) = (Backend::ok().await, Backend::ok().await);
    let gateway = gateway()
        .env("BACKEND_URLS", format!("{},{}", one.url(), other.url()))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.get("/a").await;
    client.get("/b").await;
    assert_eq!((one.requests().len(), other.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_route_without_a_target_goes_to_the_default_backend() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[json!({"path": "/a"})]))
        .env("BACKEND_URL", backend.url())
        .start()
        .await;
    assert_eq!(gateway.client().await.get("/a").await.status(), 200);
}

#[tokio::test]
async fn options_asterisk_is_answered_by_the_gateway() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("OPTIONS", "*", &[]).await;
    assert_eq!(client.response().await.status(), 204);
    assert_eq!(backend.connections(), 0);
}
