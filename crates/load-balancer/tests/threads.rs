//! One upstream, many threads: as a gateway uses it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use load_balancer::outlier::{self, Detector};
use load_balancer::{
    Endpoint, HashTable, Load, Outcome, Picker, Policy, Request, Settings, identity,
};

const THREADS: u64 = 4;
const NOW: Duration = Duration::from_secs(1_000);
const POLICIES: [Policy; 6] = [
    Policy::RoundRobin,
    Policy::LeastConnections,
    Policy::TwoChoices,
    Policy::PeakEwma,
    Policy::ConsistentHash {
        table: HashTable::Ring { min_size: 1024 },
        balance_factor: Some(1.25),
    },
    Policy::ConsistentHash {
        table: HashTable::Maglev { size: 251 },
        balance_factor: None,
    },
];

fn picker(policy: Policy, count: usize) -> Picker {
    let endpoints: Vec<Endpoint> = (0..count)
        .map(|index| Endpoint {
            weight: index as u32,
            ..Endpoint::new(identity(&index.to_string()), Arc::new(Load::new(NOW)))
        })
        .collect();
    let settings = Settings {
        policy,
        ..Settings::default()
    };
    Picker::new(settings, endpoints)
}

fn request(random: &mut fastrand::Rng) -> Request<'static> {
    Request {
        hash: Some(random.u64(..)),
        now: NOW,
        random: random.u64(..),
        ..Request::default()
    }
}

#[test]
fn turns_are_shared_exactly_between_threads() {
    let picker = picker(Policy::RoundRobin, 4);
    let picks: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (picker, picks) = (&picker, &picks);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..6_000 {
                    let index = picker.pick(&request(&mut random)).unwrap().index;
                    picks[index].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let picks: Vec<u32> = picks.into_iter().map(AtomicU32::into_inner).collect();
    assert_eq!(picks, [0, 4_000, 8_000, 12_000]);
}

#[test]
fn nothing_is_lost_while_endpoints_fail_recover_and_are_ejected() {
    for policy in POLICIES {
        let first = picker(policy, 6);
        let loads: Vec<Arc<Load>> = first
            .endpoints()
            .iter()
            .map(|endpoint| Arc::clone(&endpoint.load))
            .collect();
        let detector = Detector::new(outlier::Settings::default(), loads.clone(), NOW);
        let current = RwLock::new(Arc::new(first));
        let running = AtomicBool::new(true);
        std::thread::scope(|scope| {
            // The control plane: endpoints come and go, and pickers take each other's place.
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(99);
                let mut now = NOW;
                while running.load(Ordering::Relaxed) {
                    now += Duration::from_secs(1);
                    let load = &loads[random.usize(..loads.len())];
                    if load.is_unhealthy() {
                        load.mark_healthy(now);
                    } else {
                        load.mark_unhealthy();
                    }
                    detector.tick(now);
                    let refreshed = current.read().unwrap().refresh();
                    *current.write().unwrap() = Arc::new(refreshed);
                }
            });
            let workers: Vec<_> = (0..THREADS)
                .map(|seed| {
                    let (current, detector) = (&current, &detector);
                    scope.spawn(move || {
                        let mut random = fastrand::Rng::with_seed(seed);
                        let mut in_flight = Vec::new();
                        for _ in 0..20_000 {
                            let picker = Arc::clone(&current.read().unwrap());
                            let pick = picker.pick(&request(&mut random)).unwrap();
                            assert!(pick.endpoint().weight > 0);
                            in_flight.push(pick.start(NOW));
                            if in_flight.len() > 20 {
                                let mut ended = in_flight.swap_remove(random.usize(..20));
                                let outcome = match random.u8(..4) {
                                    0 => Outcome::Success,
                                    1 => Outcome::ServerError,
                                    2 => Outcome::GatewayFailure,
                                    _ => Outcome::Cancelled,
                                };
                                let streak = ended.answered(outcome, NOW);
                                detector.judge(ended.load(), streak, NOW);
                            }
                        }
                    })
                })
                .collect();
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            // Before anything is said of them: the scope waits for the control plane.
            running.store(false, Ordering::Relaxed);
            for worker in ended {
                worker.unwrap();
            }
        });
        assert!(loads.iter().all(|load| load.in_flight() == 0), "{policy:?}");
    }
}

#[test]
fn threads_exceed_a_bound_by_no_more_than_one_each() {
    let policy = Policy::ConsistentHash {
        table: HashTable::Maglev { size: 251 },
        balance_factor: Some(1.25),
    };
    let picker = picker(policy, 5);
    let weights: u32 = (0..5).sum();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let request = Request {
                    hash: Some(1),
                    now: NOW,
                    ..Request::default()
                };
                let in_flight: Vec<_> = (0..1_000)
                    .map(|_| picker.pick(&request).unwrap().start(NOW))
                    .collect();
                // All threads together never have more than this in flight.
                let all = 1_000.0 * THREADS as f64;
                for endpoint in picker.endpoints() {
                    let share = f64::from(endpoint.weight) / f64::from(weights);
                    let most = (1.25 * all * share).ceil() as u32 + THREADS as u32;
                    assert!(endpoint.load.in_flight() <= most);
                }
                drop(in_flight);
            });
        }
    });
}
