//! What those who are known may do, and what backends learn of them.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message};

use crate::signing::{claims, hs256};
use crate::{gateway, routes};

const SECRET: &str = "a secret of ours";

async fn started(routes_of: &[Value]) -> Gateway {
    gateway()
        .routes(&routes(routes_of))
        .env("JWT_SECRET", SECRET)
        .start()
        .await
}

fn token(more: &Value) -> String {
    let mut claims = claims("api-gateway");
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    hs256(SECRET.as_bytes(), &claims)
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

async fn status(gateway: &Gateway, target: &str, more: &Value) -> u16 {
    let field = format!("Authorization: Bearer {}", token(more));
    get(gateway, target, &[&field]).await.status()
}

#[tokio::test]
async fn scopes_roles_audiences_and_rules_decide() {
    let backend = Backend::ok().await;
    let url = backend.url();
    let gateway = started(&[
        json!({ "path": "/scopes", "targetURL": url, "auth": { "scopes": ["a", "b"] } }),
        json!({ "path": "/roles", "targetURL": url, "auth": { "roles": ["boss", "clerk"] } }),
        json!({ "path": "/audience", "targetURL": url, "auth": { "audiences": ["here"] } }),
        json!({ "path": "/rule/:tenant", "targetURL": url,
                "auth": { "require": "path == '/rule/' + claims.tenant && method == 'GET'" } }),
    ])
    .await;
    for (target, claims, expected) in [
        ("/scopes", json!({ "scope": "b c a" }), 200),
        ("/scopes", json!({ "scp": ["a", "b"] }), 200),
        ("/scopes", json!({ "scope": "a" }), 403),
        ("/scopes", json!({}), 403),
        ("/roles", json!({ "roles": ["clerk"] }), 200),
        ("/roles", json!({ "roles": ["guest"] }), 403),
        ("/roles", json!({ "roles": "boss" }), 200),
        ("/roles", json!({ "roles": "not a boss" }), 403),
        ("/audience", json!({ "aud": ["there", "here"] }), 200),
        ("/audience", json!({ "aud": "there" }), 401),
        ("/audience", json!({}), 401),
        ("/rule/one", json!({ "tenant": "one" }), 200),
        ("/rule/two", json!({ "tenant": "one" }), 403),
        ("/rule/one", json!({}), 403),
    ] {
        assert_eq!(
            status(&gateway, target, &claims).await,
            expected,
            "{target} {claims}"
        );
    }
    let field = format!("Authorization: Bearer {}", token(&json!({ "scope": "a" })));
    let answer = get(&gateway, "/scopes", &[&field]).await;
    assert_eq!(answer.json()["code"], "forbidden");
    let challenge = answer.field("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"a b\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_backend_learns_claims_from_the_gateway_and_never_from_the_client() {
    let backend = Backend::ok().await;
    let gateway = started(&[
        json!({ "path": "/known", "targetURL": backend.url(), "requireAuth": true,
                "forwardClaims": { "X-User": "sub", "X-Tenant": "org.tenant", "X-Roles": "roles" } }),
        json!({ "path": "/tried", "targetURL": backend.url(), "requireAuth": true, "shadow": ["auth"],
                "forwardClaims": { "X-User": "sub" } }),
    ])
    .await;
    let bearer = format!(
        "Authorization: Bearer {}",
        token(&json!({ "org": { "tenant": 7 }, "roles": ["a", "b"] }))
    );
    let forged = [
        "X-User: root",
        "x-user: root",
        "X_User: root",
        "X-Tenant: 1",
        "X-ROLES: admin",
    ];
    let fields: Vec<&str> = forged.iter().copied().chain([&*bearer]).collect();
    assert_eq!(get(&gateway, "/known", &fields).await.status(), 200);
    let seen = backend.last();
    assert_eq!(seen.field("x-user"), Some("anna"));
    assert_eq!(seen.field("x-tenant"), Some("7"));
    assert_eq!(seen.field("x-roles"), Some("a,b"));
    assert_eq!(seen.field("x_user"), None);
    // Nor where nobody is known.
    assert_eq!(get(&gateway, "/tried", &forged).await.status(), 200);
    assert_eq!(backend.last().field("x-user"), None);
    // Nor where the client would have the gateway drop its own.
    let nominated = ["Connection: X-User, close", &bearer];
    assert_eq!(get(&gateway, "/known", &nominated).await.status(), 200);
    assert_eq!(backend.last().field("x-user"), Some("anna"));
}

#[tokio::test]
async fn tokens_are_found_where_a_route_says_and_end_there_if_it_says_so() {
    let backend = Backend::ok().await;
    let places = json!(["cookie:session", "header:X-Token", "query:access_token"]);
    let route = |path: &str, forward: bool| {
        json!({ "path": path, "targetURL": backend.url(),
                "auth": { "tokenFrom": places, "forwardCredentials": forward } })
    };
    let gateway = started(&[route("/shown", true), route("/hidden", false)]).await;
    let token = token(&json!({}));
    let cookie = format!("Cookie: a=b; session={token}; c=d");
    let field = format!("X-Token: {token}");
    let query = format!("?x=1&access_token={token}&y=2");
    for (query, fields) in [("", vec![&*cookie]), ("", vec![&*field]), (&*query, vec![])] {
        let target = format!("/shown{query}");
        assert_eq!(get(&gateway, &target, &fields).await.status(), 200);
        assert!(format!("{:?}", backend.last()).contains(&token));
        let target = format!("/hidden{query}");
        assert_eq!(get(&gateway, &target, &fields).await.status(), 200);
        assert!(
            !format!("{:?}", backend.last()).contains(&token),
            "{:?}",
            backend.last()
        );
    }
    get(&gateway, "/hidden", &[&cookie]).await;
    assert_eq!(backend.last().field("cookie"), Some("a=b; c=d"));
    get(&gateway, &format!("/hidden{query}"), &[]).await;
    assert_eq!(backend.last().target(), "/hidden?x=1&y=2");
    // The usual place is not one of them.
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(get(&gateway, "/shown", &[&bearer]).await.status(), 401);
    let twice = [&*field, &*field];
    assert_eq!(get(&gateway, "/shown", &twice).await.status(), 401);
}

#[tokio::test]
async fn preflights_need_no_token() {
    let backend = Backend::ok().await;
    let gateway =
        started(&[json!({ "path": "/a", "targetURL": backend.url(), "requireAuth": true })]).await;
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
async fn a_rule_does_not_see_what_only_a_proxy_may_say() {
    let backend = Backend::ok().await;
    let rule = "headers['x-real-ip'] == '10.0.0.1' || headers['x-forwarded-proto'] == 'https'";
    let route = json!({ "path": "/", "targetURL": backend.url(), "auth": { "require": rule } });
    let fields = ["X-Real-IP: 10.0.0.1", "X-Forwarded-Proto: https"];
    let authorization = format!("Authorization: Bearer {}", token(&json!({})));
    for (trusted, expected) in [("10.0.0.0/8", 403), ("127.0.0.0/8", 200)] {
        let gateway = gateway()
            .routes(&routes(std::slice::from_ref(&route)))
            .env("JWT_SECRET", SECRET)
            .env("TRUSTED_PROXIES", trusted)
            .start()
            .await;
        let fields = [&fields[..], &[&authorization]].concat();
        let answer = get(&gateway, "/", &fields).await;
        assert_eq!(answer.status(), expected, "{trusted}");
    }
}

#[tokio::test]
async fn a_clients_field_does_not_stand_beside_a_claim_by_an_underscore() {
    let backend = Backend::ok().await;
    let route = json!({ "path": "/", "targetURL": backend.url(), "requireAuth": true,
                        "forwardClaims": { "X-User": "sub" } });
    let gateway = gateway()
        .routes(&routes(&[route]))
        .env("JWT_SECRET", SECRET)
        .env("UNDERSCORE_HEADERS", "keep")
        .start()
        .await;
    let authorization = format!("Authorization: Bearer {}", token(&json!({ "sub": "anna" })));
    let fields = [&*authorization, "X_User: root", "X_Other: 1"];
    assert_eq!(get(&gateway, "/", &fields).await.status(), 200);
    let seen = backend.last();
    assert_eq!(seen.field("x-user"), Some("anna"));
    assert_eq!(
        (seen.field("x_user"), seen.field("x_other")),
        (None, Some("1"))
    );
}
