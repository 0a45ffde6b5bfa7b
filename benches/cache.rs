//! What a request pays for the cache: a hit, by one thread and by two at the same time, and a miss; and for storing.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cache::{
    Cache, Extra, Key, KeyRecipe, Lookup, Policy, Purge, Request, Response, Settings, Target,
    Times, Timestamp,
};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

// As the gateway has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

/// What a browser sends.
fn request_fields() -> HeaderMap {
    fields(&[
        ("host", "api.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en, de;q=0.5"),
        ("cookie", "session=0123456789"),
    ])
}

/// Ten fields.
fn response_fields(vary: bool) -> HeaderMap {
    let mut all = fields(&[
        ("date", "Mon, 21 Sep 2026 14:13:20 GMT"),
        ("content-type", "application/json"),
        ("content-length", "1000"),
        ("cache-control", "public, max-age=600"),
        ("etag", "\"0123456789abcdef\""),
        ("last-modified", "Mon, 21 Sep 2026 14:13:20 GMT"),
        ("server", "backend"),
        ("x-request-id", "0123456789abcdef"),
        ("cache-tag", "product, product-1"),
    ]);
    if vary {
        all.insert("vary", HeaderValue::from_static("accept-encoding"));
    }
    all
}

struct Scene {
    cache: Cache,
    policy: Policy,
    headers: HeaderMap,
}

impl Scene {
    fn new(keys: usize, vary: bool) -> Self {
        let scene = Self {
            cache: Cache::new(Settings::default()),
            policy: Policy::default(),
            headers: request_fields(),
        };
        let body = vec![b'x'; 1_000];
        for number in 0..keys {
            scene.put(number, &response_fields(vary), &body);
        }
        scene
    }

    fn put(&self, number: usize, headers: &HeaderMap, body: &[u8]) {
        let path = path(number);
        let target = target(&path);
        let mut key = Key::default();
        self.write_key(&target, &mut key);
        let response = Response {
            status: StatusCode::OK,
            headers,
            times: Times {
                requested: NOW,
                received: NOW,
            },
        };
        let request = self.request(&target);
        let Lookup::Miss(miss) = self.cache.lookup(&key, &request, &self.policy, NOW) else {
            return;
        };
        let admission = self
            .cache
            .admit(&key, &request, &self.policy, &response, miss.ticket())
            .unwrap();
        let mut fill = self.cache.fill(admission);
        fill.push(body).unwrap();
        fill.finish().unwrap();
    }

    fn request<'a>(&'a self, target: &'a Target<'a>) -> Request<'a> {
        Request {
            method: &Method::GET,
            target,
            headers: &self.headers,
            has_credentials: false,
        }
    }

    fn write_key(&self, target: &Target<'_>, key: &mut Key) {
        KeyRecipe::default().write(target, &self.headers, &Extra::default(), key);
    }

    fn lookup(&self, path: &str, key: &mut Key) -> Lookup {
        let target = target(path);
        self.write_key(&target, key);
        self.cache
            .lookup(key, &self.request(&target), &self.policy, NOW)
    }
}

fn path(number: usize) -> String {
    format!("/v1/products/{number:08}")
}

fn target(path: &str) -> Target<'_> {
    Target {
        scheme: "https",
        host: "api.example.com",
        path,
        query: Some("fields=all"),
    }
}

fn hits(criterion: &mut Criterion) {
    for (name, vary) in [("hit", false), ("hit with vary", true)] {
        let scene = Scene::new(1_000, vary);
        let paths: Vec<String> = (0..1_000).map(path).collect();
        let mut key = Key::default();
        let mut next = paths.iter().cycle();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let lookup = scene.lookup(next.next().unwrap(), &mut key);
                assert!(matches!(lookup, Lookup::Hit(_)));
                lookup
            });
        });
        criterion.bench_function(&format!("{name}, and its response"), |bencher| {
            bencher.iter(|| match scene.lookup(next.next().unwrap(), &mut key) {
                Lookup::Hit(hit) => hit.response(),
                other => panic!("{other:?}"),
            });
        });
    }
}

fn misses(criterion: &mut Criterion) {
    let scene = Scene::new(1_000, false);
    let mut key = Key::default();
    criterion.bench_function("miss", |bencher| {
        bencher.iter(|| scene.lookup("/v1/none", &mut key));
    });
    let body = vec![b'x'; 1_000];
    let headers = response_fields(false);
    let mut number = 1_000;
    criterion.bench_function("miss, and storing 1 kB", |bencher| {
        bencher.iter(|| {
            number += 1;
            scene.put(number, &headers, &body);
        });
    });
}

fn purges(criterion: &mut Criterion) {
    let scene = Scene::new(1_000, false);
    let mut key = Key::default();
    criterion.bench_function("purge by tag, and a hit after it", |bencher| {
        bencher.iter(|| {
            scene.cache.purge(&Purge::Tag("other"), cache::Manner::Hard);
            scene.lookup(&path(1), &mut key)
        });
    });
}

/// All threads want the same key.
fn two_threads(criterion: &mut Criterion) {
    let scene = Scene::new(1_000, false);
    criterion.bench_function("hit of one key, by two threads", |bencher| {
        bencher.iter_custom(|count| {
            let barrier = Barrier::new(2);
            let times: Vec<Duration> = thread::scope(|scope| {
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut key = Key::default();
                            let path = path(1);
                            barrier.wait();
                            let start = Instant::now();
                            for _ in 0..count {
                                black_box(scene.lookup(&path, &mut key));
                            }
                            start.elapsed()
                        })
                    })
                    .collect();
                threads.into_iter().map(|it| it.join().unwrap()).collect()
            });
            times.into_iter().max().unwrap()
        });
    });
}

criterion_group!(benches, hits, misses, purges, two_threads);
criterion_main!(benches);
