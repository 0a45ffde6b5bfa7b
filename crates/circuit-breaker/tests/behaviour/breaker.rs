//! One caller after the other.

use std::sync::Arc;

use circuit_breaker::{
    Breaker, Cause, Counts, OpenTime, Permit, Policy, SlowCalls, State, Transition, Transitions,
};

use crate::{ms, s};

/// Opens after 3 failures for 10 seconds, permits 2 trials, and closes after 2 successes.
fn policy() -> Policy {
    Policy {
        consecutive_failures: Some(3),
        permitted: 2,
        successes: 2,
        ..Policy::default()
    }
}

fn breaker(policy: &Policy) -> Breaker {
    Breaker::new(policy).unwrap()
}

fn permit(breaker: &Breaker, seconds: u64) -> Permit<&Breaker> {
    breaker.try_acquire(s(seconds)).unwrap()
}

fn fail(breaker: &Breaker, times: usize, seconds: u64) -> Option<Transition> {
    let verdicts = (0..times).map(|_| permit(breaker, seconds).failure(s(seconds)));
    verdicts.last().flatten()
}

fn transition(from: State, to: State, cause: Cause) -> Option<Transition> {
    Some(Transition { from, to, cause })
}

#[test]
fn failures_in_a_row_open_it() {
    let breaker = breaker(&policy());
    assert_eq!(fail(&breaker, 2, 0), None);
    assert_eq!(breaker.state(s(0)), State::Closed);
    let opened = fail(&breaker, 1, 0);
    let expected = transition(State::Closed, State::Open, Cause::ConsecutiveFailures);
    assert_eq!(opened, expected);
    assert_eq!(breaker.state(s(0)), State::Open);
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let breaker = breaker(&policy());
    for _ in 0..10 {
        fail(&breaker, 2, 0);
        assert_eq!(permit(&breaker, 0).success(s(0)), None);
    }
    assert_eq!(breaker.state(s(0)), State::Closed);
}

#[test]
fn a_call_without_a_verdict_counts_as_neither() {
    let breaker = breaker(&policy());
    fail(&breaker, 2, 0);
    drop(permit(&breaker, 0));
    assert!(fail(&breaker, 1, 0).is_some());
}

#[test]
fn those_who_are_rejected_are_told_when_to_come_again() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 100);
    let rejected = breaker.try_acquire(s(103)).unwrap_err();
    assert_eq!((rejected.state, rejected.retry_after), (State::Open, s(7)));
    let rejected = breaker.try_acquire(s(110) - ms(1)).unwrap_err();
    assert_eq!(rejected.retry_after, ms(1));
    assert!(breaker.try_acquire(s(110)).is_ok());
}

#[test]
fn it_is_half_open_when_the_time_is_over_whether_somebody_comes_or_not() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    assert_eq!(breaker.state(s(10) - ms(1)), State::Open);
    assert_eq!(breaker.state(s(10)), State::HalfOpen);
    assert_eq!(breaker.transitions().half_opened, 0);
    let trial = permit(&breaker, 10);
    let expected = transition(State::Open, State::HalfOpen, Cause::TimeOver);
    assert_eq!(trial.transition(), expected);
    assert_eq!(permit(&breaker, 10).transition(), None);
}

#[test]
fn half_open_it_lets_the_permitted_number_through_and_no_more() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let _trials = [permit(&breaker, 10), permit(&breaker, 10)];
    let rejected = breaker.try_acquire(s(10)).unwrap_err();
    assert_eq!(
        (rejected.state, rejected.retry_after),
        (State::HalfOpen, s(1))
    );
}

#[test]
fn successes_close_it() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let (one, other) = (permit(&breaker, 10), permit(&breaker, 10));
    assert_eq!(one.success(s(10)), None);
    let expected = transition(State::HalfOpen, State::Closed, Cause::TrialsSucceeded);
    assert_eq!(other.success(s(10)), expected);
    fail(&breaker, 2, 10);
    assert_eq!(breaker.state(s(10)), State::Closed);
}

#[test]
fn a_success_does_not_make_room_for_more_trials_than_permitted() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let (one, _other) = (permit(&breaker, 10), permit(&breaker, 10));
    one.success(s(10));
    assert!(breaker.try_acquire(s(10)).is_err());
}

#[test]
fn more_successes_than_places_are_reached_one_after_the_other() {
    let breaker = breaker(&Policy {
        permitted: 1,
        successes: 3,
        ..policy()
    });
    fail(&breaker, 3, 0);
    for _ in 0..3 {
        let trial = permit(&breaker, 10);
        assert!(breaker.try_acquire(s(10)).is_err());
        trial.success(s(10));
    }
    assert_eq!(breaker.state(s(10)), State::Closed);
}

#[test]
fn a_failed_trial_opens_it_again_at_once() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let (one, other) = (permit(&breaker, 10), permit(&breaker, 10));
    let expected = transition(State::HalfOpen, State::Open, Cause::TrialFailed);
    assert_eq!(one.failure(s(12)), expected);
    assert_eq!(breaker.try_acquire(s(12)).unwrap_err().retry_after, s(10));
    // The other's verdict is of an earlier generation.
    assert_eq!(other.success(s(12)), None);
    assert_eq!(breaker.state(s(12)), State::Open);
}

#[test]
fn a_trial_without_a_verdict_gives_its_place_back() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    for _ in 0..100 {
        let trials = [permit(&breaker, 10), permit(&breaker, 10)];
        assert!(breaker.try_acquire(s(10)).is_err());
        drop(trials);
    }
    assert_eq!(breaker.state(s(10)), State::HalfOpen);
}

#[test]
fn a_place_of_an_earlier_half_open_time_is_not_given_back_to_this_one() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let (one, other) = (permit(&breaker, 10), permit(&breaker, 10));
    one.failure(s(10));
    let _trials = [permit(&breaker, 20), permit(&breaker, 20)];
    drop(other);
    assert!(breaker.try_acquire(s(20)).is_err());
}

#[test]
fn what_began_before_a_change_does_not_count_after_it() {
    let breaker = breaker(&policy());
    let late: Vec<_> = (0..3).map(|_| permit(&breaker, 0)).collect();
    fail(&breaker, 3, 0);
    permit(&breaker, 10).success(s(10));
    permit(&breaker, 10).success(s(10));
    for late in late {
        assert_eq!(late.failure(s(10)), None);
    }
    assert_eq!(breaker.state(s(10)), State::Closed);
}

#[test]
fn the_open_time_grows_with_each_failed_trial_up_to_its_limit_and_starts_over() {
    let breaker = breaker(&Policy {
        open: OpenTime {
            base: s(10),
            multiplier: 2.0,
            max: s(60),
        },
        ..policy()
    });
    fail(&breaker, 3, 0);
    let mut now = 0;
    for open in [10, 20, 40, 60, 60, 60] {
        let rejected = breaker.try_acquire(s(now)).unwrap_err();
        assert_eq!(rejected.retry_after, s(open));
        now += open;
        permit(&breaker, now).failure(s(now));
    }
    now += 60;
    permit(&breaker, now).success(s(now));
    permit(&breaker, now).success(s(now));
    fail(&breaker, 3, now);
    assert_eq!(breaker.try_acquire(s(now)).unwrap_err().retry_after, s(10));
}

#[test]
fn the_open_time_stays_at_its_limit_for_ever() {
    let breaker = breaker(&Policy {
        open: OpenTime {
            base: ms(1),
            multiplier: 100.0,
            max: s(60),
        },
        ..policy()
    });
    fail(&breaker, 3, 0);
    for minute in 1..1_000 {
        permit(&breaker, 60 * minute).failure(s(60 * minute));
    }
    let rejected = breaker.try_acquire(s(60 * 999)).unwrap_err();
    assert_eq!(rejected.retry_after, s(60));
}

#[test]
fn a_ratio_of_failures_opens_it_once_there_are_enough_calls() {
    let breaker = breaker(&Policy {
        consecutive_failures: None,
        failure_ratio: Some(0.3),
        minimum_calls: 10,
        ..policy()
    });
    fail(&breaker, 2, 0);
    for _ in 0..7 {
        permit(&breaker, 0).success(s(0));
    }
    assert_eq!(breaker.state(s(0)), State::Closed);
    let expected = transition(State::Closed, State::Open, Cause::FailureRatio);
    assert_eq!(fail(&breaker, 1, 0), expected);
}

#[test]
fn slow_calls_open_it_even_if_they_succeed() {
    let breaker = breaker(&Policy {
        slow_calls: Some(SlowCalls {
            longer_than: ms(500),
            ratio: 0.5,
        }),
        minimum_calls: 4,
        ..policy()
    });
    for _ in 0..2 {
        permit(&breaker, 0).success(ms(500));
    }
    assert_eq!(permit(&breaker, 0).success(ms(501)), None);
    let expected = transition(State::Closed, State::Open, Cause::SlowCalls);
    assert_eq!(permit(&breaker, 0).success(ms(501)), expected);
}

#[test]
fn a_slow_trial_opens_it_again() {
    let breaker = breaker(&Policy {
        slow_calls: Some(SlowCalls {
            longer_than: ms(500),
            ratio: 0.5,
        }),
        ..policy()
    });
    fail(&breaker, 3, 0);
    let expected = transition(State::HalfOpen, State::Open, Cause::TrialSlow);
    assert_eq!(permit(&breaker, 10).success(ms(10_501)), expected);
}

#[test]
fn the_window_is_empty_when_it_has_closed() {
    let breaker = breaker(&Policy {
        failure_ratio: Some(0.5),
        minimum_calls: 4,
        open: OpenTime {
            base: ms(1),
            ..OpenTime::default()
        },
        ..policy()
    });
    let late = permit(&breaker, 0);
    fail(&breaker, 3, 0);
    let now = ms(1);
    for _ in 0..2 {
        breaker.try_acquire(now).unwrap().success(now);
    }
    late.failure(now);
    assert_eq!(breaker.counts(now), Counts::default());
    breaker.try_acquire(now).unwrap().failure(now);
    let expected = Counts {
        calls: 1,
        failures: 1,
        slow: 0,
    };
    assert_eq!(breaker.counts(now), expected);
}

#[test]
fn forced_open_nothing_passes_until_it_is_resumed() {
    let breaker = breaker(&policy());
    let late = permit(&breaker, 0);
    let expected = transition(State::Closed, State::ForcedOpen, Cause::Operator);
    assert_eq!(breaker.force_open(), expected);
    assert_eq!(breaker.force_open(), None);
    let rejected = breaker.try_acquire(s(1_000_000)).unwrap_err();
    assert_eq!(rejected.state, State::ForcedOpen);
    assert_eq!(rejected.retry_after, s(10));
    assert_eq!(late.success(s(1_000_000)), None);
    let expected = transition(State::ForcedOpen, State::Closed, Cause::Operator);
    assert_eq!(breaker.resume(), expected);
    assert!(breaker.try_acquire(s(0)).is_ok());
}

#[test]
fn forced_closed_everything_passes_and_nothing_counts() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    let expected = transition(State::Open, State::ForcedClosed, Cause::Operator);
    assert_eq!(breaker.force_closed(), expected);
    let late = permit(&breaker, 0);
    assert_eq!(fail(&breaker, 100, 0), None);
    assert_eq!(breaker.state(s(0)), State::ForcedClosed);
    breaker.resume();
    fail(&breaker, 2, 0);
    late.failure(s(0));
    assert_eq!(breaker.state(s(0)), State::Closed);
    assert_eq!(breaker.resume(), None);
}

#[test]
fn changes_are_counted() {
    let breaker = breaker(&policy());
    fail(&breaker, 3, 0);
    permit(&breaker, 10).failure(s(10));
    permit(&breaker, 20).success(s(20));
    permit(&breaker, 20).success(s(20));
    let expected = Transitions {
        closed: 1,
        opened: 2,
        half_opened: 2,
    };
    assert_eq!(breaker.transitions(), expected);
    assert_eq!(breaker.generation(), 5);
}

#[test]
fn a_clock_that_is_a_little_behind_does_no_harm() {
    let breaker = breaker(&Policy {
        failure_ratio: Some(1.0),
        minimum_calls: 1_000,
        ..policy()
    });
    // A verdict before its call, a trial before it is due, a window that ends before its newest bucket.
    permit(&breaker, 5).success(s(5) - ms(1));
    permit(&breaker, 6).success(s(6));
    assert_eq!(breaker.counts(s(6) - ms(1)).calls, 2);
    fail(&breaker, 3, 20);
    let trial = permit(&breaker, 30);
    assert!(breaker.try_acquire(s(30) - ms(1)).is_ok());
    trial.failure(s(30) - ms(1));
    let rejected = breaker.try_acquire(s(30) - ms(2)).unwrap_err();
    assert_eq!(rejected.retry_after, s(10) + ms(1));
}

#[test]
fn a_clock_that_is_a_whole_window_behind_loses_no_call() {
    let breaker = breaker(&Policy {
        failure_ratio: Some(1.0),
        ..policy()
    });
    permit(&breaker, 20).success(s(20));
    permit(&breaker, 10).failure(s(10));
    let expected = Counts {
        calls: 2,
        failures: 1,
        slow: 0,
    };
    assert_eq!(breaker.counts(s(10)), expected);
    assert_eq!(breaker.counts(s(20)), expected);
}

#[test]
fn a_permit_can_outlive_the_borrow() {
    let breaker = Arc::new(breaker(&policy()));
    let permits: Vec<_> = (0..3)
        .map(|_| breaker.try_acquire_owned(s(0)).unwrap())
        .collect();
    std::thread::spawn(move || permits.into_iter().filter_map(|p| p.failure(s(0))).count())
        .join()
        .map(|opened| assert_eq!(opened, 1))
        .unwrap();
    assert!(breaker.try_acquire_owned(s(0)).is_err());
    assert_eq!(Arc::strong_count(&breaker), 1);
}
