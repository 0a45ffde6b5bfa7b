//! What a real Prometheus makes of the metrics, the dashboards and the alerts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Authority, Backend, Client, Connection, Gateway, Prometheus, promtool, within};

use crate::gateway;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A text of one byte, from a client and from a server.
const MASKED: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'x'];
const UNMASKED: &[u8] = &[0x81, 1, b'x'];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

/// Answers what may be cached, becomes a WebSocket where it is asked to, and breaks off where it is told to.
async fn serve(mut connection: Connection) {
    while let Some(request) = connection.request().await {
        if request.field("x-break").is_some() {
            return;
        }
        if request.field("upgrade").is_some() {
            connection.send(SWITCH).await;
            connection.send(UNMASKED).await;
            connection.ended().await;
            return;
        }
        connection
            .send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok")
            .await;
    }
}

/// A route that uses everything, at an upstream that does.
fn everything(backend: &Backend) -> Value {
    json!({
        "upstreams": { "all": {
            "endpoints": [backend.url()],
            "outliers": false,
            "pool": { "maxConnections": 10 },
            "breaker": { "consecutiveFailures": 3, "open": "1h" },
        } },
        "routes": [
            {
                "name": "all", "path": "/all/*path", "upstream": "all", "requireAuth": true, "cacheable": true,
                "rateLimit": { "limit": 12, "window": 3600 }, "cors": { "origins": ["https://app.example.com"] },
                "retry": { "attempts": 1 },
            },
            {
                "name": "tried", "path": "/tried", "upstream": "all", "requireAuth": true, "shadow": true,
            },
        ],
    })
}

async fn ask(gateway: &Gateway, target: &str, fields: &[&str]) -> u16 {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await.status()
}

/// Makes everything happen that is counted. Returns a WebSocket that is open.
async fn drive(gateway: &Gateway, token: &str) -> Client {
    let authorization = format!("Authorization: Bearer {token}");
    let trace = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let origin = "Origin: https://app.example.com";
    let mut socket = gateway.client().await;
    let upgrade = [
        &*authorization,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    socket.request("GET", "/all/socket", &upgrade).await;
    socket.until("\r\n\r\n").await;
    socket.send(MASKED).await;
    for fields in [
        &[&*authorization, &*trace, origin][..],
        &[&*authorization, "Origin: https://evil.example.com"],
    ] {
        assert_eq!(ask(gateway, "/all/cached", fields).await, 200);
    }
    assert_eq!(ask(gateway, "/all/1", &[]).await, 401);
    assert_eq!(ask(gateway, "/tried", &[]).await, 200);
    for number in 0..3 {
        let target = format!("/all/broken/{number}");
        let status = ask(gateway, &target, &[&authorization, "X-Break: 1"]).await;
        assert!([502, 503].contains(&status), "{status}");
    }
    within("the rate limit", async {
        while ask(gateway, "/all/cached", &[&authorization]).await != 429 {}
    })
    .await;
    socket
}

/// All queries of the dashboards in the repository, with what their variables stand for.
fn dashboard_queries() -> Vec<(String, String)> {
    let folder = configs().join("grafana/dashboards");
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let name = format!("{}: {}", dashboard["title"], panel["title"]);
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query
                    .replace("$__rate_interval", "30s")
                    .replace("$route", "all")
                    .replace("$upstream", "all");
                queries.push((name.clone(), query));
            }
        }
    }
    queries
}

/// The expressions of the rules in the repository. They are folded, so that each is the lines after `expr:` that are
/// further to the right.
fn rule_expressions() -> Vec<String> {
    let text = std::fs::read_to_string(configs().join("alerts.yml")).unwrap();
    let mut expressions = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "expr: >-" {
            let indent = line.len() - line.trim_start().len();
            let mut expression = String::new();
            while let Some(next) =
                lines.next_if(|next| next.len() - next.trim_start().len() > indent)
            {
                expression += next.trim();
                expression.push(' ');
            }
            expressions.push(expression);
        }
    }
    expressions
}

#[tokio::test]
async fn every_query_of_the_dashboards_has_data_and_every_alert_can_be_asked() {
    let backend = Backend::scripted(serve).await;
    let expired = Authority::new("test").issue_expired(&["api.test"]);
    let builder = || {
        gateway()
            .routes(&everything(&backend))
            .file("cert.pem", &expired.certificate)
            .file("key.pem", &expired.key)
            .env("LISTEN", "http://127.0.0.1:0,https://127.0.0.1:0")
            .env("TLS_CERT", "cert.pem")
            .env("TLS_KEY", "key.pem")
    };
    let command = builder()
        .argument("token")
        .argument("--sub")
        .argument("anna");
    let token = command.finish().await.1.trim().to_owned();
    let gateway = builder().start().await;
    let prometheus = Prometheus::scraping(gateway.admin()).await;
    // What comes after a first scrape is a gain.
    within("the first scrape", async {
        while prometheus.query("up == 1").await == Ok(Vec::new()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let socket = drive(&gateway, &token).await;

    let queries = dashboard_queries();
    assert!(queries.len() > 50, "{}", queries.len());
    // A rate needs two scrapes of a series.
    let mut missing = Vec::new();
    for _ in 0..40 {
        missing.clear();
        // Series of statuses begin with their first request: what comes later is a gain.
        ask(&gateway, "/tried", &[]).await;
        for (name, query) in &queries {
            let series = prometheus.query(query).await.expect(query);
            let is_number = |it: &Value| it["value"][1].as_str().is_some_and(|it| it != "NaN");
            if !series.iter().any(is_number) {
                missing.push(format!("{name}: {query}"));
            }
        }
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(missing.is_empty(), "no data: {missing:#?}");

    let rules = rule_expressions();
    assert!(rules.len() >= 15, "{rules:#?}");
    for expression in &rules {
        prometheus.query(expression).await.expect(expression);
    }
    let alert = |name: &str| rules.iter().find(|it| it.contains(name)).unwrap();
    let open = prometheus.query(alert("breaker_state == 2")).await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    let expiring = alert("certificate_not_after");
    let expiring = prometheus.query(expiring).await.unwrap();
    assert_eq!(expiring[0]["metric"]["name"], "api.test", "{expiring:?}");
    let up = prometheus.query(alert("up{")).await.unwrap();
    assert_eq!(up, Vec::<Value>::new());
    let exemplars = prometheus
        .exemplars("api_gateway_request_duration_seconds_bucket")
        .await;
    let text = json!(exemplars).to_string();
    assert!(text.contains(TRACE), "{text}");
    drop(socket);
}

#[tokio::test]
async fn promtool_has_nothing_to_complain_of() {
    let folder = configs();
    promtool(&folder, &["check", "rules", "alerts.yml"], "")
        .await
        .unwrap();
    promtool(&folder, &["check", "config", "prometheus.yml"], "")
        .await
        .unwrap();
    let backend = Backend::scripted(serve).await;
    let gateway = gateway().routes(&everything(&backend)).start().await;
    assert_eq!(ask(&gateway, "/tried", &[]).await, 200);
    gateway.log(1).await;
    let mut admin = Client::connect(gateway.admin()).await;
    let text = admin.get("/metrics").await.text();
    promtool(&folder, &["check", "metrics"], &text)
        .await
        .unwrap();
}
