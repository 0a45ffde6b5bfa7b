//! Tokens that are none.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;
use testkit::Backend;

use super::fixtures::gateways::with_key;
use super::fixtures::requests::{assert_refused, assert_unauthorized, bearer, get, show};
use super::fixtures::signing::{JOE, KEYS, P256, der_signature, now, url, usual};

#[tokio::test]
async fn malformed_tokens_are_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let good = P256.token(&json!({ "sub": "anna" }));
    let [header, claims, signature] = parts(&good);
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    for token in [
        ".".to_owned(),
        "..".to_owned(),
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 2]),
        format!("{header}.{claims}.{signature}AA"),
        format!("{header}.{claims}.{padded}"),
        format!("{header}.{claims}.{}", "A".repeat(86)),
        format!("{header}.{claims}.!{}", &signature[1..]),
        format!("{header} .{claims}.{signature}"),
        format!("{good}, {good}"),
        format!("{good} {good}"),
        format!("\"{good}\""),
        format!("{header}.{}.{signature}", url("{\"iss\":")),
        "x".repeat(20_000),
        ".".repeat(20_000),
    ] {
        assert_refused(&gateway, &token).await;
    }
    assert!(backend.requests().is_empty());
    assert_eq!(show(&gateway, "/", &good).await.status(), 200);
}

#[tokio::test]
async fn signed_parts_that_are_no_json_objects_are_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let claims = usual(&json!({})).to_string();
    let header = r#"{"alg":"ES256"}"#;
    for (header, claims) in [
        (header, ""),
        (header, "null"),
        (header, "[]"),
        (header, "\"text\""),
        (header, "{}"),
        (header, &*format!("{claims}{claims}")),
        (header, &format!("{claims} x")),
        (header, &claims.replace('}', ",}")),
        (header, &claims.replace('"', "'")),
        (header, &"[".repeat(4_000)),
        (
            header,
            &format!("{{\"a\":{}1{}}}", "[".repeat(3_000), "]".repeat(3_000)),
        ),
        ("", &claims),
        ("[]", &claims),
        ("\"ES256\"", &claims),
        (r#"{"alg":"ES256"}{}"#, &claims),
        (r#"{"alg":"ES256",}"#, &claims),
        (r#"{"alg":"ES256","kid":7}"#, &claims),
    ] {
        assert_refused(&gateway, &P256.sign(header, claims)).await;
    }
    // Bytes that are no text, signed all the same.
    let bytes = [
        claims.trim_end_matches('}').as_bytes(),
        b",\"sub\":\"\xff\"}",
    ]
    .concat();
    assert_refused(&gateway, &P256.sign(header, bytes)).await;
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn other_alphabets_of_base64_are_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    // Signatures differ with each token, and some have neither of the two letters.
    let token = (0..)
        .map(|number| P256.token(&json!({ "jti": number })))
        .find(|token| parts(token)[2].contains(['-', '_']))
        .unwrap();
    let [header, claims, signature] = parts(&token);
    let other = STANDARD_NO_PAD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert_refused(&gateway, &format!("{header}.{claims}.{other}")).await;
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
}

#[tokio::test]
async fn signatures_of_another_form_are_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let good = P256.token(&json!({}));
    let [header, claims, signature] = parts(&good);
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let swapped = [&raw[32..], &raw[..32]].concat();
    for bytes in [
        vec![0; 64],
        vec![0xff; 64],
        swapped,
        der_signature(&raw),
        vec![],
    ] {
        assert_refused(&gateway, &format!("{header}.{claims}.{}", url(bytes))).await;
    }
}

#[tokio::test]
async fn what_a_signature_was_made_for_cannot_be_changed() {
    let backend = Backend::ok().await;
    for key in &*KEYS {
        let gateway = with_key(&backend, key).await;
        let anna = key.token(&json!({ "sub": "anna" }));
        let bert = key.token(&json!({ "sub": "bert" }));
        assert_eq!(show(&gateway, "/", &anna).await.status(), 200);
        assert_eq!(show(&gateway, "/", &bert).await.status(), 200);
        let ([header, claims, signature], [_, others, _]) = (parts(&anna), parts(&bert));
        assert_refused(&gateway, &format!("{header}.{others}.{signature}")).await;
        let named = url(json!({ "alg": key.algorithm(), "kid": "x" }).to_string());
        assert_refused(&gateway, &format!("{named}.{claims}.{signature}")).await;
    }
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    let exp = now() + 60;
    for claims in [
        format!(r#"{{"iss":"{JOE}","exp":{exp},"sub":"anna","sub":"bert"}}"#),
        format!(r#"{{"iss":"{JOE}","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"iss":"https://other.example.com","iss":"{JOE}","exp":{exp}}}"#),
        format!(r#"{{"iss":"{JOE}","exp":{exp},"sub":"anna","s\u0075b":"anna"}}"#),
        format!(r#"{{"iss":"{JOE}","exp":{exp},"realm":{{"roles":[],"roles":["boss"]}}}}"#),
    ] {
        assert_refused(&gateway, &P256.sign(r#"{"alg":"ES256"}"#, &claims)).await;
    }
    let claims = usual(&json!({})).to_string();
    assert_refused(
        &gateway,
        &P256.sign(r#"{"alg":"ES256","kid":"a","kid":"b"}"#, &claims),
    )
    .await;
}

#[tokio::test]
async fn tokens_are_refused_the_same_whatever_is_wrong_with_them() {
    let backend = Backend::ok().await;
    let gateway = with_key(&backend, &P256).await;
    for method in ["GET", "POST", "OPTIONS", "DELETE"] {
        let mut client = gateway.client().await;
        client
            .request(method, "/", &["Authorization: Bearer x.y.z"])
            .await;
        assert_unauthorized(&client.response().await);
    }
    let mut client = gateway.client().await;
    client
        .request("HEAD", "/", &["Authorization: Bearer x.y.z"])
        .await;
    assert_eq!(client.response_to_head().await.status(), 401);
    // The connection goes on.
    let good = P256.token(&json!({}));
    let field = bearer(&good);
    client.request("GET", "/", &[&field]).await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(get(&gateway, "/", &[]).await.status(), 401);
    assert_eq!(backend.requests().len(), 1);
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("three parts")
}
