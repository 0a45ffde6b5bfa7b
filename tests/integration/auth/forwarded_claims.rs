//! What backends learn of clients.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder};

use super::fixtures::gateways::{everywhere, with, with_joe};
use super::fixtures::requests::{assert_unauthorized, bearer, get};
use super::fixtures::signing::P256;

/// A gateway that tells the backend these claims of joe's clients.
fn telling(backend: &Backend, claims: &Value, more: &Value) -> GatewayBuilder {
    let told = json!({ "requireAuth": true, "forwardClaims": claims });
    with_joe(&[everywhere(backend, &with(told, more))])
}

async fn pass(gateway: &Gateway, claims: &Value, fields: &[&str]) {
    let token = bearer(&P256.token(claims));
    let answer = get(gateway, "/", &[&[&*token], fields].concat()).await;
    assert_eq!(
        answer.status(),
        200,
        "{claims} {fields:?}: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_claim_of_any_kind_has_its_form_in_a_field() {
    let backend = Backend::ok().await;
    let told = json!({ "X-Claim": "claim" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    for (claim, field) in [
        (json!("anna"), "anna"),
        (json!("anna, bert; \"c\""), "anna, bert; \"c\""),
        (json!("Zoë"), "Zoë"),
        (json!(7), "7"),
        (json!(-1), "-1"),
        (json!(9_007_199_254_740_993_i64), "9007199254740993"),
        (json!(1.5), "1.5"),
        (json!(["a", "b", "c"]), "a,b,c"),
        (json!(["a", 7]), "a,7"),
        (json!(["a"]), "a"),
        (json!({ "a": [1, "b"] }), "{\"a\":[1,\"b\"]}"),
    ] {
        pass(&gateway, &json!({ "claim": claim }), &[]).await;
        let seen = backend.last();
        let mut value = seen.field("x-claim").unwrap_or_default().to_owned();
        if claim.is_array() {
            value = value.replace(", ", ",");
        }
        assert_eq!(value, field, "{claim}");
    }
}

#[tokio::test]
async fn a_claim_inside_another_is_named_with_dots() {
    let backend = Backend::ok().await;
    let told = json!({ "X-Roles": "realm_access.roles", "X-City": "address.home.city" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    let claims =
        json!({ "realm_access": { "roles": ["clerk"] }, "address": { "home": { "city": "Ulm" } } });
    pass(&gateway, &claims, &[]).await;
    let seen = backend.last();
    assert_eq!(seen.field("x-roles"), Some("clerk"));
    assert_eq!(seen.field("x-city"), Some("Ulm"));
}

#[tokio::test]
async fn what_is_not_there_makes_no_field() {
    let backend = Backend::ok().await;
    let told = json!({ "X-Claim": "claim", "X-Inside": "a.b" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    for claims in [
        json!({}),
        json!({ "CLAIM": "x" }),
        json!({ "a": "x" }),
        json!({ "a": { "c": "x" } }),
        json!({ "a": ["b"] }),
    ] {
        pass(&gateway, &claims, &["X-Claim: forged", "X-Inside: forged"]).await;
        let seen = backend.last();
        assert!(seen.fields("x-claim").is_empty(), "{claims}");
        assert!(seen.fields("x-inside").is_empty(), "{claims}");
    }
}

#[tokio::test]
async fn fields_of_the_client_with_these_names_are_dropped_in_any_case() {
    let backend = Backend::ok().await;
    let told = json!({ "X-User": "sub" });
    let forged = [
        "X-User: root",
        "x-user: root",
        "X-USER: root",
        "x-User:root",
        "X-User:",
        "X_User: root",
        "x_user: root",
    ];
    let gateway = telling(&backend, &told, &json!({})).start().await;
    pass(&gateway, &json!({ "sub": "anna" }), &forged).await;
    let seen = backend.last();
    assert_eq!(seen.fields("x-user"), ["anna"]);
    assert!(!format!("{seen:?}").contains("root"), "{seen:?}");
    pass(&gateway, &json!({}), &forged).await;
    assert!(!format!("{:?}", backend.last()).contains("root"));

    // Also of somebody who is unknown, and passes since the policy is only tried out.
    let tried_out = json!({ "shadow": ["auth"] });
    let gateway = telling(&backend, &told, &tried_out).start().await;
    for token in ["Authorization: Bearer x", "A: b"] {
        let fields = [&[token], &forged[..]].concat();
        assert_eq!(get(&gateway, "/", &fields).await.status(), 200);
        let seen = backend.last();
        assert!(seen.fields("x-user").is_empty(), "{seen:?}");
        assert!(!format!("{seen:?}").contains("root"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_clients_field_does_not_stand_beside_a_claim_by_an_underscore() {
    let backend = Backend::ok().await;
    let told = json!({ "X-User": "sub" });
    let gateway = telling(&backend, &told, &json!({}))
        .env("UNDERSCORE_HEADERS", "keep")
        .start()
        .await;
    pass(
        &gateway,
        &json!({ "sub": "anna" }),
        &["X_User: root", "X_Other: 1"],
    )
    .await;
    let seen = backend.last();
    assert_eq!(seen.field("x-user"), Some("anna"));
    assert_eq!(
        (seen.field("x_user"), seen.field("x_other")),
        (None, Some("1"))
    );
}

#[tokio::test]
async fn a_client_cannot_take_the_fields_of_the_gateway_away() {
    let backend = Backend::ok().await;
    let told = json!({ "X-User": "sub" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    for connection in [
        "Connection: X-User",
        "Connection: close, x-user",
        "Connection: keep-alive, X-User",
    ] {
        pass(&gateway, &json!({ "sub": "anna" }), &[connection]).await;
        let seen = backend.last();
        assert_eq!(seen.fields("x-user"), ["anna"], "{connection}");
        assert!(
            !seen
                .fields("connection")
                .join(",")
                .to_lowercase()
                .contains("x-user")
        );
    }
}

#[tokio::test]
async fn a_claim_cannot_make_another_field_of_its_own() {
    let backend = Backend::ok().await;
    let told = json!({ "X-User": "sub", "X-Name": "name" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    for name in [
        json!("anna\r\nX-Admin: true"),
        json!("anna\nX-Admin: true"),
        json!("anna\rX-Admin: true"),
        json!("anna\u{0}X-Admin: true"),
        json!("anna\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\nX-Admin: true"),
        json!(["anna", "\r\nX-Admin: true"]),
        json!("\u{7f}\u{1b}[31mX-Admin: true"),
    ] {
        let token = bearer(&P256.token(&json!({ "sub": "anna", "name": name })));
        let requests = backend.requests().len();
        let answer = get(&gateway, "/", &[&token]).await;
        assert!(answer.status() < 500, "{name}: {}", answer.start);
        let seen = backend.requests().split_off(requests);
        assert!(seen.len() <= 1, "{seen:?}");
        for request in seen {
            assert_eq!(request.fields("x-user"), ["anna"]);
            assert!(request.fields("x-admin").is_empty());
            let control = |(_, value): &(String, String)| value.chars().any(char::is_control);
            assert!(!request.fields.iter().any(control), "{request:?}");
        }
    }
}

#[tokio::test]
async fn what_a_backend_learns_is_of_each_request_anew() {
    let backend = Backend::ok().await;
    let told = json!({ "X-User": "sub" });
    let gateway = telling(&backend, &told, &json!({})).start().await;
    let mut client = gateway.client().await;
    for sub in ["anna", "bert", "anna"] {
        let token = bearer(&P256.token(&json!({ "sub": sub })));
        client.request("GET", "/", &[&token]).await;
        assert_eq!(client.response().await.status(), 200);
        assert_eq!(backend.last().fields("x-user"), [sub]);
    }
    client.request("GET", "/", &[]).await;
    assert_unauthorized(&client.response().await);
    let log = gateway.log(4).await;
    let consumers: Vec<&Value> = log.iter().map(|line| &line["consumer"]).collect();
    assert_eq!(
        consumers,
        ["anna", "bert", "anna"]
            .map(Value::from)
            .iter()
            .chain([&Value::Null])
            .collect::<Vec<_>>()
    );
    assert_eq!(log[3].get("consumer"), None);
}
