//! From http to https.

use serde_json::json;
use testkit::{Authority, Backend};

use super::fixtures::{Tls, showing};
use crate::{assert_problem, everything_to, gateway};

#[tokio::test]
async fn requests_without_tls_are_sent_to_where_it_is() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("HTTPS_REDIRECT", "true")
        .start()
        .await;
    let port = gateway.https().port();
    let mut client = gateway.client().await;
    for (host, method, target, location) in [
        (
            "api.test",
            "GET",
            "/a%2fb?c=d",
            format!("https://api.test:{port}/a%2fb?c=d"),
        ),
        (
            "api.test:8080",
            "POST",
            "/",
            format!("https://api.test:{port}/"),
        ),
        ("[::1]:8080", "GET", "/x", format!("https://[::1]:{port}/x")),
        (
            "[::1]",
            "GET",
            "//evil.test/",
            format!("https://[::1]:{port}//evil.test/"),
        ),
    ] {
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n"
            ))
            .await;
        let answer = client.response().await;
        assert_eq!(
            (answer.status(), answer.field("location")),
            (308, Some(&*location))
        );
    }
    let mut old = gateway.client().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_problem(
        &old.response().await,
        400,
        "malformed-request",
        "http_request_error",
    );
    assert!(backend.requests().is_empty());
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
}

#[tokio::test]
async fn what_has_come_to_a_trusted_proxy_by_https_is_not_sent_there_again() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["api.test"]);
    let backend = Backend::ok().await;
    let listeners = json!({
        "certificates": [{ "certificate": "cert.pem", "key": "key.pem" }],
        "listeners": [
            { "address": "127.0.0.1:0", "redirectToHttps": true },
            { "address": "127.0.0.1:0", "tls": true }
        ]
    });
    for (trusted, status) in [("127.0.0.0/8", 200), ("10.0.0.0/8", 308)] {
        let gateway = gateway()
            .routes(&everything_to(&backend.url()))
            .file("cert.pem", &issued.certificate)
            .file("key.pem", &issued.key)
            .file("listeners.json", &listeners.to_string())
            .env("LISTENERS_FILE", "listeners.json")
            .env("TRUSTED_PROXIES", trusted)
            .start()
            .await;
        let mut client = gateway.client().await;
        client
            .request("GET", "/", &["X-Forwarded-Proto: https"])
            .await;
        assert_eq!(client.response().await.status(), status);
    }
}
