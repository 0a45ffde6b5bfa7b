//! The state machines under every order of events.
//!
//! Loom runs a test over and over, each time with its threads interleaved in another way, and with each value that a
//! load may return by the C11 memory model, until there is no other way left. For that the sources are compiled here a
//! second time, with loom's atomics for those of the standard library: no `cfg`, no flags, a plain `cargo test` does
//! it.
//!
//! Threads are preempted three times at most, in the longest tests twice: what that does not find is rarely found by
//! more (Musuvathi and Qadeer, "Iterative context bounding", 2007), and there would be no end to it. For a longer
//! search, of half a minute: `LOOM_MAX_PREEMPTIONS=4 cargo test --release -p circuit-breaker --test model`.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../src/breaker/mod.rs"]
#[allow(unused_imports, reason = "no test needs all that is public")]
mod breaker;
#[path = "../src/concurrency.rs"]
mod concurrency;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/gauge.rs"]
mod gauge;
#[path = "../src/time.rs"]
mod time;

/// Loom's, for `src/sync.rs`.
mod sync {
    use std::cell::Cell;

    /// The fewest that make a window: each is a load more in every sum, and each load a place to interleave.
    pub(crate) const BUCKETS: usize = 2;

    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

    loom::thread_local! {
        static NUMBER: Cell<usize> = Cell::new(0);
    }

    pub(crate) fn thread_number() -> usize {
        NUMBER.with(Cell::get)
    }

    pub(crate) fn set_thread_number(number: usize) {
        NUMBER.with(|own| own.set(number));
    }
}

use std::sync::Arc;
use std::time::Duration;

use breaker::{Breaker, Policy, State, Transition};
use concurrency::Limit;
use loom::thread;

const START: Duration = Duration::from_secs(0);
/// When an open time is over that began at the start.
const OVER: Duration = Duration::from_secs(10);

fn check(test: impl Fn() + Sync + Send + 'static) {
    check_within(3, test);
}

/// As [`check`], with a thread preempted so many times at most.
fn check_within(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.check(test);
}

/// Opens after 2 failures, permits 2 trials, and closes after 2 successes.
fn policy() -> Policy {
    Policy {
        consecutive_failures: Some(2),
        permitted: 2,
        successes: 2,
        ..Policy::default()
    }
}

fn breaker_of(policy: &Policy) -> Arc<Breaker> {
    Arc::new(Breaker::new(policy).unwrap())
}

/// Opens when so large a part of at least two calls has failed, in a window that so many threads have counters in.
fn by_ratio(failure_ratio: f64, threads: usize) -> Policy {
    Policy {
        consecutive_failures: None,
        failure_ratio: Some(failure_ratio),
        minimum_calls: 2,
        threads,
        ..policy()
    }
}

fn open(breaker: &Breaker) {
    for _ in 0..2 {
        breaker.try_acquire(START).unwrap().failure(START);
    }
    assert_eq!(breaker.state(START), State::Open);
}

/// Runs `each` on threads 0 to `threads`, the last of them this one, and returns what they return.
fn run<T: 'static>(
    threads: usize,
    breaker: &Arc<Breaker>,
    each: fn(usize, &Breaker) -> T,
) -> Vec<T> {
    let handles: Vec<_> = (1..threads)
        .map(|number| {
            let breaker = Arc::clone(breaker);
            thread::spawn(move || {
                sync::set_thread_number(number);
                each(number, &breaker)
            })
        })
        .collect();
    let own = each(0, breaker);
    let mut results = vec![own];
    results.extend(handles.into_iter().map(|handle| handle.join().unwrap()));
    results
}

/// Places that are free at `now`.
fn free(breaker: &Breaker, now: Duration) -> usize {
    let permits: Vec<_> = (0..10)
        .filter_map(|_| breaker.try_acquire(now).ok())
        .collect();
    permits.len()
}

#[test]
fn exactly_the_permitted_number_passes_half_open() {
    check(|| {
        let breaker = breaker_of(&policy());
        open(&breaker);
        let passed = run(3, &breaker, |_, breaker| {
            // No verdict, and no end: the place stays taken.
            let permit = breaker.try_acquire(OVER).ok();
            let told = permit.as_ref().and_then(breaker::Permit::transition);
            let passed = permit.is_some();
            std::mem::forget(permit);
            (passed, told)
        });
        assert_eq!(passed.iter().filter(|(passed, _)| *passed).count(), 2);
        assert_eq!(passed.iter().filter(|(_, told)| told.is_some()).count(), 1);
    });
}

#[test]
fn trials_without_a_verdict_give_their_places_back() {
    check_within(2, || {
        let breaker = breaker_of(&policy());
        open(&breaker);
        run(3, &breaker, |_, breaker| {
            drop(breaker.try_acquire(OVER));
        });
        assert_eq!(free(&breaker, OVER), 2);
    });
}

#[test]
fn a_place_is_given_back_once_whatever_the_other_trial_does() {
    check_within(2, || {
        let breaker = breaker_of(&policy());
        open(&breaker);
        let changes = run(3, &breaker, |number, breaker| {
            let permit = breaker.try_acquire(OVER).ok()?;
            match number {
                0 => {
                    drop(permit);
                    None
                }
                1 => permit.success(OVER),
                _ => permit.failure(OVER),
            }
        });
        let told = changes.into_iter().flatten().count();
        let later = OVER * 2;
        match breaker.transitions().opened {
            // The failing trial found no place. One has succeeded.
            1 => assert_eq!((told, free(&breaker, later)), (0, 1)),
            // One of the others may have come first after the failure, and before it only rejections.
            2 => assert_eq!((told, free(&breaker, later)), (1, 2)),
            opened => panic!("opened {opened} times"),
        }
    });
}

#[test]
fn of_two_verdicts_that_decide_one_decides() {
    check(|| {
        let breaker = breaker_of(&Policy {
            successes: 1,
            ..policy()
        });
        open(&breaker);
        let trials = Arc::new([(); 2].map(|()| breaker.try_acquire_owned(OVER).unwrap()));
        let [one, other] = Arc::into_inner(trials).unwrap();
        let handle = thread::spawn(move || one.success(OVER));
        let failed = other.failure(OVER);
        let succeeded = handle.join().unwrap();
        let state = breaker.state(OVER);
        match (succeeded, failed) {
            (Some(Transition { to, .. }), None) => assert_eq!((to, state), (State::Closed, to)),
            (None, Some(Transition { to, .. })) => assert_eq!((to, state), (State::Open, to)),
            both_or_none => panic!("{both_or_none:?}"),
        }
    });
}

#[test]
fn no_failure_in_a_row_is_lost() {
    check(|| {
        let breaker = breaker_of(&Policy {
            consecutive_failures: Some(3),
            ..policy()
        });
        let changes = run(3, &breaker, |_, breaker| {
            breaker.try_acquire(START).unwrap().failure(START)
        });
        assert_eq!(changes.into_iter().flatten().count(), 1);
        assert_eq!(breaker.state(START), State::Open);
    });
}

#[test]
fn a_success_ends_the_row_or_comes_before_it() {
    check(|| {
        let breaker = breaker_of(&policy());
        breaker.try_acquire(START).unwrap().failure(START);
        let changes = run(2, &breaker, |number, breaker| {
            let permit = breaker.try_acquire(START).ok()?;
            if number == 0 {
                permit.success(START)
            } else {
                permit.failure(START)
            }
        });
        // Two failures in a row, or one after a success.
        let opened = changes.into_iter().flatten().count() == 1;
        assert_eq!(breaker.state(START) == State::Open, opened);
        if !opened {
            breaker.try_acquire(START).unwrap().failure(START);
            assert_eq!(breaker.state(START), State::Open);
        }
    });
}

#[test]
fn failures_of_two_threads_do_not_overlook_each_other() {
    check(|| {
        let breaker = breaker_of(&by_ratio(1.0, 2));
        let changes = run(2, &breaker, |_, breaker| {
            breaker.try_acquire(START).unwrap().failure(START)
        });
        assert_eq!(changes.into_iter().flatten().count(), 1);
        assert_eq!(breaker.state(START), State::Open);
    });
}

#[test]
fn a_ratio_is_never_higher_than_it_was() {
    check(|| {
        let breaker = breaker_of(&by_ratio(0.6, 1));
        // One call succeeds before each that fails: at most one half has failed at any time.
        let changes = run(2, &breaker, |_, breaker| {
            breaker.try_acquire(START).ok()?.success(START);
            breaker.try_acquire(START).ok()?.failure(START)
        });
        assert_eq!(changes, [None, None]);
        let counts = breaker.counts(START);
        assert_eq!((counts.calls, counts.failures), (4, 2));
    });
}

#[test]
fn a_sum_that_has_a_failure_has_all_calls_before_it() {
    check(|| {
        let breaker = breaker_of(&by_ratio(0.6, 2));
        breaker.try_acquire(START).unwrap().success(START);
        // A success with the counters of one thread, and then a failure with those of the other.
        let changes = run(2, &breaker, |number, breaker| {
            if number == 1 {
                sync::set_thread_number(0);
                breaker.try_acquire(START).ok()?.success(START);
                sync::set_thread_number(1);
            }
            breaker.try_acquire(START).ok()?.failure(START)
        });
        assert_eq!(changes, [None, None]);
    });
}

#[test]
fn a_failure_counts_where_its_call_counts_or_nowhere() {
    check(|| {
        let breaker = breaker_of(&by_ratio(0.6, 1));
        // One sleeps for a whole window, of 10 seconds, wherever it stands; then its bucket is the other's.
        let changes = run(2, &breaker, |number, breaker| {
            if number == 0 {
                return breaker.try_acquire(START).ok()?.failure(START);
            }
            breaker.try_acquire(OVER).ok()?.success(OVER);
            breaker.try_acquire(OVER).ok()?.success(OVER);
            breaker.try_acquire(OVER).ok()?.failure(OVER)
        });
        assert_eq!(changes, [None, None]);
    });
}

/// A failure that began in one closed time arrives while the breaker goes through open and half-open to the next.
fn late_failure(policy: &Policy) {
    let breaker = breaker_of(policy);
    let late = breaker.try_acquire_owned(START).unwrap();
    let handle = thread::spawn(move || {
        sync::set_thread_number(0);
        late.failure(OVER)
    });
    let failed = [(); 2].map(|()| breaker.try_acquire(START).ok()?.failure(START));
    let mut opened = failed.into_iter().flatten().count();
    let mut handle = Some(handle);
    if breaker.state(START) == State::Closed {
        // The late call is counted, but not yet its failure. Or it is a window later than the others.
        opened += usize::from(handle.take().unwrap().join().unwrap().is_some());
    }
    while breaker.state(START) == State::Closed {
        let change = breaker.try_acquire(OVER).unwrap().failure(OVER);
        opened += usize::from(change.is_some());
    }
    for _ in 0..2 {
        // The late failure may have been the one that opened it, later than ours.
        breaker.try_acquire(OVER * 2).unwrap().success(OVER * 2);
    }
    let first = breaker.try_acquire(OVER * 2).unwrap().failure(OVER * 2);
    assert_eq!(first, None);
    if let Some(handle) = handle {
        opened += usize::from(handle.join().unwrap().is_some());
    }
    assert_eq!(opened, 1);
    assert_eq!(breaker.state(OVER * 2), State::Closed);
    if policy.consecutive_failures.is_none() {
        let counts = breaker.counts(OVER * 2);
        assert_eq!((counts.calls, counts.failures), (1, 1));
    }
}

#[test]
fn a_late_failure_does_not_count_in_the_next_row() {
    check(|| late_failure(&policy()));
}

#[test]
fn a_late_failure_does_not_count_in_the_next_window() {
    check_within(2, || {
        late_failure(&by_ratio(1.0, 1));
    });
}

#[test]
fn what_an_operator_forces_stays_forced() {
    check(|| {
        let breaker = breaker_of(&policy());
        breaker.try_acquire(START).unwrap().failure(START);
        let changes = run(2, &breaker, |number, breaker| {
            if number == 0 {
                breaker.force_open()
            } else {
                breaker.try_acquire(START).ok()?.failure(START)
            }
        });
        assert_eq!(breaker.state(OVER * 2), State::ForcedOpen);
        let told = changes.into_iter().flatten().count() as u64;
        assert_eq!(breaker.generation(), told);
    });
}

#[test]
fn a_limit_is_never_passed_and_no_place_is_lost() {
    check(|| {
        let limit = Arc::new(Limit::new(1));
        let inside = Arc::new(sync::AtomicU32::new(0));
        let visit = |limit: &Limit, inside: &sync::AtomicU32| {
            if let Ok(_place) = limit.try_acquire() {
                assert_eq!(inside.fetch_add(1, sync::Ordering::Relaxed), 0);
                inside.fetch_sub(1, sync::Ordering::Relaxed);
            }
        };
        let handles = [(); 2].map(|()| {
            let (limit, inside) = (Arc::clone(&limit), Arc::clone(&inside));
            thread::spawn(move || visit(&limit, &inside))
        });
        visit(&limit, &inside);
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(limit.taken(), 0);
    });
}

#[test]
fn nobody_is_refused_while_a_place_is_free() {
    check(|| {
        let limit = Arc::new(Limit::new(2));
        let other = Arc::clone(&limit);
        let handle = thread::spawn(move || other.try_acquire().is_ok());
        let passed = limit.try_acquire().is_ok();
        assert!(passed && handle.join().unwrap());
    });
}
