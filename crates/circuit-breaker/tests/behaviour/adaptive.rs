//! Limits that find themselves, against backends that exist as a formula.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use circuit_breaker::adaptive::{AdaptiveLimit, Permit, Policy, Priority, Shed};
use proptest::prelude::*;

use crate::{ms, s};

fn limit(policy: &Policy) -> AdaptiveLimit {
    AdaptiveLimit::new(policy, 1).unwrap()
}

/// A backend that serves so many requests at once, each in 10 milliseconds; what comes on top queues.
struct Backend {
    capacity: u32,
    in_service: Vec<(Duration, Permit<Arc<AdaptiveLimit>>)>,
}

impl Backend {
    fn new(capacity: u32) -> Self {
        Self {
            capacity,
            in_service: Vec::new(),
        }
    }

    fn latency(&self) -> Duration {
        let queued = f64::from(u32::try_from(self.in_service.len()).unwrap());
        ms(10).mul_f64((queued / f64::from(self.capacity)).max(1.0))
    }

    /// Lets as many requests pass as want to, `offered` at most at once, from `start` to `end`.
    fn serve(
        &mut self,
        limit: &Arc<AdaptiveLimit>,
        offered: usize,
        start: Duration,
        end: Duration,
    ) {
        let mut now = start;
        while now < end {
            now += Duration::from_micros(500);
            let (done, in_service) = std::mem::take(&mut self.in_service)
                .into_iter()
                .partition(|(until, _)| *until <= now);
            self.in_service = in_service;
            let done: Vec<_> = done;
            for (until, permit) in done {
                permit.complete(until);
            }
            while self.in_service.len() < offered {
                let Ok(permit) = limit.try_acquire_owned(Priority::High, now) else {
                    break;
                };
                let until = now + self.latency();
                self.in_service.push((until, permit));
            }
        }
    }
}

/// Answers so many requests, one after the other, each with this latency. Returns when the last has been answered.
fn answer(limit: &AdaptiveLimit, count: u32, latency: Duration, mut now: Duration) -> Duration {
    for _ in 0..count {
        let permit = limit.try_acquire(Priority::High, now).unwrap();
        now += latency;
        permit.complete(now);
    }
    now
}

#[test]
fn it_begins_by_measuring_the_least_latency() {
    let limit = limit(&Policy::default());
    assert_eq!((limit.limit(), limit.min_rtt()), (3, None));
    let now = answer(&limit, 49, ms(10), s(1));
    assert_eq!(limit.min_rtt(), None);
    answer(&limit, 1, ms(10), now);
    let measured = limit.min_rtt().unwrap();
    assert!(
        (ms(10) * 31 / 32..=ms(10) * 33 / 32).contains(&measured),
        "{measured:?}"
    );
}

#[test]
fn what_a_request_has_waited_for_something_else_is_no_latency() {
    let limit = limit(&Policy::default());
    let mut now = s(1);
    for _ in 0..50 {
        let mut permit = limit.try_acquire(Priority::High, now).unwrap();
        now += s(1);
        permit.begins(now);
        now += ms(10);
        permit.complete(now);
    }
    assert!(limit.min_rtt() < Some(ms(11)));
}

#[test]
fn it_grows_while_latency_does_not() {
    let limit = Arc::new(limit(&Policy::default()));
    let mut backend = Backend::new(u32::MAX);
    backend.serve(&limit, 2_000, s(1), s(10));
    assert_eq!(limit.limit(), 1_000);
}

#[test]
fn it_finds_what_a_backend_can_serve() {
    for capacity in [20, 50, 200] {
        let limit = Arc::new(limit(&Policy::default()));
        let mut backend = Backend::new(capacity);
        backend.serve(&limit, 2_000, s(1), s(30));
        // Where limit = limit × gradient + root.
        let full = 1.25 * f64::from(capacity);
        let expected = full + full.sqrt();
        let found = f64::from(limit.limit());
        assert!(
            (0.8 * expected..1.25 * expected).contains(&found),
            "{capacity}: {found}"
        );
    }
}

#[test]
fn it_follows_a_backend_that_becomes_slower() {
    let limit = Arc::new(limit(&Policy::default()));
    let mut backend = Backend::new(100);
    backend.serve(&limit, 2_000, s(1), s(20));
    let before = limit.limit();
    backend.capacity = 20;
    backend.serve(&limit, 2_000, s(20), s(30));
    let after = limit.limit();
    assert!(before > 100 && after < 45, "{before}, then {after}");
}

#[test]
fn the_least_latency_is_measured_again_after_a_while() {
    let limit = limit(&Policy {
        jitter: 0.5,
        ..Policy::default()
    });
    let mut now = answer(&limit, 50, ms(10), s(1));
    let first = now;
    now = answer(&limit, 500, ms(10), now);
    let before = limit.limit();
    assert!(before > 3);
    while limit.limit() > 3 {
        now = answer(&limit, 1, ms(20), now);
    }
    let waited = now - first;
    assert!((s(60)..s(91)).contains(&waited), "{waited:?}");
    // The limit is what it was, and the least latency is a new one.
    answer(&limit, 50, ms(20), now);
    assert!(limit.limit() > 3);
    assert!(limit.min_rtt() > Some(ms(19)));
}

#[test]
fn measurements_are_spread_over_the_jitter() {
    let waits = [1, 2, 3].map(|seed| {
        let limit = AdaptiveLimit::new(&Policy::default(), seed).unwrap();
        let start = answer(&limit, 50, ms(10), s(1));
        let mut now = answer(&limit, 500, ms(10), start);
        while limit.limit() > 3 {
            now = answer(&limit, 1, ms(10), now);
        }
        now - start
    });
    assert!(waits.iter().all(|wait| (s(60)..s(70)).contains(wait)));
    assert!(waits[0] != waits[1] && waits[1] != waits[2], "{waits:?}");
}

#[test]
fn a_least_latency_that_was_too_good_is_measured_again_at_once() {
    let limit = limit(&Policy::default());
    let mut now = answer(&limit, 50, ms(1), s(1));
    let start = now;
    // The backend needs a hundred times as long from here on: the limit goes to its minimum, and stays there.
    while limit.min_rtt() < Some(ms(90)) {
        now = answer(&limit, 1, ms(100), now);
        assert!(now - start < s(30));
    }
}

#[test]
fn what_began_before_a_measurement_is_no_sample_of_it() {
    let limit = limit(&Policy {
        request_count: 1,
        ..Policy::default()
    });
    let mut now = answer(&limit, 100, ms(10), s(1));
    assert!(limit.limit() > 3);
    let late = limit.try_acquire(Priority::High, now).unwrap();
    while limit.limit() > 3 {
        now = answer(&limit, 1, ms(10), now);
    }
    // The measurement has begun, and a sample would end it.
    late.complete(now);
    assert!(limit.limit() == 3 && limit.min_rtt() < Some(ms(11)));
    answer(&limit, 1, ms(30), now);
    assert!(limit.limit() > 3 && limit.min_rtt() > Some(ms(29)));
}

#[test]
fn requests_that_do_not_end_cannot_hold_a_measurement_up_for_ever() {
    let limit = limit(&Policy::default());
    let mut now = answer(&limit, 200, ms(10), s(1));
    let before = limit.limit();
    let _stuck = [(); 3].map(|()| limit.try_acquire(Priority::High, now).unwrap());
    while limit.limit() > 3 {
        now = answer(&limit, 1, ms(10), now);
    }
    let start = now;
    while limit.try_acquire(Priority::High, now).is_err() {
        now += ms(100);
        assert!(now - start <= s(60) + ms(100));
    }
    assert!(limit.limit() >= before);
    assert!(limit.min_rtt().is_some());
}

#[test]
fn lower_priorities_are_shed_first() {
    let limit = limit(&Policy {
        min_concurrency: 10,
        ..Policy::default()
    });
    let mut taken = Vec::new();
    let mut fill = |priority| {
        let free = taken.len();
        taken.extend(std::iter::from_fn(|| limit.try_acquire(priority, s(1)).ok()).take(100));
        taken.len() - free
    };
    assert_eq!(fill(Priority::Low), 5);
    assert_eq!(fill(Priority::Normal), 4);
    assert_eq!(fill(Priority::High), 1);
    assert_eq!(fill(Priority::High), 0);
    assert_eq!(fill(Priority::Critical), 100);
    let shed = limit.try_acquire(Priority::Normal, s(1)).unwrap_err();
    let expected = Shed {
        priority: Priority::Normal,
        limit: 10,
    };
    assert_eq!(shed, expected);
    drop(taken);
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn threads_leave_nothing_in_flight_behind() {
    let limit = limit(&Policy::default());
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let limit = &limit;
            scope.spawn(move || {
                for request in 0..5_000_u64 {
                    let now = Duration::from_micros(request * 100);
                    let priority = [Priority::Low, Priority::Normal, Priority::High];
                    let priority = priority[usize::try_from(request % 3).unwrap()];
                    match limit.try_acquire(priority, now) {
                        Ok(permit) if (request + number) % 5 == 0 => drop(permit),
                        Ok(permit) => permit.complete(now + ms(1)),
                        Err(_) => {}
                    }
                }
            });
        }
    });
    assert_eq!(limit.in_flight(), 0);
    assert!(limit.limit() >= 3);
}

#[test]
fn every_value_has_a_range() {
    type Change = fn(&mut Policy);
    let changes: [(&str, Change); 9] = [
        ("max_limit", |p| p.max_limit = 1_000_001),
        ("min_concurrency", |p| p.min_concurrency = 0),
        ("min_concurrency", |p| p.min_concurrency = 1_001),
        ("request_count", |p| p.request_count = 0),
        ("min_rtt_interval", |p| p.min_rtt_interval = ms(999)),
        ("jitter", |p| p.jitter = 1.1),
        ("buffer", |p| p.buffer = f64::NAN),
        ("percentile", |p| p.percentile = 0.0),
        ("window", |p| p.window = Duration::ZERO),
    ];
    for (name, change) in changes {
        let mut policy = Policy::default();
        change(&mut policy);
        let error = AdaptiveLimit::new(&policy, 1).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{name} is ")),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_the_latencies_the_limit_stays_in_its_range(
        min in 1_u32..10,
        more in 0_u32..50,
        latencies in prop::collection::vec((0_u64..10_000_000, 0_u64..1_000), 1..500),
    ) {
        let policy = Policy {
            min_concurrency: min,
            max_limit: min + more,
            request_count: 5,
            min_rtt_interval: s(1),
            ..Policy::default()
        };
        let limit = limit(&policy);
        let mut now = Duration::ZERO;
        for (latency, gap) in latencies {
            now += ms(gap);
            let permit = limit.try_acquire(Priority::High, now).unwrap();
            permit.complete(now + Duration::from_micros(latency));
            prop_assert!((min..=min + more).contains(&limit.limit()));
        }
    }
}
