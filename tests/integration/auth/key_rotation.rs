//! Keys that an issuer replaces, or that are not to be had, while the gateway runs.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Backend, within};

use super::fixtures::gateways::believing;
use super::fixtures::publisher::{Publisher, failures, make_it_look, settled, until};
use super::fixtures::requests::{assert_unauthorized, assert_unavailable, bearer, show};
use super::fixtures::signing::{JOE, KEYS, Key, Kind, P256, RSA};
use crate::gateway;

/// All at the same time, since there are 5 seconds between two looks at an issuer's keys.
#[tokio::test]
async fn published_keys_come_and_go() {
    tokio::join!(
        a_new_key_works_at_once_and_is_fetched_once_for_all_who_wait(),
        an_issuer_that_fails_keeps_its_last_good_keys(),
        a_key_that_is_withdrawn_opens_nothing_any_more(),
        an_issuer_that_publishes_no_key_has_withdrawn_all(),
        published_keys_are_looked_at_again_in_the_background(),
        tokens_of_an_issuer_that_was_never_reached_get_503_until_it_is(),
        an_issuer_that_cannot_be_reached_does_not_hold_up_the_start_or_others(),
    );
}

async fn a_new_key_works_at_once_and_is_fetched_once_for_all_who_wait() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("old")]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let old = P256.token_by("old", &json!({}));
    assert_eq!(settled(&gateway, &old).await.status(), 200);

    let key = &KEYS[4];
    let new = key.token_by("new", &json!({}));
    publisher.publish(&[P256.jwk("old"), key.jwk("new")]);
    let held = publisher.gate.write().await;
    // Up to 5 seconds after the last look there is none.
    let first = within("a look at the keys", async {
        loop {
            let mut client = gateway.client().await;
            let field = bearer(&new);
            client.request("GET", "/", &[&field]).await;
            tokio::select! {
                answer = client.response() => assert_unauthorized(&answer),
                () = publisher.backend.wait_for_requests(2) => return client,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut first = first.await;
    let others = join_all((0..30).map(|_| show(&gateway, "/", &new)));
    let known = async {
        // Who needs no new key does not wait.
        let answer = show(&gateway, "/", &old).await;
        drop(held);
        answer
    };
    let (others, known) = tokio::join!(others, known);
    assert_eq!(known.status(), 200);
    assert_eq!(first.response().await.status(), 200);
    assert!(others.iter().all(|answer| answer.status() == 200));
    assert_eq!(publisher.fetches(), 2);
}

async fn an_issuer_that_fails_keeps_its_last_good_keys() {
    let backend = Backend::ok().await;
    let good = P256.token_by("one", &json!({}));
    let unused = P256.token_by("one", &json!({ "jti": "not seen before" }));
    let mut failures: Vec<Option<String>> = failures().into_iter().map(Some).collect();
    failures.push(None);
    // All at a time, since each has to wait for the next look.
    join_all(failures.into_iter().map(async |failure| {
        let publisher = Publisher::new().await;
        publisher.publish(&[P256.jwk("one")]);
        let gateway = believing(&backend, &publisher.jwks()).start().await;
        assert_eq!(settled(&gateway, &good).await.status(), 200);
        match &failure {
            Some(answer) => publisher.answer("/jwks", answer.clone()),
            None => publisher.vanish(),
        }
        make_it_look(&gateway, &publisher, 2).await;
        for token in [&good, &unused] {
            let answer = show(&gateway, "/", token).await;
            assert_eq!(answer.status(), 200, "{failure:?}");
        }
        // Of a key that may have come meanwhile nobody can say.
        let unseen = P256.token_by("two", &json!({}));
        let answer = show(&gateway, "/", &unseen).await;
        assert_unavailable(&answer);
        assert_eq!(answer.field("retry-after"), Some("1"), "{failure:?}");
    }))
    .await;
}

async fn a_key_that_is_withdrawn_opens_nothing_any_more() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    let withdrawn = Key::new(Kind::P256);
    let replaced = Key::new(Kind::P256);
    publisher.publish(&[withdrawn.jwk("a"), replaced.jwk("b"), P256.jwk("c")]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let seen = [
        withdrawn.token_by("a", &json!({})),
        replaced.token_by("b", &json!({})),
        withdrawn.token(&json!({})),
        P256.token_by("c", &json!({})),
    ];
    for token in &seen {
        assert_eq!(settled(&gateway, token).await.status(), 200);
    }
    let successor = Key::new(Kind::P256);
    publisher.publish(&[successor.jwk("b"), P256.jwk("c")]);
    make_it_look(&gateway, &publisher, 2).await;
    let new = successor.token_by("b", &json!({}));
    assert_eq!(
        until(&gateway, &new, |status| status == 200).await.status(),
        200
    );
    for token in &seen[..3] {
        assert_unauthorized(&show(&gateway, "/", token).await);
    }
    assert_unauthorized(&show(&gateway, "/", &withdrawn.token_by("a", &json!({}))).await);
    assert_eq!(show(&gateway, "/", &seen[3]).await.status(), 200);
}

async fn an_issuer_that_publishes_no_key_has_withdrawn_all() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let token = P256.token_by("one", &json!({}));
    assert_eq!(settled(&gateway, &token).await.status(), 200);
    publisher.publish(&[]);
    make_it_look(&gateway, &publisher, 2).await;
    assert_unauthorized(&until(&gateway, &token, |status| status != 200).await);
}

async fn published_keys_are_looked_at_again_in_the_background() {
    let backend = Backend::ok().await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let mut issuer = publisher.jwks();
    issuer["refresh"] = "10s".into();
    let gateway = believing(&backend, &issuer).start().await;
    let token = P256.token_by("one", &json!({}));
    assert_eq!(settled(&gateway, &token).await.status(), 200);
    publisher.publish(&[RSA.jwk("two")]);
    publisher.backend.wait_for_requests(2).await;
    assert_unauthorized(&until(&gateway, &token, |status| status != 200).await);
}

async fn tokens_of_an_issuer_that_was_never_reached_get_503_until_it_is() {
    let backend = Backend::ok().await;
    let token = P256.token_by("one", &json!({}));
    let mut failures: Vec<Option<String>> = failures().into_iter().map(Some).collect();
    failures.push(None);
    join_all(failures.into_iter().map(async |failure| {
        let publisher = Publisher::new().await;
        if let Some(answer) = &failure {
            publisher.answer("/jwks", answer.clone());
        }
        let gateway = believing(&backend, &publisher.jwks()).start().await;
        publisher.backend.wait_for_requests(1).await;
        let answer = show(&gateway, "/", &token).await;
        assert_eq!(answer.status(), 503, "{failure:?}");
        assert_unavailable(&answer);
        // What is no token of this issuer is no question of its keys.
        let stranger = P256.token(&json!({ "iss": "https://other.example.com" }));
        assert_unauthorized(&show(&gateway, "/", &stranger).await);
        assert_unauthorized(&show(&gateway, "/", "nonsense").await);
        publisher.publish(&[P256.jwk("one")]);
        let healed = settled(&gateway, &token).await;
        assert_eq!(healed.status(), 200, "{failure:?}");
    }))
    .await;
}

async fn an_issuer_that_cannot_be_reached_does_not_hold_up_the_start_or_others() {
    let backend = Backend::ok().await;
    let silent = Backend::silent().await;
    let refused = Backend::refused().await;
    let gateway = gateway()
        .routes(&json!({
            "issuers": {
                "silent": { "issuer": "https://silent.example.com", "jwks": silent.url(), "allowHttp": true },
                "refused": { "issuer": "https://refused.example.com", "jwks": format!("http://{refused}/"), "allowHttp": true },
                "joe": { "issuer": JOE, "keys": "joe.pem" }
            },
            "routes": [{ "path": "/*path", "targetURL": backend.url(), "requireAuth": true }]
        }))
        .file("joe.pem", &P256.public)
        .start()
        .await;
    let good = show(&gateway, "/", &P256.token(&json!({}))).await;
    assert_eq!(good.status(), 200);
    for issuer in ["https://silent.example.com", "https://refused.example.com"] {
        let answer = show(&gateway, "/", &P256.token(&json!({ "iss": issuer }))).await;
        assert_unavailable(&answer);
    }
}
