//! Issuers that publish their keys.

use futures_util::future::join_all;
use serde_json::json;
use testkit::Backend;

use super::fixtures::gateways::believing;
use super::fixtures::publisher::{Publisher, json_answer};
use super::fixtures::requests::{assert_unauthorized, assert_unavailable, show};
use super::fixtures::signing::{JOE, KEYS, P256, RSA, STRANGERS, hmac, url, usual};

#[tokio::test]
async fn keys_are_fetched_from_the_address_of_a_key_set() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    let mut for_encryption = RSA.jwk("enc");
    for_encryption["use"] = "enc".into();
    let stolen = &KEYS[2];
    let mut with_its_private_half = stolen.jwk("stolen");
    with_its_private_half["d"] = "AAAA".into();
    // What is of no use among them is passed over.
    publisher.publish(&[
        json!({ "kty": "OKP", "crv": "X25519", "kid": "agreement", "x": "AAAA" }),
        json!({ "kty": "future", "kid": "new" }),
        for_encryption,
        with_its_private_half,
        P256.jwk("one"),
    ]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let answer = show(&gateway, "/", &P256.token_by("one", &json!({}))).await;
    assert_eq!(answer.status(), 200);
    assert_unauthorized(&show(&gateway, "/", &RSA.token_by("enc", &json!({}))).await);
    assert_unauthorized(&show(&gateway, "/", &stolen.token_by("stolen", &json!({}))).await);
    let asked = publisher.backend.last();
    assert!(asked.start.starts_with("GET /jwks "), "{}", asked.start);
    assert_eq!(publisher.fetches(), 1);
}

#[tokio::test]
async fn keys_are_found_by_the_metadata_of_the_issuer() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let issuer = format!("{}/realms/one", publisher.backend.url());
    let metadata = json!({ "issuer": issuer, "jwks_uri": publisher.jwks()["jwks"] });
    publisher.answer(
        "/realms/one/.well-known/openid-configuration",
        json_answer(&metadata),
    );
    let gateway = believing(&backend, &json!({ "issuer": issuer, "allowHttp": true }))
        .start()
        .await;
    let token = P256.token_by("one", &json!({ "iss": issuer }));
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
    let other = P256.token_by("one", &json!({}));
    assert_unauthorized(&show(&gateway, "/", &other).await);
    let targets: Vec<String> = publisher
        .backend
        .requests()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(
        targets,
        ["/realms/one/.well-known/openid-configuration", "/jwks"]
    );
}

#[tokio::test]
async fn metadata_of_somebody_else_or_without_an_address_gives_no_keys() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let issuer = publisher.backend.url();
    for metadata in [
        json!({ "issuer": JOE, "jwks_uri": publisher.jwks()["jwks"] }),
        json!({ "issuer": issuer }),
        json!({ "issuer": issuer, "jwks_uri": "file:///etc/passwd" }),
        json!({ "issuer": issuer, "jwks_uri": 7 }),
        json!([]),
    ] {
        let asked = publisher.fetches();
        publisher.answer("/.well-known/openid-configuration", json_answer(&metadata));
        let gateway = believing(&backend, &json!({ "issuer": issuer, "allowHttp": true }))
            .start()
            .await;
        publisher.backend.wait_for_requests(asked + 1).await;
        let token = P256.token_by("one", &json!({ "iss": issuer }));
        let answer = show(&gateway, "/", &token).await;
        assert_eq!(answer.status(), 503, "{metadata}");
        assert_unavailable(&answer);
    }
}

#[tokio::test]
async fn unknown_keys_do_not_make_it_look_more_often_than_every_five_seconds() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let start = std::time::Instant::now();
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let good = P256.token_by("one", &json!({}));
    assert_eq!(show(&gateway, "/", &good).await.status(), 200);
    let stranger = &STRANGERS[1];
    let tokens = (0..50).map(|kid| stranger.token_by(&kid.to_string(), &json!({})));
    let tokens: Vec<String> = tokens.collect();
    for answer in join_all(tokens.iter().map(|token| show(&gateway, "/", token))).await {
        assert_unauthorized(&answer);
    }
    let allowed = 1 + usize::try_from(start.elapsed().as_secs() / 5).unwrap();
    assert!(publisher.fetches() <= allowed, "{}", publisher.fetches());
}

#[tokio::test]
async fn a_secret_that_is_published_is_no_key() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": url([7; 32]) });
    publisher.publish(&[secret, P256.jwk("one")]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let good = P256.token_by("one", &json!({}));
    assert_eq!(show(&gateway, "/", &good).await.status(), 200);
    let forged = hmac("HS256", &[7; 32], &usual(&json!({})));
    assert_unauthorized(&show(&gateway, "/", &forged).await);
}

#[tokio::test]
async fn a_key_set_without_end_is_given_up() {
    let backend = Backend::ok().await;
    let endless = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\":[")
            .await;
        let piece = [b' '; 65_536];
        while tokio::io::AsyncWriteExt::write_all(&mut connection.stream, &piece)
            .await
            .is_ok()
        {}
        connection.ended().await;
    })
    .await;
    let issuer = json!({ "jwks": endless.url(), "allowHttp": true });
    let gateway = believing(&backend, &issuer).start().await;
    endless.wait_for_ends(1).await;
    let answer = show(&gateway, "/", &P256.token_by("one", &json!({}))).await;
    assert_unavailable(&answer);
    assert!(gateway.peak_memory() < 200 * 1024);
}

#[tokio::test]
async fn an_issuer_that_sends_elsewhere_for_its_keys_is_not_followed() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    for status in [301, 302, 307, 308] {
        let to = publisher.jwks()["jwks"].as_str().unwrap().to_owned();
        let redirect = Backend::answering(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let issuer = json!({ "jwks": redirect.url(), "allowHttp": true });
        let gateway = believing(&backend, &issuer).start().await;
        redirect.wait_for_requests(1).await;
        let answer = show(&gateway, "/", &P256.token_by("one", &json!({}))).await;
        assert_unavailable(&answer);
    }
    assert_eq!(publisher.fetches(), 0);
}
