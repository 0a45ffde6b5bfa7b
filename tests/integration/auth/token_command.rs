//! The command that makes tokens.

use serde_json::json;
use testkit::{Backend, GatewayBuilder};

use super::fixtures::gateways::everywhere;
use super::fixtures::requests::show;
use super::fixtures::signing::{claims_of, header_of, now};
use crate::{gateway, routes};

/// `api-gateway token` with these arguments: its exit code, standard output and standard error.
pub(crate) async fn make(
    builder: GatewayBuilder,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let builder = arguments
        .iter()
        .fold(builder.argument("token"), |builder, argument| {
            builder.argument(argument)
        });
    let (status, output, error) = builder.finish().await;
    (status.code(), output.trim_end().to_owned(), error)
}

#[tokio::test]
async fn the_token_command_makes_a_token_of_what_it_is_told() {
    let builder = gateway().env("JWT_SECRET", "own secret");
    let arguments = [
        "--sub",
        "anna",
        "--claim",
        "scope=orders:read orders:write",
        "--claim",
        "tenant=7",
        "--claim",
        "groups=[\"a\",\"b\"]",
        "--claim",
        "half=[1",
        "--claim",
        "empty=",
        "--claim",
        "equal=a=b",
        "--ttl",
        "15m",
    ];
    let (code, token, error) = make(builder, &arguments).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let claims = claims_of(&token);
    for (name, value) in [
        ("iss", json!("api-gateway")),
        ("sub", json!("anna")),
        ("scope", json!("orders:read orders:write")),
        ("tenant", json!(7)),
        ("groups", json!(["a", "b"])),
        ("half", json!("[1")),
        ("empty", json!("")),
        ("equal", json!("a=b")),
    ] {
        assert_eq!(claims[name], value, "{claims}");
    }
    let lifetime = claims["exp"].as_i64().unwrap() - now();
    assert!((890..=900).contains(&lifetime), "{claims}");
    let backend = Backend::ok().await;
    let route = everywhere(&backend, &json!({ "requireAuth": true }));
    let gateway = gateway()
        .routes(&routes(&[route]))
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
}

#[tokio::test]
async fn the_token_command_takes_lifetime_and_issuer_from_the_settings() {
    let builder = gateway()
        .env("JWT_SECRET", "own secret")
        .env("JWT_EXPIRATION", "2m")
        .env("JWT_ISSUER", "https://gateway.example.com");
    let (_, token, _) = make(builder, &["--sub", "anna"]).await;
    let claims = claims_of(&token);
    assert_eq!(claims["iss"], "https://gateway.example.com");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        120
    );
    assert_eq!(header_of(&token)["alg"], "HS256");
}

#[tokio::test]
async fn the_token_command_ends_with_1_for_what_it_cannot_use() {
    for arguments in [
        &["--sub", "anna", "--ttl", "0"][..],
        &["--sub", "anna", "--ttl", "soon"],
        &["--sub", "anna", "--claim", "no value"],
        &["--sub", "anna", "--claim", "=7"],
        &["--sub", "anna", "--claim", "exp=7"],
        &["--sub", "anna", "--claim", "iss=joe"],
        &["--sub", "anna", "--claim", "sub=bert"],
    ] {
        let builder = gateway().env("JWT_SECRET", "own secret");
        let (code, token, error) = make(builder, arguments).await;
        assert_eq!(
            (code, token.as_str(), error.lines().count()),
            (Some(1), "", 1),
            "{error}"
        );
        assert!(!error.contains("own secret"), "{error}");
    }
}
