use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::*;
use crate::auth::consumers::{Consumer, ConsumerKey, Consumers, KeyHasher, hash_password};
use crate::auth::credentials::Place;
use crate::auth::issuer::Issuer;
use crate::auth::jose::{Algorithm, Key, KeySet, SigningKey};
use crate::auth::rule::Rule;

const SECRET: &[u8] = b"a secret for tests";
const NOW: u64 = 1_800_000_000;

fn issuer(name: &str, secret: &[u8]) -> Arc<Issuer> {
    Arc::new(Issuer {
        name: name.into(),
        issuer: name.into(),
        keys: Keys::Fixed(KeySet::new(vec![
            Key::secret(Algorithm::HS256, secret).unwrap(),
        ])),
        audiences: [].into(),
        leeway: 60.0,
        roles: "roles".into(),
        made_of: [0; 32],
    })
}

/// A route that takes our tokens.
fn access() -> Access {
    Access {
        kinds: [Kind::Token].into(),
        token_places: [Place::Bearer].into(),
        key_places: [Place::Header(http::HeaderName::from_static("x-api-key"))].into(),
        issuers: [issuer("us", SECRET)].into(),
        consumers: None,
        forward: None,
        audiences: [].into(),
        scopes: [].into(),
        roles: [].into(),
        rule: None,
    }
}

fn token(claims: &Value) -> String {
    SigningKey::secret(SECRET)
        .sign(claims.as_object().unwrap())
        .unwrap()
}

fn usual() -> Value {
    json!({ "iss": "us", "sub": "me", "iat": NOW, "exp": NOW + 60 })
}

fn head(fields: &[(&str, &str)]) -> request::Parts {
    let mut request = http::Request::builder().method("GET");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The subject that is admitted, or status and challenge of the refusal.
async fn admit(
    authenticator: &Authenticator,
    access: &Access,
    head: &request::Parts,
    now: u64,
) -> Result<String, (u16, String)> {
    #[allow(clippy::cast_precision_loss)]
    let asked = Asked {
        head,
        path: "/",
        client: IpAddr::from([127, 0, 0, 1]),
        certificate: None,
        scheme: "http",
        now: now as f64,
        trace: None,
    };
    match authenticator.admit(access, &asked).await {
        Ok(identity) => Ok(identity
            .and_then(|identity| identity.subject.clone())
            .unwrap_or_default()
            .into()),
        Err(refusal) => {
            let answer = refusal.refusal.into_response("id");
            let challenge = answer.headers().get("www-authenticate");
            Err((
                answer.status().as_u16(),
                challenge
                    .map_or("", |value| value.to_str().unwrap())
                    .to_owned(),
            ))
        }
    }
}

async fn with_token(access: &Access, token: &str, now: u64) -> Result<String, (u16, String)> {
    let head = head(&[("authorization", &format!("Bearer {token}"))]);
    admit(&Authenticator::default(), access, &head, now).await
}

async fn with_claims(access: &Access, claims: &Value) -> Result<String, (u16, String)> {
    with_token(access, &token(claims), NOW).await
}

#[track_caller]
fn assert_refused(result: &Result<String, (u16, String)>, status: u16, description: &str) {
    match result {
        Err((found, challenge)) => {
            assert_eq!(*found, status, "{challenge}");
            assert!(challenge.contains(description), "{challenge}");
        }
        Ok(subject) => panic!("{subject} was admitted"),
    }
}

#[tokio::test]
async fn a_token_of_ours_is_accepted_in_any_case_of_its_scheme() {
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let head = head(&[("authorization", &format!("{scheme} {}", token(&usual())))]);
        let admitted = admit(&Authenticator::default(), &access(), &head, NOW).await;
        assert_eq!(admitted, Ok("me".to_owned()));
    }
}

#[tokio::test]
async fn a_known_token_ends_all_the_same() {
    let (authenticator, access) = (Authenticator::default(), access());
    let head = head(&[("authorization", &format!("Bearer {}", token(&usual())))]);
    for now in [NOW, NOW + 59, NOW + 60, NOW + 119] {
        assert!(
            admit(&authenticator, &access, &head, now).await.is_ok(),
            "{now}"
        );
    }
    let late = admit(&authenticator, &access, &head, NOW + 120).await;
    assert_refused(&late, 401, "has expired");
}

#[tokio::test]
async fn a_token_is_remembered_until_its_end_and_not_during_the_leeway() {
    let (authenticator, access) = (Authenticator::default(), access());
    let token = token(&usual());
    let head = head(&[("authorization", &format!("Bearer {token}"))]);
    let known = || {
        let known = authenticator.tokens.owner(token.as_bytes(), |_| true);
        known.is_some()
    };
    assert!(
        admit(&authenticator, &access, &head, NOW + 59)
            .await
            .is_ok()
            && known()
    );
    assert!(
        admit(&authenticator, &access, &head, NOW + 60)
            .await
            .is_ok()
            && !known()
    );
    assert!(admit(&authenticator, &access, &head, NOW).await.is_ok() && known());
    #[allow(clippy::cast_precision_loss)]
    authenticator.sweep((NOW + 60) as f64);
    assert!(!known());
}

#[tokio::test]
async fn a_token_that_one_route_has_accepted_is_judged_anew_by_another() {
    let authenticator = Authenticator::default();
    let head = head(&[("authorization", &format!("Bearer {}", token(&usual())))]);
    let another = Access {
        issuers: [issuer("them", b"their secret")].into(),
        ..access()
    };
    let stricter = Access {
        scopes: ["admin".into()].into(),
        ..access()
    };
    // Issuers are known by identity: the second route has its own copy.
    let same = access();
    assert!(admit(&authenticator, &same, &head, NOW).await.is_ok());
    assert!(admit(&authenticator, &same, &head, NOW).await.is_ok());
    let refused = admit(&authenticator, &another, &head, NOW).await;
    assert_refused(&refused, 401, "the issuer is not accepted");
    let stricter = Access {
        issuers: same.issuers.clone(),
        ..stricter
    };
    let refused = admit(&authenticator, &stricter, &head, NOW).await;
    assert_refused(&refused, 403, "insufficient_scope");
}

#[tokio::test]
async fn credentials_must_be_one_bearer_token() {
    let authenticator = Authenticator::default();
    let missing = admit(&authenticator, &access(), &head(&[]), NOW).await;
    assert_eq!(
        missing,
        Err((401, "Bearer realm=\"api-gateway\"".to_owned()))
    );
    let other = head(&[("authorization", "Basic YTpi")]);
    let other = admit(&authenticator, &access(), &other, NOW).await;
    assert_eq!(other, missing, "another scheme");
    for value in ["Bearer ", "Bearer"] {
        let head = head(&[("authorization", value)]);
        let refused = admit(&authenticator, &access(), &head, NOW).await;
        assert_refused(&refused, 401, "error=\"invalid_request\"");
    }
    let value = format!("Bearer {}", token(&usual()));
    let twice = head(&[("authorization", &value), ("authorization", &value)]);
    assert_eq!(twice.headers.get_all(AUTHORIZATION).iter().count(), 2);
    let refused = admit(&authenticator, &access(), &twice, NOW).await;
    assert_refused(&refused, 401, "error=\"invalid_request\"");
}

#[tokio::test]
async fn garbage_and_foreign_signatures_are_refused() {
    for token in ["x", "a.b.c", "..", "a.b.c.d"] {
        let refused = with_token(&access(), token, NOW).await;
        assert_refused(&refused, 401, "the token is not valid");
    }
    let foreign = SigningKey::secret(b"another secret")
        .sign(usual().as_object().unwrap())
        .unwrap();
    let refused = with_token(&access(), &foreign, NOW).await;
    assert_refused(&refused, 401, "the token is not valid");
}

#[tokio::test]
async fn the_algorithm_is_not_the_tokens_choice() {
    // {"alg":"none"} . {"iss":"us","exp":9999999999} . nothing
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ1cyIsImV4cCI6OTk5OTk5OTk5OX0.";
    assert_refused(
        &with_token(&access(), none, NOW).await,
        401,
        "the token is not valid",
    );
    // The public key of an issuer, taken for a secret.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let keys = KeySet::new(crate::auth::jose::public_keys(pem).unwrap());
    let confused = Access {
        issuers: [Arc::new(Issuer {
            name: "us".into(),
            issuer: "us".into(),
            keys: Keys::Fixed(keys),
            audiences: [].into(),
            leeway: 60.0,
            roles: "roles".into(),
            made_of: [0; 32],
        })]
        .into(),
        ..access()
    };
    let forged = SigningKey::secret(pem.as_bytes())
        .sign(usual().as_object().unwrap())
        .unwrap();
    let refused = with_token(&confused, &forged, NOW).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn times_count_with_the_leeway() {
    let at = |name: &'static str, value: Value| {
        let mut claims = usual();
        claims[name] = value;
        claims
    };
    for (claims, description) in [
        (at("exp", json!(NOW - 59)), None),
        (at("exp", json!(NOW - 60)), Some("has expired")),
        (at("nbf", json!(NOW + 60)), None),
        (at("nbf", json!(NOW + 61)), Some("not valid yet")),
        (at("iat", json!(NOW + 60)), None),
        (at("iat", json!(NOW + 61)), Some("not valid yet")),
        (at("exp", Value::Null), Some("not valid")),
        (at("exp", json!("9999999999")), Some("not valid")),
        (at("iss", json!("them")), Some("the issuer is not accepted")),
        (at("iss", json!(["us"])), Some("the issuer is not accepted")),
    ] {
        let result = with_claims(&access(), &claims).await;
        match description {
            None => assert_eq!(result, Ok("me".to_owned()), "{claims}"),
            Some(description) => assert_refused(&result, 401, description),
        }
    }
    let endless = json!({ "iss": "us", "sub": "me" });
    assert_refused(&with_claims(&access(), &endless).await, 401, "not valid");
}

#[tokio::test]
async fn duplicate_claims_are_refused() {
    let payload = format!(
        r#"{{"iss":"us","exp":{},"exp":{}}}"#,
        NOW - 1000,
        NOW + 1000
    );
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_refused(&with_token(&access(), &token, NOW).await, 401, "not valid");
}

#[tokio::test]
async fn rights_are_judged_once_somebody_is_known() {
    let mut claims = usual();
    claims["scope"] = json!("read write");
    claims["roles"] = json!(["clerk"]);
    claims["aud"] = json!(["orders", "users"]);
    let boxed = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.into())
            .collect::<Box<[Box<str>]>>()
    };
    let with = |scopes: &[&str], roles: &[&str], audiences: &[&str], rule: Option<&str>| Access {
        scopes: boxed(scopes),
        roles: boxed(roles),
        audiences: boxed(audiences),
        rule: rule.map(|rule| Rule::parse(rule).unwrap()),
        ..access()
    };
    for access in [
        with(&["read", "write"], &["boss", "clerk"], &["users"], None),
        with(&[], &[], &[], Some("claims.sub == 'me' && method == 'GET'")),
    ] {
        assert_eq!(with_claims(&access, &claims).await, Ok("me".to_owned()));
    }
    for (access, status, description) in [
        (
            with(&["read", "admin"], &[], &[], None),
            403,
            "scope=\"read admin\"",
        ),
        (with(&[], &["boss"], &[], None), 403, "insufficient_scope"),
        (with(&[], &[], &["billing"], None), 401, "another audience"),
        (
            with(&[], &[], &[], Some("claims.sub == 'you'")),
            403,
            "the rule",
        ),
    ] {
        assert_refused(&with_claims(&access, &claims).await, status, description);
    }
}

#[tokio::test]
async fn any_of_several_kinds_will_do() {
    let hasher = KeyHasher::new(b"secret");
    let (key, hash) = hasher.new_key().unwrap();
    let consumer = Consumer {
        name: "acme".into(),
        keys: vec![ConsumerKey {
            id: "1".into(),
            hash: hash.parse().unwrap(),
            expires: None,
        }],
        password: Some(hash_password(b"pa:ss").unwrap().parse().unwrap()),
        ..Consumer::default()
    };
    let access = Access {
        kinds: [Kind::Token, Kind::Key, Kind::Basic].into(),
        consumers: Some(Arc::new(Consumers::new(vec![consumer], hasher))),
        ..access()
    };
    let authenticator = Authenticator::default();
    let bearer = format!("Bearer {}", token(&usual()));
    let expired = format!("Bearer {}", token(&json!({ "iss": "us", "exp": 1 })));
    let basic = |credentials: &str| format!("Basic {}", STANDARD.encode(credentials));
    let (right, wrong) = (basic("acme:pa:ss"), basic("acme:pass"));
    for (fields, subject) in [
        (&[("authorization", &*bearer)][..], "me"),
        (&[("x-api-key", &*key)], "acme"),
        (
            &[("authorization", &*expired), ("x-api-key", &*key)],
            "acme",
        ),
        (&[("authorization", &*right)], "acme"),
        // Known by now.
        (&[("authorization", &*right)], "acme"),
    ] {
        let admitted = admit(&authenticator, &access, &head(fields), NOW).await;
        assert_eq!(admitted.as_deref(), Ok(subject), "{fields:?}");
    }
    let forged = format!("{bearer}x");
    for (fields, description) in [
        (
            &[("authorization", &*forged), ("x-api-key", &*key)][..],
            "not valid",
        ),
        (
            &[][..],
            "Bearer realm=\"api-gateway\", ApiKey realm=\"api-gateway\", Basic realm=\"api-gateway\"",
        ),
        (&[("authorization", &*expired)], "has expired"),
        (
            &[("authorization", &*wrong)],
            "Bearer realm=\"api-gateway\", ApiKey",
        ),
        (&[("x-api-key", "gwk_x")], "error=\"invalid_key\""),
        (
            &[("authorization", "Basic !")],
            "Bearer realm=\"api-gateway\", ApiKey",
        ),
    ] {
        let refused = admit(&authenticator, &access, &head(fields), NOW).await;
        assert_refused(&refused, 401, description);
    }
}

/// What an issuer has withdrawn opens nothing, however lately it did.
#[tokio::test]
async fn a_token_whose_key_is_withdrawn_is_not_known_any_more() {
    let secret = |secret: &[u8]| KeySet::new(vec![Key::secret(Algorithm::HS256, secret).unwrap()]);
    let remote = crate::auth::RemoteKeys::fetched_for_tests("us", secret(SECRET));
    let issuer = Arc::new(Issuer {
        keys: Keys::Remote(Arc::new(remote)),
        ..Arc::into_inner(issuer("us", b"x")).unwrap()
    });
    let access = Access {
        issuers: [Arc::clone(&issuer)].into(),
        ..access()
    };
    let authenticator = Authenticator::default();
    let head = head(&[("authorization", &format!("Bearer {}", token(&usual())))]);
    assert!(admit(&authenticator, &access, &head, NOW).await.is_ok());
    let Keys::Remote(remote) = &issuer.keys else {
        unreachable!("it is");
    };
    remote.replace_for_tests(secret(b"another secret"));
    let refused = admit(&authenticator, &access, &head, NOW).await;
    assert_refused(&refused, 401, "not valid");
}
