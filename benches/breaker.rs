//! What a request pays for its breaker while that is closed, by one thread and by two at the same time; for limits; and
//! for being hedged by a percentile.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use circuit_breaker::adaptive::{self, AdaptiveLimit, Priority};
use circuit_breaker::concurrency::Limit;
use circuit_breaker::{Breaker, Hedging, Policy, SlowCalls};
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

/// The time that it takes.
fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

/// The time in which two threads run the same.
fn two_threads(run: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(2);
    let one = || {
        start.wait();
        timed(&run)
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
            bencher.iter_custom(|count| timed(|| requests(breaker, count)));
        });
        criterion.bench_function(&format!("breaker: {name}, two threads"), |bencher| {
            bencher.iter_custom(|count| two_threads(|| requests(breaker, count)));
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

/// So many requests whose latencies are recorded, one each microsecond.
fn record(hedging: &Hedging, count: u64) {
    for request in 0..count {
        let now = Duration::from_micros(request);
        black_box(hedging.delay());
        hedging.record(
            black_box(Duration::from_micros(1_000 + request % 4_000)),
            now,
        );
    }
}

fn hedging(criterion: &mut Criterion) {
    let hedging = Hedging::new(95.0).unwrap();
    criterion.bench_function("hedging", |bencher| {
        bencher.iter_custom(|count| timed(|| record(&hedging, count)));
    });
    criterion.bench_function("hedging, two threads", |bencher| {
        bencher.iter_custom(|count| two_threads(|| record(&hedging, count)));
    });
}

criterion_group!(benches, closed, failing, limits, hedging);
criterion_main!(benches);
