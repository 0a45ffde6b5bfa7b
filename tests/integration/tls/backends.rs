//! TLS towards backends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testkit::{Authority, Backend, Gateway, GatewayBuilder, Nginx, within};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use super::fixtures::{der, run};
use super::front::Front;
use crate::reload::change;
use crate::{assert_problem, everything_to, gateway};

/// Everything goes to one upstream with these endpoints, which is believed by these rules.
fn upstream(endpoints: &[String], tls: &Value) -> Value {
    json!({
        "upstreams": { "secret": { "endpoints": endpoints, "tls": tls } },
        "routes": [{ "path": "/*path", "upstream": "secret" }],
    })
}

/// A gateway that believes `authority`.
fn believing(authority: &Authority, endpoint: &str) -> GatewayBuilder {
    gateway().file("ca.pem", &authority.pem()).routes(&upstream(
        &[endpoint.to_owned()],
        &json!({ "ca": "ca.pem" }),
    ))
}

/// Answers what is not HTTP as servers do.
async fn refusing() -> Backend {
    Backend::scripted(|mut connection| async move {
        let mut first = [0];
        connection.stream.peek(&mut first).await.unwrap();
        if first[0].is_ascii_alphabetic() {
            while connection.request().await.is_some() {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        } else {
            connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
            connection.request().await;
        }
    })
    .await
}

async fn get(gateway: &Gateway) -> testkit::Message {
    gateway.client().await.get("/").await
}

#[tokio::test]
async fn backends_are_verified_and_asked_for_by_their_names() {
    let authority = Authority::new("inside");
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &authority.issue(&["localhost", "127.0.0.1"])).await;
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let before = front.seen().len();
        let gateway = believing(&authority, &front.url(host)).start().await;
        for _ in 0..5 {
            let answer = get(&gateway).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        }
        let seen = front.seen().split_off(before);
        assert_eq!(seen.len(), 1, "the connection is used again");
        // RFC 6066 §3: there are no addresses in SNI.
        assert_eq!(seen[0].name.as_deref(), name);
        let host = front.url(host).replace("https://", "");
        assert_eq!(backend.last().field("host"), Some(&*host));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told() {
    let (authority, other) = (Authority::new("inside"), Authority::new("outside"));
    let backend = Backend::ok().await;
    for (issued, code) in [
        (
            authority.issue(&["other.test"]),
            "upstream-certificate-name",
        ),
        (
            authority.issue_expired(&["localhost"]),
            "upstream-certificate-expired",
        ),
        (
            other.issue(&["localhost"]),
            "upstream-certificate-untrusted",
        ),
    ] {
        let front = Front::showing(&backend, &issued).await;
        let gateway = believing(&authority, &front.url("localhost")).start().await;
        let answer = get(&gateway).await;
        assert_problem(&answer, 502, code, "tls_certificate_error");
        assert_eq!(gateway.log(1).await[0]["error"], code);
        gateway
            .wait_for_diagnostics(1, "TLS to an upstream failed")
            .await;
    }
    assert_eq!(backend.connections(), 0, "nothing has been sent");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_from_others() {
    let gateway = gateway()
        .routes(&everything_to("https://localhost:1"))
        .start()
        .await;
    let folder = gateway.folder().to_owned();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("self.key"), path("self.pem"));
    // As it is made by hand: OpenSSL calls it an authority.
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.extend([&*key, "-out", &*certificate]);
    assert!(run("openssl", &arguments).await.status.success());
    let issued = testkit::Issued {
        certificate: std::fs::read_to_string(certificate).unwrap(),
        key: std::fs::read_to_string(key).unwrap(),
        serial: 1,
    };
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &issued).await;
    let gateway = crate::gateway()
        .routes(&everything_to(&front.url("localhost")))
        .start()
        .await;
    let answer = get(&gateway).await;
    let code = "upstream-certificate-untrusted";
    assert_problem(&answer, 502, code, "tls_certificate_error");
}

#[tokio::test]
async fn what_is_no_tls_and_what_hangs_up_is_told() {
    let authority = Authority::new("inside");
    for backend in [
        refusing().await,
        // Closes at once.
        Backend::scripted(|_| async {}).await,
    ] {
        let url = backend.url().replace("http:", "https:");
        let gateway = believing(&authority, &url).start().await;
        let answer = get(&gateway).await;
        assert_problem(&answer, 502, "upstream-tls-failed", "tls_protocol_error");
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_given_up() {
    let authority = Authority::new("inside");
    let backend = Backend::silent().await;
    let url = backend.url().replace("http:", "https:");
    let gateway = believing(&authority, &url)
        .env("CONNECT_TIMEOUT", "0.3")
        .start()
        .await;
    let answer = get(&gateway).await;
    assert_problem(
        &answer,
        504,
        "upstream-connect-timeout",
        "connection_timeout",
    );
}

#[tokio::test]
async fn the_name_may_be_another_than_that_of_the_url() {
    let authority = Authority::new("inside");
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &authority.issue(&["orders.inside"])).await;
    let tls = json!({ "ca": "ca.pem", "name": "orders.inside" });
    let gateway = gateway()
        .file("ca.pem", &authority.pem())
        .routes(&upstream(&[front.url("127.0.0.1")], &tls))
        .start()
        .await;
    assert_eq!(get(&gateway).await.status(), 200);
    assert_eq!(front.seen()[0].name.as_deref(), Some("orders.inside"));
    let host = front.url("127.0.0.1").replace("https://", "");
    assert_eq!(backend.last().field("host"), Some(&*host));
}

#[tokio::test]
async fn backends_that_ask_for_a_certificate_are_shown_one() {
    let (authority, clients) = (Authority::new("inside"), Authority::new("clients"));
    let backend = Backend::ok().await;
    let issued = authority.issue(&["localhost"]);
    let front = Front::asking(&backend, &issued, &clients).await;
    let (first, second) = (clients.issue(&["gateway.a"]), clients.issue(&["gateway.b"]));
    let endpoint = [front.url("localhost")];
    // Without one the backend refuses, which TLS 1.3 tells when the handshake is over on our side.
    let gateway = believing(&authority, &endpoint[0]).start().await;
    let answer = get(&gateway).await;
    assert_problem(&answer, 502, "upstream-tls-refused", "tls_alert_received");
    let tls = json!({ "ca": "ca.pem", "certificate": "gateway.pem", "key": "gateway.key" });
    let mut routes = upstream(&endpoint, &tls);
    routes["upstreams"]["secret"]["pool"] = json!({ "maxIdle": 0 });
    let gateway = crate::gateway()
        .file("ca.pem", &authority.pem())
        .file("gateway.pem", &first.certificate)
        .file("gateway.key", &first.key)
        .routes(&routes)
        .start()
        .await;
    assert_eq!(get(&gateway).await.status(), 200);
    assert_eq!(front.seen().last().unwrap().client, Some(der(&first)));
    // Files that are exchanged are read anew, and sessions from before are of no use then.
    let write = |name: &str, content: &str| {
        std::fs::write(gateway.folder().join(name), content).unwrap();
    };
    write("gateway.pem", &second.certificate);
    write("gateway.key", &second.key);
    gateway.wait_for_diagnostics(1, "TLS files read anew").await;
    assert_eq!(get(&gateway).await.status(), 200);
    assert_eq!(front.seen().last().unwrap().client, Some(der(&second)));
}

#[tokio::test]
async fn who_is_not_verified_is_warned_about_at_each_start() {
    let (authority, backend) = (Authority::new("outside"), Backend::ok().await);
    let front = Front::showing(&backend, &authority.issue_expired(&["other.test"])).await;
    let routes = upstream(&[front.url("localhost")], &json!({ "verify": false }));
    let warning = "the certificates of upstream \"secret\" are NOT VERIFIED";
    let checking = gateway().argument("check").routes(&routes);
    let (status, _, errors) = checking.finish().await;
    assert!(status.success() && errors.contains(warning), "{errors}");
    let gateway = gateway().routes(&routes).start().await;
    assert_eq!(get(&gateway).await.status(), 200);
    gateway.wait_for_diagnostics(1, "are NOT VERIFIED").await;
}

#[tokio::test]
async fn sessions_are_resumed_by_all_workers() {
    let authority = Authority::new("inside");
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    let mut routes = upstream(&[front.url("localhost")], &json!({ "ca": "ca.pem" }));
    routes["upstreams"]["secret"]["pool"] = json!({ "maxIdle": 0 });
    let gateway = gateway()
        .file("ca.pem", &authority.pem())
        .routes(&routes)
        .env("WORKERS", "2")
        .start()
        .await;
    for _ in 0..10 {
        assert_eq!(get(&gateway).await.status(), 200);
    }
    let resumed = front.seen().iter().filter(|it| it.resumed).count();
    assert_eq!((front.seen().len(), resumed), (10, 9), "all but the first");
}

#[tokio::test]
async fn the_systems_authorities_are_believed_where_none_are_named() {
    let authority = Authority::new("system");
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    let builder = || {
        gateway()
            .routes(&everything_to(&front.url("localhost")))
            .file("system.pem", &authority.pem())
            .file("none.pem", "")
    };
    let gateway = builder().env("SSL_CERT_FILE", "system.pem").start().await;
    assert_eq!(get(&gateway).await.status(), 200);
    let (status, _, errors) = builder()
        .argument("check")
        .env("SSL_CERT_FILE", "none.pem")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("the system's authorities: there are none; install ca-certificates"),
        "{errors}"
    );
}

#[tokio::test]
async fn an_address_that_is_spoken_to_in_the_clear_and_over_tls_has_connections_of_its_own_for_each()
 {
    let authority = Authority::new("system");
    let backend = refusing().await;
    let secret = backend.url().replace("http:", "https:");
    let gateway = gateway()
        .file("system.pem", &authority.pem())
        .env("SSL_CERT_FILE", "system.pem")
        .routes(&json!({ "routes": [
            { "path": "/plain", "targetURL": backend.url() },
            { "path": "/secret", "targetURL": secret },
        ] }))
        .start()
        .await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/plain").await.status(), 200);
    let answer = client.get("/secret").await;
    assert_problem(&answer, 502, "upstream-tls-failed", "tls_protocol_error");
}

#[tokio::test]
async fn the_next_endpoint_is_asked_where_one_cannot_be_trusted() {
    let authority = Authority::new("inside");
    let backend = Backend::ok().await;
    let bad = Front::showing(&backend, &authority.issue(&["other.test"])).await;
    let good = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    let endpoints = [bad.url("localhost"), good.url("localhost")];
    let mut routes = upstream(&endpoints, &json!({ "ca": "ca.pem" }));
    routes["routes"][0]["retry"] = json!({});
    let gateway = gateway()
        .file("ca.pem", &authority.pem())
        .routes(&routes)
        .start()
        .await;
    for _ in 0..4 {
        let mut client = gateway.client().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        assert_eq!(client.response().await.status(), 200);
    }
}

#[tokio::test]
async fn health_is_checked_over_tls() {
    let authority = Authority::new("inside");
    let backend = Backend::ok().await;
    let bad = Front::showing(&backend, &authority.issue(&["other.test"])).await;
    let good = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    for health in [
        json!({ "path": "/healthz", "interval": "50ms" }),
        json!({ "interval": "50ms" }),
    ] {
        let endpoints = [bad.url("localhost"), good.url("localhost")];
        let mut routes = upstream(&endpoints, &json!({ "ca": "ca.pem" }));
        routes["upstreams"]["secret"]["health"] = health.clone();
        routes["upstreams"]["secret"]["panicThreshold"] = json!(0);
        let gateway = gateway()
            .file("ca.pem", &authority.pem())
            .routes(&routes)
            .start()
            .await;
        gateway.wait_for_diagnostics(1, "\"health\"").await;
        if !health["path"].is_null() {
            within("a check", async {
                while !backend
                    .requests()
                    .iter()
                    .any(|it| it.target() == "/healthz")
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            let checks = backend.requests();
            let check = checks.iter().find(|it| it.target() == "/healthz").unwrap();
            let host = good.url("localhost").replace("https://", "");
            assert_eq!(check.field("host"), Some(&*host));
        }
        // The bad one gets nothing any more.
        for _ in 0..6 {
            assert_eq!(get(&gateway).await.status(), 200);
        }
    }
}

#[tokio::test]
async fn websockets_go_through_to_backends_with_tls() {
    let authority = Authority::new("inside");
    let backend = Backend::scripted(|connection| async move {
        let mut socket = accept_async(connection.stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await;
    let front = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    let gateway = believing(&authority, &front.url("localhost")).start().await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let handshake = client_async("ws://gateway.test/socket", stream);
    let (mut socket, _) = within("the handshake", handshake).await.unwrap();
    for text in ["one".to_owned(), "x".repeat(100_000)] {
        socket.send(Message::text(text.clone())).await.unwrap();
        let answer = within("an answer", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text(text));
    }
}

#[tokio::test]
async fn nginx_is_understood_with_both_versions_of_tls_and_its_sessions_are_resumed() {
    let authority = Authority::new("inside");
    let issued = authority.issue_rsa(&["localhost"]);
    for (protocol, version) in [("TLSv1.2", "1.2"), ("TLSv1.3", "1.3")] {
        let lines = format!(
            "ssl_protocols {protocol}; ssl_session_cache shared:a:1m; keepalive_requests 3;
             location / {{ add_header X-Resumed $ssl_session_reused; return 200 hello; }}"
        );
        let nginx = Nginx::showing(&issued, &lines).await;
        let url = format!("https://localhost:{}", nginx.address().port());
        let gateway = believing(&authority, &url).start().await;
        let mut client = gateway.client().await;
        for index in 0..9 {
            let answer = client.get("/").await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
            let resumed = if index < 3 { "." } else { "r" };
            assert_eq!(answer.field("x-resumed"), Some(resumed), "{index}");
        }
        for (resumed, count) in [("false", 1), ("true", 2)] {
            let series = format!(
                "api_gateway_upstream_tls_handshakes_total{{upstream=\"secret\",version=\"{version}\",resumed=\"{resumed}\"}}"
            );
            assert_eq!(gateway.metric(&series).await, count);
        }
    }
}

#[tokio::test]
async fn a_server_without_a_version_in_common_is_told() {
    let authority = Authority::new("inside");
    let issued = authority.issue(&["localhost"]);
    let lines = "ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0; return 200;";
    let nginx = Nginx::showing(&issued, lines).await;
    let url = format!("https://localhost:{}", nginx.address().port());
    let gateway = believing(&authority, &url).start().await;
    let answer = get(&gateway).await;
    assert_problem(&answer, 502, "upstream-tls-refused", "tls_alert_received");
}

#[tokio::test]
async fn large_bodies_go_through_both_ways_to_backends_with_tls() {
    let authority = Authority::new("inside");
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            let length = request.body.len();
            connection
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                ))
                .await;
            connection.send(&request.body).await;
        }
    })
    .await;
    let front = Front::showing(&backend, &authority.issue(&["localhost"])).await;
    let gateway = believing(&authority, &front.url("localhost")).start().await;
    let mut client = gateway.client().await;
    for length in [1, 16_384, 16_385, 3_000_000] {
        let body: Vec<u8> = (0..length).map(|index: u32| (index % 251) as u8).collect();
        client
            .send(format!(
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        client.send(&body).await;
        let answer = client.response().await;
        assert!(answer.status() == 200 && answer.body == body, "{length}");
    }
    assert_eq!(front.seen().len(), 1);
}

#[tokio::test]
async fn mistakes_are_told_with_their_places() {
    let authority = Authority::new("inside");
    let issued = authority.issue(&["a.test"]);
    let here = ["https://localhost:1".to_owned()];
    for (endpoints, tls, part) in [
        (
            &here[..],
            json!({ "ca": "gone.pem" }),
            "gone.pem: cannot be read",
        ),
        (
            &here,
            json!({ "ca": "cert.key" }),
            "cert.key: holds no certificate",
        ),
        (&here, json!({ "name": "a b" }), "\"a b\" must be a name"),
        (
            &here,
            json!({ "certificate": "cert.pem" }),
            "needs a \"key\" beside it",
        ),
        (
            &here,
            json!({ "key": "cert.key" }),
            "needs a \"certificate\" beside it",
        ),
        (
            &here,
            json!({ "certificate": "cert.pem", "key": "cert.pem" }),
            "cert.pem: holds no private key",
        ),
        (
            &here,
            json!({ "ca": "cert.pem", "verify": false }),
            "means nothing where \"verify\" is false",
        ),
        (
            &["http://localhost:1".to_owned()],
            json!({}),
            "means nothing: no endpoint starts with https://",
        ),
    ] {
        let (status, _, errors) = gateway()
            .argument("check")
            .file("cert.pem", &issued.certificate)
            .file("cert.key", &issued.key)
            .routes(&upstream(endpoints, &tls))
            .finish()
            .await;
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.contains(part), "{part}: {errors}");
    }
}

#[tokio::test]
async fn a_reload_keeps_connections_where_the_rules_stay_and_no_longer() {
    let (inside, other) = (Authority::new("inside"), Authority::new("other"));
    let backend = Backend::ok().await;
    let front = Front::showing(&backend, &inside.issue(&["localhost"])).await;
    let endpoint = [front.url("localhost")];
    let gateway = believing(&inside, &endpoint[0])
        .file("other.pem", &other.pem())
        .start()
        .await;
    assert_eq!(get(&gateway).await.status(), 200);
    // Another upstream with the same rules; and the same one with something else about it.
    let mut same = upstream(&endpoint, &json!({ "ca": "ca.pem" }));
    same["upstreams"]["secret"]["balance"] = json!("random");
    same["routes"][0]["timeout"] = json!(7);
    change(&gateway, &same).await;
    assert_eq!(get(&gateway).await.status(), 200);
    assert_eq!(front.seen().len(), 1, "the connection is used again");
    // Whom nobody vouches for any more is not believed for a connection that there is either.
    change(
        &gateway,
        &upstream(&endpoint, &json!({ "ca": "other.pem" })),
    )
    .await;
    let answer = get(&gateway).await;
    let reason = "tls_certificate_error";
    assert_problem(&answer, 502, "upstream-certificate-untrusted", reason);
    change(&gateway, &same).await;
    assert_eq!(get(&gateway).await.status(), 200);
}
