//! How much a client may ask several gateways for that count together, and what they do when they cannot.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Backend, Gateway, GatewayBuilder, Message, Redis, RedisCluster, RedisWithSentinel, within,
};
use tokio::task::JoinSet;

use crate::{assert_problem, gateway, routes};

const COUNTED: &str = "rate limits are counted in Redis";
const UNREACHABLE: &str = "Redis cannot be asked";

/// A gateway that counts in the Redis at `url`.
fn counting(url: &str, backend: &Backend, limits: &[(&str, Value)]) -> GatewayBuilder {
    let limited: Vec<Value> = limits
        .iter()
        .map(
            |(path, limit)| json!({ "path": path, "targetURL": backend.url(), "rateLimit": limit }),
        )
        .collect();
    gateway()
        .routes(&routes(&limited))
        .env("REDIS_URL", url)
        .env("REDIS_TIMEOUT", "500ms")
        .env("TRUSTED_PROXIES", "127.0.0.1")
}

/// Starts it, and waits until it has found Redis.
async fn connected(builder: GatewayBuilder) -> Gateway {
    let gateway = builder.start().await;
    gateway.wait_for_diagnostics(1, COUNTED).await;
    gateway
}

async fn get(gateway: &Gateway, target: &str) -> Message {
    gateway.client().await.get(target).await
}

async fn status(gateway: &Gateway, target: &str) -> u16 {
    get(gateway, target).await.status()
}

/// Waits until a request is answered so.
async fn wait_for_status(gateway: &Gateway, target: &str, wanted: u16) {
    within(target, async {
        while status(gateway, target).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// How often Redis has run the script.
async fn calls(redis: &Redis) -> usize {
    let stats = redis.ask(&["INFO", "commandstats"]).await;
    let calls = |line: &str| {
        let rest = line.strip_prefix("cmdstat_evalsha:calls=")?;
        rest.split(',').next()?.parse().ok()
    };
    stats.lines().find_map(calls).unwrap_or(0)
}

#[tokio::test]
async fn gateways_count_together() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let limits = [(
        "/*path",
        json!({ "name": "burst", "limit": 3, "window": "1h" }),
    )];
    let one = connected(counting(&redis.url(), &backend, &limits)).await;
    let other = connected(counting(&redis.url(), &backend, &limits)).await;
    for (gateway, left) in [(&one, 2), (&other, 1), (&one, 0)] {
        let answer = get(gateway, "/").await;
        assert_eq!(answer.status(), 200);
        let told = answer.field("ratelimit").unwrap_or_default();
        assert!(
            told.starts_with(&format!("\"burst\";r={left};t=")),
            "{told}"
        );
    }
    let answer = get(&other, "/").await;
    assert_problem(&answer, 429, "rate-limited", "http_request_denied");
    let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_900).contains(&after), "{after}");
    assert_eq!(calls(&redis).await, 4, "one question for each request");
}

#[tokio::test]
async fn three_gateways_let_the_limit_pass_however_much_is_asked_for() {
    const LIMIT: usize = 100;
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let limits = [(
        "/*path",
        json!({ "limit": LIMIT, "window": 1, "by": "all" }),
    )];
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(connected(counting(&redis.url(), &backend, &limits)).await);
    }
    // In the middle of the fourth window: what has become free at its start has been taken.
    let (start, time) = (Instant::now(), Duration::from_millis(3_550));
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let mut client = gateways[number % 3].client().await;
        clients.spawn(async move {
            let (mut passed, mut asked) = (0, 0);
            while start.elapsed() < time {
                asked += 1;
                passed += usize::from(client.get("/").await.status() == 200);
            }
            (passed, asked)
        });
    }
    let all = clients.join_all().await;
    let passed: usize = all.iter().map(|(passed, _)| passed).sum();
    let asked: usize = all.iter().map(|(_, asked)| asked).sum();
    println!("{passed} of {asked} passed, {LIMIT} a second for {time:?} on three gateways");
    assert!(asked >= 10 * 4 * LIMIT, "only {asked} were asked for");
    assert!(
        passed.abs_diff(4 * LIMIT) <= 4 * LIMIT / 100,
        "{passed} of {asked}"
    );
    for gateway in &gateways {
        assert_eq!(
            gateway
                .metric("api_gateway_rate_limit_fallback_total{mode=\"local\"}")
                .await,
            0
        );
    }
}

#[tokio::test]
async fn a_request_that_meets_one_limit_takes_nothing_from_the_others() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let limits = [(
        "/*path",
        json!([
            { "name": "wide", "limit": 100, "window": "1h" },
            { "name": "here", "limit": 3, "window": "1h", "store": "local" },
            { "name": "tried", "limit": 1, "window": "1h", "shadow": true },
            { "name": "all", "limit": 4, "window": "1h", "by": "all" }
        ]),
    )];
    let gateway = connected(counting(&redis.url(), &backend, &limits)).await;
    let ask = async |address: &str| {
        let mut client = gateway.client().await;
        client
            .request("GET", "/", &[&format!("X-Forwarded-For: {address}")])
            .await;
        let answer = client.response().await;
        let told = answer.field("ratelimit").unwrap_or_default();
        let left: Vec<&str> = told
            .split(", ")
            .filter_map(|item| item.split(';').nth(1))
            .collect();
        (answer.status(), left.join(" "))
    };
    for left in ["r=99 r=2 r=3", "r=98 r=1 r=2", "r=97 r=0 r=1"] {
        assert_eq!(ask("192.0.2.1").await, (200, left.to_owned()));
    }
    // What is counted here refuses, and Redis is left as it was.
    assert_eq!(ask("192.0.2.1").await, (429, "r=97 r=0 r=1".to_owned()));
    assert_eq!(ask("192.0.2.2").await, (200, "r=99 r=2 r=0".to_owned()));
    // What Redis counts refuses, and what is counted here is left as it was.
    assert_eq!(ask("192.0.2.2").await, (429, "r=99 r=2 r=0".to_owned()));
    assert_eq!(calls(&redis).await, 6);
    let log = gateway.log(6).await;
    assert_eq!(log[0].get("shadowRateLimit"), None);
    assert_eq!(log[1]["shadowRateLimit"], "tried");
}

#[tokio::test]
async fn redis_learns_names_of_limits_and_nothing_of_clients() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let shared = json!({ "api": { "limit": 5, "window": "1m", "by": "header:X-Tenant" } });
    let own = json!({ "limit": 5, "window": 0.5, "by": ["ip", "param:user"] });
    let target = backend.url();
    let file = json!({ "rateLimits": shared, "routes": [
        { "path": "/users/:user", "targetURL": target, "rateLimit": ["api", own] },
        { "path": "/x", "name": "n".repeat(5_000), "targetURL": target, "rateLimit": own_by_address() },
    ] });
    let start = || connected(counting(&redis.url(), &backend, &[]).routes(&file));
    let mut names = Vec::new();
    // After a restart the names are the same.
    for _ in 0..2 {
        let gateway = start().await;
        for target in ["/users/alice", "/x"] {
            let mut client = gateway.client().await;
            client.request("GET", target, &["X-Tenant: acme"]).await;
            assert_eq!(client.response().await.status(), 200);
        }
        let keys = redis.ask(&["KEYS", "*"]).await;
        let mut keys: Vec<String> = keys.lines().map(ToOwned::to_owned).collect();
        keys.retain(|key| !key.contains("500000us"));
        keys.sort();
        names.push(keys);
    }
    assert_eq!(names[0], names[1]);
    let all = redis.ask(&["KEYS", "*"]).await;
    assert!(
        all.contains("api-gateway:rate-limit:v1:shared/api:5/60s:{"),
        "{all}"
    );
    assert!(
        all.contains("api-gateway:rate-limit:v1:route//users/%7Buser%7D/default-2:5/500000us:{"),
        "{all}"
    );
    for raw in ["127.0.0.1", "acme", "alice"] {
        assert!(!all.contains(raw), "{all}");
    }
    assert!(all.lines().all(|key| key.len() <= 320), "{all}");
}

fn own_by_address() -> Value {
    json!({ "limit": 5, "window": "1h" })
}

/// A route for each thing that can be done when Redis is not there.
fn routes_by_on_error() -> [(&'static str, Value); 3] {
    ["local", "open", "closed"].map(|mode| {
        let path = match mode {
            "local" => "/local",
            "open" => "/open",
            _ => "/closed",
        };
        (path, json!({ "limit": 2, "window": "1h", "onError": mode }))
    })
}

async fn fallbacks(gateway: &Gateway, mode: &str) -> u64 {
    let series = format!("api_gateway_rate_limit_fallback_total{{mode=\"{mode}\"}}");
    gateway.metric(&series).await
}

async fn failures(gateway: &Gateway, reason: &str) -> u64 {
    let series = format!("api_gateway_rate_limit_store_failures_total{{reason=\"{reason}\"}}");
    gateway.metric(&series).await
}

#[tokio::test]
async fn without_redis_each_limit_does_as_it_was_told() {
    let (mut redis, backend) = (Redis::start().await, Backend::ok().await);
    let gateway = connected(counting(&redis.url(), &backend, &routes_by_on_error())).await;
    for target in ["/local", "/open", "/closed"] {
        for expected in [200, 200, 429] {
            assert_eq!(status(&gateway, target).await, expected, "{target}");
        }
    }
    redis.kill().await;
    // It counts by itself from now on, and has counted nothing yet.
    for expected in [200, 200, 429, 429] {
        assert_eq!(status(&gateway, "/local").await, expected);
    }
    for _ in 0..4 {
        assert_eq!(status(&gateway, "/open").await, 200);
    }
    let refused = get(&gateway, "/closed").await;
    assert_problem(
        &refused,
        503,
        "rate-limit-unavailable",
        "proxy_internal_error",
    );
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(gateway.log(18).await[17]["error"], "rate-limit-unavailable");
    assert_eq!(fallbacks(&gateway, "local").await, 4);
    assert_eq!(fallbacks(&gateway, "open").await, 4);
    assert_eq!(fallbacks(&gateway, "closed").await, 1);
    let failed = failures(&gateway, "error").await + failures(&gateway, "disconnected").await;
    assert_eq!((failed, failures(&gateway, "timeout").await), (9, 0));
    gateway.wait_for_diagnostics(1, UNREACHABLE).await;

    redis.restart().await;
    wait_for_status(&gateway, "/closed", 200).await;
    gateway.wait_for_diagnostics(2, COUNTED).await;
    assert_eq!(status(&gateway, "/local").await, 200);
    assert_eq!(fallbacks(&gateway, "local").await, 4);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_time_once() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let gateway = connected(counting(&redis.url(), &backend, &routes_by_on_error())).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/open").await.status(), 200);
    redis.hang().await;
    let (mut times, started) = (Vec::new(), Instant::now());
    // Long enough for attempts to connect again, which hang too.
    while started.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert_eq!(client.get("/open").await.status(), 200);
        times.push(asked.elapsed());
    }
    let first = times.remove(0);
    let slowest = times.iter().max().unwrap();
    println!(
        "REDIS_TIMEOUT 500 ms: the first request took {first:?}, of {} others the slowest {slowest:?}",
        times.len()
    );
    assert!((450..750).contains(&first.as_millis()), "{first:?}");
    assert!(slowest.as_millis() < 250, "{slowest:?}");
    assert_eq!(failures(&gateway, "timeout").await, 1);
    let others = u64::try_from(times.len()).unwrap();
    assert_eq!(failures(&gateway, "disconnected").await, others);
    assert_eq!(fallbacks(&gateway, "open").await, others + 1);
    assert_eq!(status(&gateway, "/closed").await, 503);
    redis.go_on().await;
    wait_for_status(&gateway, "/closed", 200).await;
}

#[tokio::test]
async fn a_gateway_starts_without_redis_and_finds_it_when_it_comes() {
    let (mut redis, backend) = (Redis::start().await, Backend::ok().await);
    redis.kill().await;
    let gateway = counting(&redis.url(), &backend, &routes_by_on_error())
        .env("WORKERS", "2")
        .start()
        .await;
    assert_eq!(status(&gateway, "/local").await, 200);
    assert_eq!(status(&gateway, "/closed").await, 503);
    gateway.wait_for_diagnostics(1, UNREACHABLE).await;
    redis.restart().await;
    gateway.wait_for_diagnostics(1, COUNTED).await;
    assert_eq!(status(&gateway, "/closed").await, 200);
    let complaints = gateway.diagnostics();
    let complaints = complaints.iter().filter(|line| line.contains(UNREACHABLE));
    assert_eq!(complaints.count(), 1, "one for all workers and attempts");
}

#[tokio::test]
async fn a_redis_that_has_forgotten_the_script_is_told_again() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    let gateway = connected(counting(&redis.url(), &backend, &routes_by_on_error())).await;
    for expected in [200, 200, 429] {
        assert_eq!(redis.ask(&["SCRIPT", "FLUSH"]).await, "OK");
        assert_eq!(status(&gateway, "/closed").await, expected);
    }
    assert_eq!(failures(&gateway, "error").await, 0);
}

#[tokio::test]
async fn a_user_that_may_do_little_is_enough_and_its_password_told_to_nobody() {
    let (redis, backend) = (Redis::start().await, Backend::ok().await);
    // As in docs/rate-limiting.md.
    let allowed = "~api-gateway:rate-limit:* +evalsha +eval +script|load +get +set +time +ping";
    let user = format!("ACL SETUSER gateway on >hu@sh {allowed}");
    let words: Vec<&str> = user.split(' ').collect();
    assert_eq!(redis.ask(&words).await, "OK");
    let url = |password: &str| {
        let credentials = format!("://gateway:{password}@");
        redis.url().replace("://", &credentials)
    };
    let right = connected(counting(&url("hu%40sh"), &backend, &routes_by_on_error())).await;
    assert_eq!(status(&right, "/closed").await, 200);
    redis.ask(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(status(&right, "/closed").await, 200);
    let wrong = counting(&url("guessed"), &backend, &routes_by_on_error());
    let wrong = wrong.start().await;
    wrong.wait_for_diagnostics(1, UNREACHABLE).await;
    assert_eq!(status(&wrong, "/closed").await, 503);
    for gateway in [right, wrong] {
        let told = gateway.diagnostics().join("\n");
        let mut passwords = ["hu%40sh", "hu@sh", "guessed"].iter();
        assert!(!passwords.any(|text| told.contains(text)), "{told}");
    }
}

#[tokio::test]
async fn the_master_that_sentinels_choose_is_counted_in() {
    let (mut redis, backend) = (RedisWithSentinel::start().await, Backend::ok().await);
    let gateway = connected(counting(&redis.url(), &backend, &routes_by_on_error())).await;
    for expected in [200, 200, 429] {
        assert_eq!(status(&gateway, "/closed").await, expected);
    }
    redis
        .replica
        .wait_for(&["DBSIZE"], |answer| answer == "1")
        .await;
    redis.master.kill().await;
    assert_eq!(status(&gateway, "/closed").await, 503);
    // The replica knows what has been counted, all but the last moment of it.
    wait_for_status(&gateway, "/closed", 429).await;
    assert_eq!(status(&gateway, "/open").await, 200);
    redis
        .replica
        .wait_for(&["DBSIZE"], |answer| answer == "2")
        .await;
}

#[tokio::test]
async fn a_cluster_counts_each_client_in_one_of_its_nodes() {
    let (cluster, backend) = (RedisCluster::start().await, Backend::ok().await);
    let limits = [(
        "/:tenant",
        json!([
            { "name": "tenant", "limit": 3, "window": "1h", "by": "param:tenant" },
            { "name": "client", "limit": 100, "window": "1h" },
            { "name": "again", "limit": 50, "window": "1h" }
        ]),
    )];
    let one = connected(counting(&cluster.url(), &backend, &limits)).await;
    let other = connected(counting(&cluster.url(), &backend, &limits)).await;
    for tenant in 0..10 {
        for (gateway, expected) in [(&one, 200), (&other, 200), (&one, 200), (&other, 429)] {
            let target = format!("/{tenant}");
            assert_eq!(status(gateway, &target).await, expected);
        }
    }
    // Limits that tell clients apart by different things are asked in different places: those of the client have counted
    // what the tenant's have refused.
    let answer = get(&one, "/another").await;
    let told = answer.field("ratelimit").unwrap_or_default();
    assert!(told.contains("\"tenant\";r=2;"), "{told}");
    assert!(told.contains("\"client\";r=59;"), "{told}");
    assert!(told.contains("\"again\";r=9;"), "{told}");
    for node in cluster.nodes() {
        let keys: usize = node.ask(&["DBSIZE"]).await.parse().unwrap();
        assert!(keys > 0, "every node has some");
    }
    for gateway in [&one, &other] {
        assert_eq!(
            failures(gateway, "error").await + failures(gateway, "timeout").await,
            0
        );
    }
}

#[tokio::test]
async fn a_cluster_counts_on_where_one_of_its_nodes_hangs() {
    let (cluster, backend) = (RedisCluster::start().await, Backend::ok().await);
    let limit = json!({ "limit": 100, "window": "1h", "by": "param:tenant", "onError": "closed" });
    let limits = [("/:tenant", limit)];
    let gateway = connected(counting(&cluster.url(), &backend, &limits)).await;
    let mut tenants = Vec::new();
    for node in cluster.nodes() {
        let keys = async || node.ask(&["DBSIZE"]).await;
        let before = keys().await;
        // One of its own for each node.
        for tenant in tenants.len() * 100.. {
            assert_eq!(status(&gateway, &format!("/{tenant}")).await, 200);
            if keys().await != before {
                tenants.push(format!("/{tenant}"));
                break;
            }
        }
    }
    cluster.nodes()[2].hang().await;
    assert_eq!(status(&gateway, &tenants[2]).await, 503);
    for tenant in &tenants[..2] {
        wait_for_status(&gateway, tenant, 200).await;
    }
    cluster.nodes()[2].go_on().await;
    wait_for_status(&gateway, &tenants[2], 200).await;
}
