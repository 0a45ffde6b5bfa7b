//! What is known of routes, upstreams, limits and issuers, and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Dns, GatewayBuilder};

use super::{change, file, route, saying, status, wait_for};
use crate::auth::fixtures::gateways::believing;
use crate::auth::fixtures::publisher::Publisher;
use crate::auth::fixtures::requests::show;
use crate::auth::fixtures::signing::P256;
use crate::gateway;

#[tokio::test]
async fn limits_counters_and_connections_of_what_stays_go_on() {
    let backend = saying("x").await;
    let limited = |timeout: u32, limit: u32| {
        let mut route = route("a", &backend);
        route["timeout"] = timeout.into();
        route["rateLimit"] = json!({"limit": limit, "window": "1h"});
        file(&[route])
    };
    let gateway = gateway().routes(&limited(10, 3)).start().await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(status(&gateway, "/a/x").await, expected);
    }
    let connections = backend.connections();
    // Another time-out, the same limit.
    change(&gateway, &limited(20, 3)).await;
    assert_eq!(status(&gateway, "/a/x").await, 429);
    let series = "api_gateway_errors_total{route=\"a\",code=\"rate-limited\"} ";
    wait_for(&gateway, series, 2).await;
    // Another limit begins anew, over the same connection to the backend.
    change(&gateway, &limited(20, 4)).await;
    assert_eq!(status(&gateway, "/a/x").await, 200);
    assert_eq!(backend.connections(), connections);
}

#[tokio::test]
async fn an_ejected_endpoint_stays_ejected_and_a_breaker_open() {
    let good = saying("good").await;
    let bad = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            connection
                .send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let with = |weight: u32, timeout: u32| {
        json!({
            "upstreams": {
                "pair": {
                    "endpoints": [good.url(), {"url": bad.url(), "weight": weight}],
                    "outliers": {"consecutiveErrors": 3, "successRate": false, "ejectionTime": "1h"},
                },
                "broken": {
                    "endpoints": [bad.url()],
                    "outliers": false,
                    "breaker": {"consecutiveFailures": 2, "open": "1h"},
                },
            },
            "routes": [
                {"name": "a", "path": "/a", "upstream": "pair", "timeout": timeout},
                {"name": "b", "path": "/b", "upstream": "broken", "timeout": timeout},
            ],
        })
    };
    let gateway = gateway().routes(&with(1, 10)).start().await;
    let mut client = gateway.client().await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += u32::from(client.get("/a").await.status() == 503);
    }
    assert_eq!(failed, 3);
    for _ in 0..2 {
        assert_eq!(client.get("/b").await.status(), 503);
    }
    assert!(client.get("/b").await.text().contains("circuit-open"));
    // The same upstreams; then one that is another but for its endpoints.
    for changed in [with(1, 20), with(2, 20)] {
        change(&gateway, &changed).await;
        for _ in 0..20 {
            assert_eq!(client.get("/a").await.status(), 200);
        }
        assert!(client.get("/b").await.text().contains("circuit-open"));
    }
}

#[tokio::test]
async fn what_a_first_configuration_does_without_is_there_when_it_is_needed() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            let answer =
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx";
            connection.send(answer).await;
        }
    })
    .await;
    let gateway = gateway()
        .routes(&file(&[route("a", &backend)]))
        .start()
        .await;
    let mut cached = route("a", &backend);
    cached["cacheable"] = true.into();
    cached["rateLimit"] = json!({"limit": 3, "window": "1h"});
    change(&gateway, &file(&[cached.clone()])).await;
    let mut client = gateway.client().await;
    for expected in ["fwd=uri-miss", "hit"] {
        let answer = client.get("/a/x").await;
        let told = answer.field("cache-status").unwrap_or_default();
        assert!(told.contains(expected), "{told}");
    }
    // What is stored stays.
    cached["timeout"] = 7.into();
    change(&gateway, &file(&[cached])).await;
    let answer = client.get("/a/x").await;
    assert!(
        answer
            .field("cache-status")
            .unwrap_or_default()
            .contains("hit")
    );
    assert_eq!(client.get("/a/x").await.status(), 429);
}

#[tokio::test]
async fn consumers_are_read_again_and_known_passwords_checked_anew() {
    let backend = saying("x").await;
    let (_, hashed, _) = GatewayBuilder::new(env!("CARGO_BIN_EXE_api-gateway"))
        .argument("hash")
        .stdin("secret")
        .finish()
        .await;
    let consumers =
        |name: &str| json!({"consumers": [{"name": name, "password": hashed.trim()}]}).to_string();
    let mut guarded = route("a", &backend);
    guarded["auth"] = json!({"accept": ["basic"]});
    guarded["requireAuth"] = true.into();
    let builder = gateway()
        .routes(&file(&[guarded]))
        .file("consumers.json", &consumers("anna"));
    let path = builder.folder().join("consumers.json");
    let gateway = builder.env("CONSUMERS_FILE", &path).start().await;
    // anna:secret
    let field = "Authorization: Basic YW5uYTpzZWNyZXQ=";
    let mut client = gateway.client().await;
    let mut ask = async || {
        client.request("GET", "/a/x", &[field]).await;
        client.response().await.status()
    };
    assert_eq!(ask().await, 200);
    assert_eq!(ask().await, 200);
    std::fs::write(&path, consumers("bert")).unwrap();
    wait_for(&gateway, "api_gateway_config_generation ", 2).await;
    assert_eq!(ask().await, 401);
}

#[tokio::test]
async fn a_limit_that_comes_back_goes_on_and_others_feel_nothing() {
    let backend = saying("x").await;
    let limited = |name: &str, limit: u32| {
        let mut route = route(name, &backend);
        route["rateLimit"] = json!({"limit": limit, "window": "1h"});
        route
    };
    let both = |other: u32| file(&[limited("a", 1), limited("b", other)]);
    let gateway = gateway().routes(&both(1)).start().await;
    for path in ["/a/x", "/b/x"] {
        assert_eq!(status(&gateway, path).await, 200);
        assert_eq!(status(&gateway, path).await, 429);
    }
    change(&gateway, &both(5)).await;
    assert_eq!(status(&gateway, "/a/x").await, 429);
    assert_eq!(status(&gateway, "/b/x").await, 200);
    // No limit at all in between.
    change(&gateway, &file(&[route("a", &backend)])).await;
    assert_eq!(status(&gateway, "/a/x").await, 200);
    change(&gateway, &both(1)).await;
    assert_eq!(status(&gateway, "/a/x").await, 429);
    assert_eq!(status(&gateway, "/b/x").await, 429);
}

#[tokio::test]
async fn what_names_came_to_is_known_to_an_upstream_that_has_changed() {
    let backend = saying("x").await;
    let mut dns = Dns::start("127.0.0.1 users.test\n").await;
    let url = format!("http://users.test:{}", backend.address().port());
    let with = |balance: &str| {
        json!({
            "upstreams": {"users": {"endpoints": [url], "balance": balance}},
            "routes": [{"name": "a", "path": "/a/*rest", "upstream": "users"}],
        })
    };
    let gateway = gateway()
        .routes(&with("roundRobin"))
        .env("DNS_SERVERS", dns.address().to_string())
        .start()
        .await;
    assert_eq!(status(&gateway, "/a/x").await, 200);
    dns.kill().await;
    change(&gateway, &with("random")).await;
    let asked = std::time::Instant::now();
    // Also when the look-up of the changed one has failed.
    for _ in 0..15 {
        assert_eq!(status(&gateway, "/a/x").await, 200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "somebody has waited"
    );
}

#[tokio::test]
async fn how_long_requests_take_is_still_known_to_a_hedge() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_silent);
    let at_times = Backend::scripted(move |mut connection| {
        let is_silent = Arc::clone(&shared);
        async move {
            while connection.request().await.is_some() {
                if is_silent.load(Ordering::Relaxed) {
                    connection.ended().await;
                    return;
                }
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await;
    let quick = Backend::ok().await;
    let with = |timeout: u32| {
        json!({
            "upstreams": {"pair": {"endpoints": [at_times.url(), quick.url()], "outliers": false}},
            "routes": [{
                "name": "a", "path": "/a", "upstream": "pair", "timeout": timeout, "hedge": {"percentile": 90},
            }],
        })
    };
    let gateway = gateway().routes(&with(2)).start().await;
    let mut client = gateway.client().await;
    for _ in 0..400 {
        assert_eq!(client.get("/a").await.status(), 200);
    }
    // It is worked out once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(client.get("/a").await.status(), 200);
    change(&gateway, &with(3)).await;
    is_silent.store(true, Ordering::Relaxed);
    // Every other one goes to the silent endpoint first.
    for _ in 0..6 {
        assert_eq!(client.get("/a").await.status(), 200);
    }
    let log = gateway.log(407).await;
    assert!(
        log[401..].iter().any(|line| line["retries"] == 1),
        "{:?}",
        &log[401..]
    );
}

#[tokio::test]
async fn keys_that_were_fetched_are_not_fetched_again_and_tokens_go_on() {
    let backend = saying("x").await;
    let publisher = Publisher::new().await;
    publisher.publish(&[P256.jwk("one")]);
    let gateway = believing(&backend, &publisher.jwks()).start().await;
    let token = P256.token_by("one", &json!({}));
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
    assert_eq!(publisher.fetches(), 1);
    publisher.vanish();
    let path = gateway.folder().join("routes.json");
    let mut routes: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    routes["routes"][0]["timeout"] = 7.into();
    change(&gateway, &routes).await;
    // One that is known, and one that has to be checked.
    assert_eq!(show(&gateway, "/", &token).await.status(), 200);
    let other = P256.token_by("one", &json!({"sub": "other"}));
    assert_eq!(show(&gateway, "/", &other).await.status(), 200);
    assert_eq!(publisher.fetches(), 1);
    // Another entry is another issuer: what was believed by the old one is not.
    routes["issuers"]["joe"]["issuer"] = "https://somebody.test".into();
    change(&gateway, &routes).await;
    assert_eq!(show(&gateway, "/", &token).await.status(), 401);
}
