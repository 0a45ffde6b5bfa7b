//! API keys, passwords, and the tokens that they are exchanged for.

use std::process::ExitStatus;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

use crate::auth::fixtures::signing::{Key, Kind};
use crate::{gateway, routes};

const SECRET: &str = "a secret for keys";

/// A new key, and its entry for the file.
async fn new_key(more: &[&str]) -> (String, Value) {
    let command = gateway().env("API_KEY_SECRET", SECRET);
    let command = ["key", "new", "--id", "one"]
        .iter()
        .chain(more)
        .fold(command, |command, argument| command.argument(argument));
    let (status, output, error) = command.finish().await;
    assert!(status.success(), "{error}");
    let line = |name: &str| {
        output
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    (line("key:"), serde_json::from_str(&line("entry:")).unwrap())
}

/// The hash of a password.
async fn hash(password: &str) -> String {
    let (status, output, _) = gateway()
        .stdin(&format!("{password}\n"))
        .argument("hash")
        .finish()
        .await;
    assert!(status.success());
    output.trim().to_owned()
}

fn with(consumers: &Value, routes_of: &[Value]) -> GatewayBuilder {
    gateway()
        .file(
            "consumers.json",
            &json!({ "consumers": consumers }).to_string(),
        )
        .env("CONSUMERS_FILE", "consumers.json")
        .env("API_KEY_SECRET", SECRET)
        .routes(&routes(routes_of))
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

fn basic(name: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{name}:{password}"))
    )
}

#[tokio::test]
async fn an_api_key_is_its_consumers() {
    let backend = Backend::ok().await;
    let (key, entry) = new_key(&[]).await;
    let (expired, expired_entry) = new_key(&["--expires", "2020-01-01T00:00:00Z"]).await;
    let consumers = json!([{ "name": "acme", "tier": "gold", "scopes": ["read"], "keys": [entry, expired_entry] }]);
    let auth = json!({ "accept": ["apiKey"], "scopes": ["read"], "forwardCredentials": false });
    let gateway = with(
        &consumers,
        &[
            json!({ "path": "/a", "targetURL": backend.url(), "auth": auth,
                  "forwardClaims": { "X-Consumer": "sub", "X-Tier": "tier" } }),
            json!({ "path": "/query", "targetURL": backend.url(),
                  "auth": { "accept": ["apiKey"], "keyFrom": ["query:key"] } }),
        ],
    )
    .start()
    .await;
    let answer = get(&gateway, "/a", &[&format!("X-API-Key: {key}")]).await;
    assert_eq!(answer.status(), 200);
    let seen = backend.last();
    assert_eq!(
        (seen.field("x-consumer"), seen.field("x-tier")),
        (Some("acme"), Some("gold"))
    );
    assert_eq!(seen.field("x-api-key"), None);
    assert_eq!(
        get(&gateway, &format!("/query?key={key}"), &[])
            .await
            .status(),
        200
    );
    for fields in [
        vec![],
        vec![format!("X-API-Key: {expired}")],
        vec![format!("X-API-Key: {key}x")],
        vec![format!("X-API-Key: {key}"), format!("X-API-Key: {key}")],
        vec![format!("Authorization: Bearer {key}")],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let answer = get(&gateway, "/a", &fields).await;
        assert_eq!(answer.status(), 401, "{fields:?}");
        assert_eq!(
            answer.field("www-authenticate"),
            Some("ApiKey realm=\"api-gateway\"")
        );
    }
    let log = gateway.log(7).await;
    let line = log.iter().find(|line| line["status"] == 200).unwrap();
    assert_eq!(
        (&line["consumer"], &line["apiKey"]),
        (&json!("acme"), &json!("one"))
    );
    let text = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    assert!(!text.contains(&key));
}

#[tokio::test]
async fn a_password_is_its_consumers() {
    let backend = Backend::ok().await;
    let consumers =
        json!([{ "name": "anna", "password": hash("pass:word").await }, { "name": "bert" }]);
    let route =
        json!({ "path": "/a", "targetURL": backend.url(), "auth": { "accept": ["basic"] } });
    let gateway = with(&consumers, &[route]).start().await;
    for (name, password, status) in [
        ("anna", "pass:word", 200),
        ("anna", "pass:word", 200),
        ("anna", "wrong", 401),
        ("bert", "", 401),
        ("nobody", "pass:word", 401),
    ] {
        let answer = get(&gateway, "/a", &[&basic(name, password)]).await;
        assert_eq!(answer.status(), status, "{name} {password}");
    }
    let answer = get(&gateway, "/a", &["Authorization: Basic ???"]).await;
    assert_eq!(
        (answer.status(), answer.field("www-authenticate")),
        (401, Some("Basic realm=\"api-gateway\", charset=\"UTF-8\""))
    );
}

/// What `check` says of this consumers file, and how it ends.
async fn checked(file: &str) -> (ExitStatus, String) {
    let (status, _, error) = gateway()
        .file("consumers.json", file)
        .env("CONSUMERS_FILE", "consumers.json")
        .argument("check")
        .finish()
        .await;
    (status, error)
}

#[tokio::test]
async fn a_consumers_file_that_is_no_object_is_told() {
    for file in ["[]", "\"text\"", "7", "null"] {
        let (status, error) = checked(file).await;
        assert_eq!(status.code(), Some(1), "{file}: {error}");
        assert!(error.contains("consumers.json:1:1: "), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_does_not_reach_the_backend_in_another_spelling() {
    let backend = Backend::ok().await;
    let auth = json!({ "accept": ["apiKey"], "keyFrom": ["query:t"], "forwardCredentials": false });
    let (key, consumer) = new_key(&[]).await;
    let route = json!({ "path": "/*path", "targetURL": backend.url(), "auth": auth });
    let consumers = json!([{ "name": "a", "keys": [consumer] }]);
    let gateway = with(&consumers, &[route]).start().await;
    let answer = get(&gateway, &format!("/?t={key}&a=b"), &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(backend.last().target(), "/?a=b");
    for query in [format!("t={key}&%74={key}"), format!("t={key}&t")] {
        let answer = get(&gateway, &format!("/?{query}"), &[]).await;
        assert_eq!(answer.status(), 401, "{query}");
    }
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn mistakes_in_the_consumers_file_are_told_with_their_places() {
    let file = "{ \"consumers\": [\n  { \"name\": \"a\", \"keys\": [{ \"id\": \"1\", \"hash\": \"x\" }] },\n  { \"nam\": \"b\" }\n] }";
    let (status, error) = checked(file).await;
    assert_eq!(status.code(), Some(1));
    for part in [
        "consumers.json:2:48: must be \"hmac-sha256:\"",
        "consumers.json:3:5: unknown key \"nam\"; did you mean \"name\"?",
        "consumers.json:3:3: \"name\" is missing",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let (_, _, error) = gateway()
        .routes(&routes(&[
            json!({ "path": "/a", "auth": { "accept": ["apiKey"] } }),
        ]))
        .argument("check")
        .finish()
        .await;
    assert!(error.contains("set CONSUMERS_FILE"), "{error}");
}

async fn post(gateway: &Gateway, fields: &[&str], form: &str) -> Message {
    let mut client = gateway.client().await;
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = form.len();
    client
        .send(format!(
            "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n{fields}Content-Length: {length}\r\n\r\n{form}"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_token_that_the_published_key_verifies() {
    let backend = Backend::ok().await;
    let key = Key::new(Kind::Ed25519);
    let consumers = json!([{ "name": "acme", "scopes": ["read", "write"], "tokenLifetime": 60, "audiences": ["api"],
                             "claims": { "tenant": 7 }, "password": hash("secret").await }]);
    let gateway = with(
        &consumers,
        &[
            json!({ "path": "/oauth/token", "service": "token" }),
            json!({ "path": "/.well-known/jwks.json", "service": "jwks" }),
            json!({ "path": "/.well-known/oauth-authorization-server", "service": "metadata" }),
            json!({ "path": "/a", "targetURL": backend.url(), "auth": { "scopes": ["read"] } }),
        ],
    )
    .file("key.pem", &key.private)
    .env("JWT_SIGNING_KEY", "key.pem")
    .env("JWT_ISSUER", "https://gateway.example")
    .start()
    .await;
    let answer = post(
        &gateway,
        &[&basic("acme", "secret")],
        "grant_type=client_credentials&scope=read",
    )
    .await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let granted = answer.json();
    assert_eq!(
        (
            &granted["token_type"],
            &granted["expires_in"],
            &granted["scope"]
        ),
        (&json!("Bearer"), &json!(60), &json!("read"))
    );
    let token = granted["access_token"].as_str().unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["aud"], &claims["tenant"]),
        (&json!("acme"), &json!("api"), &json!(7))
    );
    assert_eq!(
        claims["exp"].as_u64(),
        claims["iat"].as_u64().map(|issued| issued + 60)
    );
    assert_eq!(
        get(&gateway, "/a", &[&format!("Authorization: Bearer {token}")])
            .await
            .status(),
        200
    );

    let keys = get(&gateway, "/.well-known/jwks.json", &[]).await.json();
    assert_eq!(keys["keys"][0]["x"], key.jwk("any")["x"]);
    assert_eq!(keys["keys"][0].get("d"), None);
    let metadata = get(&gateway, "/.well-known/oauth-authorization-server", &[])
        .await
        .json();
    assert_eq!(metadata["issuer"], "https://gateway.example");
    assert_eq!(
        metadata["token_endpoint"],
        "https://gateway.example/oauth/token"
    );
    assert_eq!(
        metadata["jwks_uri"],
        "https://gateway.example/.well-known/jwks.json"
    );
}

#[tokio::test]
async fn the_token_endpoint_says_what_is_wrong_as_oauth_has_it() {
    let consumers =
        json!([{ "name": "acme", "scopes": ["read"], "password": hash("s&c=ret").await }]);
    let gateway = with(
        &consumers,
        &[json!({ "path": "/oauth/token", "service": "token" })],
    )
    .start()
    .await;
    let right = basic("acme", "s%26c%3Dret");
    let grant = "grant_type=client_credentials";
    let large = format!("{grant}&x={}", "x".repeat(20_000));
    for (fields, form, status, error) in [
        (vec![&*right], grant.to_owned(), 200, None),
        (
            vec![],
            format!("{grant}&client_id=acme&client_secret=s%26c%3Dret"),
            200,
            None,
        ),
        (vec![&*right], String::new(), 400, Some("invalid_request")),
        (
            vec![&*right],
            "grant_type=password".to_owned(),
            400,
            Some("unsupported_grant_type"),
        ),
        (
            vec![&*right],
            format!("{grant}&scope=read+admin"),
            400,
            Some("invalid_scope"),
        ),
        (
            vec![&*right],
            format!("{grant}&{grant}"),
            400,
            Some("invalid_request"),
        ),
        (
            vec![&*right],
            format!("{grant}&client_secret=x"),
            400,
            Some("invalid_request"),
        ),
        (vec![&*right], large, 400, Some("invalid_request")),
        (vec![], grant.to_owned(), 401, Some("invalid_client")),
        (
            vec![],
            format!("{grant}&client_id=acme&client_secret=x"),
            401,
            Some("invalid_client"),
        ),
        (
            vec!["Authorization: Basic ?"],
            grant.to_owned(),
            401,
            Some("invalid_client"),
        ),
    ] {
        let answer = post(&gateway, &fields, &form).await;
        assert_eq!(answer.status(), status, "{form}: {}", answer.text());
        assert_eq!(answer.json()["error"].as_str(), error, "{form}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401);
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
    let mut client = gateway.client().await;
    client.request("GET", "/oauth/token", &[]).await;
    assert_eq!(client.response().await.status(), 405);
}
