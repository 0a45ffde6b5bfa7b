//! `explain`: what it says is what happens.

use serde_json::{Value, json};
use testkit::{ADMIN_FIELD, Backend, Client, Gateway, Message};

use crate::{gateway, routes};

async fn ask(gateway: &Gateway, fields: &[&str], body: &str) -> Message {
    let mut admin = Client::connect(gateway.admin()).await;
    let length = format!("Content-Length: {}", body.len());
    let fields = [
        fields,
        &[ADMIN_FIELD, "Content-Type: application/json", &length],
    ]
    .concat();
    admin.request("POST", "/explain", &fields).await;
    admin.send(body).await;
    admin.response().await
}

async fn explain(gateway: &Gateway, method: &str, target: &str, fields: &[&str]) -> Value {
    let host = ["Host: gateway.test"];
    let headers = [&host, fields].concat();
    let asked = json!({ "method": method, "url": target, "headers": headers });
    let answer = ask(gateway, &[], &asked.to_string()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

fn step<'a>(explanation: &'a Value, name: &str) -> &'a Value {
    let steps = explanation["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("{name}: {explanation:#}"))
}

/// The lines of a head that do not differ from request to request.
fn lasting(lines: impl Iterator<Item = String>) -> Vec<String> {
    let changing = [
        "x-request-id:",
        "x-request-timeout-ms:",
        "x-forwarded-port:",
    ];
    lines
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.is_empty() && !changing.iter().any(|it| line.starts_with(it)))
        .collect()
}

async fn some_routes(backend: &Backend) -> Gateway {
    let url = backend.url();
    gateway()
        .routes(&routes(&[
            json!({ "name": "all", "path": "/*rest", "targetURL": url, "methods": ["GET", "OPTIONS"] }),
            json!({ "name": "users", "path": "/users/:id", "targetURL": format!("{url}/v1"), "methods": ["GET"],
                    "stripPrefix": "/users", "ip": { "deny": ["192.0.2.0/24"] } }),
            json!({ "name": "users-2", "path": "/users/:id", "targetURL": url, "methods": ["GET"],
                    "headers": { "X-Version": "2" } }),
            json!({ "name": "mine", "path": "/mine", "targetURL": url, "requireAuth": true }),
            json!({ "name": "scarce", "path": "/scarce", "targetURL": url,
                    "rateLimit": { "limit": 2, "window": "1h" } }),
            json!({ "name": "elsewhere", "path": "/users/:id", "hosts": ["b.test"], "targetURL": url }),
        ]))
        .start()
        .await
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let backend = Backend::ok().await;
    let gateway = some_routes(&backend).await;
    for (method, target, fields) in [
        ("GET", "/users/7?a=b", &[][..]),
        ("GET", "/users/7", &["X-Version: 2", "X_Version: 3"]),
        (
            "GET",
            "//users/./8%41;v=1",
            &["X-Version: 1", "X-Forwarded-For: 1.2.3.4"],
        ),
        ("GET", "/other?q", &["Connection: X-A", "X-A: 1", "X-B: 1"]),
        ("GET", "/users/%2f", &[]),
        ("POST", "/users/7", &["Content-Length: 0"]),
        ("GET", "/mine", &[]),
        ("GET", "/mine", &["Authorization: Bearer e30.e30.x"]),
        ("HEAD", "/users/7", &[]),
        (
            "OPTIONS",
            "/mine",
            &[
                "Origin: http://a.test",
                "Access-Control-Request-Method: GET",
            ],
        ),
        // For a route that does not take OPTIONS itself.
        (
            "OPTIONS",
            "/users/7",
            &[
                "Origin: http://a.test",
                "X-Version: 2",
                "Access-Control-Request-Method: GET",
            ],
        ),
        // For a method that there is no route for.
        (
            "OPTIONS",
            "/users/7",
            &[
                "Origin: http://a.test",
                "Access-Control-Request-Method: DELETE",
            ],
        ),
    ] {
        let explanation = explain(&gateway, method, target, fields).await;
        let before = backend.requests().len();
        let mut client = gateway.client().await;
        client.request(method, target, fields).await;
        let answer = client.response_to_head().await;
        let what = format!("{method} {target} {fields:?}: {explanation:#}");
        match explanation.get("refused") {
            Some(refused) => {
                assert_eq!(refused["status"], answer.status(), "{what}");
                assert_eq!(backend.requests().len(), before, "{what}");
            }
            None if explanation.get("backendRequest").is_none() => {
                assert_eq!(answer.status(), 204, "{what}");
                assert_eq!(backend.requests().len(), before, "{what}");
            }
            None => {
                assert_eq!(answer.status(), 200, "{what}");
                let seen = backend.last();
                let fields = seen.fields.iter();
                let fields = fields.map(|(name, value)| format!("{name}: {value}"));
                let sent = [seen.start.clone()].into_iter().chain(fields);
                let said = explanation["backendRequest"].as_array().unwrap().iter();
                let said = said.map(|line| line.as_str().unwrap().to_owned());
                assert_eq!(lasting(said), lasting(sent), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn each_route_says_why_it_has_the_request_or_has_not() {
    let backend = Backend::ok().await;
    let gateway = some_routes(&backend).await;
    let explanation = explain(&gateway, "GET", "/users/7", &["X-Version: 1"]).await;
    assert_eq!(explanation["route"], "users");
    let considered = explanation["considered"].as_array().unwrap();
    let why = |name: &str| {
        let found = considered.iter().find(|route| route["name"] == name);
        found.unwrap()["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(considered.len(), 6);
    assert_eq!(why("users"), "is the most specific that fits");
    assert_eq!(why("users-2"), "needs the field x-version to be \"2\"");
    assert_eq!(why("all"), "fits, and another is more specific by its path");
    assert_eq!(why("mine"), "is for other paths");
    assert_eq!(why("elsewhere"), "is for other hosts");
}

#[tokio::test]
async fn a_running_gateway_tells_how_things_stand() {
    let backend = Backend::ok().await;
    let gateway = some_routes(&backend).await;
    let says = |explanation: &Value| step(explanation, "rateLimit")["says"].clone();
    let mut client = gateway.client().await;
    // Whoever asks takes nothing from the limit.
    for _ in 0..3 {
        let explanation = explain(&gateway, "GET", "/scarce", &[]).await;
        assert_eq!(says(&explanation), "there is room");
    }
    for status in [200, 200, 429] {
        assert_eq!(client.get("/scarce").await.status(), status);
    }
    let explanation = explain(&gateway, "GET", "/scarce", &[]).await;
    assert_eq!(says(&explanation), "reached: refused with 429 rate-limited");
    assert_eq!(explanation["refused"]["code"], "rate-limited");
    let endpoint = &step(&explanation, "upstream")["settings"]["endpoints"][0];
    assert_eq!(endpoint["address"], backend.address().to_string());
    assert_eq!(endpoint["available"], true);
    assert!(backend.requests().len() == 2);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_pages_are_not_answered() {
    let backend = Backend::ok().await;
    let gateway = some_routes(&backend).await;
    for (fields, body, status) in [
        (&[][..], r#"{"method":"G T","url":"/"}"#, 400),
        (&[], r#"{"method":"GET","url":"a b"}"#, 400),
        (&[], r#"{"method":"GET","url":"/","headers":["x"]}"#, 400),
        (&[], r#"{"method":"GET"}"#, 422),
        (&[], r#"{"method":"GET","url":"/","more":1}"#, 422),
        (&[], "{", 400),
        (
            &["Origin: http://evil.test"],
            r#"{"method":"GET","url":"/"}"#,
            403,
        ),
    ] {
        let answer = ask(&gateway, fields, body).await;
        assert_eq!(answer.status(), status, "{body}");
        assert!(answer.json()["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn the_command_explains_by_the_file_or_asks_the_running_gateway() {
    let backend = Backend::ok().await;
    let gateway = some_routes(&backend).await;
    let routes_file = gateway.folder().join("routes.json");
    let command = |arguments: &[&str]| {
        let mut command = crate::gateway()
            .env("ROUTES_CONFIG_PATH", &routes_file)
            .env("ADMIN_ADDR", gateway.admin().to_string())
            .argument("explain");
        for argument in arguments {
            command = command.argument(argument);
        }
        command.finish()
    };
    let (status, by_file, _) =
        command(&["GET", "http://a.test/users/7", "-H", "X-Version: 2"]).await;
    assert!(status.success());
    assert!(by_file.contains("> users-2"), "{by_file}");
    let (status, json, _) = command(&["GET", "/users/7", "--from", "192.0.2.7", "--json"]).await;
    assert!(status.success());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["refused"]["code"], "address-not-allowed");
    let (status, running, _) = command(&["GET", "/scarce", "--running"]).await;
    assert!(status.success());
    assert!(running.contains("there is room"), "{running}");
    let (status, _, error) = command(&["G T", "/"]).await;
    assert!(!status.success());
    assert!(error.contains("is no method"), "{error}");
    assert_eq!(backend.requests().len(), 0);
}
