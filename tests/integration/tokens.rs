//! Whose tokens are believed, and by which keys.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message, within};

use crate::gateway;
use crate::signing::{Kind, SigningKey, claims, hs256};

const ISSUER: &str = "https://login.example.com";

/// The answer to a request with this token.
async fn with_token(gateway: &Gateway, token: &str) -> Message {
    let mut client = gateway.client().await;
    let field = format!("Authorization: Bearer {token}");
    client.request("GET", "/", &[&field]).await;
    client.response().await
}

fn routes(backend: &Backend, issuers: &Value) -> Value {
    json!({
        "issuers": issuers,
        "routes": [{ "path": "/*path", "targetURL": backend.url(), "requireAuth": true }],
    })
}

/// An issuer that publishes whatever keys it has at the time, and their address in its metadata.
struct Publisher {
    backend: Backend,
    keys: Arc<Mutex<Value>>,
}

impl Publisher {
    async fn new(keys: &[Value]) -> Self {
        let keys = Arc::new(Mutex::new(json!({ "keys": keys })));
        let published = Arc::clone(&keys);
        let backend = Backend::scripted(move |mut connection| {
            let published = Arc::clone(&published);
            async move {
                while let Some(request) = connection.request().await {
                    let base = format!("http://{}", request.field("host").unwrap());
                    let document = match request.target() {
                        "/keys" => published.lock().unwrap().clone(),
                        _ => json!({ "issuer": base, "jwks_uri": format!("{base}/keys") }),
                    };
                    let body = document.to_string();
                    let length = body.len();
                    connection
                        .send(format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                        ))
                        .await;
                }
            }
        })
        .await;
        Self { backend, keys }
    }

    fn publish(&self, keys: &[Value]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys });
    }

    fn fetches(&self) -> usize {
        let requests = self.backend.requests();
        requests
            .iter()
            .filter(|request| request.target() == "/keys")
            .count()
    }
}

#[tokio::test]
async fn tokens_by_every_algorithm_are_verified_with_keys_from_files() {
    let backend = Backend::ok().await;
    let kinds = [
        (
            Kind::Rsa,
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..],
        ),
        (Kind::P256, &["ES256"]),
        (Kind::P384, &["ES384"]),
        (Kind::P521, &["ES512"]),
        (Kind::Ed25519, &["EdDSA"]),
    ];
    let keys: Vec<SigningKey> = kinds
        .iter()
        .map(|(kind, _)| SigningKey::new(*kind))
        .collect();
    let pem: String = keys.iter().map(SigningKey::public_pem).collect();
    let gateway = gateway()
        .file("keys.pem", &pem)
        .routes(&routes(
            &backend,
            &json!({ "all": { "issuer": ISSUER, "keys": "keys.pem" } }),
        ))
        .start()
        .await;
    for ((_, algorithms), key) in kinds.iter().zip(&keys) {
        for algorithm in *algorithms {
            let token = key.sign(algorithm, None, &claims(ISSUER));
            assert_eq!(
                with_token(&gateway, &token).await.status(),
                200,
                "{algorithm}"
            );
            let stranger = SigningKey::new(key.kind());
            let forged = stranger.sign(algorithm, None, &claims(ISSUER));
            assert_eq!(
                with_token(&gateway, &forged).await.status(),
                401,
                "{algorithm}"
            );
        }
    }
    // A public key is no secret.
    let confused = hs256(pem.as_bytes(), &claims(ISSUER));
    assert_eq!(with_token(&gateway, &confused).await.status(), 401);
}

#[tokio::test]
async fn an_issuer_may_be_held_to_some_algorithms_and_audiences() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::Rsa);
    let issuer = json!({
        "issuer": ISSUER, "keys": "keys.pem", "algorithms": ["PS256"], "audiences": ["api"],
    });
    let gateway = gateway()
        .file("keys.pem", &key.public_pem())
        .routes(&routes(&backend, &json!({ "one": issuer })))
        .start()
        .await;
    let mut claims = claims(ISSUER);
    claims["aud"] = json!(["other", "api"]);
    let status = async |algorithm: &str, claims: &Value| {
        with_token(&gateway, &key.sign(algorithm, None, claims))
            .await
            .status()
    };
    assert_eq!(status("PS256", &claims).await, 200);
    assert_eq!(status("RS256", &claims).await, 401);
    claims["aud"] = json!("other");
    assert_eq!(status("PS256", &claims).await, 401);
}

#[tokio::test]
async fn a_published_key_is_found_by_its_address_and_by_way_of_metadata() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::Ed25519);
    let publisher = Publisher::new(&[key.jwk("1")]).await;
    let url = publisher.backend.url();
    for issuer in [
        json!({ "issuer": url, "allowHttp": true }),
        json!({ "issuer": url, "jwks": format!("{url}/keys"), "allowHttp": true }),
    ] {
        let gateway = gateway()
            .routes(&routes(&backend, &json!({ "one": issuer })))
            .start()
            .await;
        let token = key.sign("EdDSA", Some("1"), &claims(&url));
        // The first requests wait for the keys.
        assert_eq!(with_token(&gateway, &token).await.status(), 200);
    }
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_withdrawn_one_no_more() {
    let backend = Backend::ok().await;
    let (old, new) = (
        SigningKey::new(Kind::Ed25519),
        SigningKey::new(Kind::Ed25519),
    );
    let publisher = Publisher::new(&[old.jwk("old")]).await;
    let url = publisher.backend.url();
    let issuers = json!({ "one": { "issuer": url, "allowHttp": true } });
    let gateway = gateway().routes(&routes(&backend, &issuers)).start().await;
    let old_token = old.sign("EdDSA", Some("old"), &claims(&url));
    let new_token = new.sign("EdDSA", Some("new"), &claims(&url));
    assert_eq!(with_token(&gateway, &old_token).await.status(), 200);
    assert_eq!(publisher.fetches(), 1);

    publisher.publish(&[new.jwk("new")]);
    // Not more often than every few seconds, whoever asks.
    let wait = async {
        loop {
            let asking = (0..20).map(|_| with_token(&gateway, &new_token));
            let answers = futures_util::future::join_all(asking).await;
            if answers.iter().all(|answer| answer.status() == 200) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("the new key", wait).await;
    assert_eq!(publisher.fetches(), 2);
    assert_eq!(with_token(&gateway, &old_token).await.status(), 401);
}

#[tokio::test]
async fn the_last_good_keys_stay_while_an_issuer_is_down() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::Ed25519);
    let publisher = Publisher::new(&[key.jwk("1")]).await;
    let url = publisher.backend.url();
    let issuers = json!({ "one": { "issuer": url, "allowHttp": true } });
    let gateway = gateway().routes(&routes(&backend, &issuers)).start().await;
    let token = |subject: &str| {
        let mut claims = claims(&url);
        claims["sub"] = subject.into();
        key.sign("EdDSA", Some("1"), &claims)
    };
    assert_eq!(with_token(&gateway, &token("anna")).await.status(), 200);
    drop(publisher);
    assert_eq!(with_token(&gateway, &token("bert")).await.status(), 200);
}

#[tokio::test]
async fn before_its_keys_have_come_an_issuers_tokens_are_not_thrown_away() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::Ed25519);
    for publisher in [
        Backend::answering(*b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await,
        Backend::answering(*b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage").await,
        Backend::answering(*b"HTTP/1.1 302 No\r\nLocation: /keys\r\nContent-Length: 0\r\n\r\n")
            .await,
        Backend::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n".repeat(50_000))
            .await,
    ] {
        let url = publisher.url();
        let issuers =
            json!({ "one": { "issuer": url, "jwks": format!("{url}/keys"), "allowHttp": true } });
        let gateway = gateway().routes(&routes(&backend, &issuers)).start().await;
        let answer = with_token(&gateway, &key.sign("EdDSA", Some("1"), &claims(&url))).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (503, Some("auth-unavailable"))
        );
        assert_eq!(answer.field("www-authenticate"), None);
    }
}

#[tokio::test]
async fn the_public_secret_opens_nothing_where_there_are_other_issuers() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::Ed25519);
    let issuers = json!({ "one": { "issuer": ISSUER, "keys": "keys.pem" } });
    let builder = || {
        gateway()
            .file("keys.pem", &key.public_pem())
            .routes(&routes(&backend, &issuers))
    };
    let public = hs256(b"your-secret-key", &claims("api-gateway"));
    let private = hs256(b"a secret of ours", &claims("api-gateway"));
    let started = builder().start().await;
    assert_eq!(with_token(&started, &public).await.status(), 401);
    let started = builder()
        .env("JWT_SECRET", "a secret of ours")
        .start()
        .await;
    assert_eq!(with_token(&started, &private).await.status(), 200);
    assert_eq!(with_token(&started, &public).await.status(), 401);
    let foreign = key.sign("EdDSA", None, &claims("https://other.example.com"));
    let answer = with_token(&started, &foreign).await;
    let challenge = answer.field("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains("the issuer is not accepted"),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_private_key_signs_in_place_of_the_secret() {
    let backend = Backend::ok().await;
    let key = SigningKey::new(Kind::P256);
    let builder = || {
        gateway()
            .file("key.pem", key.private_pem())
            .env("JWT_SIGNING_KEY", "key.pem")
            .routes(&routes(&backend, &json!({})))
    };
    let (status, token, _) = builder()
        .argument("token")
        .argument("--sub")
        .argument("me")
        .finish()
        .await;
    assert!(status.success());
    let started = builder().start().await;
    assert_eq!(with_token(&started, token.trim()).await.status(), 200);
    let public = hs256(b"your-secret-key", &claims("api-gateway"));
    assert_eq!(with_token(&started, &public).await.status(), 401);
    drop(started);
    let both = builder()
        .env("JWT_SECRET", "a secret of ours")
        .start()
        .await;
    let old = hs256(b"a secret of ours", &claims("api-gateway"));
    assert_eq!(with_token(&both, &old).await.status(), 200);
    assert_eq!(with_token(&both, token.trim()).await.status(), 200);
}

#[tokio::test]
async fn no_token_key_or_password_stands_in_a_log_or_an_answer() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&backend, &json!({})))
        .env("JWT_SECRET", "hush-hush")
        .env("LOG_LEVEL", "debug")
        .start()
        .await;
    let good = hs256(b"hush-hush", &claims("api-gateway"));
    let bad = hs256(b"other", &claims("api-gateway"));
    let answers = [
        with_token(&gateway, &good).await,
        with_token(&gateway, &bad).await,
    ];
    gateway.log(2).await;
    let log = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    let diagnostics = gateway.diagnostics().join("\n");
    for secret in [&good, &bad, "hush-hush"] {
        assert!(!log.contains(secret) && !diagnostics.contains(secret));
        assert!(
            answers
                .iter()
                .all(|answer| !format!("{answer:?}").contains(secret))
        );
    }
}
