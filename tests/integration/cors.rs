//! Web pages of other origins.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, Message};

use crate::{everything_to, gateway, in_front_of, routes};

const ORIGIN: &str = "Origin: https://app.example.com";

async fn ask(gateway: &Gateway, method: &str, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request(method, target, fields).await;
    client.response().await
}

async fn preflight(gateway: &Gateway, target: &str, method: &str) -> Message {
    let asked = format!("Access-Control-Request-Method: {method}");
    let fields = [ORIGIN, &asked, "Access-Control-Request-Headers: x-token"];
    ask(gateway, "OPTIONS", target, &fields).await
}

fn route(path: &str, backend: &Backend, more: &Value) -> Value {
    let mut route = json!({ "path": path, "targetURL": backend.url() });
    let (Some(route_keys), Some(more)) = (route.as_object_mut(), more.as_object()) else {
        panic!("both are objects");
    };
    route_keys.extend(more.clone());
    route
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_gateway_and_never_forwarded() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let answer = preflight(&gateway, "/", "DELETE").await;
    assert_eq!(answer.status(), 204, "{}", answer.text());
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "DELETE"),
        ("access-control-allow-headers", "x-token"),
        (
            "vary",
            "Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    ] {
        assert_eq!(answer.field(name), Some(value));
    }
    assert!(backend.requests().is_empty());
    // Without the question it is a request like others.
    assert_eq!(ask(&gateway, "OPTIONS", "/", &[ORIGIN]).await.status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn allowed_origins_are_named_and_others_are_not() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env(
            "ALLOWED_ORIGINS",
            "https://app.example.com, https://*.example.org",
        )
        .start()
        .await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("http://app.example.com", false),
        ("null", false),
    ] {
        let field = format!("Origin: {origin}");
        let answer = ask(&gateway, "GET", "/", &[&field]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.field("access-control-allow-origin"),
            allowed.then_some(origin)
        );
        assert_eq!(answer.fields("vary"), ["Origin"]);
        let asked = [&*field, "Access-Control-Request-Method: GET"];
        let answer = ask(&gateway, "OPTIONS", "/", &asked).await;
        assert_eq!(answer.status(), if allowed { 204 } else { 403 });
        assert_eq!(
            answer.field("access-control-allow-origin"),
            allowed.then_some(origin)
        );
        if !allowed {
            assert_eq!(answer.json()["code"], "origin-not-allowed");
        }
    }
    let answer = ask(&gateway, "GET", "/", &[]).await;
    assert_eq!(answer.fields("vary"), ["Origin"]);
}

#[tokio::test]
async fn web_pages_can_read_refusals_too() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[route(
            "/closed",
            &backend,
            &json!({ "requireAuth": true, "methods": ["GET"] }),
        )]))
        .env("JWT_SECRET", "a secret for tests")
        .start()
        .await;
    for (method, target, status) in [
        ("GET", "/closed", 401),
        ("PUT", "/closed", 405),
        ("GET", "/nowhere", 404),
    ] {
        let answer = ask(&gateway, method, target, &[ORIGIN]).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    }
    // Who may ask is asked with the request, not before it.
    assert_eq!(preflight(&gateway, "/closed", "GET").await.status(), 204);
}

#[tokio::test]
async fn a_route_has_a_policy_of_its_own() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://backend.example\r\n\r\n",
    )
    .await;
    let own = json!({ "cors": {
        "origins": ["https://app.example.com"], "methods": ["GET", "PUT"], "headers": ["X-Token"],
        "exposedHeaders": ["X-Total"], "credentials": true, "maxAge": 600, "privateNetwork": true
    } });
    let gateway = gateway()
        .routes(&routes(&[
            route("/own", &backend, &own),
            route("/none", &backend, &json!({ "cors": false })),
            route("/general", &backend, &json!({ "cors": true })),
            route("/unsaid", &backend, &json!({})),
        ]))
        .start()
        .await;
    let answer = preflight(&gateway, "/own", "PUT").await;
    assert_eq!(answer.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "X-Token"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(answer.field(name), Some(value));
    }
    assert!(backend.requests().is_empty());
    let answer = ask(&gateway, "GET", "/own", &[ORIGIN]).await;
    assert_eq!(
        answer.fields("access-control-allow-origin"),
        ["https://app.example.com"]
    );
    assert_eq!(
        answer.field("access-control-expose-headers"),
        Some("X-Total")
    );
    let answer = ask(&gateway, "GET", "/general", &[ORIGIN]).await;
    assert_eq!(answer.fields("access-control-allow-origin"), ["*"]);
    // Nobody has set the general policy: the backend knows better.
    let answer = ask(&gateway, "GET", "/unsaid", &[ORIGIN]).await;
    assert_eq!(
        answer.fields("access-control-allow-origin"),
        ["https://backend.example"]
    );

    // The backend speaks for itself there, also to preflights.
    for answer in [
        ask(&gateway, "GET", "/none", &[ORIGIN]).await,
        preflight(&gateway, "/none", "PUT").await,
    ] {
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.fields("access-control-allow-origin"),
            ["https://backend.example"]
        );
        assert_eq!(answer.field("vary"), None);
    }
}

#[tokio::test]
async fn a_preflight_for_what_no_route_takes_is_not_forwarded() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            route("/a", &backend, &json!({ "methods": ["OPTIONS"] })),
            route("/b", &backend, &json!({ "methods": ["GET"] })),
        ]))
        .start()
        .await;
    let answer = preflight(&gateway, "/a", "PUT").await;
    assert_eq!(answer.status(), 405);
    assert_eq!(preflight(&gateway, "/b", "PUT").await.status(), 405);
    assert_eq!(preflight(&gateway, "/c", "PUT").await.status(), 404);
    assert!(backend.requests().is_empty());
}
