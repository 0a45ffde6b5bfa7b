//! What stands in docs/authentication.md is accepted as it stands there.

use serde_json::{Value, json};
use testkit::{Backend, GatewayBuilder};

use super::fixtures::requests::{assert_forbidden, assert_unauthorized, bearer, get, show};
use super::fixtures::signing::{P256, RSA, claims_of};
use crate::gateway;

const TEXT: &str = include_str!("../../../docs/authentication.md");

/// The blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let parts = TEXT.split("```").skip(1).step_by(2);
    parts
        .filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'))
        .collect()
}

/// Whole files, and parts of files.
fn json_blocks() -> Vec<&'static str> {
    let mut all = blocks("json");
    all.extend(blocks("json fragment"));
    all
}

async fn assert_accepted(builder: GatewayBuilder, what: &str) {
    let builder = builder
        .file("keys/partners.pem", &P256.public)
        .env("ROUTES_CONFIG_PATH", "routes.json")
        .env("JWT_SECRET", "own secret, of more than 32 bytes")
        .file("own.pem", &P256.private)
        .env("JWT_SIGNING_KEY", "own.pem")
        .env("JWT_ISSUER", "https://api.example.com")
        .env("CONSUMERS_FILE", "consumers.json")
        .env("API_KEY_SECRET", "another secret, of the keys");
    let (status, _, error) = builder.argument("check").finish().await;
    assert_eq!((status.code(), error.as_str()), (Some(0), ""), "{what}");
}

fn consumers() -> &'static str {
    let all = json_blocks();
    let found = all.iter().find(|block| block.contains("\"consumers\""));
    found.expect("an example")
}

#[tokio::test]
async fn its_routes_and_consumers_are_accepted() {
    let mut examples = 0;
    for block in json_blocks() {
        let file = if block.trim_start().starts_with("\"auth\"") {
            format!("{{ \"routes\": [{{ \"path\": \"/a\", {block} }}] }}")
        } else {
            block.to_owned()
        };
        let parsed: Value = serde_json::from_str(&file).expect(&file);
        if parsed.get("routes").is_some() {
            examples += 1;
            let builder = gateway()
                .file("routes.json", &file)
                .file("consumers.json", consumers());
            assert_accepted(builder, block).await;
        }
    }
    assert_eq!(examples, 3);
}

#[tokio::test]
async fn its_rules_are_accepted() {
    let all = blocks("");
    let rules = all.iter().find(|block| block.contains("claims.")).unwrap();
    assert!(rules.lines().count() >= 3, "{rules}");
    for rule in rules.lines() {
        let route = json!({ "path": "/a", "auth": { "require": rule } });
        let builder = gateway()
            .file("routes.json", &crate::routes(&[route]).to_string())
            .file("consumers.json", consumers());
        assert_accepted(builder, rule).await;
    }
}

#[tokio::test]
async fn its_command_makes_a_token() {
    let all = blocks("sh");
    let line = all
        .iter()
        .find(|block| block.contains(" token --sub"))
        .unwrap();
    let line = line.trim().replacen("api-gateway", crate::PROGRAM, 1);
    let output = tokio::process::Command::new("sh")
        .args(["-c", &line])
        .output()
        .await
        .unwrap();
    let claims = claims_of(String::from_utf8(output.stdout).unwrap().trim());
    assert_eq!(claims["sub"], "anna");
    assert_eq!(claims["scope"], "orders:read orders:write");
    assert_eq!(claims["tenant"], 7);
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 900);
}

#[tokio::test]
async fn the_example_of_the_documentation_does_what_is_said_of_it() {
    let backend = Backend::ok().await;
    let url = backend.url();
    let staff = json!({
        "issuer": "https://login.example.com", "audiences": ["api"],
        "rolesClaim": "realm_access.roles", "keys": "keys/staff.pem"
    });
    let partners = json!({ "issuer": "https://partners.example.com", "keys": "keys/partners.pem" });
    let builder = gateway().routes(&json!({
        "issuers": { "staff": staff, "partners": partners },
        "routes": [
            { "path": "/orders/*path", "targetURL": url, "requireAuth": true },
            { "path": "/reports/:tenant", "targetURL": url,
              "auth": { "issuers": ["staff"], "scopes": ["reports:read"], "roles": ["clerk", "boss"],
                        "require": "path == '/reports/' + claims.tenant" },
              "forwardClaims": { "X-User": "sub", "X-Roles": "realm_access.roles" } }
        ]
    }));
    let gateway = builder
        .file("keys/staff.pem", &P256.public)
        .file("keys/partners.pem", &RSA.public)
        .start()
        .await;
    let clerk = json!({
        "iss": "https://login.example.com", "aud": "api", "sub": "anna", "tenant": "one",
        "scope": "reports:read", "realm_access": { "roles": ["clerk", "reader"] }
    });
    let partner = json!({ "iss": "https://partners.example.com", "sub": "acme", "tenant": "one",
        "scope": "reports:read", "realm_access": { "roles": ["boss"] } });
    for token in [P256.token(&clerk), RSA.token(&partner)] {
        assert_eq!(show(&gateway, "/orders/7", &token).await.status(), 200);
    }
    // Each issuer has its own keys.
    assert_unauthorized(&show(&gateway, "/orders/7", &RSA.token(&clerk)).await);
    assert_unauthorized(&show(&gateway, "/orders/7", &P256.token(&partner)).await);

    let fields = [
        &*bearer(&P256.token(&clerk)),
        "X-User: root",
        "x-roles: boss",
    ];
    let answer = get(&gateway, "/reports/one", &fields).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = backend.last();
    assert_eq!(seen.fields("x-user"), ["anna"]);
    let roles = seen.field("x-roles").unwrap().replace(' ', "");
    assert_eq!(roles, "clerk,reader");

    assert_unauthorized(&show(&gateway, "/reports/one", &RSA.token(&partner)).await);
    for (name, value) in [
        ("scope", json!("reports:write")),
        ("realm_access", json!({ "roles": ["reader"] })),
        ("tenant", json!("two")),
        ("tenant", json!(null)),
    ] {
        let mut claims = clerk.clone();
        claims[name] = value;
        assert_forbidden(&show(&gateway, "/reports/one", &P256.token(&claims)).await);
    }
}
