//! Limits, and the budget of retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use circuit_breaker::RetryBudget;
use circuit_breaker::concurrency::{Full, Limit, Limits};
use proptest::prelude::*;

#[test]
fn no_more_places_than_there_are_can_be_taken() {
    let limit = Limit::new(2);
    let (one, _other) = (limit.try_acquire().unwrap(), limit.try_acquire().unwrap());
    assert_eq!(limit.try_acquire().unwrap_err(), Full { most: 2 });
    drop(one);
    assert_eq!(limit.taken(), 1);
    assert!(limit.try_acquire().is_ok());
}

#[test]
fn the_defaults_are_those_of_envoy() {
    let limits = Limits::default();
    assert_eq!(
        (limits.in_flight.most(), limits.pending.most()),
        (1024, 1024)
    );
    let budget = RetryBudget::default();
    assert_eq!((budget.allowed(0), budget.allowed(1_000)), (3, 200));
}

#[test]
fn a_limit_of_none_lets_nothing_pass() {
    assert!(Limits::new(0, 7).in_flight.try_acquire().is_err());
}

#[test]
fn a_limit_that_is_lowered_waits_until_enough_have_left() {
    let limit = Arc::new(Limit::new(3));
    let mut places: Vec<_> = (0..3).map(|_| limit.try_acquire_owned().unwrap()).collect();
    limit.set_most(1);
    for left in [2, 1] {
        places.pop();
        assert!(limit.try_acquire_owned().is_err());
        assert_eq!(limit.taken(), left);
    }
    places.pop();
    assert!(limit.try_acquire_owned().is_ok());
    limit.set_most(2);
    let _two = [limit.try_acquire().unwrap(), limit.try_acquire().unwrap()];
}

#[test]
fn threads_share_a_limit_exactly() {
    let limit = Limit::new(5);
    let most = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    if let Ok(_place) = limit.try_acquire() {
                        most.fetch_max(limit.taken(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!((1..=5).contains(&most.into_inner()));
    assert_eq!(limit.taken(), 0);
}

#[test]
fn retries_are_held_to_a_share_of_what_is_in_flight() {
    let budget = Arc::new(RetryBudget::new(0.2, 3).unwrap());
    let retries: Vec<_> = (0..100).filter_map(|_| budget.try_retry(1)).collect();
    assert_eq!(retries.len(), 3);
    let more: Vec<_> = (0..100)
        .filter_map(|_| budget.try_retry_owned(100))
        .collect();
    assert_eq!(retries.len() + more.len(), 20);
    drop(retries);
    // There is less to do now, and still too much that is retried.
    assert!(budget.try_retry(50).is_none());
    drop(more);
    assert_eq!(budget.retries(), 0);
    assert!(budget.try_retry(50).is_some());
}

#[test]
fn a_share_of_more_than_all_is_refused() {
    for ratio in [-0.1, 1.1, f64::NAN] {
        assert!(RetryBudget::new(ratio, 3).is_err());
    }
    assert_eq!(
        RetryBudget::new(1.0, 0).unwrap().allowed(u32::MAX),
        u32::MAX
    );
    assert_eq!(RetryBudget::new(0.0, 0).unwrap().allowed(u32::MAX), 0);
}

proptest! {
    /// Against a list of those who have a place.
    #[test]
    fn whoever_comes_and_goes_the_count_is_right(
        most in 0_u32..6,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..100),
    ) {
        let limit = Limit::new(most);
        let mut places = Vec::new();
        for (comes, which) in steps {
            if comes {
                let place = limit.try_acquire();
                prop_assert_eq!(place.is_ok(), places.len() < most as usize);
                places.extend(place.ok());
            } else if !places.is_empty() {
                drop(places.swap_remove(which.index(places.len())));
            }
            prop_assert_eq!(limit.taken() as usize, places.len());
        }
    }
}
