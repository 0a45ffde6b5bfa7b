//! The admin listener: who may ask, what it tells, what it changes.

use serde_json::{Value, json};
use testkit::{ADMIN_FIELD, Backend, Client, Gateway, GatewayBuilder, Message};

use crate::{everything_to, gateway, routes};

async fn ask(gateway: &Gateway, method: &str, path: &str, fields: &[&str], body: &str) -> Message {
    let mut admin = Client::connect(gateway.admin()).await;
    let length = format!("Content-Length: {}", body.len());
    let json = ["Content-Type: application/json", &length];
    admin.request(method, path, &[fields, &json].concat()).await;
    admin.send(body).await;
    admin.response().await
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = ask(gateway, "GET", path, &[ADMIN_FIELD], "").await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    answer.json()
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Message {
    ask(gateway, "POST", path, &[ADMIN_FIELD], &body.to_string()).await
}

/// Everything that is not for everybody.
const GUARDED: [(&str, &str); 18] = [
    ("GET", "/config"),
    ("PUT", "/config"),
    ("POST", "/config/validate"),
    ("GET", "/config/history"),
    ("GET", "/config/status"),
    ("POST", "/config/reload"),
    ("POST", "/config/rollback"),
    ("GET", "/routes"),
    ("GET", "/upstreams"),
    ("POST", "/upstreams/drain"),
    ("POST", "/upstreams/undrain"),
    ("GET", "/breakers"),
    ("POST", "/breakers"),
    ("POST", "/cache/purge"),
    ("POST", "/explain"),
    ("GET", "/errors"),
    ("GET", "/limits"),
    ("PUT", "/log-level"),
];

#[tokio::test]
async fn only_health_metrics_and_the_document_are_for_everybody() {
    let backend = Backend::ok().await;
    let gateway = crate::in_front_of(&backend).await;
    for (method, path) in GUARDED {
        for wrong in [
            &[][..],
            &["Authorization: Bearer a-token-for-tests-alon"],
            &["Authorization: Basic YTpi"],
        ] {
            let answer = ask(&gateway, method, path, wrong, "{}").await;
            assert_eq!(answer.status(), 401, "{method} {path} {wrong:?}");
            assert_eq!(
                answer.field("www-authenticate"),
                Some("Bearer realm=\"api-gateway admin\"")
            );
            assert!(!answer.text().contains("a-token"), "{}", answer.text());
        }
        let of_a_page = [ADMIN_FIELD, "Origin: http://evil.test"];
        let answer = ask(&gateway, method, path, &of_a_page, "{}").await;
        assert_eq!(answer.status(), 403, "{method} {path}");
    }
    for open in [
        "/healthz",
        "/readyz",
        "/process",
        "/metrics",
        "/openapi.json",
    ] {
        let answer = Client::connect(gateway.admin()).await.get(open).await;
        assert_eq!(answer.status(), 200, "{open}");
    }
}

#[tokio::test]
async fn the_document_names_everything_that_there_is() {
    let backend = Backend::ok().await;
    let gateway = crate::in_front_of(&backend).await;
    let document = Client::connect(gateway.admin())
        .await
        .get("/openapi.json")
        .await
        .json();
    for (method, path) in GUARDED {
        let operation = &document["paths"][path][method.to_lowercase()];
        assert!(
            operation["description"].is_string() || operation["summary"].is_string(),
            "{method} {path}"
        );
    }
    let committed = include_str!("../../docs/openapi.json");
    let committed: Value = serde_json::from_str(committed).unwrap();
    assert_eq!(document, committed, "docs/openapi.json is stale");
}

/// With the token that the gateway makes itself, in a runtime folder of its own.
fn with_a_made_token(backend: &Backend) -> (GatewayBuilder, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(format!("admin-{}", backend.address().port()));
    std::fs::create_dir_all(&folder).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&folder, permissions).unwrap();
    let builder = gateway()
        .routes(&everything_to(&backend.url()))
        .env("ADMIN_TOKEN", "auto")
        .env("RUNTIME_DIRECTORY", &folder);
    (builder, folder)
}

#[tokio::test]
async fn commands_on_the_same_machine_find_the_token_that_is_made_at_the_start() {
    let backend = Backend::ok().await;
    let (builder, folder) = with_a_made_token(&backend);
    let running = builder.start().await;
    let explain = |token: &str| {
        gateway()
            .env("ADMIN_TOKEN", token)
            .env("ADMIN_ADDR", running.admin().to_string())
            .env("RUNTIME_DIRECTORY", &folder)
            .argument("explain")
            .argument("GET")
            .argument("/a")
            .argument("--running")
    };
    let (status, text, error) = explain("auto").finish().await;
    assert!(status.success(), "{error}");
    assert!(text.contains("GET /a"), "{text}");
    let (status, _, error) = explain("another-token-than-that").finish().await;
    assert!(!status.success());
    assert!(
        error.contains("401") && error.contains("ADMIN_TOKEN"),
        "{error}"
    );
    let file = folder.join(format!("admin-{}.token", running.admin().port()));
    let token = std::fs::read_to_string(file).unwrap();
    assert!(
        running
            .diagnostics()
            .iter()
            .all(|line| !line.contains(&token))
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn without_a_token_anybody_may_ask_where_that_is_wanted() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("ADMIN_TOKEN", "off")
        .start()
        .await;
    let answer = Client::connect(gateway.admin()).await.get("/routes").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()[0]["path"], "/{*path}");
}

fn two_endpoints(one: &Backend, other: &Backend, more: &Value) -> Value {
    let mut upstream = json!({ "endpoints": [{ "url": one.url() }, { "url": other.url() }] });
    for (key, value) in more.as_object().into_iter().flatten() {
        upstream[key] = value.clone();
    }
    json!({
        "upstreams": { "users": upstream },
        "routes": [{ "name": "users", "path": "/*path", "upstream": "users" }],
    })
}

#[tokio::test]
async fn a_drained_endpoint_gets_nothing_until_it_is_undrained() {
    let (one, other) = (Backend::ok().await, Backend::ok().await);
    for balance in ["roundRobin", "peakEwma"] {
        let gateway = gateway()
            .routes(&two_endpoints(&one, &other, &json!({ "balance": balance })))
            .start()
            .await;
        let place = json!({ "upstream": "users", "endpoint": other.address().to_string() });
        let answer = post(&gateway, "/upstreams/drain", &place).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let mut client = gateway.client().await;
        let before = other.requests().len();
        for _ in 0..20 {
            assert_eq!(client.get("/").await.status(), 200);
        }
        assert_eq!(other.requests().len(), before);
        let member = get(&gateway, "/upstreams").await[0]["members"][1].clone();
        assert_eq!(
            (&member["drained"], &member["available"]),
            (&json!(true), &json!(false))
        );

        // Both: nobody is left, and nobody is chosen for want of others.
        let both = json!({ "upstream": "users", "endpoint": one.url() });
        assert_eq!(
            post(&gateway, "/upstreams/drain", &both).await.status(),
            200
        );
        assert_eq!(client.get("/").await.status(), 503);
        assert_eq!(
            post(&gateway, "/upstreams/undrain", &place).await.status(),
            200
        );
        assert_eq!(client.get("/").await.status(), 200);
        assert!(other.requests().len() > before);
    }
}

#[tokio::test]
async fn breakers_can_be_forced_open_and_left_to_themselves_again() {
    let (one, other) = (Backend::ok().await, Backend::ok().await);
    let more = json!({ "breaker": { "consecutiveFailures": 5 } });
    let gateway = gateway()
        .routes(&two_endpoints(&one, &other, &more))
        .start()
        .await;
    let mut client = gateway.client().await;
    assert_eq!(get(&gateway, "/breakers").await[0]["state"], "closed");
    for (state, name, status) in [
        ("open", "forced-open", 503),
        ("closed", "forced-closed", 200),
        ("auto", "closed", 200),
    ] {
        let asked = json!({ "upstream": "users", "state": state });
        let answer = post(&gateway, "/breakers", &asked).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()[0]["state"], name);
        assert_eq!(client.get("/").await.status(), status, "{state}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_told() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({ "path": "/", "targetURL": backend.url() }),
        ]))
        .start()
        .await;
    for (path, body, status) in [
        (
            "/upstreams/drain",
            json!({ "upstream": "nobody", "endpoint": "x" }),
            404,
        ),
        ("/upstreams/drain", json!({ "upstream": "/" }), 422),
        (
            "/breakers",
            json!({ "upstream": "nobody", "state": "open" }),
            404,
        ),
        (
            "/breakers",
            json!({ "route": "a", "upstream": "b", "state": "open" }),
            400,
        ),
        (
            "/breakers",
            json!({ "upstream": "b", "state": "ajar" }),
            422,
        ),
    ] {
        let answer = post(&gateway, path, &body).await;
        assert_eq!(answer.status(), status, "{path} {body}");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn the_log_level_can_be_changed() {
    let backend = Backend::ok().await;
    let gateway = crate::in_front_of(&backend).await;
    assert_eq!(get(&gateway, "/log-level").await["level"], "info");
    let put = |body: Value| {
        let body = body.to_string();
        let gateway = &gateway;
        async move { ask(gateway, "PUT", "/log-level", &[ADMIN_FIELD], &body).await }
    };
    let answer = put(json!({ "level": "warn,api_gateway=debug" })).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let level = get(&gateway, "/log-level").await["level"].to_string();
    assert!(level.contains("api_gateway=debug"), "{level}");
    let answer = put(json!({ "level": "loud" })).await;
    assert_eq!(answer.status(), 400);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("must be error, warn")
    );
}

#[tokio::test]
async fn the_last_failures_are_told_and_what_clients_do_wrong_is_not() {
    let backend =
        Backend::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno").await;
    let mut failing = route_to("/failing/*rest", &backend.url());
    failing["name"] = json!("failing");
    let nobody = route_to("/nobody", "http://127.0.0.1:1");
    let gateway = gateway().routes(&routes(&[failing, nobody])).start().await;
    let mut client = gateway.client().await;
    for path in ["/failing/a?token=secret", "/nobody", "/nowhere"] {
        client.get(path).await;
    }
    let told = get(&gateway, "/errors").await;
    let requests = told["requests"].as_array().unwrap();
    let seen: Vec<_> = requests
        .iter()
        .map(|it| (it["path"].as_str().unwrap(), it["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [("/nobody", 502), ("/failing/a", 503)],
        "the newest first"
    );
    assert_eq!(requests[0]["error"], "upstream-unreachable", "{told}");
    assert_eq!(requests[1]["error"], Value::Null);
    assert_eq!(requests[1]["route"], "failing");
    assert_eq!(
        requests[1]["endpoint"],
        backend.url().trim_start_matches("http://")
    );
    assert!(
        requests[1]["requestId"]
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    assert!(!told.to_string().contains("secret"), "{told}");
}

#[tokio::test]
async fn warnings_of_the_gateway_itself_are_told() {
    let backend = Backend::ok().await;
    let gateway = crate::in_front_of(&backend).await;
    let changed = ask(
        &gateway,
        "PUT",
        "/log-level",
        &[ADMIN_FIELD],
        r#"{"level":"warn"}"#,
    )
    .await;
    assert_eq!(changed.status(), 200);
    let told = get(&gateway, "/errors").await;
    let event = &told["events"][0];
    assert_eq!(event["level"], "WARN");
    assert_eq!(event["message"], "log level changed level=\"warn\"");
}

#[tokio::test]
async fn limits_are_told_with_their_routes() {
    let backend = Backend::ok().await;
    let mut one = route_to("/one", &backend.url());
    one["name"] = json!("one");
    one["rateLimit"] =
        json!({ "name": "each", "limit": 10, "window": "1m", "by": ["ip", "header:X-Tenant"] });
    let gateway = gateway()
        .routes(&routes(&[one, route_to("/two", &backend.url())]))
        .start()
        .await;
    let told = get(&gateway, "/limits").await;
    let expected = json!([{
        "name": "each", "limit": 10, "window": 60.0, "cost": 1, "by": ["ip", "header:x-tenant"],
        "exempt": [], "shadow": false, "store": "memory", "routes": ["one"],
    }]);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn routes_are_told_checked_and_replaced() {
    let backend = Backend::ok().await;
    let before = routes(&[route_to("/before", &backend.url())]);
    let after = routes(&[route_to("/after", &backend.url())]).to_string();
    let gateway = gateway().routes(&before).start().await;
    let put = async |fields: &[&str], body: &str| {
        let fields = [&[ADMIN_FIELD], fields].concat();
        ask(&gateway, "PUT", "/config", &fields, body).await
    };
    let told = get(&gateway, "/config").await;
    let text: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, before);

    let check = async |body: &str| {
        let answer = ask(&gateway, "POST", "/config/validate", &[ADMIN_FIELD], body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(
        check(&after).await,
        json!({ "valid": true, "errors": [], "warnings": [] })
    );
    let broken = "{ \"routes\": [\n  { \"path\": \"after\", \"cached\": 1 } ] }";
    let verdict = check(broken).await;
    assert_eq!(verdict["valid"], false);
    let first = verdict["errors"][0].as_str().unwrap();
    assert!(first.starts_with("routes:2:"), "{verdict}");
    let refused = put(&[], broken).await;
    assert_eq!(refused.status(), 400, "{}", refused.text());
    assert!(refused.text().contains("routes:2:"), "{}", refused.text());
    assert_eq!(gateway.client().await.get("/before").await.status(), 200);

    let outdated = put(&["If-Match: \"000000000000\""], &after).await;
    assert_eq!(outdated.status(), 412, "{}", outdated.text());
    assert_eq!(get(&gateway, "/config").await, told);
    let tag = format!("If-Match: \"{}\"", told["hash"].as_str().unwrap());
    let served = put(&[&tag], &after).await;
    assert_eq!(served.status(), 200, "{}", served.text());
    assert_eq!(served.json()["generation"], 2);
    assert_eq!(
        get(&gateway, "/config").await["hash"],
        served.json()["hash"]
    );
    assert_eq!(gateway.client().await.get("/after").await.status(), 200);
    assert_eq!(gateway.client().await.get("/before").await.status(), 404);
    // Whoever has seen the first one only.
    assert_eq!(put(&[&tag], &after).await.status(), 412);
    // A routes file may be longer than other requests, and not as long as one likes.
    let blank = format!("{}{after}", " ".repeat(1 << 20));
    assert_eq!(put(&[], &blank).await.status(), 200);
    let too_long = format!("{}{after}", " ".repeat(9 << 20));
    assert_eq!(put(&[], &too_long).await.status(), 413);
}

#[tokio::test]
async fn routes_files_that_were_applied_are_listed_where_they_are_kept() {
    let backend = Backend::ok().await;
    let without = crate::in_front_of(&backend).await;
    let answer = ask(&without, "GET", "/config/history", &[ADMIN_FIELD], "").await;
    assert_eq!(answer.status(), 409);
    assert!(answer.text().contains("STATE_DIR"), "{}", answer.text());
    let builder = gateway().routes(&everything_to(&backend.url()));
    let state = builder.folder().join("state");
    let gateway = builder.env("STATE_DIR", &state).start().await;
    let other = routes(&[route_to("/other", &backend.url())]).to_string();
    let served = ask(&gateway, "PUT", "/config", &[ADMIN_FIELD], &other).await;
    let kept = get(&gateway, "/config/history").await;
    assert_eq!(kept.as_array().unwrap().len(), 2, "{kept}");
    assert_eq!(kept[0]["number"], 1);
    assert_eq!(kept[0]["hash"], served.json()["hash"]);
    assert!(kept[0]["time"].as_str().unwrap().ends_with('Z'), "{kept}");
}

fn route_to(path: &str, target: &str) -> Value {
    json!({ "path": path, "targetURL": target })
}
