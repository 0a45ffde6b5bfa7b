//! Secrets stand in no log, no diagnostics and no error answer.

use serde_json::json;
use testkit::{Backend, Gateway};

use super::fixtures::consumers::{ACME_PASSWORD, API_KEY_SECRET, Consumers};
use super::fixtures::requests::{basic, bearer, get};
use super::fixtures::signing::{JOE, P256, RSA, hmac, now, usual};
use crate::gateway;

const JWT_SECRET: &str = "hush-hush-the-secret-of-tokens";

/// Everything that the gateway has written, after its end.
async fn written(mut gateway: Gateway, lines: usize) -> String {
    let log = gateway.log(lines).await;
    gateway.signal("TERM").await;
    gateway.exit().await;
    let diagnostics = gateway.diagnostics().join("\n");
    let log: Vec<String> = log.iter().map(ToString::to_string).collect();
    log.join("\n") + &diagnostics
}

#[tokio::test]
async fn what_clients_show_stands_nowhere() {
    let backend = Backend::ok().await;
    let service = Backend::answering(*b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await;
    let consumers = Consumers::new().await;
    let joe = json!({ "issuer": JOE, "keys": "joe.pem" });
    let places = [
        "bearer",
        "cookie:session",
        "query:access_token",
        "header:X-Token",
    ];
    let forward = json!({ "url": service.url(), "timeout": 5 });
    let builder = gateway().file("joe.pem", &P256.public).routes(&json!({
        "issuers": { "joe": joe },
        "routes": [
            { "path": "/jwt", "targetURL": backend.url(), "auth": { "tokenFrom": places, "scopes": ["none"] } },
            { "path": "/key", "targetURL": backend.url(), "auth": { "accept": ["apiKey"], "keyFrom": ["header:X-API-Key", "query:key"] } },
            { "path": "/basic", "targetURL": backend.url(), "auth": { "accept": ["basic"] } },
            { "path": "/any", "targetURL": backend.url(), "auth": { "accept": ["jwt", "apiKey", "basic"] } },
            { "path": "/forward", "targetURL": backend.url(), "auth": { "forward": forward } },
            { "path": "/shadow", "targetURL": backend.url(), "auth": {}, "shadow": true }
        ]
    }));
    let gateway = consumers
        .of(builder)
        .env("JWT_SECRET", JWT_SECRET)
        .env("LOG_LEVEL", "trace")
        .start()
        .await;

    let good = P256.token(&json!({ "sub": "anna" }));
    let own = hmac(
        "HS256",
        JWT_SECRET.as_bytes(),
        &json!({ "iss": "api-gateway", "exp": now() + 60 }),
    );
    let forged = RSA.token(&usual(&json!({})));
    let expired = P256.token(&json!({ "exp": 1 }));
    let nonsense = "n0nsense.s3cret.t0ken".to_owned();
    let key = consumers.key.clone();
    let wrong_key = format!("{key}x");
    let mut secrets = vec![ACME_PASSWORD.to_owned(), "wr0ng-passw0rd".to_owned()];
    let mut requests = Vec::new();
    for token in [&good, &own, &forged, &expired, &nonsense] {
        for path in ["/jwt", "/any", "/forward", "/shadow", "/nowhere"] {
            requests.push((path.to_owned(), bearer(token)));
        }
        requests.push((format!("/jwt?access_token={token}"), "A: b".to_owned()));
        requests.push(("/jwt".to_owned(), format!("Cookie: session={token}")));
        requests.push(("/jwt".to_owned(), format!("X-Token: {token}")));
        secrets.extend(token.split('.').map(str::to_owned));
    }
    for key in [&key, &wrong_key] {
        requests.push(("/key".to_owned(), format!("X-API-Key: {key}")));
        requests.push((format!("/key?key={key}"), "A: b".to_owned()));
        secrets.push(key.clone());
    }
    for password in [ACME_PASSWORD, "wr0ng-passw0rd"] {
        for path in ["/basic", "/any", "/forward"] {
            let field = basic("acme", password);
            secrets.push(field.rsplit(' ').next().unwrap().to_owned());
            requests.push((path.to_owned(), field));
        }
    }
    let mut answers = String::new();
    for (target, field) in &requests {
        answers += &format!("{:?}", get(&gateway, target, &[field]).await);
    }
    // The header of a token says nothing of its holder, and is the same for all.
    secrets.retain(|secret| secret.len() > 5 && !secret.starts_with("eyJhbGci"));
    secrets.extend([JWT_SECRET.to_owned(), API_KEY_SECRET.to_owned()]);
    let written = written(gateway, requests.len()).await;
    for secret in &secrets {
        assert!(!written.contains(secret), "{secret} is in a log");
        assert!(!answers.contains(secret), "{secret} is in an answer");
    }
    for inside in ["joe.pem", "consumers.json", "127.0.0.1", "/tmp/"] {
        assert!(!answers.contains(inside), "{inside}");
    }
}

#[tokio::test]
async fn what_is_configured_stands_nowhere() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let gateway = consumers
        .of(gateway().routes(&crate::routes(&[
            json!({ "path": "/oauth/token", "service": "token" }),
            json!({ "path": "/a", "targetURL": backend.url(), "requireAuth": true }),
        ])))
        .file("own.pem", &RSA.private)
        .env("JWT_SIGNING_KEY", "own.pem")
        .env("JWT_SECRET", JWT_SECRET)
        .env("LOG_LEVEL", "trace")
        .start()
        .await;
    let form = "grant_type=client_credentials&client_id=acme&client_secret=f0rm-secret";
    let mut client = gateway.client().await;
    for field in [basic("acme", ACME_PASSWORD), "A: b".to_owned()] {
        let length = format!("Content-Length: {}", form.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        client
            .request("POST", "/oauth/token", &[kind, &length, &field])
            .await;
        client.send(form).await;
        client.response().await;
    }
    assert_eq!(client.get("/a").await.status(), 401);
    let written = written(gateway, 3).await;
    let hash = consumers.entry["hash"].as_str().unwrap();
    let private = RSA.private.lines().nth(3).unwrap();
    for secret in [
        JWT_SECRET,
        API_KEY_SECRET,
        ACME_PASSWORD,
        "f0rm-secret",
        hash,
        "argon2id",
        private,
    ] {
        assert!(!written.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn mistakes_in_settings_do_not_show_secrets() {
    for (variable, value) in [
        ("JWT_SECRET", " \u{1}control\n"),
        ("API_KEY_SECRET", " \u{1}control\n"),
        ("JWT_SIGNING_KEY", "nowhere.pem"),
    ] {
        let (_, output, error) = gateway()
            .env("JWT_SECRET", JWT_SECRET)
            .env("API_KEY_SECRET", API_KEY_SECRET)
            .env(variable, value)
            .env("PORT", "none")
            .argument("check")
            .finish()
            .await;
        for secret in [JWT_SECRET, API_KEY_SECRET, "control"] {
            assert!(
                !output.contains(secret) && !error.contains(secret),
                "{error}"
            );
        }
    }
}
