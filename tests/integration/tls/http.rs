//! What is spoken over TLS, and what backends and logs learn of it.

use rustls::ProtocolVersion;
use testkit::http2::{Client, flag, kind, request_fields};
use testkit::{Authority, Backend, within};

use super::fixtures::{ONLY_TLS_1_2, ONLY_TLS_1_3, Tls, run, showing};
use crate::assert_problem;
use crate::http2::websocket::{connect_to, data, echo, masked, plain};

#[tokio::test]
async fn requests_and_answers_go_through_with_both_versions_of_tls() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    for (versions, version) in [
        (ONLY_TLS_1_2, ProtocolVersion::TLSv1_2),
        (ONLY_TLS_1_3, ProtocolVersion::TLSv1_3),
    ] {
        let tls = tls.clone().versions(versions);
        let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
        assert_eq!(client.stream.get_ref().1.protocol_version(), Some(version));
        for _ in 0..3 {
            let answer = client.get("api.test", "/a?b", &[]).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        }
    }
    let seen = backend.last();
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(
        seen.field("x-forwarded-port"),
        Some(&*gateway.https().port().to_string())
    );
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(backend.last().field("x-forwarded-proto"), Some("http"));
    let log = gateway.log(7).await;
    assert_eq!(
        (&log[0]["tls"], &log[3]["tls"]),
        (&"1.2".into(), &"1.3".into())
    );
    assert_eq!(log[0]["tlsResumed"], false);
    assert!(log[6].get("tls").is_none());
    let handshakes = |version: &str| {
        format!("api_gateway_tls_handshakes_total{{version=\"{version}\",resumed=\"false\"}}")
    };
    assert_eq!(gateway.metric(&handshakes("1.2")).await, 1);
    assert_eq!(gateway.metric(&handshakes("1.3")).await, 1);
}

#[tokio::test]
async fn http_2_is_preferred_and_http_1_1_is_there() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let tls = Tls::trusting(&authority).alpn(offered);
        let client = tls.connect(gateway.https(), "api.test").await.unwrap();
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), chosen);
    }
    let tls = Tls::trusting(&authority).alpn(&["h2"]);
    let client = tls.connect(gateway.https(), "api.test").await.unwrap();
    let (mut sender, connection) = within("the handshake", h2::client::handshake(client.stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://api.test/h2").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    assert_eq!(within("a response", response).await.unwrap().status(), 200);
    assert_eq!(gateway.log(1).await[0]["protocol"], "HTTP/2");
    // Somebody who agrees on nothing that is served is told so in the handshake (RFC 7301 §3.2).
    let tls = Tls::trusting(&authority).alpn(&["spdy/1"]);
    let error = tls
        .connect(gateway.https(), "api.test")
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[tokio::test]
async fn websockets_over_http_2_pass_and_their_scheme_is_that_of_the_connection() {
    let authority = Authority::new("test");
    let backend = echo().await;
    let issued = authority.issue(&["gateway.test"]);
    let gateway = showing(&backend, &issued).start().await;
    let tls = Tls::trusting(&authority).alpn(&["h2"]);
    let tls = tls.connect(gateway.https(), "gateway.test").await.unwrap();
    let mut client = Client::over(tls.stream);
    client.agree().await;
    // It says `:scheme: http`, which is not so.
    connect_to(&mut client, 1, "/socket").await;
    let long = "x".repeat(100);
    for text in ["hello", "", &long] {
        client.frame(kind::DATA, 0, 1, &masked(text)).await;
        assert_eq!(data(&mut client, 1, 2 + text.len()).await, plain(text));
    }
    client.frame(kind::DATA, flag::END_STREAM, 1, &[]).await;
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (&line["status"], &line["protocol"]),
        (&101.into(), &"HTTP/2".into())
    );
    assert_eq!(
        (&line["tls"], &line["error"]),
        (&"1.3".into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn a_scheme_that_the_client_claims_over_http_2_counts_for_nothing() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let issued = authority.issue(&["gateway.test"]);
    let gateway = showing(&backend, &issued).start().await;
    let tls = Tls::trusting(&authority).alpn(&["h2"]);
    let tls = tls.connect(gateway.https(), "gateway.test").await.unwrap();
    let mut encrypted = Client::over(tls.stream);
    encrypted.agree().await;
    let mut plain = Client::connect(gateway.address()).await;
    for (client, scheme) in [(&mut encrypted, "https"), (&mut plain, "http")] {
        for (stream, claimed) in [(1, "http"), (3, "https")] {
            let mut fields = request_fields("GET", "/", &[]);
            fields[1].1 = claimed;
            client.headers(stream, flag::END, &fields).await;
            assert_eq!(client.answer(stream).await.status, Some(200));
            assert_eq!(backend.last().field("x-forwarded-proto"), Some(scheme));
        }
    }
}

#[tokio::test]
async fn large_bodies_go_through_both_ways() {
    let authority = Authority::new("test");
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            connection.send(head).await;
            connection.send(&request.body).await;
        }
    })
    .await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    for length in [1, 16_384, 16_385, 3_000_000] {
        let body: Vec<u8> = (0..length).map(|index: u32| (index % 251) as u8).collect();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        client.send(&body).await;
        assert!(client.response().await.body == body, "{length} bytes");
    }
}

#[tokio::test]
async fn a_request_for_another_host_than_the_connection_is_misdirected() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let issued = authority.issue(&["api.test", "*.apps.test"]);
    let gateway = showing(&backend, &issued).start().await;
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    for host in ["api.test", "API.test:443", "one.apps.test"] {
        assert_eq!(client.get(host, "/", &[]).await.status(), 200, "{host}");
    }
    for host in ["other.test", "apps.test", "a.b.apps.test", "127.0.0.1"] {
        let answer = client.get(host, "/", &[]).await;
        assert_problem(&answer, 421, "misdirected-request", "http_request_error");
    }
    // HTTP/2 says it in a pseudo-field.
    let tls = tls.alpn(&["h2"]);
    let second = tls.connect(gateway.https(), "api.test").await.unwrap();
    let (mut sender, connection) = within("the handshake", h2::client::handshake(second.stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    for (host, status) in [("other.test", 421), ("two.apps.test", 200)] {
        let request = http::Request::get(format!("https://{host}/")).body(());
        let (response, _) = sender.send_request(request.unwrap(), true).unwrap();
        let response = within("a response", response).await.unwrap();
        assert_eq!(response.status(), status, "{host}");
    }
    // The connection is good for its own.
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
    assert_eq!(backend.requests().len(), 5);
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_and_draining_loses_nothing() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let mut gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    let answer = client.get("api.test", "/", &["Connection: close"]).await;
    assert_eq!(answer.status(), 200);
    // Without close_notify this is an error.
    assert_eq!(client.rest().await.unwrap(), b"");
    let mut idle = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert_eq!(idle.get("api.test", "/", &[]).await.status(), 200);
    gateway.signal("TERM").await;
    assert_eq!(idle.rest().await.unwrap(), b"");
    drop((client, idle));
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn websockets_pass() {
    let authority = Authority::new("test");
    let backend = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
        let bytes = connection.until("fro").await;
        connection.send(bytes).await;
    })
    .await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    assert_eq!(client.get("api.test", "/", &fields).await.status(), 101);
    client.send("to and fro").await;
    assert_eq!(client.rest().await.unwrap(), b"to and fro");
}

#[tokio::test]
async fn curl_is_content() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["localhost"]))
        .file("ca.pem", &authority.pem())
        .start()
        .await;
    let ca = gateway.folder().join("ca.pem");
    let port = gateway.https().port();
    for protocol in ["--http1.1", "--http2"] {
        let output = run(
            "curl",
            &[
                "--silent",
                "--show-error",
                "--write-out",
                " %{http_version} %{ssl_verify_result}",
                protocol,
                "--cacert",
                ca.to_str().unwrap(),
                "--resolve",
                &format!("localhost:{port}:127.0.0.1"),
                &format!("https://localhost:{port}/"),
            ],
        )
        .await;
        let version = if protocol == "--http2" { "2" } else { "1.1" };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text, format!("ok {version} 0"), "{output:?}");
    }
}
