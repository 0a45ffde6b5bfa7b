//! Where credentials are, and whether the backend gets them.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message};

use super::fixtures::consumers::{ACME_PASSWORD, Consumers};
use super::fixtures::gateways::{asking, everywhere};
use super::fixtures::requests::{assert_unauthorized, basic, bearer, get};
use super::fixtures::signing::{P256, RSA, now};
use crate::{gateway, routes};

fn good() -> String {
    P256.token(&json!({ "sub": "anna" }))
}

/// By nobody's key.
fn bad() -> String {
    RSA.token(&json!({ "sub": "anna" }))
}

async fn assert_status(gateway: &Gateway, target: &str, fields: &[&str], status: u16) -> Message {
    let answer = get(gateway, target, fields).await;
    assert_eq!(answer.status(), status, "{target} {fields:?}");
    if status == 401 {
        assert_unauthorized(&answer);
    }
    answer
}

#[tokio::test]
async fn tokens_are_where_the_route_says_and_nowhere_else() {
    let backend = Backend::ok().await;
    let good = good();
    for (place, target, field) in [
        ("bearer", "/".to_owned(), bearer(&good)),
        (
            "cookie:session",
            "/".to_owned(),
            format!("Cookie: session={good}"),
        ),
        (
            "cookie:session",
            "/".to_owned(),
            format!("Cookie: a=b; session={good}; c=d"),
        ),
        ("header:X-Token", "/".to_owned(), format!("x-token: {good}")),
        (
            "query:access_token",
            format!("/?access_token={good}"),
            "A: b".to_owned(),
        ),
        (
            "query:access_token",
            format!("/?a&access_token={good}&b=c"),
            "A: b".to_owned(),
        ),
    ] {
        for (accepted, status) in [
            ("bearer", 401),
            ("cookie:session", 401),
            ("cookie:Session", 401),
            ("cookie:sess", 401),
            ("header:X-Token", 401),
            ("header:Token", 401),
            ("query:access_token", 401),
            ("query:ACCESS_TOKEN", 401),
            ("query:token", 401),
        ]
        .map(|(accepted, status)| (accepted, if accepted == place { 200 } else { status }))
        {
            let gateway = asking(&backend, &json!({ "tokenFrom": [accepted] }))
                .start()
                .await;
            assert_status(&gateway, &target, &[&field], status).await;
        }
    }
}

#[tokio::test]
async fn the_first_place_that_is_taken_counts_and_what_is_in_others_is_not_forged() {
    let backend = Backend::ok().await;
    let (good, forged) = (good(), bad());
    let expired = P256.token(&json!({ "exp": now() - 3600 }));
    let auth = json!({ "tokenFrom": ["cookie:session", "header:X-Token", "query:t", "bearer"] });
    let gateway = asking(&backend, &auth).start().await;
    let cookie = |token: &str| format!("Cookie: session={token}");
    let header = |token: &str| format!("X-Token: {token}");
    for (query, fields, status) in [
        ("", vec![cookie(&good), header(&good), bearer(&good)], 200),
        ("", vec![cookie(&good), bearer(&expired)], 200),
        ("", vec![cookie(&expired), bearer(&good)], 401),
        ("", vec![cookie(&good), header(&forged)], 401),
        ("", vec![cookie(&good), bearer(&forged)], 401),
        ("", vec![cookie(&forged), bearer(&good)], 401),
        (
            "",
            vec![header(&good), "Authorization: Bearer".to_owned()],
            401,
        ),
        (&*good, vec![bearer(&good)], 200),
        (&good, vec![header(&forged)], 401),
        (&good, vec![bearer(&forged)], 401),
        (&forged, vec![bearer(&good)], 401),
        ("", vec![bearer(&good)], 200),
        ("", vec!["Cookie: other=1".to_owned(), bearer(&good)], 200),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let target = format!("/?t={query}");
        assert_status(&gateway, &target, &fields, status).await;
    }
}

#[tokio::test]
async fn a_good_key_does_not_make_up_for_another_that_is_none() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let auth = json!({ "accept": ["apiKey"], "keyFrom": ["query:key", "header:X-API-Key"] });
    let gateway = protected(&consumers, &backend, &auth).await;
    let key = &consumers.key;
    for (query, field, status) in [
        (&**key, "gwk_none", 401),
        ("gwk_none", key, 401),
        (key, key, 200),
        (key, "", 200),
    ] {
        let field = format!("X-API-Key: {field}");
        assert_status(&gateway, &format!("/?key={query}"), &[&field], status).await;
    }
}

#[tokio::test]
async fn what_is_forged_is_found_behind_what_has_only_expired() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let auth = json!({ "accept": ["jwt", "apiKey"], "tokenFrom": ["cookie:session", "bearer"] });
    let gateway = protected(&consumers, &backend, &auth).await;
    let expired = format!(
        "Cookie: session={}",
        P256.token(&json!({ "exp": now() - 3600 }))
    );
    let key = format!("X-API-Key: {}", consumers.key);
    let forged = bearer(&bad());
    let tab = forged.replace("Bearer ", "Bearer\t");
    for (fields, status) in [
        (&[&*key, &expired][..], 200),
        (&[&*key, &expired, &forged], 401),
        (&[&*key, &tab], 401),
        (&[&*key, "Authorization: Bearerish x"], 200),
    ] {
        assert_status(&gateway, "/", fields, status).await;
    }
}

#[tokio::test]
async fn a_field_for_credentials_has_no_twin_with_underscores() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let auth = json!({ "auth": { "accept": ["apiKey"], "forwardCredentials": false } });
    let route = everywhere(&backend, &auth);
    let builder = consumers.of(gateway().routes(&routes(&[route])));
    let gateway = builder.env("UNDERSCORE_HEADERS", "keep").start().await;
    let key = format!("X-API-Key: {}", consumers.key);
    assert_status(&gateway, "/", &[&key], 200).await;
    assert_status(&gateway, "/", &[&key, "X_API_Key: other"], 401).await;
    assert_eq!(backend.last().field("x-api-key"), None);
}

#[tokio::test]
async fn a_token_in_the_query_is_the_same_however_it_is_spelled() {
    let backend = Backend::ok().await;
    let auth = json!({ "tokenFrom": ["query:t"], "forwardCredentials": false });
    let gateway = asking(&backend, &auth).start().await;
    let spelled: String = good().bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_status(&gateway, &format!("/?a=1&t={spelled}"), &[], 200).await;
    assert_eq!(backend.last().target(), "/?a=1");
}

#[tokio::test]
async fn a_place_that_is_taken_twice_is_refused() {
    let backend = Backend::ok().await;
    let good = good();
    let cookie = format!("Cookie: session={good}");
    let header = format!("X-Token: {good}");
    for (place, target, fields) in [
        ("bearer", "/".to_owned(), vec![bearer(&good), bearer(&good)]),
        (
            "bearer",
            "/".to_owned(),
            vec![bearer(&good), basic("a", "b")],
        ),
        (
            "bearer",
            "/".to_owned(),
            vec![basic("a", "b"), bearer(&good)],
        ),
        (
            "bearer",
            "/".to_owned(),
            vec!["Authorization:".to_owned(), bearer(&good)],
        ),
        (
            "header:X-Token",
            "/".to_owned(),
            vec![header.clone(), header.to_lowercase()],
        ),
        (
            "header:X-Token",
            "/".to_owned(),
            vec![header.clone(), header],
        ),
        (
            "cookie:session",
            "/".to_owned(),
            vec![cookie.clone(), cookie.clone()],
        ),
        (
            "cookie:session",
            "/".to_owned(),
            vec![format!("{cookie}; session={good}")],
        ),
        (
            "cookie:session",
            "/".to_owned(),
            vec![format!("{cookie}; session=")],
        ),
        (
            "cookie:session",
            "/".to_owned(),
            vec![cookie, "Cookie: a=b; session=x".to_owned()],
        ),
        ("query:t", format!("/?t={good}&t={good}"), vec![]),
        ("query:t", format!("/?t=x&t={good}"), vec![]),
        ("query:t", format!("/?t={good}&a=b&t="), vec![]),
    ] {
        let gateway = asking(&backend, &json!({ "tokenFrom": [place] }))
            .start()
            .await;
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_status(&gateway, &target, &fields, 401).await;
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_parameter_is_taken_twice_however_it_is_spelled() {
    let backend = Backend::ok().await;
    let good = good();
    let gateway = asking(&backend, &json!({ "tokenFrom": ["query:t"] }))
        .start()
        .await;
    let mut passed = Vec::new();
    for target in [
        "/?t=TOKEN&t",
        "/?t&t=TOKEN",
        "/?t=TOKEN&%74=x",
        "/?%74=x&t=TOKEN",
    ] {
        let answer = get(&gateway, &target.replace("TOKEN", &good), &[]).await;
        if answer.status() != 401 {
            passed.push(target);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
}

#[tokio::test]
async fn the_backend_gets_the_credentials_where_nothing_else_is_said() {
    let backend = Backend::ok().await;
    let auth = json!({ "tokenFrom": ["cookie:session", "query:t", "bearer"] });
    let gateway = asking(&backend, &auth).start().await;
    let fields = [bearer(&good()), format!("Cookie: session={}; a=b", good())];
    let target = format!("/?t={}&a=b", good());
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    assert_status(&gateway, &target, &fields, 200).await;
    let seen = backend.last();
    assert_eq!(seen.target(), target);
    for name in ["authorization", "cookie"] {
        let sent = fields.iter().find_map(|field| {
            let (sent, value) = field.split_once(": ")?;
            sent.eq_ignore_ascii_case(name).then_some(value)
        });
        assert_eq!(seen.field(name), sent);
    }
}

#[tokio::test]
async fn credentials_are_kept_from_the_backend_and_nothing_else_is() {
    let backend = Backend::ok().await;
    let auth = json!({
        "tokenFrom": ["cookie:session", "query:t", "header:X-Token", "bearer"], "forwardCredentials": false
    });
    let gateway = asking(&backend, &auth).start().await;
    let token = good();
    let sent = |text: &str| text.replace("TOKEN", &token);
    // What is sent, and what arrives: the target, `Cookie`, `Authorization`, `X-Token`.
    for (target, fields, arrives) in [
        ("/x", vec!["Authorization: Bearer TOKEN"], ("/x", None)),
        ("/x", vec!["X-Token: TOKEN"], ("/x", None)),
        ("/x", vec!["Cookie: session=TOKEN"], ("/x", None)),
        (
            "/x",
            vec!["Cookie: a=1; session=TOKEN; sessions=2; b=\"q=x\""],
            ("/x", Some("a=1; sessions=2; b=\"q=x\"")),
        ),
        (
            "/x",
            vec!["Cookie: session=TOKEN; a=1"],
            ("/x", Some("a=1")),
        ),
        (
            "/x",
            vec!["Cookie: a=1; session=TOKEN"],
            ("/x", Some("a=1")),
        ),
        ("/x?t=TOKEN", vec![], ("/x", None)),
        ("/x?a=%20&t=TOKEN&&b==&c", vec![], ("/x?a=%20&&b==&c", None)),
        ("/x?t=TOKEN&a=1", vec![], ("/x?a=1", None)),
        ("/x?a=1&t=TOKEN", vec![], ("/x?a=1", None)),
        ("/x?tt=1&xt=2&t=TOKEN", vec![], ("/x?tt=1&xt=2", None)),
        // Not only where the one that counted was.
        (
            "/x?t=TOKEN",
            vec![
                "Authorization: Bearer TOKEN",
                "X-Token: TOKEN",
                "Cookie: session=TOKEN; a=1",
            ],
            ("/x", Some("a=1")),
        ),
    ] {
        let fields: Vec<String> = fields.into_iter().map(sent).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_status(&gateway, &sent(target), &fields, 200).await;
        let seen = backend.last();
        let cookies = seen.fields("cookie");
        assert_eq!(
            (seen.target(), cookies.first().copied()),
            arrives,
            "{target} {fields:?}"
        );
        assert!(seen.field("authorization").is_none() && seen.field("x-token").is_none());
        let whole = format!("{seen:?}");
        assert!(!whole.contains(&token), "{target} {fields:?}: {whole}");
    }
}

#[tokio::test]
async fn keys_are_where_the_route_says() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let key = consumers.key.clone();
    let header = format!("X-API-Key: {key}");
    let gateway = protected(&consumers, &backend, &json!({ "accept": ["apiKey"] })).await;
    assert_status(&gateway, "/", &[&header], 200).await;
    assert_status(&gateway, "/", &[&header.to_lowercase()], 401).await;
    assert_status(&gateway, "/", &[&bearer(&key)], 401).await;
    assert_status(&gateway, &format!("/?X-API-Key={key}"), &[], 401).await;
    assert_status(&gateway, "/", &[&header, &header], 401).await;

    let auth = json!({ "accept": ["apiKey"], "keyFrom": ["query:key", "cookie:key", "bearer"],
        "forwardCredentials": false });
    let gateway = protected(&consumers, &backend, &auth).await;
    let cookie = format!("Cookie: key={key}; a=b");
    assert_status(&gateway, "/", &[&header], 401).await;
    assert_status(&gateway, "/", &[&bearer(&key)], 200).await;
    assert_eq!(backend.last().field("authorization"), None);
    assert_status(&gateway, "/", &[&cookie], 200).await;
    assert_eq!(backend.last().field("cookie"), Some("a=b"));
    assert_status(&gateway, &format!("/?key={key}"), &[], 200).await;
    assert_eq!(backend.last().target(), "/");
    assert_status(&gateway, "/?key=nonsense", &[&cookie], 401).await;
    for twice in ["key=KEY&key=KEY", "key=KEY&%6bey=KEY", "key=KEY&key"] {
        let target = format!("/?{}", twice.replace("KEY", &key));
        assert_status(&gateway, &target, &[], 401).await;
    }
}

#[tokio::test]
async fn any_kind_that_is_accepted_will_do_where_none_is_forged() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    let auth = json!({ "accept": ["apiKey", "basic"], "forwardCredentials": false });
    let gateway = protected(&consumers, &backend, &auth).await;
    let key = format!("X-API-Key: {}", consumers.key);
    let password = basic("acme", ACME_PASSWORD);
    let wrong = basic("acme", "wrong");
    for fields in [vec![&*key], vec![&*password], vec![&*key, &*password]] {
        assert_status(&gateway, "/", &fields, 200).await;
        let seen = backend.last();
        assert_eq!(seen.field("x-api-key"), None, "{fields:?}");
        assert_eq!(seen.field("authorization"), None, "{fields:?}");
    }
    let passed = backend.requests().len();
    for fields in [
        ["X-API-Key: wrong", &*wrong],
        [&*key, &*wrong],
        ["X-API-Key: wrong", &*password],
    ] {
        assert_status(&gateway, "/", &fields, 401).await;
    }
    assert_eq!(backend.requests().len(), passed);
}

#[tokio::test]
async fn a_401_says_what_is_accepted_and_what_was_wrong() {
    let backend = Backend::ok().await;
    let consumers = Consumers::new().await;
    for (accept, schemes) in [
        (vec!["jwt"], vec!["Bearer"]),
        (vec!["basic"], vec!["Basic"]),
        (vec!["jwt", "basic"], vec!["Bearer", "Basic"]),
    ] {
        let auth = json!({ "accept": accept });
        let gateway = protected(&consumers, &backend, &auth).await;
        let without = assert_status(&gateway, "/", &[], 401).await;
        let said = without.fields("www-authenticate").join(", ");
        for scheme in ["Bearer", "Basic"] {
            assert_eq!(said.contains(scheme), schemes.contains(&scheme), "{said}");
        }
        // RFC 6750 §3.1: who shows nothing is told of no error.
        assert!(!said.contains("error"), "{said}");
    }
    let bare = "ApiKey realm=\"api-gateway\"";
    let wrong =
        format!("{bare}, error=\"invalid_key\", error_description=\"the key is not valid\"");
    let basic = "Basic realm=\"api-gateway\", charset=\"UTF-8\"";
    for (accept, without, with) in [("apiKey", bare, &*wrong), ("basic", basic, basic)] {
        let gateway = protected(&consumers, &backend, &json!({ "accept": [accept] })).await;
        let answer = assert_status(&gateway, "/", &[], 401).await;
        assert_eq!(answer.field("www-authenticate"), Some(without));
        let bad = ["X-API-Key: x", "Authorization: Basic ???"];
        let answer = assert_status(&gateway, "/", &bad, 401).await;
        assert_eq!(answer.field("www-authenticate"), Some(with));
    }
    // What was wrong with one kind is not said of another.
    let auth = json!({ "accept": ["jwt", "apiKey"] });
    let gateway = protected(&consumers, &backend, &auth).await;
    let answer = assert_status(&gateway, "/", &["X-API-Key: x"], 401).await;
    let expected = format!("Bearer realm=\"api-gateway\", {wrong}");
    assert_eq!(answer.field("www-authenticate"), Some(&*expected));
    let gateway = protected(&consumers, &backend, &json!({ "accept": ["jwt"] })).await;
    let wrong = assert_status(&gateway, "/", &["Authorization: Bearer x"], 401).await;
    let said = wrong.field("www-authenticate").unwrap();
    assert!(said.contains("error=\"invalid_token\""), "{said}");
}

async fn protected(consumers: &Consumers, backend: &Backend, auth: &Value) -> Gateway {
    let builder: GatewayBuilder = asking(backend, auth);
    consumers.of(builder).start().await
}
