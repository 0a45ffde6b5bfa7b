//! Those who show API keys and passwords.

use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use testkit::{Backend, Gateway, within};

use super::fixtures::consumers::{
    ACME_HASH, ACME_PASSWORD, BERT_HASH, Consumers, hash_of, new_key,
};
use super::fixtures::gateways::everywhere;
use super::fixtures::requests::{
    assert_forbidden, assert_unauthorized, assert_unavailable, basic, bearer, get,
};
use crate::{gateway, routes};

/// A gateway that knows them, asks for this, and tells the backend who it was.
async fn protecting(consumers: &Consumers, backend: &Backend, auth: Value) -> Gateway {
    let claims = json!({ "X-Sub": "sub", "X-Tier": "tier", "X-Scope": "scope", "X-Roles": "roles", "X-Tenant": "tenant" });
    let route = everywhere(backend, &json!({ "auth": auth, "forwardClaims": claims }));
    let builder = gateway().routes(&routes(&[route]));
    consumers.of(builder).start().await
}

#[tokio::test]
async fn a_key_and_a_password_make_the_consumer_known() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let auth = json!({ "accept": ["apiKey", "basic"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    let key = format!("X-API-Key: {}", consumers.key);
    for field in [&key, &basic("acme", ACME_PASSWORD)] {
        assert_eq!(get(&gateway, "/", &[field]).await.status(), 200);
        let seen = backend.last();
        for (name, value) in [
            ("x-sub", "acme"),
            ("x-tier", "gold"),
            ("x-scope", "feed:read feed:write"),
            ("x-tenant", "7"),
        ] {
            assert_eq!(seen.field(name), Some(value), "{name}");
        }
        let roles = seen.field("x-roles").unwrap().replace(' ', "");
        assert_eq!(roles, "partner,tester");
    }
    let log = gateway.log(2).await;
    assert_eq!(
        (&log[0]["consumer"], &log[0]["apiKey"]),
        (&json!("acme"), &json!("first"))
    );
    assert_eq!(log[1]["consumer"], "acme");
    assert_eq!(log[1].get("apiKey"), None);
}

#[tokio::test]
async fn rights_are_judged_by_the_claims_of_the_consumer() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let key = format!("X-API-Key: {}", consumers.key);
    for (auth, passes) in [
        (json!({ "scopes": ["feed:write"] }), true),
        (json!({ "scopes": ["feed:read", "feed:delete"] }), false),
        (json!({ "roles": ["boss", "tester"] }), true),
        (json!({ "roles": ["boss"] }), false),
        (
            json!({ "require": "claims.tier == 'gold' && claims.tenant == 7" }),
            true,
        ),
        (json!({ "require": "claims.tier == 'silver'" }), false),
        (json!({ "require": "claims.sub == 'acme'" }), true),
    ] {
        let mut auth = auth;
        auth["accept"] = json!(["apiKey"]);
        let gateway = protecting(&consumers, &backend, auth.clone()).await;
        let answer = get(&gateway, "/", &[&key]).await;
        assert_eq!(answer.status(), if passes { 200 } else { 403 }, "{auth}");
        if !passes {
            assert_forbidden(&answer);
        }
    }
}

#[tokio::test]
async fn wrong_keys_and_passwords_are_refused() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new()
        .await
        .and(json!({ "name": "bert", "password": BERT_HASH }))
        .and(json!({ "name": "keyless" }));
    let auth = json!({ "accept": ["apiKey", "basic"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    let key = &consumers.key;
    let stored = consumers.entry["hash"].as_str().unwrap();
    let encoded = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    for field in [
        "X-API-Key:".to_owned(),
        "X-API-Key: gwk_".to_owned(),
        "X-API-Key: first".to_owned(),
        format!("X-API-Key: {}", &key[..key.len() - 1]),
        format!("X-API-Key: {key}A"),
        format!("X-API-Key: {}", key.trim_start_matches("gwk_")),
        format!("X-API-Key: {stored}"),
        format!("X-API-Key: {key}, {key}"),
        bearer(key),
        basic("acme", "wrong"),
        basic("acme", ""),
        basic("acme", ACME_HASH),
        basic("acme", "another"),
        basic("acme", &format!("{ACME_PASSWORD} ")),
        basic("ACME", ACME_PASSWORD),
        basic("bert", ACME_PASSWORD),
        basic("keyless", ""),
        basic("nobody", ACME_PASSWORD),
        basic("", ""),
        basic("acme", key),
        format!("Authorization: Basic {}", encoded("acme")),
        format!("Authorization: Basic {}", encoded("")),
        "Authorization: Basic".to_owned(),
        "Authorization: Basic !!!".to_owned(),
        "Authorization: Basic /////w==".to_owned(),
        format!("Authorization: Basic acme:{ACME_PASSWORD}"),
        format!("Authorization: Digest {}", encoded("acme:wrong")),
    ] {
        let answer = get(&gateway, "/", &[&field]).await;
        assert_eq!(answer.status(), 401, "{field}");
        assert_unauthorized(&answer);
    }
    assert!(backend.requests().is_empty());
    let lower = basic("acme", ACME_PASSWORD).replace("Basic", "basic");
    assert_eq!(get(&gateway, "/", &[&lower]).await.status(), 200);
}

#[tokio::test]
async fn what_has_ended_opens_nothing() {
    let backend = Backend::ok().await;
    let (past, future) = ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    let auth = json!({ "accept": ["apiKey", "basic"] });
    // The end of the consumer, and of its key; whether key and password are good.
    for (consumer, key, key_opens, password_opens) in [
        (future, future, true, true),
        (past, future, false, false),
        (future, past, false, true),
    ] {
        let consumers = Consumers::new().await;
        let mut entry = consumers.entry.clone();
        entry["expires"] = key.into();
        let consumers = consumers
            .with("expires", consumer.into())
            .with("keys", json!([entry]));
        let gateway = protecting(&consumers, &backend, auth.clone()).await;
        let field = format!("X-API-Key: {}", consumers.key);
        for (field, opens) in [
            (field, key_opens),
            (basic("acme", ACME_PASSWORD), password_opens),
        ] {
            let answer = get(&gateway, "/", &[&field]).await;
            assert_eq!(
                answer.status(),
                if opens { 200 } else { 401 },
                "{consumer} {key}"
            );
        }
    }
}

#[tokio::test]
async fn what_ends_while_the_gateway_runs_is_over_at_once() {
    let backend = Backend::ok().await;
    let end = SystemTime::now() + Duration::from_secs(3);
    let end = humantime::format_rfc3339_seconds(end).to_string();
    let consumers = Consumers::new().await.with("expires", end.into());
    let auth = json!({ "accept": ["apiKey", "basic"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    let key = format!("X-API-Key: {}", consumers.key);
    let password = basic("acme", ACME_PASSWORD);
    for field in [&key, &password] {
        assert_eq!(get(&gateway, "/", &[field]).await.status(), 200);
    }
    within("its end", async {
        while get(&gateway, "/", &[&key]).await.status() == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // A password that is remembered, too.
    for field in [&key, &password] {
        assert_unauthorized(&get(&gateway, "/", &[field]).await);
    }
}

#[tokio::test]
async fn a_consumer_may_have_several_keys() {
    let backend = Backend::ok().await;
    let (second, entry) = new_key(&["--id", "second", "--expires", "2099-01-01T00:00:00Z"]).await;
    let consumers = Consumers::new().await;
    let keys = json!([consumers.entry, entry]);
    let consumers = consumers.with("keys", keys);
    let auth = json!({ "accept": ["apiKey"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    for key in [&consumers.key, &second] {
        let field = format!("X-API-Key: {key}");
        assert_eq!(get(&gateway, "/", &[&field]).await.status(), 200);
    }
    let log = gateway.log(2).await;
    assert_eq!(
        (&log[0]["apiKey"], &log[1]["apiKey"]),
        (&json!("first"), &json!("second"))
    );
}

#[tokio::test]
async fn a_good_password_is_checked_once_and_remembered() {
    let backend = Backend::ok().await;
    let hash = hash_of(ACME_PASSWORD).await;
    let consumers = Consumers::new().await.with("password", hash.into());
    let auth = json!({ "accept": ["basic"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    let field = basic("acme", ACME_PASSWORD);
    let start = Instant::now();
    assert_eq!(get(&gateway, "/", &[&field]).await.status(), 200);
    let first = start.elapsed();
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(get(&gateway, "/", &[&field]).await.status(), 200);
    }
    assert!(
        start.elapsed() < first * 5,
        "{first:?}, {:?}",
        start.elapsed()
    );
    assert_unauthorized(&get(&gateway, "/", &[&basic("acme", "wrong")]).await);
}

#[tokio::test]
async fn when_too_many_passwords_wait_others_are_told_to_come_again() {
    let backend = Backend::ok().await;
    let hash = hash_of(ACME_PASSWORD).await;
    let consumers = Consumers::new().await.with("password", hash.into());
    let auth = json!({ "accept": ["basic"] });
    let gateway = protecting(&consumers, &backend, auth).await;
    let fields: Vec<String> = (0..150)
        .map(|number| basic("acme", &format!("wrong {number}")))
        .collect();
    let mut answers: FuturesUnordered<_> = fields
        .iter()
        .map(|field| async { get(&gateway, "/", &[field]).await })
        .collect();
    let told = within("a refusal", async {
        while let Some(answer) = answers.next().await {
            match answer.status() {
                401 => {}
                _ => return answer,
            }
        }
        panic!("all were checked");
    })
    .await;
    assert_unavailable(&told);
}
