//! How much a client may ask for.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

use crate::gateway;

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await
}

fn limited(backend: &Backend, shared: &Value, limits: &[(&str, Value)]) -> GatewayBuilder {
    let routes: Vec<Value> = limits
        .iter()
        .map(
            |(path, limit)| json!({ "path": path, "targetURL": backend.url(), "rateLimit": limit }),
        )
        .collect();
    gateway().routes(&json!({ "rateLimits": shared, "routes": routes }))
}

#[tokio::test]
async fn a_client_at_its_limit_is_told_when_to_come_back() {
    let backend = Backend::ok().await;
    let limit = json!({ "name": "burst", "limit": 3, "window": "1h" });
    let gateway = limited(&backend, &json!({}), &[("/*path", limit)])
        .env("WORKERS", "2")
        .start()
        .await;
    // However many workers share them.
    for left in [2, 1, 0] {
        let answer = get(&gateway, "/", &["Origin: https://a.example"]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.field("ratelimit-policy"),
            Some("\"burst\";q=3;w=3600")
        );
        let told = answer.field("ratelimit").unwrap_or_default();
        assert!(
            told.starts_with(&format!("\"burst\";r={left};t=")),
            "{told}"
        );
    }
    let answer = get(&gateway, "/", &["Origin: https://a.example"]).await;
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (429, Some("rate-limited"))
    );
    let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_900).contains(&after), "{after}");
    let told = answer.field("ratelimit").unwrap_or_default();
    assert!(told.starts_with("\"burst\";r=0;t="), "{told}");
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    assert_eq!(backend.requests().len(), 3);
    let log = gateway.log(4).await;
    assert!(log.iter().any(|line| line["error"] == "rate-limited"));
}

#[tokio::test]
async fn a_client_that_waits_as_told_passes() {
    let backend = Backend::ok().await;
    let limit = json!({ "limit": 1, "window": 0.5 });
    let gateway = limited(&backend, &json!({}), &[("/*path", limit)])
        .start()
        .await;
    assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
    let refused = get(&gateway, "/", &[]).await;
    assert_eq!(refused.field("retry-after"), Some("1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&gateway, "/", &[]).await.status(), 200);
}

#[tokio::test]
async fn routes_share_a_limit_by_its_name() {
    let backend = Backend::ok().await;
    let shared = json!({ "api": { "limit": 2, "window": "1m" } });
    let several = json!(["api", { "limit": 1, "window": "1m" }]);
    let gateway = limited(&backend, &shared, &[("/a", "api".into()), ("/b", several)])
        .start()
        .await;
    assert_eq!(get(&gateway, "/a", &[]).await.status(), 200);
    let answer = get(&gateway, "/b", &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.field("ratelimit-policy"),
        Some("\"api\";q=2;w=60, \"default-2\";q=1;w=60")
    );
    assert_eq!(get(&gateway, "/a", &[]).await.status(), 429);
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_and_tenants_have_their_own() {
    let backend = Backend::ok().await;
    let limit = json!({ "limit": 1, "window": "1m", "by": ["ip", "header:X-Tenant"] });
    let gateway = limited(&backend, &json!({}), &[("/*path", limit)])
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    for (address, tenant, status) in [
        ("192.0.2.1", "one", 200),
        ("192.0.2.1", "one", 429),
        ("192.0.2.2", "one", 200),
        ("192.0.2.1", "two", 200),
        ("2001:db8::1", "one", 200),
        ("2001:db8::2", "one", 429),
    ] {
        let fields = [
            &*format!("X-Forwarded-For: {address}"),
            &format!("X-Tenant: {tenant}"),
        ];
        let answer = get(&gateway, "/", &fields).await;
        assert_eq!(answer.status(), status, "{address} {tenant}");
    }
}

#[tokio::test]
async fn tenants_are_told_apart_by_the_path() {
    let backend = Backend::ok().await;
    let shared = json!({ "per-tenant": { "limit": 1, "window": "1m", "by": "param:tenant" } });
    let limits = [
        ("/tenants/:tenant/*rest", json!("per-tenant")),
        ("/v2/archive/{tenant}", json!("per-tenant")),
        (
            "/files/*rest",
            json!({ "limit": 1, "window": "1m", "by": "param:rest" }),
        ),
    ];
    let gateway = limited(&backend, &shared, &limits).start().await;
    for (target, status) in [
        ("/tenants/acme/a", 200),
        ("/tenants/acme/b", 429),
        ("/tenants/%61cme;v=1/", 429),
        ("/v2/archive/acme", 429),
        ("/v2/archive/other", 200),
        ("/tenants/other", 429),
        ("/files/a/b", 200),
        ("/files/a/b?c", 429),
        ("/files/a", 200),
    ] {
        assert_eq!(
            get(&gateway, target, &[]).await.status(),
            status,
            "{target}"
        );
    }
}

#[tokio::test]
async fn a_limit_can_be_tried_out_in_the_shadow() {
    let backend = Backend::ok().await;
    let limit = json!({ "name": "try", "limit": 1, "window": "1m", "shadow": true });
    let gateway = limited(&backend, &json!({}), &[("/*path", limit)])
        .start()
        .await;
    for _ in 0..2 {
        let answer = get(&gateway, "/", &[]).await;
        assert_eq!((answer.status(), answer.field("ratelimit")), (200, None));
    }
    let log = gateway.log(2).await;
    assert_eq!(log[0].get("shadowRateLimit"), None);
    assert_eq!(log[1]["shadowRateLimit"], "try");
}

#[tokio::test]
async fn somebody_who_is_known_has_a_limit_of_his_own_wherever_he_comes_from() {
    let backend = Backend::ok().await;
    let route = json!({
        "path": "/*path", "targetURL": backend.url(), "requireAuth": true,
        "rateLimit": [
            { "name": "each", "limit": 1, "window": "1h", "by": "consumer" },
            { "name": "tries", "limit": 4, "window": "1h" },
        ],
    });
    let builder = || gateway().routes(&json!({ "routes": [route] }));
    let token = async |name: &str| {
        let command = builder().argument("token").argument("--sub").argument(name);
        format!("Authorization: Bearer {}", command.finish().await.1.trim())
    };
    let (anna, bert) = (token("anna").await, token("bert").await);
    let gateway = builder().start().await;
    let answer = get(&gateway, "/", &[&anna]).await;
    assert_eq!(
        (answer.status(), answer.field("ratelimit-policy")),
        (200, Some("\"tries\";q=4;w=3600, \"each\";q=1;w=3600"))
    );
    assert_eq!(get(&gateway, "/", &[&anna]).await.status(), 429);
    assert_eq!(get(&gateway, "/", &[&bert]).await.status(), 200);
    // Whoever guesses is counted before he is known.
    assert_eq!(get(&gateway, "/", &[]).await.status(), 401);
    assert_eq!(get(&gateway, "/", &[]).await.status(), 429);
    assert_eq!(backend.requests().len(), 2);
}
