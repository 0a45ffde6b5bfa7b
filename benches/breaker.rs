//! What a request pays for its breaker while that is closed, by one thread and by two at the same time; and for limits.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use circuit_breaker::adaptive::{self, AdaptiveLimit, Priority};
use circuit_breaker::concurrency::Limit;
use circuit_breaker::{Breaker, Policy, SlowCalls};
use criterion::{Criterion, criterion_group, criterion_main};

/// Breakers by what opens them.
fn breakers() -> [(&'static str, Breaker); 3] {
    let consecutive = Policy::default();
    let ratio = Policy {
        failure_ratio: Some(0.5),
        ..Policy::default()
    };
    let slow = Policy {
        slow_calls: Some(SlowCalls {
            longer_than: Duration::from_millis(500),
            ratio: 0.5,
        }),
        ..ratio.clone()
    };
    [
        ("consecutive failures", consecutive),
        ("and a ratio", ratio),
        ("and slow calls", slow),
    ]
    .map(|(name, policy)| (name, Breaker::new(&policy).unwrap()))
}

/// So many requests that succeed, one each microsecond.
fn requests(breaker: &Breaker, count: u64) {
    for request in 0..count {
        let now = Duration::from_micros(request);
        let permit = black_box(breaker).try_acquire(black_box(now)).unwrap();
        black_box(permit.success(black_box(now)));
    }
}

/// The time in which two threads do so many requests each.
fn two_threads(breaker: &Breaker, count: u64) -> Duration {
    let start = Barrier::new(2);
    let one = || {
        start.wait();
        let begun = Instant::now();
        requests(breaker, count);
        begun.elapsed()
    };
    thread::scope(|scope| {
        let handles = [scope.spawn(one), scope.spawn(one)];
        handles
            .map(|handle| handle.join().unwrap())
            .into_iter()
            .max()
            .unwrap()
    })
}

fn closed(criterion: &mut Criterion) {
    for (name, breaker) in &breakers() {
        criterion.bench_function(&format!("breaker: {name}"), |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                requests(breaker, count);
                begun.elapsed()
            });
        });
        criterion.bench_function(&format!("breaker: {name}, two threads"), |bencher| {
            bencher.iter_custom(|count| two_threads(breaker, count));
        });
    }
}

/// A request that fails is judged: all that the window holds is added up.
fn failing(criterion: &mut Criterion) {
    let breaker = Breaker::new(&Policy {
        failure_ratio: Some(0.9),
        ..Policy::default()
    })
    .unwrap();
    let mut request = 0;
    criterion.bench_function("breaker: one that succeeds and one that fails", |bencher| {
        bencher.iter(|| {
            request += 1;
            let now = Duration::from_micros(request);
            breaker.try_acquire(now).unwrap().success(now);
            breaker.try_acquire(now).unwrap().failure(now)
        });
    });
}

fn limits(criterion: &mut Criterion) {
    let limit = Limit::default();
    criterion.bench_function("limit", |bencher| {
        bencher.iter(|| drop(black_box(&limit).try_acquire().unwrap()));
    });
    let limit = AdaptiveLimit::new(&adaptive::Policy::default(), 1).unwrap();
    let mut request = 0;
    criterion.bench_function("adaptive limit", |bencher| {
        bencher.iter(|| {
            request += 1;
            let now = Duration::from_micros(request);
            let permit = limit.try_acquire(Priority::Normal, now).unwrap();
            permit.complete(now + Duration::from_millis(5));
        });
    });
}

criterion_group!(benches, closed, failing, limits);
criterion_main!(benches);
