//! Clients that show certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Authority, Backend, Gateway, GatewayBuilder, within};

use super::fixtures::{ONLY_TLS_1_2, ONLY_TLS_1_3, Tls, connect, der, run, showing};
use crate::{assert_problem, gateway, routes};

/// A gateway that shows a certificate of `server`, with these rules about those of clients.
fn asking(server: &Authority, clients: &Authority, rules: &Value, route: &Value) -> GatewayBuilder {
    let issued = server.issue(&["api.test"]);
    let mut client_auth = json!({ "ca": "clients.pem" });
    client_auth
        .as_object_mut()
        .unwrap()
        .extend(rules.as_object().unwrap().clone());
    let listeners = json!({
        "certificates": [{ "certificate": "cert.pem", "key": "key.pem" }],
        "listeners": [
            { "address": "127.0.0.1:0" },
            { "address": "127.0.0.1:0", "tls": { "clientAuth": client_auth } },
            { "address": "127.0.0.1:0", "tls": true }
        ]
    });
    gateway()
        .routes(&routes(std::slice::from_ref(route)))
        .file("cert.pem", &issued.certificate)
        .file("key.pem", &issued.key)
        .file("clients.pem", &clients.pem())
        .file("listeners.json", &listeners.to_string())
        .env("LISTENERS_FILE", "listeners.json")
}

fn to(backend: &Backend) -> Value {
    json!({ "path": "/*path", "targetURL": backend.url() })
}

async fn reloads(gateway: &Gateway, count: u64) {
    let series = "api_gateway_tls_reloads_total{result=\"success\"}";
    within("a change to be noticed", async {
        while gateway.metric(series).await < count {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Whether a request gets through; in TLS 1.3 the client learns of a refusal only when it reads.
async fn passes(tls: &Tls, gateway: &Gateway) -> bool {
    let Ok(mut client) = tls.connect(gateway.https(), "api.test").await else {
        return false;
    };
    client
        .send("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n")
        .await;
    client
        .rest()
        .await
        .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
}

#[tokio::test]
async fn who_must_show_a_certificate_and_has_no_good_one_gets_no_connection() {
    let (server, clients, others) = (
        Authority::new("server"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let backend = Backend::ok().await;
    let gateway = asking(&server, &clients, &json!({}), &to(&backend))
        .start()
        .await;
    for versions in [ONLY_TLS_1_2, ONLY_TLS_1_3] {
        let tls = Tls::trusting(&server).versions(versions);
        let good = clients.issue(&["billing.test"]);
        assert!(passes(&tls.clone().showing(&good), &gateway).await);
        assert!(!passes(&tls, &gateway).await, "none");
        assert!(
            !passes(
                &tls.clone().showing(&others.issue(&["billing.test"])),
                &gateway
            )
            .await
        );
        assert!(
            !passes(
                &tls.showing(&clients.issue_expired(&["billing.test"])),
                &gateway
            )
            .await
        );
    }
    assert_eq!(backend.requests().len(), 2);
    let series = "api_gateway_tls_handshake_failures_total{reason=\"client-certificate\"}";
    assert_eq!(gateway.metric(series).await, 6);
}

#[tokio::test]
async fn one_authority_in_the_settings_is_enough() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &server.issue(&["api.test"]))
        .file("clients.pem", &clients.pem())
        .env("TLS_CLIENT_CA", "clients.pem")
        .start()
        .await;
    let tls = Tls::trusting(&server);
    assert!(!passes(&tls, &gateway).await);
    assert!(passes(&tls.showing(&clients.issue(&["a.test"])), &gateway).await);
}

#[tokio::test]
async fn a_route_may_ask_for_what_the_listener_only_allows() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let backend = Backend::ok().await;
    let route = json!({
        "path": "/*path",
        "targetURL": backend.url(),
        "auth": {
            "accept": ["clientCert"],
            "require": "claims.spiffe.startsWith('spiffe://example.org/ns/shop/')"
        },
        "forwardClaims": { "X-Caller": "sub" }
    });
    let rules = json!({ "mode": "optional" });
    let gateway = asking(&server, &clients, &rules, &route).start().await;
    let tls = Tls::trusting(&server);
    let mut nobody = tls.connect(gateway.https(), "api.test").await.unwrap();
    let answer = nobody.get("api.test", "/", &["Client-Cert: :AAAA:"]).await;
    assert_problem(&answer, 403, "forbidden", "http_request_denied");
    assert!(
        answer.text().contains("client certificate is needed"),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.client().await.get("/").await.status(), 403);
    for (id, status) in [
        ("spiffe://example.org/ns/shop/sa/cart", 200),
        ("spiffe://example.org/ns/bank/sa/cart", 403),
        ("https://example.org/ns/shop/", 403),
    ] {
        let tls = tls.clone().showing(&clients.issue_for_uri(id));
        let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
        assert_eq!(
            client.get("api.test", "/", &[]).await.status(),
            status,
            "{id}"
        );
    }
    let seen = backend.last();
    assert_eq!(
        seen.field("x-caller"),
        Some("spiffe://example.org/ns/shop/sa/cart")
    );
    let log = gateway.log(5).await;
    assert_eq!(log[2]["consumer"], "spiffe://example.org/ns/shop/sa/cart");
}

#[tokio::test]
async fn backends_get_the_certificate_and_never_a_made_up_one() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let backend = Backend::ok().await;
    let rules = json!({ "mode": "optional" });
    let gateway = asking(&server, &clients, &rules, &to(&backend))
        .start()
        .await;
    let made_up = ["Client-Cert: :AAAA:", "Client-Cert-Chain: :AAAA:"];
    let issued = clients.issue(&["billing.test"]);
    let tls = Tls::trusting(&server);
    let with = tls.clone().showing(&issued);
    let mut client = with.connect(gateway.https(), "api.test").await.unwrap();
    client.get("api.test", "/", &made_up).await;
    let expected = format!(":{}:", STANDARD.encode(der(&issued)));
    assert_eq!(backend.last().fields("client-cert"), [&*expected]);
    assert!(backend.last().fields("client-cert-chain").is_empty());
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    client.get("api.test", "/", &made_up).await;
    let mut plain = gateway.client().await;
    plain.request("GET", "/", &made_up).await;
    plain.response().await;
    let requests = backend.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        assert!(request.fields("client-cert").is_empty());
        assert!(request.fields("client-cert-chain").is_empty());
    }
}

#[tokio::test]
async fn who_has_been_revoked_stays_outside_also_with_a_ticket_from_before() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let (good, bad) = (clients.issue(&["good.test"]), clients.issue(&["bad.test"]));
    let backend = Backend::ok().await;
    let rules = json!({ "crl": ["revoked.pem"] });
    let gateway = asking(&server, &clients, &rules, &to(&backend))
        .file("revoked.pem", &clients.revoke(&[]))
        .start()
        .await;
    let tls = Tls::trusting(&server);
    let sessions = tls.clone().showing(&bad).config();
    for _ in 0..2 {
        let client = connect(sessions.clone(), gateway.https(), "api.test").await;
        assert_eq!(
            client.unwrap().get("api.test", "/", &[]).await.status(),
            200
        );
    }
    std::fs::write(
        gateway.folder().join("revoked.pem"),
        clients.revoke(&[&bad]),
    )
    .unwrap();
    reloads(&gateway, 1).await;
    let again = connect(sessions, gateway.https(), "api.test").await;
    if let Ok(mut client) = again {
        client
            .send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
            .await;
        let rest = client.rest().await;
        assert!(!rest.is_ok_and(|bytes| bytes.starts_with(b"HTTP/")));
    }
    assert!(!passes(&tls.clone().showing(&bad), &gateway).await);
    assert!(passes(&tls.showing(&good), &gateway).await);
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn a_ticket_of_one_listener_is_nothing_to_another() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let backend = Backend::ok().await;
    let gateway = asking(&server, &clients, &json!({}), &to(&backend))
        .start()
        .await;
    let [asks, does_not] = gateway.listening("https")[..] else {
        panic!("two listeners");
    };
    for versions in [ONLY_TLS_1_2, ONLY_TLS_1_3] {
        // One who has no certificate gets a ticket where none is asked for.
        let sessions = Tls::trusting(&server).versions(versions).config();
        let client = connect(sessions.clone(), does_not, "api.test").await;
        assert_eq!(
            client.unwrap().get("api.test", "/", &[]).await.status(),
            200
        );
        if let Ok(mut client) = connect(sessions, asks, "api.test").await {
            client
                .send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
                .await;
            assert!(
                !client
                    .rest()
                    .await
                    .is_ok_and(|bytes| bytes.starts_with(b"HTTP/"))
            );
        }
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_route_that_asks_where_no_listener_does_is_doubtful() {
    let route = json!({
        "path": "/*path", "targetURL": "http://127.0.0.1:1", "auth": { "accept": ["clientCert"] }
    });
    let (status, _, errors) = gateway()
        .argument("check")
        .routes(&routes(&[route]))
        .finish()
        .await;
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(
        errors.contains("no listener asks for certificates"),
        "{errors}"
    );
}

#[tokio::test]
async fn files_about_clients_that_cannot_be_used_are_named() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let route = json!({ "path": "/*path", "targetURL": "http://127.0.0.1:1" });
    for (name, content, part) in [
        ("clients.pem", "", "clients.pem: holds no certificate"),
        (
            "revoked.pem",
            &*clients.pem(),
            "revoked.pem: holds no list of revoked certificates",
        ),
    ] {
        let rules = json!({ "crl": ["revoked.pem"] });
        let (status, _, errors) = asking(&server, &clients, &rules, &route)
            .argument("check")
            .file("revoked.pem", &clients.revoke(&[]))
            .file(name, content)
            .finish()
            .await;
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
}

#[tokio::test]
async fn curl_shows_its_certificate() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let issued = clients.issue(&["curl.test"]);
    let backend = Backend::ok().await;
    let gateway = asking(&server, &clients, &json!({}), &to(&backend))
        .file("ca.pem", &server.pem())
        .file("client.pem", &issued.certificate)
        .file("client.key", &issued.key)
        .start()
        .await;
    let path = |name: &str| gateway.folder().join(name).to_str().unwrap().to_owned();
    let port = gateway.https().port();
    let (resolve, url) = (
        format!("api.test:{port}:127.0.0.1"),
        format!("https://api.test:{port}/"),
    );
    let (ca, certificate, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let output = run(
        "curl",
        &[
            "-sS",
            "--resolve",
            &resolve,
            "--cacert",
            &ca,
            "--cert",
            &certificate,
            "--key",
            &key,
            &url,
        ],
    )
    .await;
    assert_eq!(output.stdout, b"ok", "{output:?}");
    let output = run(
        "curl",
        &["-sS", "--resolve", &resolve, "--cacert", &ca, &url],
    )
    .await;
    assert!(!output.status.success());
}
