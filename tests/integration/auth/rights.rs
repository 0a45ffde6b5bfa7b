//! What a route asks of those who are known: scopes and roles.

use serde_json::{Value, json};
use testkit::Backend;

use super::fixtures::gateways::{asking, everywhere, with_joe};
use super::fixtures::requests::{
    assert_decisions, assert_forbidden, assert_unauthorized, get, show,
};
use super::fixtures::signing::{JOE, P256, RSA};
use crate::gateway;

#[tokio::test]
async fn auth_alone_asks_for_a_token() {
    let backend = Backend::ok().await;
    let gateway = asking(&backend, &json!({})).start().await;
    assert_unauthorized(&get(&gateway, "/", &[]).await);
    assert_decisions(&gateway, &[(json!({}), true)]).await;
}

#[tokio::test]
async fn all_scopes_of_a_route_must_have_been_granted() {
    let backend = Backend::ok().await;
    let auth = json!({ "scopes": ["orders:read", "orders:write"] });
    let gateway = asking(&backend, &auth).start().await;
    assert_decisions(
        &gateway,
        &[
            (json!({ "scope": "orders:read orders:write" }), true),
            (json!({ "scope": "a orders:write b orders:read" }), true),
            (json!({ "scp": ["orders:write", "orders:read"] }), true),
            (json!({ "scope": "orders:read" }), false),
            (json!({ "scope": "orders:readorders:write" }), false),
            (json!({ "scope": "orders:read,orders:write" }), false),
            (json!({ "scope": "ORDERS:READ orders:write" }), false),
            (json!({ "scope": "xorders:read orders:writex" }), false),
            (json!({ "scope": "" }), false),
            (json!({ "scope": 7 }), false),
            (
                json!({ "scope": { "orders:read": 1, "orders:write": 1 } }),
                false,
            ),
            (json!({ "scp": ["orders:read orders"] }), false),
            (json!({ "scp": [["orders:read", "orders:write"]] }), false),
            (json!({ "scopes": "orders:read orders:write" }), false),
            (json!({}), false),
        ],
    )
    .await;
    // RFC 6750 §3.1.
    let answer = show(
        &gateway,
        "/",
        &P256.token(&json!({ "scope": "orders:read" })),
    )
    .await;
    let said = answer.field("www-authenticate").unwrap();
    for part in [
        "error=\"insufficient_scope\"",
        "scope=\"orders:read orders:write\"",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn one_of_the_roles_of_a_route_must_be_held() {
    let backend = Backend::ok().await;
    let auth = json!({ "roles": ["clerk", "boss"] });
    let gateway = asking(&backend, &auth).start().await;
    assert_decisions(
        &gateway,
        &[
            (json!({ "roles": ["clerk"] }), true),
            (json!({ "roles": ["reader", "boss"] }), true),
            (json!({ "roles": "boss" }), true),
            (json!({ "roles": "not a boss" }), false),
            (json!({ "roles": ["Clerk"] }), false),
            (json!({ "roles": ["clerks", "bos"] }), false),
            (json!({ "roles": [] }), false),
            (json!({ "roles": [["clerk"]] }), false),
            (json!({ "roles": { "clerk": true } }), false),
            (json!({ "role": ["clerk"] }), false),
            (json!({ "scope": "clerk" }), false),
            (json!({}), false),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_issuer_says_where_its_roles_are() {
    let backend = Backend::ok().await;
    let auth = json!({ "roles": ["boss"] });
    let joe = json!({
        "issuer": JOE, "keys": "joe.pem", "rolesClaim": "resource_access.api.roles"
    });
    let route = everywhere(&backend, &json!({ "auth": auth }));
    let gateway = gateway()
        .file("joe.pem", &P256.public)
        .routes(&json!({ "issuers": { "joe": joe }, "routes": [route] }))
        .start()
        .await;
    let inside = |roles: Value| json!({ "resource_access": { "api": { "roles": roles } } });
    assert_decisions(
        &gateway,
        &[
            (inside(json!(["boss"])), true),
            (inside(json!(["clerk"])), false),
            (json!({ "roles": ["boss"] }), false),
            (json!({ "resource_access": ["boss"] }), false),
            (
                json!({ "resource_access": { "other": { "roles": ["boss"] } } }),
                false,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_is_known_is_refused_otherwise_than_who_is_not() {
    let backend = Backend::ok().await;
    let auth = json!({ "scopes": ["a"], "roles": ["b"], "require": "false" });
    let gateway = asking(&backend, &auth).start().await;
    let all = json!({ "scope": "a", "roles": ["b"] });
    assert_forbidden(&show(&gateway, "/", &P256.token(&all)).await);
    assert_unauthorized(&show(&gateway, "/", &RSA.token(&all)).await);
    assert_unauthorized(&get(&gateway, "/", &[]).await);
    assert!(backend.requests().is_empty());
    let errors: Vec<Value> = gateway.log(3).await;
    let errors: Vec<&str> = errors
        .iter()
        .filter_map(|line| line["error"].as_str())
        .collect();
    assert_eq!(errors, ["forbidden", "unauthorized", "unauthorized"]);
}

#[tokio::test]
async fn who_is_known_stands_in_the_log_even_if_refused() {
    let backend = Backend::ok().await;
    let gateway = asking(&backend, &json!({ "scopes": ["a"] })).start().await;
    for claims in [
        json!({ "sub": "anna", "scope": "a" }),
        json!({ "sub": "bert" }),
        json!({ "scope": "a" }),
    ] {
        show(&gateway, "/", &P256.token(&claims)).await;
    }
    show(&gateway, "/", &RSA.token(&json!({ "sub": "carl" }))).await;
    let log = gateway.log(4).await;
    let told: Vec<_> = log.iter().map(|line| line.get("consumer")).collect();
    assert_eq!(
        told,
        [Some(&json!("anna")), Some(&json!("bert")), None, None]
    );
}

#[tokio::test]
async fn requests_that_are_refused_count_for_the_rate_limit() {
    let backend = Backend::ok().await;
    let more = json!({ "requireAuth": true, "rateLimit": { "limit": 2, "window": "1h" } });
    let gateway = gateway()
        .routes(&crate::routes(&[everywhere(&backend, &more)]))
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    for status in [401, 401, 429] {
        assert_eq!(get(&gateway, "/", &[]).await.status(), status);
    }
}

#[tokio::test]
async fn preflights_need_no_token() {
    let backend = Backend::ok().await;
    let gateway = asking(&backend, &json!({})).start().await;
    let mut client = gateway.client().await;
    let fields = [
        "Origin: https://a.example",
        "Access-Control-Request-Method: GET",
    ];
    client.request("OPTIONS", "/a", &fields).await;
    assert_eq!(client.response().await.status(), 204);
    client.request("OPTIONS", "/a", &[]).await;
    assert_eq!(client.response().await.status(), 401);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn who_is_known_and_may_not_pass_counts_all_the_same() {
    let backend = Backend::ok().await;
    let limit = json!({ "limit": 2, "window": "1h", "by": "consumer" });
    let more = json!({ "auth": { "issuers": ["joe"], "scopes": ["a"] }, "rateLimit": limit });
    let gateway = with_joe(&[everywhere(&backend, &more)]).start().await;
    let anna = P256.token(&json!({ "sub": "anna" }));
    for status in [403, 403, 429] {
        let answer = show(&gateway, "/", &anna).await;
        assert_eq!(answer.status(), status);
        assert!(answer.field("ratelimit").is_some());
    }
    let other = P256.token(&json!({ "sub": "bert" }));
    assert_eq!(show(&gateway, "/", &other).await.status(), 403);
}
