//! Who may pass.

use serde_json::json;
use testkit::Backend;

use crate::{gateway, routes};

#[tokio::test]
async fn a_token_opens_a_protected_route() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/a", "targetURL": backend.url(), "requireAuth": true}),
        ]))
        .env("JWT_SECRET", "your-256-bit-secret")
        .env("JWT_ISSUER", "joe")
        .start()
        .await;
    // {"alg":"HS256"} . {"iss":"joe","exp":4102444800}, signed with the secret above.
    let valid = token(
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJpc3MiOiJqb2UiLCJleHAiOjQxMDI0NDQ4MDB9",
        b"your-256-bit-secret",
    );
    let forged = token(
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJpc3MiOiJqb2UiLCJleHAiOjQxMDI0NDQ4MDB9",
        b"another secret",
    );
    let mut client = gateway.client().await;
    for (authorization, status) in [
        (Some(format!("Bearer {valid}")), 200),
        (Some(format!("bearer {valid}")), 200),
        (Some(format!("Bearer {forged}")), 401),
        (Some("Basic YTpi".to_owned()), 401),
        (None, 401),
    ] {
        let field = authorization.map(|value| format!("Authorization: {value}"));
        client
            .request(
                "GET",
                "/a",
                &field.iter().map(String::as_str).collect::<Vec<_>>(),
            )
            .await;
        let answer = client.response().await;
        assert_eq!(answer.status(), status, "{field:?}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401);
    }
    assert_eq!(backend.requests().len(), 2);
}

/// A compact JWS with HMAC-SHA256, made by the system's own tool.
fn token(header: &str, claims: &str, key: &[u8]) -> String {
    let signed = format!("{header}.{claims}");
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = format!(
        "printf %s '{signed}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:{hex} -binary | base64 -w0 | tr '+/' '-_' | tr -d '='"
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("sh");
    assert!(
        output.status.success(),
        "openssl is needed: apt-get install openssl"
    );
    format!("{signed}.{}", String::from_utf8(output.stdout).unwrap())
}
