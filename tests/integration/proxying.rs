//! What goes through the gateway, and what stays.

use std::time::Duration;

use serde_json::json;
use testkit::{Backend, Client};

use crate::{everything_to, gateway, in_front_of, routes};

#[tokio::test]
async fn fields_for_one_hop_stay_on_it_in_both_directions() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=60\r\nX-Hop: 1\r\nX-End: 2\r\n\
           Proxy-Connection: x\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    let fields = [
        "Connection: keep-alive, X-Private",
        "X-Private: 1",
        "X-Public: 2",
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "Proxy-Authorization: secret",
        "TE: gzip",
        "Upgrade: h2c",
        "HTTP2-Settings: x",
    ];
    client.request("GET", "/", &fields).await;
    let answer = client.response().await;
    let request = backend.last();
    assert_eq!(request.field("x-public"), Some("2"));
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(request.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-end"), Some("2"));
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
}

#[tokio::test]
async fn host_is_the_targets_unless_it_is_preserved() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/rewritten", "targetURL": backend.url()}),
            json!({"path": "/preserved", "targetURL": backend.url(), "preserveHost": true}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.get("/rewritten").await;
    assert_eq!(
        backend.last().field("host"),
        Some(&*backend.address().to_string())
    );
    client.get("/preserved").await;
    assert_eq!(backend.last().field("host"), Some("gateway.test"));
}

const CLAIMS: [&str; 8] = [
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: www.example.com",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /x",
    "Forwarded: for=203.0.113.9",
    "X-Real-IP: 203.0.113.9",
    "X-Original-URL: /admin",
];

#[tokio::test]
async fn what_a_stranger_says_about_its_way_is_replaced() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &CLAIMS).await;
    client.response().await;
    let request = backend.last();
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(
        request.field("x-forwarded-port"),
        Some(&*gateway.address().port().to_string())
    );
    for name in [
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-original-url",
    ] {
        assert_eq!(request.field(name), None, "{name}");
    }
    assert_eq!(gateway.log(1).await[0]["client"], "127.0.0.1");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_its_address_added() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.1")
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &CLAIMS).await;
    client.response().await;
    let request = backend.last();
    assert_eq!(
        request.field("x-forwarded-for"),
        Some("203.0.113.9, 127.0.0.1")
    );
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("www.example.com"));
    assert_eq!(request.field("x-forwarded-port"), Some("443"));
    assert_eq!(request.field("x-forwarded-prefix"), Some("/x"));
    assert_eq!(gateway.log(1).await[0]["client"], "203.0.113.9");
}

#[tokio::test]
async fn a_request_id_is_kept_if_sane_and_made_otherwise() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &["X-Request-ID: my-id.7"]).await;
    assert_eq!(
        client.response().await.field("x-request-id"),
        Some("my-id.7")
    );
    assert_eq!(backend.last().field("x-request-id"), Some("my-id.7"));
    for fields in [
        &[][..],
        &["X-Request-ID: \"quoted\""],
        &["X-Request-ID: a", "X-Request-ID: b"],
    ] {
        client.request("GET", "/", fields).await;
        let answer = client.response().await;
        let id = answer.field("x-request-id").unwrap();
        assert!(id.len() == 36 && &id[14..15] == "7", "{id}");
        assert_eq!(backend.last().field("x-request-id"), Some(id));
    }
}

#[tokio::test]
async fn bodies_of_every_kind_go_through_both_ways() {
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let body = if request.target() == "/chunked" {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabcdefg"
            };
            connection.send(body).await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    for method in ["POST", "PUT", "GET", "DELETE", "REPORT", "PROPFIND"] {
        client
            .send(format!(
                "{method} /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
            ))
            .await;
        let answer = client.response().await;
        assert_eq!(
            (answer.text().as_str(), answer.field("content-length")),
            ("abcdefg", Some("7"))
        );
        let request = backend.last();
        assert_eq!(
            (request.text().as_str(), request.field("content-length")),
            ("hello", Some("5")),
            "{method}"
        );
        client
            .send(format!("{method} /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"))
            .await;
        let answer = client.response().await;
        assert_eq!(
            (answer.text().as_str(), answer.field("transfer-encoding")),
            ("abcdefg", Some("chunked"))
        );
        let request = backend.last();
        assert_eq!(
            (request.text().as_str(), request.field("transfer-encoding")),
            ("hello", Some("chunked"))
        );
        assert!(request.start.starts_with(method));
    }
    assert_eq!(backend.connections(), 1, "one connection serves all");
}

#[tokio::test]
async fn a_request_without_a_body_says_nothing_about_one() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.get("/").await;
    assert_eq!(
        (
            backend.last().field("content-length"),
            backend.last().field("transfer-encoding")
        ),
        (None, None)
    );
    client.request("POST", "/", &["Content-Length: 0"]).await;
    client.response().await;
    assert_eq!(backend.last().field("content-length"), Some("0"));
}

#[tokio::test]
async fn trailers_go_through_both_ways() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n2\r\nok\r\n0\r\nDigest: abc\r\nGrpc-Status: 0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n")
        .await;
    let answer = client.response().await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        answer.trailers,
        [pair("digest", "abc"), pair("grpc-status", "0")]
    );
    let request = backend.last();
    assert_eq!(request.trailers, [pair("x-sum", "9")]);
    assert_eq!(request.field("te"), Some("trailers"));
}

#[tokio::test]
async fn trailers_say_nothing_that_fields_must_not() {
    const REQUEST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\nX-User: root\r\nX_User: root\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Request-Id: 1\r\nCookie: a=b\r\n\r\n";
    let backend = Backend::ok().await;
    let plain = json!({ "path": "/*path", "targetURL": backend.url() });
    let mut claims = plain.clone();
    claims["auth"] = json!({ "forward": { "url": backend.url(), "responseHeaders": ["X-User"] } });
    for (route, kept) in [(plain, &["x-sum", "x-user"][..]), (claims, &[])] {
        let gateway = gateway().routes(&routes(&[route])).start().await;
        let mut client = gateway.client().await;
        client.send(REQUEST).await;
        assert_eq!(client.response().await.status(), 200);
        let request = backend.last();
        let names: Vec<&str> = request.trailers.iter().map(|(name, _)| &**name).collect();
        assert_eq!((names.as_slice(), request.text().as_str()), (kept, "hi"));
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let answer = match request.target() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 9\r\n\r\n",
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            };
            connection.send(answer).await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    let answer = client.get("/204").await;
    assert_eq!(
        (answer.status(), answer.field("content-length")),
        (204, None)
    );
    let answer = client.get("/304").await;
    assert_eq!(
        (
            answer.status(),
            answer.field("content-length"),
            answer.field("etag")
        ),
        (304, Some("9"), Some("\"x\""))
    );
    client.request("HEAD", "/head", &[]).await;
    let answer = client.response_to_head().await;
    assert_eq!(
        (answer.status(), answer.field("content-length")),
        (200, Some("1234"))
    );
    assert_eq!(client.get("/").await.field("content-length"), Some("0"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_http_1_0_client_gets_what_it_understands() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!(
        (answer.text().as_str(), answer.field("transfer-encoding")),
        ("abc", None)
    );
    assert_eq!(answer.field("connection"), Some("close"));
}

#[tokio::test]
async fn an_http_1_0_client_may_keep_its_connection() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        assert_eq!(
            client.response().await.field("connection"),
            Some("keep-alive")
        );
    }
}

#[tokio::test]
async fn an_http_1_0_backend_ends_its_body_with_its_connection() {
    let backend = Backend::closing(*b"HTTP/1.0 200 OK\r\n\r\nto the end").await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!(
            (answer.text().as_str(), answer.field("transfer-encoding")),
            ("to the end", Some("chunked"))
        );
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let target = request.target().to_owned();
            connection
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                    target.len()
                ))
                .await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    let requests: String = (0..50)
        .map(|index| format!("POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"))
        .collect();
    client.send(requests).await;
    for index in 0..50 {
        assert_eq!(client.response().await.text(), format!("/{index}"));
    }
}

#[tokio::test]
async fn a_backend_by_name_is_reached() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&format!(
            "http://localhost:{}",
            backend.address().port()
        )))
        .start()
        .await;
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(
        backend.last().field("host"),
        Some(&*format!("localhost:{}", backend.address().port()))
    );
}

#[tokio::test]
async fn an_unread_request_body_does_not_become_the_next_request() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/a", "targetURL": backend.url()}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    let smuggled = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    client
        .send(format!(
            "POST /missing HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ))
        .await;
    assert_eq!(client.response().await.status(), 404);
    assert_eq!(client.get("/a").await.status(), 200);
    assert_eq!(backend.requests().len(), 1);
    // Too much to be read away: the connection is closed instead.
    client
        .request("POST", "/missing", &["Content-Length: 100000000"])
        .await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (404, Some("close"))
    );
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_quiet_connection_is_not_disturbed() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client: Client = gateway.client().await;
    client.get("/").await;
    assert!(client.is_silent_for(Duration::from_millis(300)).await);
    assert_eq!(client.get("/").await.status(), 200);
}
