//! Which tokens are good.

use serde_json::json;
use testkit::Backend;

use super::fixtures::gateways::{believing, with_key};
use super::fixtures::requests::{assert_refused, assert_unauthorized, bearer, get, show};
use super::fixtures::signing::{JOE, KEYS, Key, P256, RSA, STRANGERS, hmac, now, url, usual};
use crate::gateway;

#[tokio::test]
async fn tokens_by_every_algorithm_that_a_key_in_a_file_is_for_are_good() {
    let backend = Backend::ok().await;
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let algorithms: [&[&str]; 5] = [&rsa, &["ES256"], &["ES384"], &["ES512"], &["EdDSA"]];
    let pem: String = KEYS.iter().map(|key| &*key.public).collect();
    let with_all = believing(&backend, &json!({ "keys": "joe.pem" }))
        .file("joe.pem", &pem)
        .start()
        .await;
    for ((key, stranger), algorithms) in KEYS.iter().zip(&*STRANGERS).zip(algorithms) {
        let with_one = with_key(&backend, key).await;
        for algorithm in algorithms {
            let header = json!({ "alg": algorithm });
            for gateway in [&with_one, &with_all] {
                let answer = show(gateway, "/", &key.token_with(&header, &json!({}))).await;
                assert_eq!(answer.status(), 200, "{algorithm}");
                assert_refused(gateway, &stranger.token_with(&header, &json!({}))).await;
            }
        }
    }
    assert_refused(
        &with_all,
        &hmac("HS256", pem.as_bytes(), &usual(&json!({}))),
    )
    .await;
}

#[tokio::test]
async fn keys_in_a_file_may_be_a_json_web_key_set() {
    let backend = Backend::ok().await;
    let named = |key: &Key| key.jwk(key.algorithm());
    let set = json!({ "keys": KEYS.iter().map(named).collect::<Vec<_>>() });
    let gateway = believing(&backend, &json!({ "keys": "joe.jwks" }))
        .file("joe.jwks", &set.to_string())
        .start()
        .await;
    for key in &*KEYS {
        let named = key.token_by(key.algorithm(), &json!({}));
        assert_eq!(show(&gateway, "/", &named).await.status(), 200);
        let unnamed = key.token(&json!({}));
        assert_eq!(show(&gateway, "/", &unnamed).await.status(), 200);
    }
    // The key that is named is the one that counts.
    let header = json!({ "alg": "ES256", "kid": "ES384" });
    assert_refused(&gateway, &P256.token_with(&header, &json!({}))).await;
}

#[tokio::test]
async fn a_secret_in_a_key_set_is_no_key_of_an_issuer() {
    let backend = Backend::ok().await;
    let secret = json!({ "kty": "oct", "kid": "s", "k": url([7; 64]) });
    let set = json!({ "keys": [secret, P256.jwk("one")] });
    let gateway = believing(&backend, &json!({ "keys": "joe.jwks" }))
        .file("joe.jwks", &set.to_string())
        .start()
        .await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        assert_refused(&gateway, &hmac(algorithm, &[7; 64], &usual(&json!({})))).await;
    }
    let good = P256.token_by("one", &json!({}));
    assert_eq!(show(&gateway, "/", &good).await.status(), 200);
}

#[tokio::test]
async fn what_a_token_says_about_its_algorithm_is_never_believed() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &RSA).await;
    // A public key, in any form, is no secret.
    let claims = usual(&json!({}));
    let pem = RSA.public.as_bytes();
    for secret in [pem, pem.trim_ascii(), &RSA.public_der(), b""] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            assert_refused(&gateway, &hmac(algorithm, secret, &claims)).await;
        }
    }
    let good = RSA.token(&json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = url(json!({ "alg": name }).to_string());
        for signature in ["", parts[2]] {
            assert_refused(&gateway, &format!("{header}.{}.{signature}", parts[1])).await;
        }
    }
    for header in [
        json!({}),
        json!({ "alg": null }),
        json!({ "alg": 256 }),
        json!({ "alg": ["RS256"] }),
        json!({ "alg": "rs256" }),
        json!({ "alg": "RS512" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "RSA-OAEP", "enc": "A256GCM" }),
    ] {
        let header = url(header.to_string());
        assert_refused(&gateway, &format!("{header}.{}.{}", parts[1], parts[2])).await;
    }
    assert_eq!(show(&gateway, "/", &good).await.status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn keys_that_come_along_in_a_token_are_refused() {
    let backend = Backend::ok().await;
    let elsewhere = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let stranger = &STRANGERS[1];
    for (name, value) in [
        ("jwk", stranger.jwk("one")),
        ("jku", json!(format!("{}/jwks.json", elsewhere.url()))),
        ("x5u", json!(format!("{}/chain.pem", elsewhere.url()))),
    ] {
        let mut header = json!({ "alg": "ES256" });
        header[name] = value;
        assert_refused(&gateway, &stranger.token_with(&header, &json!({}))).await;
        // Not even if another key has signed it.
        assert_refused(&gateway, &P256.token_with(&header, &json!({}))).await;
    }
    assert_eq!(elsewhere.connections(), 0, "nobody asks there");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn extensions_that_must_be_understood_are_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    for header in [
        json!({ "alg": "ES256", "crit": ["b64"], "b64": true }),
        json!({ "alg": "ES256", "crit": ["exp"], "exp": 1 }),
        json!({ "alg": "ES256", "crit": ["https://example.com/x"] }),
        json!({ "alg": "ES256", "crit": [] }),
        json!({ "alg": "ES256", "crit": "b64" }),
    ] {
        assert_refused(&gateway, &P256.token_with(&header, &json!({}))).await;
    }
    let unknown = json!({ "alg": "ES256", "https://example.com/x": 1, "typ": "at+jwt" });
    let answer = show(&gateway, "/", &P256.token_with(&unknown, &json!({}))).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_issuer_of_a_token_must_be_exactly_one_of_the_routes() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    for issuer in [
        json!(null),
        json!(""),
        json!("https://joe.example.com/"),
        json!("https://JOE.example.com"),
        json!("api-gateway"),
        json!([JOE]),
        json!(7),
    ] {
        assert_refused(&gateway, &P256.token(&json!({ "iss": issuer }))).await;
    }
    let stranger = P256.token(&json!({ "iss": "https://other.example.com" }));
    let answer = show(&gateway, "/", &stranger).await;
    let said = answer.field("www-authenticate").unwrap();
    assert!(said.contains("the issuer is not accepted"), "{said}");
}

#[tokio::test]
async fn tokens_are_for_their_time_and_a_minute_around_it() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    for (claims, status) in [
        (json!({ "exp": now() - 30 }), 200),
        (json!({ "exp": now() - 61 }), 401),
        (json!({ "exp": 0 }), 401),
        (json!({ "exp": -1 }), 401),
        (json!({ "exp": null }), 401),
        (json!({ "exp": "4102444800" }), 401),
        (json!({ "exp": [4_102_444_800_i64] }), 401),
        (json!({ "nbf": now() + 30 }), 200),
        (json!({ "nbf": now() + 90 }), 401),
        (json!({ "nbf": "0" }), 401),
        (json!({ "iat": now() + 30 }), 200),
        (json!({ "iat": now() + 90 }), 401),
        (json!({ "iat": [] }), 401),
        (json!({ "iat": now(), "nbf": now() }), 200),
    ] {
        let answer = show(&gateway, "/", &P256.token(&claims)).await;
        assert_eq!(answer.status(), status, "{claims}");
    }
}

#[tokio::test]
async fn a_token_that_was_good_is_not_when_it_is_over() {
    let backend = Backend::ok().await;
    let gateway = believing(&backend, &json!({ "keys": "joe.pem" }))
        .file("joe.pem", &P256.public)
        .env("JWT_LEEWAY", "0")
        .start()
        .await;
    let token = P256.token(&json!({ "exp": now() + 2 }));
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
    testkit::within("the token to be over", async {
        while show(&gateway, "/", &token).await.status() == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_refused(&gateway, &token).await;
}

#[tokio::test]
async fn clocks_may_differ_by_jwt_leeway_and_by_an_issuers_own() {
    let backend = Backend::ok().await;
    for (setting, leeway, over, status) in [
        ("0", json!(null), 5, 401),
        ("2m", json!(null), 90, 200),
        ("2m", json!(0), 5, 401),
        ("0", json!(600), 590, 200),
        ("0", json!(600), 610, 401),
    ] {
        let mut issuer = json!({ "keys": "joe.pem" });
        if !leeway.is_null() {
            issuer["leeway"] = leeway.clone();
        }
        let gateway = believing(&backend, &issuer)
            .file("joe.pem", &P256.public)
            .env("JWT_LEEWAY", setting)
            .start()
            .await;
        let token = P256.token(&json!({ "exp": now() - over }));
        let answer = show(&gateway, "/", &token).await;
        assert_eq!(answer.status(), status, "{setting} {leeway} {over}");
    }
}

#[tokio::test]
async fn a_token_is_for_one_of_the_audiences_of_its_issuer_and_of_the_route() {
    let backend = Backend::ok().await;
    let joe = json!({ "issuer": JOE, "keys": "joe.pem", "audiences": ["api", "app"] });
    let gateway = gateway()
        .routes(&json!({ "issuers": { "joe": joe }, "routes": [
            { "path": "/any", "targetURL": backend.url(), "requireAuth": true },
            { "path": "/own", "targetURL": backend.url(), "auth": { "audiences": ["reports", "app"] } }
        ] }))
        .file("joe.pem", &P256.public)
        .start()
        .await;
    for (audience, any, own) in [
        (json!("api"), 200, 401),
        (json!("app"), 200, 200),
        (json!(["api", "reports"]), 200, 200),
        (json!(["other", "api"]), 200, 401),
        (json!("reports"), 401, 401),
        (json!("API"), 401, 401),
        (json!("api app"), 401, 401),
        (json!(null), 401, 401),
        (json!([]), 401, 401),
        (json!({ "api": true }), 401, 401),
        (json!([["api"]]), 401, 401),
    ] {
        let token = P256.token(&json!({ "aud": audience }));
        for (target, status) in [("/any", any), ("/own", own)] {
            let answer = show(&gateway, target, &token).await;
            assert_eq!(answer.status(), status, "{target} {audience}");
        }
    }
}

#[tokio::test]
async fn only_the_algorithms_of_an_issuer_are_accepted_where_it_names_some() {
    let backend = Backend::ok().await;
    let issuer = json!({ "keys": "joe.pem", "algorithms": ["PS256", "RS512"] });
    let gateway = believing(&backend, &issuer)
        .file("joe.pem", &RSA.public)
        .start()
        .await;
    for (algorithm, status) in [("PS256", 200), ("RS512", 200), ("RS256", 401)] {
        let token = RSA.token_with(&json!({ "alg": algorithm }), &json!({}));
        let answer = show(&gateway, "/", &token).await;
        assert_eq!(answer.status(), status, "{algorithm}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_for_verifying_signatures_is_not_used_for_that() {
    let backend = Backend::ok().await;
    for (name, value, status) in [
        ("use", json!("sig"), 200),
        ("use", json!("enc"), 401),
        ("key_ops", json!(["verify"]), 200),
        ("key_ops", json!(["encrypt", "wrapKey"]), 401),
        ("alg", json!("ES256"), 200),
        ("alg", json!("ECDH-ES"), 401),
    ] {
        let mut jwk = P256.jwk("one");
        jwk[name] = value.clone();
        // Beside one that is, since a set without any is a mistake.
        let set = json!({ "keys": [jwk, RSA.jwk("other")] });
        let gateway = believing(&backend, &json!({ "keys": "joe.jwks" }))
            .file("joe.jwks", &set.to_string())
            .start()
            .await;
        let answer = show(&gateway, "/", &P256.token_by("one", &json!({}))).await;
        assert_eq!(answer.status(), status, "{name} {value}");
    }
}

#[tokio::test]
async fn no_token_and_what_is_none_get_401_and_reach_nobody() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let good = P256.token(&json!({}));
    for field in [
        None,
        Some("Authorization:".to_owned()),
        Some("Authorization: Bearer".to_owned()),
        Some(format!("Authorization: {good}")),
        Some(format!("Authorization: Token {good}")),
        Some(format!("Authorization: Bearer{good}")),
        Some(format!("X-API-Key: {good}")),
        Some(format!("Cookie: access_token={good}")),
    ] {
        let fields: Vec<&str> = field.iter().map(String::as_str).collect();
        let answer = get(&gateway, "/", &fields).await;
        assert_unauthorized(&answer);
        let said = answer.field("www-authenticate").unwrap();
        assert!(said.starts_with("Bearer"), "{said}");
    }
    let fields = [&*bearer(&good), &bearer(&good)];
    let twice = get(&gateway, "/", &fields).await;
    assert!((400..=401).contains(&twice.status()), "{}", twice.start);
    assert!(backend.requests().is_empty());
}
