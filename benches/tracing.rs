//! What tracing costs a request: reading its `traceparent`, deciding, and writing what the backend gets.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use api_gateway::{Sampler, begin_bench};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Twelve fields, and these.
fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let usual = [
        ("host", "shop.example.com"),
        ("authorization", "Bearer abc"),
        ("origin", "https://app.example.com"),
        ("x-forwarded-for", "192.0.2.7"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("cache-control", "no-cache"),
        ("referer", "https://app.example.com/users"),
        ("sec-fetch-mode", "cors"),
        ("user-agent", "Mozilla/5.0"),
        ("x-tenant", "one"),
    ];
    let all = usual.iter().chain(fields);
    all.map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    })
    .collect()
}

fn tracing(criterion: &mut Criterion) {
    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("a new trace", &[]),
        ("a caller's trace", &[("traceparent", CALLER)]),
        (
            "a caller's trace with its state",
            &[
                ("traceparent", CALLER),
                ("tracestate", "rojo=00f067aa0ba902b7"),
            ],
        ),
    ];
    for (name, fields) in cases {
        let sampler = Sampler::named("parentbased_traceidratio").unwrap();
        let begin = begin_bench(sampler.with_ratio(0.0));
        let mut out = Vec::with_capacity(1024);
        criterion.bench_function(&format!("tracing: {name}, unsampled"), |bencher| {
            bencher.iter_batched_ref(
                || headers(fields),
                |headers| {
                    out.clear();
                    begin(black_box(headers), &mut out);
                    black_box(&out);
                },
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, tracing);
criterion_main!(benches);
