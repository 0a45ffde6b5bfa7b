//! Rules in the Common Expression Language.

use serde_json::json;
use testkit::Backend;

use super::fixtures::gateways::asking;
use super::fixtures::requests::{assert_decisions, bearer, get};
use super::fixtures::signing::P256;

#[tokio::test]
async fn a_rule_must_be_true() {
    let backend = Backend::ok().await;
    for (rule, decisions) in [
        (
            "claims.tier == 'gold' || method == 'POST'",
            vec![
                (json!({ "tier": "gold" }), true),
                (json!({ "tier": "silver" }), false),
                (json!({ "tier": 7 }), false),
                // An error is a no.
                (json!({}), false),
            ],
        ),
        (
            "has(claims.email) && claims.email.endsWith('@example.com')",
            vec![
                (json!({ "email": "anna@example.com" }), true),
                (json!({ "email": "anna@example.com.evil.test" }), false),
                (json!({ "email": ["anna@example.com"] }), false),
                (json!({}), false),
            ],
        ),
        (
            "claims.verified",
            vec![
                (json!({ "verified": true }), true),
                (json!({ "verified": false }), false),
                (json!({ "verified": "true" }), false),
                (json!({ "verified": 1 }), false),
                (json!({}), false),
            ],
        ),
        (
            "10 / claims.share > 1",
            vec![
                (json!({ "share": 5 }), true),
                (json!({ "share": 0 }), false),
                (json!({ "share": "5" }), false),
            ],
        ),
        ("!(claims.banned)", vec![(json!({}), false)]),
        ("!('x' in claims.groups)", vec![(json!({}), false)]),
    ] {
        let gateway = asking(&backend, &json!({ "require": rule })).start().await;
        assert_decisions(&gateway, &decisions).await;
    }
}

/// Method, target, fields, and the status of the answer.
type Judged = (&'static str, &'static str, &'static [&'static str], u16);

#[tokio::test]
async fn a_rule_sees_method_path_and_headers() {
    let backend = Backend::ok().await;
    let token = bearer(&P256.token(&json!({ "groups": ["admins"] })));
    let rules: [(&str, &[Judged]); 3] = [
        (
            "method == 'GET'",
            &[("GET", "/", &[], 200), ("DELETE", "/", &[], 403)],
        ),
        (
            "path.matches('^/users/[0-9]+$')",
            &[
                ("GET", "/users/7", &[], 200),
                ("GET", "/users/7?a=b", &[], 200),
                ("GET", "/users//x/../7", &[], 200),
                ("GET", "/users/%37", &[], 200),
                ("GET", "/users/x", &[], 403),
                ("GET", "/users/7/x", &[], 403),
                ("GET", "/other?/users/7", &[], 403),
            ],
        ),
        (
            "'admins' in claims.groups && headers['x-mfa'] == 'done'",
            &[
                ("GET", "/", &["X-MFA: done"], 200),
                ("GET", "/", &["x-mfa:done"], 200),
                ("GET", "/", &["X-MFA: no"], 403),
                ("GET", "/", &["X_MFA: done"], 403),
                ("GET", "/", &["X-MFA: no", "X-MFA: done"], 403),
                ("GET", "/", &["X-MFA: done", "X-MFA: no"], 403),
                ("GET", "/", &[], 403),
            ],
        ),
    ];
    for (rule, requests) in rules {
        let gateway = asking(&backend, &json!({ "require": rule })).start().await;
        for (method, target, fields, status) in requests {
            let mut client = gateway.client().await;
            let fields = [&[&*token], *fields].concat();
            client.request(method, target, &fields).await;
            let answer = client.response().await;
            assert_eq!(
                answer.status(),
                *status,
                "{rule}: {method} {target} {fields:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_does_not_see_what_only_a_proxy_may_say() {
    let backend = Backend::ok().await;
    let rule = "headers['x-real-ip'] == '10.0.0.1' || headers['x-forwarded-proto'] == 'https'";
    let token = bearer(&P256.token(&json!({})));
    let fields = [&*token, "X-Real-IP: 10.0.0.1", "X-Forwarded-Proto: https"];
    for (trusted, expected) in [("10.0.0.0/8", 403), ("127.0.0.0/8", 200)] {
        let gateway = asking(&backend, &json!({ "require": rule }))
            .env("TRUSTED_PROXIES", trusted)
            .start()
            .await;
        let answer = get(&gateway, "/", &fields).await;
        assert_eq!(answer.status(), expected, "{trusted}");
    }
}
