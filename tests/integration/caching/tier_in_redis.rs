//! What several gateways cache together in Redis, and how each of them hears of purges.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Redis, RedisCluster, RedisWithSentinel, within};

use super::purging::{ORIGIN, purge};
use super::{answer, backend, cached, cached_as, get, numbering, send, status, with};

const SHARED: &str = "cache is shared in Redis";
const UNREACHABLE: &str = "Redis cannot be asked; each gateway caches for itself";

fn sharing(route: &Value, redis: &str) -> GatewayBuilder {
    with(route.clone())
        .env("CACHE_REDIS_URL", redis)
        .env("CACHE_REDIS_TIMEOUT", "500ms")
}

async fn start(backend: &Backend, redis: &Redis) -> Gateway {
    let gateway = sharing(&cached(&backend.url()), &redis.url()).start().await;
    gateway.wait_for_diagnostics(1, SHARED).await;
    gateway
}

fn series(kind: &str, result: &str) -> String {
    format!("api_gateway_cache_tier_{kind}_total{{tier=\"redis\",result=\"{result}\"}}")
}

async fn written(gateway: &Gateway, count: u64) {
    let series = series("writes", "written");
    within(&series, async {
        while gateway.metric(&series).await < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits until what the gateway has is not what it had.
async fn until_changed(gateway: &Gateway, target: &str, old: &str) {
    within(target, async {
        while get(gateway, target, &[]).await.text() == old {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_one_gateway_has_fetched_the_other_answers_with_its_age() {
    let redis = Redis::start().await;
    let backend = backend(|request, number| {
        let vary = if request.target() == "/v" {
            "Vary: Accept-Language\r\n"
        } else {
            ""
        };
        answer("200 OK", &format!("Age: 7\r\n{vary}"), &number.to_string())
    })
    .await;
    let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
    assert_eq!(get(&one, "/a", &[]).await.text(), "0");
    get(&one, "/v", &["Accept-Language: fr"]).await;
    written(&one, 2).await;
    let answer = get(&other, "/a", &[]).await;
    assert_eq!(answer.text(), "0");
    let told = status(&answer);
    assert!(
        told.starts_with("hit; ttl=") && told.ends_with("; detail=redis"),
        "{told}"
    );
    assert!(answer.field("age").unwrap().parse::<u32>().unwrap() >= 7);
    assert_eq!(
        get(&other, "/v", &["Accept-Language: fr"]).await.text(),
        "1"
    );
    assert_eq!(
        get(&other, "/v", &["Accept-Language: ko"]).await.text(),
        "2"
    );
    // From memory now.
    assert!(!status(&get(&other, "/a", &[]).await).contains("detail"));
    assert_eq!(other.metric(&series("lookups", "hit")).await, 2);
    assert_eq!(other.metric("api_gateway_cache_redis_connected").await, 1);
    // Redis forgets what nobody can use any more: a minute after its time it may still stand in for a backend that is not there.
    let keys = redis.ask(&["KEYS", "api-gateway:r:*"]).await;
    for key in keys.lines() {
        let left: i64 = redis.ask(&["TTL", key]).await.parse().unwrap();
        assert!((1..=360).contains(&left), "{key}: {left}");
    }
    assert_eq!(keys.lines().count(), 4);
}

#[tokio::test]
async fn a_purge_holds_at_every_gateway() {
    let redis = Redis::start().await;
    for (what, soft) in [
        (json!({ "url": format!("{ORIGIN}/a") }), false),
        (json!({ "prefix": format!("{ORIGIN}/") }), false),
        (json!({ "tag": "t" }), false),
        (json!({ "all": true }), false),
        (json!({ "tag": "t", "soft": true }), true),
    ] {
        let backend = numbering("Cache-Tag: t\r\n").await;
        let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
        purge(&one, &json!({ "all": true })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(get(&one, "/a", &[]).await.text(), "0", "{what}");
        written(&one, 1).await;
        assert_eq!(get(&other, "/a", &[]).await.text(), "0", "{what}");
        let purged = purge(&one, &what).await;
        assert_eq!(purged.json()["redis"], "told");
        // Neither from the other's memory, nor from what lies in Redis.
        until_changed(&other, "/a", "0").await;
        assert_ne!(get(&one, "/a", &[]).await.text(), "0", "{what} {soft}");
        let third = start(&backend, &redis).await;
        assert_ne!(get(&third, "/a", &[]).await.text(), "0", "{what}");
    }
}

#[tokio::test]
async fn an_unsafe_request_at_one_gateway_makes_invalid_what_the_other_has() {
    let redis = Redis::start().await;
    let backend = numbering("").await;
    let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
    get(&one, "/a", &[]).await;
    written(&one, 1).await;
    assert_eq!(get(&other, "/a", &[]).await.text(), "0");
    send(&one, "POST", "/a", &[]).await;
    until_changed(&other, "/a", "0").await;
}

#[tokio::test]
async fn without_redis_each_caches_for_itself_and_catches_up_after() {
    let mut redis = Redis::start().await;
    let backend = numbering("").await;
    let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
    get(&one, "/a", &[]).await;
    written(&one, 1).await;
    assert_eq!(get(&other, "/a", &[]).await.text(), "0");
    redis.kill().await;
    for gateway in [&one, &other] {
        gateway.wait_for_diagnostics(1, UNREACHABLE).await;
        assert_eq!(get(gateway, "/a", &[]).await.text(), "0", "from memory");
        assert_eq!(gateway.metric("api_gateway_cache_redis_connected").await, 0);
    }
    let started = std::time::Instant::now();
    for number in 0..20 {
        let answer = get(&one, &format!("/new/{number}"), &[]).await;
        assert_eq!(status(&answer), "fwd=uri-miss; stored");
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let purged = purge(&one, &json!({ "all": true })).await;
    assert_eq!(
        (purged.status(), &purged.json()["redis"]),
        (200, &json!("unreachable"))
    );
    assert_ne!(get(&one, "/a", &[]).await.text(), "0");
    assert_eq!(get(&other, "/a", &[]).await.text(), "0", "it cannot know");
    redis.restart().await;
    until_changed(&other, "/a", "0").await;
    for gateway in [&one, &other] {
        gateway.wait_for_diagnostics(2, SHARED).await;
        let complaints = gateway.diagnostics();
        let complaints = complaints.iter().filter(|it| it.contains(UNREACHABLE));
        assert!(complaints.count() <= 2, "once for the outage");
    }
    let before = one.metric(&series("writes", "written")).await;
    get(&one, "/shared", &[]).await;
    written(&one, before + 1).await;
    assert!(status(&get(&other, "/shared", &[]).await).ends_with("detail=redis"));
}

#[tokio::test]
async fn a_purge_that_was_missed_holds_after_the_return() {
    let redis = Redis::start().await;
    let backend = numbering("").await;
    let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
    get(&one, "/a", &[]).await;
    get(&one, "/b", &[]).await;
    written(&one, 2).await;
    assert_eq!(get(&other, "/a", &[]).await.text(), "0");
    assert_eq!(get(&other, "/b", &[]).await.text(), "1");
    // Stopped, the other hears of nothing.
    other.signal("STOP").await;
    let what = json!({ "url": format!("{ORIGIN}/a") });
    assert_eq!(purge(&one, &what).await.json()["redis"], "told");
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    other.signal("CONT").await;
    until_changed(&other, "/a", "0").await;
    assert_eq!(get(&other, "/b", &[]).await.text(), "1", "it was not meant");
}

#[tokio::test]
async fn a_slow_redis_costs_time_once() {
    let redis = Redis::start().await;
    let backend = numbering("").await;
    let gateway = sharing(&cached(&backend.url()), &redis.url())
        .env("CACHE_REDIS_TIMEOUT", "100ms")
        .start()
        .await;
    gateway.wait_for_diagnostics(1, SHARED).await;
    redis.hang().await;
    let started = std::time::Instant::now();
    for number in 0..10 {
        assert_eq!(
            get(&gateway, &format!("/{number}"), &[]).await.status(),
            200
        );
    }
    let elapsed = started.elapsed();
    redis.go_on().await;
    assert!(
        elapsed >= Duration::from_millis(90),
        "the first waits: {elapsed:?}"
    );
    assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
    assert!(gateway.metric(&series("lookups", "timeout")).await >= 1);
    gateway.wait_for_diagnostics(2, SHARED).await;
}

#[tokio::test]
async fn what_lies_in_redis_is_not_trusted() {
    let redis = Redis::start().await;
    let backend = numbering("").await;
    let one = start(&backend, &redis).await;
    for target in ["/a", "/b"] {
        get(&one, target, &[]).await;
    }
    written(&one, 2).await;
    let keys = redis.ask(&["KEYS", "api-gateway:r:*"]).await;
    let keys: Vec<&str> = keys.lines().collect();
    // One in place of the other; each in its place, but not as it was; something else; more than could be.
    redis.ask(&["COPY", keys[0], "kept"]).await;
    let asks: [&[&str]; 4] = [
        &["COPY", keys[0], keys[1], "REPLACE"],
        &["SETRANGE", keys[0], "60", "!"],
        &["SET", keys[0], "agc\u{2}"],
        &["SETRANGE", keys[0], "3000000", "!"],
    ];
    for ask in asks {
        redis.ask(ask).await;
        let fresh = start(&backend, &redis).await;
        for target in ["/a", "/b"] {
            let answer = get(&fresh, target, &[]).await;
            let is_shared = status(&answer).ends_with("detail=redis");
            let right = if target == "/a" { "0" } else { "1" };
            assert!(!is_shared || answer.text() == right, "{ask:?}");
        }
        assert!(
            fresh.metric(&series("lookups", "unfit")).await >= 1,
            "{ask:?}"
        );
        drop(fresh);
        redis.ask(&["COPY", "kept", keys[0], "REPLACE"]).await;
        redis.ask(&["DEL", keys[1]]).await;
    }
    // Of a type that is no text: an error, and no answer from it.
    redis.ask(&["DEL", keys[0]]).await;
    redis.ask(&["LPUSH", keys[0], "x"]).await;
    let fresh = start(&backend, &redis).await;
    for target in ["/a", "/b"] {
        assert_eq!(get(&fresh, target, &[]).await.status(), 200);
    }
}

#[tokio::test]
async fn what_is_large_or_for_one_alone_is_not_shared() {
    let redis = Redis::start().await;
    let backend = backend(|request, _| match request.target() {
        "/large" => answer("200 OK", "", &"x".repeat(100_000)),
        _ => answer("200 OK", "Cache-Control: private\r\n", "mine"),
    })
    .await;
    let gateway = sharing(&cached(&backend.url()), &redis.url())
        .env("CACHE_REDIS_MAX_OBJECT_SIZE", "64KiB")
        .start()
        .await;
    gateway.wait_for_diagnostics(1, SHARED).await;
    for target in ["/large", "/private"] {
        get(&gateway, target, &[]).await;
    }
    within("a write", async {
        while gateway.metric(&series("writes", "too-large")).await < 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(redis.ask(&["KEYS", "api-gateway:r:*"]).await, "");
}

#[tokio::test]
async fn what_another_gateway_has_validated_need_not_be_validated_again() {
    let redis = Redis::start().await;
    let backend = numbering("Cache-Control: max-age=2\r\nETag: \"e\"\r\n").await;
    let (one, other) = (start(&backend, &redis).await, start(&backend, &redis).await);
    get(&one, "/a", &[]).await;
    written(&one, 1).await;
    assert_eq!(get(&other, "/a", &[]).await.text(), "0");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let new = get(&one, "/a", &[]).await.text();
    assert_ne!(new, "0");
    written(&one, 2).await;
    let answer = get(&other, "/a", &[]).await;
    assert_eq!(answer.text(), new);
    assert!(
        status(&answer).ends_with("detail=redis"),
        "{}",
        status(&answer)
    );
}

#[tokio::test]
async fn disk_and_redis_go_together() {
    let redis = Redis::start().await;
    let backend = numbering("Cache-Tag: t\r\n").await;
    let folder = std::env::temp_dir().join(format!("api-gateway-both-{}", std::process::id()));
    let route = cached_as(&backend.url(), json!({}));
    let both = || {
        sharing(&route, &redis.url())
            .env("CACHE_DISK_PATH", &folder)
            .env("CACHE_DISK_SIZE", "128MiB")
    };
    let mut one = both().start().await;
    one.wait_for_diagnostics(1, SHARED).await;
    let other = start(&backend, &redis).await;
    for target in ["/a", "/b"] {
        get(&one, target, &[]).await;
    }
    written(&one, 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    one.signal("KILL").await;
    one.exit().await;
    // What is purged while it is not there is not answered from its disk either.
    purge(&other, &json!({ "url": format!("{ORIGIN}/a") })).await;
    let one = both().start().await;
    one.wait_for_diagnostics(1, SHARED).await;
    assert_eq!(get(&one, "/a", &[]).await.text(), "2");
    let answer = get(&one, "/b", &[]).await;
    assert_eq!(answer.text(), "1");
    assert!(
        status(&answer).ends_with("detail=disk"),
        "{}",
        status(&answer)
    );
    drop(one);
    let _gone = std::fs::remove_dir_all(&folder);
}

/// A response is shared at `url`, and a purge holds at both gateways.
async fn assert_shared(url: &str) {
    let backend = numbering("Vary: X\r\n").await;
    let route = cached(&backend.url());
    let (one, other) = (
        sharing(&route, url).start().await,
        sharing(&route, url).start().await,
    );
    for gateway in [&one, &other] {
        gateway.wait_for_diagnostics(1, SHARED).await;
    }
    get(&one, "/a", &[]).await;
    written(&one, 1).await;
    let answer = get(&other, "/a", &[]).await;
    assert!(
        status(&answer).ends_with("detail=redis"),
        "{}",
        status(&answer)
    );
    let purged = purge(&one, &json!({ "all": true })).await;
    assert_eq!(purged.json()["redis"], "told");
    until_changed(&other, "/a", "0").await;
}

#[tokio::test]
async fn a_cluster_will_do() {
    let cluster = RedisCluster::start().await;
    assert_shared(&cluster.url()).await;
}

#[tokio::test]
async fn sentinels_will_do() {
    let redis = RedisWithSentinel::start().await;
    assert_shared(&redis.url()).await;
}
