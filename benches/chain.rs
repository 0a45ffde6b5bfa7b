//! What each step of the chain costs a request.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use api_gateway::Steps;
use api_gateway::config::{Settings, Sources, load};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Request};

const ROUTES: &str = r#"{ "routes": [ {
    "path": "/api/users/*path", "targetURL": "http://localhost:8081", "requireAuth": true,
    "auth": { "scopes": ["users:read"], "keyFrom": ["header:X-API-Key"], "accept": ["jwt", "apiKey"] },
    "rateLimit": [
        { "name": "second", "limit": 1000000000, "window": 1 },
        { "name": "day", "limit": 1000000000, "window": "1d" }
    ],
    "cors": { "origins": ["https://app.example.com", "https://*.example.org"], "credentials": true },
    "ip": { "allow": ["192.0.2.0/24", "2001:db8::/32"], "deny": ["192.0.2.66"] }
} ] }"#;

/// The route above, and a request with twelve fields that passes it.
fn steps() -> Steps {
    let folder = std::env::temp_dir().join(format!("api-gateway-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let routes = folder.join("routes.json");
    let consumers = folder.join("consumers.json");
    std::fs::write(&routes, ROUTES).unwrap();
    std::fs::write(&consumers, r#"{"consumers": []}"#).unwrap();
    let environment = |name: &str| match name {
        "ROUTES_CONFIG_PATH" => Some(routes.display().to_string()),
        "CONSUMERS_FILE" => Some(consumers.display().to_string()),
        "JWT_SECRET" => Some("a secret of the bench".to_owned()),
        "TRUSTED_PROXIES" => Some("127.0.0.1".to_owned()),
        _ => None,
    };
    let sources = Sources::gather(Path::new("/nowhere/.env"), environment, |_| None).unwrap();
    let settings = Settings::read(&sources).unwrap();
    let snapshot = load(&settings).unwrap().snapshot;
    std::fs::remove_dir_all(&folder).unwrap();
    let token = snapshot.token("user-42", "users:read orders:read").unwrap();
    let request = Request::get("http://shop.example.com/api/users/42?verbose=1")
        .header("Host", "shop.example.com")
        .header("Authorization", format!("Bearer {token}"))
        .header("Origin", "https://app.example.com")
        .header("X-Forwarded-For", "192.0.2.7")
        .header("Accept", "application/json")
        .header("Accept-Encoding", "gzip, br")
        .header("Accept-Language", "en")
        .header("Cache-Control", "no-cache")
        .header("Referer", "https://app.example.com/users")
        .header("Sec-Fetch-Mode", "cors")
        .header("User-Agent", "Mozilla/5.0")
        .header("X-Tenant", "one")
        .body(());
    Steps::new(settings, snapshot, request.unwrap()).unwrap()
}

fn chain(criterion: &mut Criterion) {
    let mut steps = steps();
    let client = steps.client();
    assert!(steps.underscores() && steps.address(client) && steps.count(client));
    assert!(steps.size() && steps.admit(client));
    criterion.bench_function("chain: client address", |bencher| {
        bencher.iter(|| black_box(steps.client()));
    });
    criterion.bench_function("chain: underscores", |bencher| {
        bencher.iter(|| black_box(steps.underscores()));
    });
    criterion.bench_function("chain: ip", |bencher| {
        bencher.iter(|| black_box(steps.address(black_box(client))));
    });
    criterion.bench_function("chain: two rate limits, with their fields", |bencher| {
        bencher.iter(|| black_box(steps.count(black_box(client))));
    });
    criterion.bench_function("chain: size", |bencher| {
        bencher.iter(|| black_box(steps.size()));
    });
    criterion.bench_function("chain: known token, scopes", |bencher| {
        bencher.iter(|| black_box(steps.admit(black_box(client))));
    });
    criterion.bench_function("chain: cors", |bencher| {
        bencher.iter_batched_ref(
            || HeaderMap::with_capacity(8),
            |answer| steps.cors(answer),
            criterion::BatchSize::SmallInput,
        );
    });
    criterion.bench_function("chain: security headers", |bencher| {
        bencher.iter_batched_ref(
            || HeaderMap::with_capacity(8),
            Steps::security_headers,
            criterion::BatchSize::SmallInput,
        );
    });
    let time = Duration::from_micros(300);
    criterion.bench_function("chain: metrics that are off", |bencher| {
        bencher.iter(|| black_box(steps.metrics(black_box(time))));
    });
    steps.count_as_worker();
    assert!(steps.metrics(time));
    criterion.bench_function("chain: metrics", |bencher| {
        bencher.iter(|| black_box(steps.metrics(black_box(time))));
    });
    criterion.bench_function("chain: all", |bencher| {
        bencher.iter_batched_ref(
            || HeaderMap::with_capacity(8),
            |answer| {
                let client = steps.client();
                let passes = steps.underscores()
                    && steps.address(client)
                    && steps.count(client)
                    && steps.size()
                    && steps.admit(client);
                steps.cors(answer);
                black_box(passes)
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, chain);
criterion_main!(benches);
