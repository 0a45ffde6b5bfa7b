//! Many callers at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;

use circuit_breaker::{Breaker, Policy, State};

use crate::{ms, s};

/// Calls `each` on so many threads at the same time.
fn at_once(threads: usize, each: impl Fn(usize) + Sync) {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for number in 0..threads {
            let (start, each) = (&start, &each);
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, move || {
                    start.wait();
                    each(number);
                })
                .unwrap();
        }
    });
}

fn open_breaker(policy: &Policy) -> Breaker {
    let breaker = Breaker::new(policy).unwrap();
    while breaker.state(s(0)) == State::Closed {
        breaker.try_acquire(s(0)).unwrap().failure(s(0));
    }
    breaker
}

#[test]
fn of_2000_threads_exactly_the_permitted_number_passes_half_open() {
    for permitted in [1, 5, 100] {
        let breaker = open_breaker(&Policy {
            permitted,
            ..Policy::default()
        });
        let (passed, told) = (AtomicU32::new(0), AtomicU32::new(0));
        let all_asked = Barrier::new(2_000);
        at_once(2_000, |_| {
            let permit = breaker.try_acquire(s(10));
            if let Ok(permit) = &permit {
                passed.fetch_add(1, Ordering::Relaxed);
                if permit.transition().is_some() {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            }
            all_asked.wait();
        });
        assert_eq!(passed.into_inner(), permitted);
        assert_eq!(told.into_inner(), 1);
        // All have ended without a verdict: all places are free again.
        let again: Vec<_> = (0..2 * permitted)
            .filter_map(|_| breaker.try_acquire(s(10)).ok())
            .collect();
        assert_eq!(again.len(), permitted as usize);
    }
}

#[test]
fn no_place_is_lost_and_none_is_given_twice_when_trials_come_and_go() {
    let breaker = open_breaker(&Policy {
        permitted: 3,
        successes: 3,
        ..Policy::default()
    });
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    at_once(50, |_| {
        for _ in 0..2_000 {
            if let Ok(permit) = breaker.try_acquire(s(10)) {
                let now_inside = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now_inside, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        }
    });
    assert!(most.into_inner() <= 3);
    let free: Vec<_> = (0..10)
        .filter_map(|_| breaker.try_acquire(s(10)).ok())
        .collect();
    assert_eq!(free.len(), 3);
}

#[test]
fn exactly_one_thread_is_told_of_each_change() {
    let breaker = open_breaker(&Policy {
        permitted: 4,
        successes: 4,
        consecutive_failures: Some(3),
        failure_ratio: Some(0.5),
        minimum_calls: 4,
        ..Policy::default()
    });
    let before = breaker.generation();
    let (told, clock) = (AtomicUsize::new(0), AtomicUsize::new(0));
    at_once(16, |number| {
        for call in 0..5_000 {
            // All read one clock, and some of them a little late.
            let now = clock.fetch_add(1, Ordering::Relaxed) as u64;
            let now = s(10) + ms(50) * u32::try_from(now).unwrap() - ms(number as u64);
            if let Ok(permit) = breaker.try_acquire(now) {
                let mut changes = usize::from(permit.transition().is_some());
                let verdict = match (call + number) % 7 {
                    0 => {
                        drop(permit);
                        None
                    }
                    1 | 2 => permit.failure(now),
                    _ => permit.success(now),
                };
                changes += usize::from(verdict.is_some());
                told.fetch_add(changes, Ordering::Relaxed);
            }
        }
    });
    let changes = breaker.generation() - before;
    assert!(changes > 10, "{changes}");
    assert_eq!(told.into_inner() as u64, changes);
    // Whatever has happened, it finds back.
    let later = s(1_000_000);
    while breaker.state(later) == State::HalfOpen {
        breaker.try_acquire(later).unwrap().success(later);
    }
    assert_eq!(breaker.state(later), State::Closed);
}

#[test]
fn no_call_is_lost_from_the_window() {
    for threads in [1, 2, 8] {
        let breaker = Breaker::new(&Policy {
            failure_ratio: Some(1.0),
            consecutive_failures: None,
            threads,
            ..Policy::default()
        })
        .unwrap();
        breaker.try_acquire(s(0)).unwrap().success(s(0));
        at_once(8, |number| {
            for call in 0..2_000 {
                let now = ms(call * 4);
                let permit = breaker.try_acquire(now).unwrap();
                if number == 0 {
                    permit.failure(now);
                } else {
                    permit.success(now);
                }
            }
        });
        let counts = breaker.counts(ms(8_000));
        assert_eq!((counts.calls, counts.failures), (16_001, 2_000));
    }
}
