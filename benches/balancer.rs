//! What the balancer costs a request: pick an endpoint, start, take in the answer, end.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use load_balancer::{
    Endpoint, HashTable, Load, Outcome, Picker, Policy, Request, Settings, identity,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POLICIES: [(&str, Policy); 9] = [
    ("round robin", Policy::RoundRobin),
    ("random", Policy::Random),
    ("least connections", Policy::LeastConnections),
    ("two choices", Policy::TwoChoices),
    ("peak EWMA", Policy::PeakEwma),
    ("ring", hashed(HashTable::Ring { min_size: 1024 }, None)),
    (
        "bounded ring",
        hashed(HashTable::Ring { min_size: 1024 }, Some(1.25)),
    ),
    ("Maglev", hashed(HashTable::Maglev { size: 65_537 }, None)),
    (
        "bounded Maglev",
        hashed(HashTable::Maglev { size: 65_537 }, Some(1.25)),
    ),
];

const fn hashed(table: HashTable, balance_factor: Option<f64>) -> Policy {
    Policy::ConsistentHash {
        table,
        balance_factor,
    }
}

fn picker(policy: Policy, endpoints: usize, weight: fn(usize) -> u32) -> Picker {
    let endpoints: Vec<Endpoint> = (0..endpoints)
        .map(|index| Endpoint {
            weight: weight(index),
            ..Endpoint::new(
                identity(&format!("10.0.0.{index}:8080")),
                Arc::new(Load::new(Duration::ZERO)),
            )
        })
        .collect();
    let settings = Settings {
        policy,
        ..Settings::default()
    };
    Picker::new(settings, endpoints)
}

/// A thread's requests, one after the other: each takes 100 µs, and begins when the one before it ends.
struct Requests {
    random: fastrand::Rng,
    now: Duration,
}

impl Requests {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            now: Duration::from_secs(1_000),
        }
    }

    #[inline]
    fn next(&mut self, picker: &Picker) {
        let request = Request {
            hash: Some(self.random.u64(..)),
            now: self.now,
            random: self.random.u64(..),
            ..Request::default()
        };
        let pick = picker.pick(black_box(&request)).unwrap();
        let mut in_flight = pick.start(self.now);
        self.now += Duration::from_micros(100);
        black_box(in_flight.answered(Outcome::Success, self.now));
    }
}

/// A request on each of so many threads that do nothing else, which is more than any gateway would: in the threads'
/// own time, so that it is about the same on a machine that has other things to do.
fn bench(criterion: &mut Criterion, name: &str, picker: &Picker, threads: u64) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let start = Barrier::new(threads as usize);
            let run = |seed| {
                let mut requests = Requests::new(seed);
                pin(seed as usize);
                start.wait();
                let begun = thread_time();
                for _ in 0..count {
                    requests.next(picker);
                }
                thread_time() - begun
            };
            std::thread::scope(|scope| {
                let run = &run;
                let threads = (0..threads).map(|seed| scope.spawn(move || run(seed)));
                let threads: Vec<_> = threads.collect();
                let times = threads.into_iter().map(|thread| thread.join().unwrap());
                times.max().unwrap()
            })
        });
    });
}

/// Keeps this thread on a CPU of its own: threads that are woken together are put on the same one otherwise.
fn pin(thread: usize) {
    #[cfg(target_os = "linux")]
    {
        let all = rustix::thread::sched_getaffinity(None).unwrap();
        let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|&cpu| all.is_set(cpu))
            .collect();
        let mut own = rustix::thread::CpuSet::new();
        own.set(cpus[thread % cpus.len()]);
        rustix::thread::sched_setaffinity(None, &own).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = thread;
}

/// How long this thread has been running on a CPU.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

fn policies(criterion: &mut Criterion) {
    for (name, policy) in POLICIES {
        for endpoints in [3, 10, 100] {
            let picker = picker(policy, endpoints, |_| 1);
            for (threads, name_of_threads) in [(1, ""), (2, ", two threads")] {
                let name = format!("{name} of {endpoints}{name_of_threads}");
                bench(criterion, &name, &picker, threads);
            }
        }
    }
}

/// Where weights differ, two choices draw a lot.
fn weighted(criterion: &mut Criterion) {
    for (name, policy) in &POLICIES[..5] {
        let picker = picker(*policy, 10, |index| 1 + index as u32 % 3);
        bench(criterion, &format!("{name} of 10 by weight"), &picker, 1);
    }
}

/// What a change of availability costs, off the way of requests.
fn refresh(criterion: &mut Criterion) {
    for (name, policy) in [POLICIES[0], POLICIES[5], POLICIES[7]] {
        let picker = picker(policy, 100, |_| 1);
        criterion.bench_function(&format!("refresh {name} of 100"), |bencher| {
            bencher.iter(|| black_box(&picker).refresh());
        });
        criterion.bench_function(&format!("make {name} of 100"), |bencher| {
            bencher.iter(|| Picker::new(picker.settings().clone(), picker.endpoints()));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000));
    targets = policies, weighted, refresh
}
criterion_main!(benches);
