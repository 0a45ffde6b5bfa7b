//! The token endpoint: client credentials (RFC 6749 §4.4) for a token.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

use super::fixtures::consumers::{ACME_PASSWORD, Consumers, hash_of};
use super::fixtures::gateways::with;
use super::fixtures::requests::{basic, get, show};
use super::fixtures::signing::{KEYS, P256, RSA, claims_of, header_of, now, verifies};
use crate::{gateway, routes};

pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

pub(crate) fn issuing(consumers: &Consumers, backend: &Backend, more: &Value) -> GatewayBuilder {
    let endpoint = json!({ "path": "/oauth/token", "service": "token" });
    let builder = gateway().routes(&routes(&[
        with(endpoint, more),
        json!({ "path": "/.well-known/jwks.json", "service": "jwks" }),
        json!({ "path": "/.well-known/oauth-authorization-server", "service": "metadata" }),
        json!({ "path": "/feed", "targetURL": backend.url(), "auth": { "scopes": ["feed:read"] },
                "forwardClaims": { "X-Sub": "sub", "X-Tenant": "tenant" } }),
    ]));
    consumers.of(builder).env("JWT_SECRET", "own secret")
}

pub(crate) async fn post(gateway: &Gateway, fields: &[&str], body: &str) -> Message {
    let mut client = gateway.client().await;
    let length = format!("Content-Length: {}", body.len());
    let fields = [fields, &[&*length]].concat();
    client.request("POST", "/oauth/token", &fields).await;
    client.send(body).await;
    client.response().await
}

/// The answer to acme, who asks for this.
pub(crate) async fn ask(gateway: &Gateway, body: &str) -> Message {
    post(gateway, &[FORM, &basic("acme", ACME_PASSWORD)], body).await
}

/// The token in a good answer.
#[track_caller]
pub(crate) fn token_in(answer: &Message) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// RFC 6749 §5.1.
#[track_caller]
pub(crate) fn assert_not_stored(answer: &Message) {
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert_eq!(answer.field("pragma"), Some("no-cache"));
}

#[tokio::test]
async fn name_and_password_are_exchanged_for_a_token_that_opens_routes() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .start()
        .await;
    let in_form = format!(
        "grant_type=client_credentials&client_id=acme&client_secret={}",
        ACME_PASSWORD.replace(' ', "+").replace(':', "%3A")
    );
    for answer in [
        ask(&gateway, "grant_type=client_credentials").await,
        post(&gateway, &[FORM], &in_form).await,
        post(&gateway, &[&format!("{FORM};charset=UTF-8")], &in_form).await,
    ] {
        let token = token_in(&answer);
        assert_not_stored(&answer);
        let body = answer.json();
        assert_eq!(
            body["token_type"]
                .as_str()
                .map(str::to_lowercase)
                .as_deref(),
            Some("bearer")
        );
        assert_eq!(body["expires_in"], 3600);
        let claims = claims_of(&token);
        for (name, value) in [
            ("iss", json!("api-gateway")),
            ("sub", json!("acme")),
            ("scope", json!("feed:read feed:write")),
            ("tenant", json!(7)),
            ("tier", json!("gold")),
            ("roles", json!(["partner", "tester"])),
        ] {
            assert_eq!(claims[name], value, "{claims}");
        }
        let lifetime = claims["exp"].as_i64().unwrap() - now();
        assert!((3590..=3600).contains(&lifetime), "{claims}");
        assert_eq!(show(&gateway, "/feed", &token).await.status(), 200);
        let seen = backend.last();
        assert_eq!(
            (seen.field("x-sub"), seen.field("x-tenant")),
            (Some("acme"), Some("7"))
        );
    }
}

#[tokio::test]
async fn name_and_password_may_be_encoded_like_a_form() {
    // RFC 6749 §2.3.1 asks for it, and Appendix B says how.
    let backend = Backend::ok().await;
    let hash = hash_of("s&c=ret").await;
    let consumers = Consumers::new().await.with("password", hash.into());
    let gateway = issuing(&consumers, &backend, &json!({})).start().await;
    let grant = "grant_type=client_credentials";
    let in_form = format!("{grant}&client_id=acme&client_secret=s%26c%3Dret");
    for answer in [
        post(&gateway, &[FORM, &basic("acme", "s%26c%3Dret")], grant).await,
        post(&gateway, &[FORM], &in_form).await,
    ] {
        token_in(&answer);
        assert_not_stored(&answer);
    }
}

#[tokio::test]
async fn a_token_has_the_scopes_that_were_asked_for() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .start()
        .await;
    for (asked, granted, status) in [
        ("&scope=feed:read", "feed:read", 200),
        ("&scope=feed%3Awrite", "feed:write", 403),
        ("&scope=feed:write+feed:read", "feed:write feed:read", 200),
        ("", "feed:read feed:write", 200),
        ("&scope=", "feed:read feed:write", 200),
    ] {
        let answer = ask(&gateway, &format!("grant_type=client_credentials{asked}")).await;
        let token = token_in(&answer);
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        let claims = claims_of(&token);
        assert_eq!(sorted(claims["scope"].as_str().unwrap()), sorted(granted));
        // RFC 6749 §5.1: it may be left out only where it is what was asked for.
        if let Some(scope) = answer.json()["scope"].as_str() {
            assert_eq!(sorted(scope), sorted(granted));
        } else {
            assert!(!asked.is_empty());
        }
        assert_eq!(
            show(&gateway, "/feed", &token).await.status(),
            status,
            "{asked}"
        );
    }
}

#[tokio::test]
async fn lifetime_and_audience_are_of_the_consumer_or_the_settings() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let gateway = issuing(&consumers, &backend, &json!({}))
        .env("JWT_EXPIRATION", "90")
        .start()
        .await;
    let answer = ask(&gateway, "grant_type=client_credentials").await;
    assert_eq!(answer.json()["expires_in"], 90);
    let claims = claims_of(&token_in(&answer));
    assert_eq!(claims.get("aud"), None);

    let consumers = consumers
        .with("tokenLifetime", json!(120))
        .with("audiences", json!(["api", "app"]));
    let gateway = issuing(&consumers, &backend, &json!({}))
        .env("JWT_EXPIRATION", "90")
        .start()
        .await;
    let answer = ask(&gateway, "grant_type=client_credentials").await;
    assert_eq!(answer.json()["expires_in"], 120);
    let claims = claims_of(&token_in(&answer));
    assert_eq!(claims["aud"], json!(["api", "app"]));
    let lifetime = claims["exp"].as_i64().unwrap() - now();
    assert!((110..=120).contains(&lifetime), "{claims}");
    assert_eq!(
        claims["exp"].as_i64(),
        claims["iat"].as_i64().map(|issued| issued + 120)
    );
}

#[tokio::test]
async fn others_verify_a_token_with_the_key_that_is_shown() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .file("own.pem", &RSA.private)
        .env("JWT_SIGNING_KEY", "own.pem")
        .start()
        .await;
    let token = token_in(&ask(&gateway, "grant_type=client_credentials").await);
    assert!(verifies(&token, &RSA), "{token}");
    assert_eq!(show(&gateway, "/feed", &token).await.status(), 200);
    let shown = get(&gateway, "/.well-known/jwks.json", &[]).await.json();
    assert_eq!(shown["keys"][0]["kid"], header_of(&token)["kid"]);
}

#[tokio::test]
async fn the_public_half_of_a_signing_key_is_shown_and_nothing_else() {
    for key in &*KEYS {
        let jwks = json!({ "path": "/jwks", "service": "jwks" });
        let gateway = gateway()
            .routes(&routes(&[jwks]))
            .file("own.pem", &key.private)
            .env("JWT_SIGNING_KEY", "own.pem")
            .start()
            .await;
        let shown = get(&gateway, "/jwks", &[]).await;
        assert_eq!(shown.status(), 200);
        let keys = shown.json()["keys"].as_array().unwrap().clone();
        assert_eq!(keys.len(), 1, "{}", shown.text());
        for (name, value) in key.jwk("").as_object().unwrap() {
            if name != "kid" {
                assert_eq!(&keys[0][name], value, "{name}: {}", shown.text());
            }
        }
        for secret in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(keys[0].get(secret), None);
        }
    }
}

#[tokio::test]
async fn a_secret_is_never_shown_as_a_key() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .start()
        .await;
    let shown = get(&gateway, "/.well-known/jwks.json", &[]).await;
    assert_eq!(shown.json()["keys"], json!([]), "{}", shown.text());
}

#[tokio::test]
async fn metadata_tells_where_endpoint_and_keys_are() {
    let backend = Backend::ok().await;
    let gateway = issuing(&Consumers::new().await, &backend, &json!({}))
        .file("own.pem", &RSA.private)
        .env("JWT_SIGNING_KEY", "own.pem")
        .env("JWT_ISSUER", "https://api.example.com")
        .start()
        .await;
    let answer = get(&gateway, "/.well-known/oauth-authorization-server", &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let metadata = answer.json();
    for (name, value) in [
        ("issuer", json!("https://api.example.com")),
        (
            "token_endpoint",
            json!("https://api.example.com/oauth/token"),
        ),
        (
            "jwks_uri",
            json!("https://api.example.com/.well-known/jwks.json"),
        ),
        ("grant_types_supported", json!(["client_credentials"])),
    ] {
        assert_eq!(metadata[name], value, "{metadata}");
    }
    // RFC 8414 §2: required.
    assert!(
        metadata["response_types_supported"].is_array(),
        "{metadata}"
    );
    let methods = metadata["token_endpoint_auth_methods_supported"].to_string();
    assert!(methods.contains("client_secret_basic") && methods.contains("client_secret_post"));
    let token = token_in(&ask(&gateway, "grant_type=client_credentials").await);
    assert_eq!(claims_of(&token)["iss"], "https://api.example.com");
}

#[tokio::test]
async fn metadata_of_an_issuer_that_is_no_https_address_is_warned_of() {
    let metadata = json!({ "path": "/metadata", "service": "metadata" });
    for (issuer, warned) in [
        ("api-gateway", true),
        ("http://api.example.com", true),
        ("https://api.example.com", false),
    ] {
        let (status, _, error) = gateway()
            .routes(&routes(std::slice::from_ref(&metadata)))
            .env("JWT_SECRET", "own secret")
            .env("JWT_ISSUER", issuer)
            .argument("check")
            .finish()
            .await;
        assert_eq!(
            (status.code(), error.contains("JWT_ISSUER")),
            (Some(0), warned),
            "{error}"
        );
    }
}

#[tokio::test]
async fn other_policies_of_a_route_work_here_as_well() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let limited = json!({ "rateLimit": { "limit": 1, "window": "1h" } });
    let gateway = issuing(&consumers, &backend, &limited).start().await;
    let grant = "grant_type=client_credentials";
    assert_eq!(ask(&gateway, grant).await.status(), 200);
    assert_eq!(ask(&gateway, grant).await.status(), 429);

    let elsewhere = json!({ "ip": { "allow": ["192.0.2.0/24"] } });
    let gateway = issuing(&consumers, &backend, &elsewhere).start().await;
    let answer = ask(&gateway, grant).await;
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (403, Some("address-not-allowed"))
    );

    let small = json!({ "maxBodySize": 10 });
    let gateway = issuing(&consumers, &backend, &small).start().await;
    assert_eq!(ask(&gateway, grant).await.status(), 413);

    let careful = json!({ "securityHeaders": true });
    let gateway = issuing(&consumers, &backend, &careful).start().await;
    let answer = ask(&gateway, grant).await;
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn a_token_of_the_endpoint_is_for_its_audiences_and_by_its_issuer_only() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await.with("audiences", json!(["billing"]));
    let routes = routes(&[
        json!({ "path": "/oauth/token", "service": "token" }),
        json!({ "path": "/billing", "targetURL": backend.url(), "auth": { "audiences": ["billing"] } }),
        json!({ "path": "/other", "targetURL": backend.url(), "auth": { "audiences": ["other"] } }),
    ]);
    let gateway = consumers
        .of(gateway().routes(&routes))
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    let token = token_in(&ask(&gateway, "grant_type=client_credentials").await);
    assert_eq!(claims_of(&token)["aud"], "billing");
    assert_eq!(show(&gateway, "/billing", &token).await.status(), 200);
    assert_eq!(show(&gateway, "/other", &token).await.status(), 401);
    let forged = P256.token(&json!({ "iss": "api-gateway", "aud": "billing" }));
    assert_eq!(show(&gateway, "/billing", &forged).await.status(), 401);
}
