//! The window and the whole breaker against a slow version of it that is obviously right.

use std::time::Duration;

use circuit_breaker::{Breaker, OpenTime, Permit, Policy, SlowCalls};
use proptest::prelude::*;

use crate::reference::{Begun, Reference, Verdict};
use crate::{ms, s};

#[derive(Debug, Clone)]
enum Step {
    Begin,
    End(prop::sample::Index, Verdict),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// Another thread's clock, which is so many milliseconds behind.
    Behind(u64),
    ForceOpen,
    ForceClosed,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Success),
        4 => Just(Verdict::Failure),
        1 => Just(Verdict::None),
    ];
    prop_oneof![
        20 => Just(Step::Begin),
        20 => (any::<prop::sample::Index>(), verdict).prop_map(|(call, end)| Step::End(call, end)),
        6 => (0_u64..150).prop_map(Step::Wait),
        2 => (0_u64..3_000).prop_map(Step::Wait),
        2 => (0_u64..30).prop_map(Step::Behind),
        1 => prop_oneof![Just(Step::ForceOpen), Just(Step::ForceClosed)],
        2 => Just(Step::Resume),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let rules = (
        prop::option::of(1_u32..6),
        prop::option::of(0.05_f64..=1.0),
        prop::option::of((1_u64..400, 0.05_f64..=1.0)),
    );
    let times = (1_000_u64..2_500, 1_u64..2_000, 1.0_f64..3.0, 1_u64..5);
    let numbers = (1_u32..12, 1_u32..5, 1_u32..5, 1_usize..5);
    (rules, times, numbers).prop_map(|(rules, times, numbers)| Policy {
        consecutive_failures: match rules {
            (None, None, None) => Some(3),
            (consecutive, _, _) => consecutive,
        },
        failure_ratio: rules.1,
        slow_calls: rules.2.map(|(longer_than, ratio)| SlowCalls {
            longer_than: ms(longer_than),
            ratio,
        }),
        window: ms(times.0 / 10 * 10),
        minimum_calls: numbers.0,
        open: OpenTime {
            base: ms(times.1),
            multiplier: times.2,
            max: ms(times.1 * times.3),
        },
        permitted: numbers.1,
        successes: numbers.2,
        threads: numbers.3,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn it_does_what_the_slow_version_does(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let breaker = Breaker::new(&policy).unwrap();
        let mut reference = Reference::new(&policy);
        let mut calls: Vec<(Permit<&Breaker>, Begun)> = Vec::new();
        let mut clock = s(1_000);
        let mut now = clock;
        for step in steps {
            match step {
                Step::Wait(time) => {
                    clock += ms(time);
                    now = clock;
                }
                Step::Behind(time) => now = clock - ms(time),
                Step::Begin => match (breaker.try_acquire(now), reference.begin(now)) {
                    (Ok(permit), Ok((begun, change))) => {
                        prop_assert_eq!(permit.transition(), change);
                        calls.push((permit, begun));
                    }
                    (Err(rejected), Err(expected)) => prop_assert_eq!(rejected, expected),
                    (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
                },
                Step::End(call, verdict) => {
                    if calls.is_empty() {
                        continue;
                    }
                    let (permit, begun) = calls.swap_remove(call.index(calls.len()));
                    let got = match verdict {
                        Verdict::Success => permit.success(now),
                        Verdict::Failure => permit.failure(now),
                        Verdict::None => {
                            drop(permit);
                            None
                        }
                    };
                    prop_assert_eq!(got, reference.end(begun, verdict, now));
                }
                Step::ForceOpen => prop_assert_eq!(breaker.force_open(), reference.force_open()),
                Step::ForceClosed => {
                    prop_assert_eq!(breaker.force_closed(), reference.force_closed());
                }
                Step::Resume => prop_assert_eq!(breaker.resume(), reference.resume()),
            }
            prop_assert_eq!(breaker.state(now), reference.state(now));
            prop_assert_eq!(breaker.counts(now), reference.counts(now));
            prop_assert_eq!(breaker.generation(), reference.generation());
        }
    }

    /// The bound that is documented, against time itself.
    #[test]
    fn a_call_is_in_the_window_for_nine_tenths_of_its_length_at_least_and_never_longer_than_it(
        length in 1_000_u64..100_000,
        began in 0_u64..1_000_000_000,
        // Of ten thousand.
        share in 0_u64..20_000,
    ) {
        let window = ms(length);
        let breaker = Breaker::new(&Policy {
            failure_ratio: Some(1.0),
            window,
            ..Policy::default()
        }).unwrap();
        let then = Duration::from_micros(began);
        breaker.try_acquire(then).unwrap().success(then);
        let age = window * u32::try_from(share).unwrap() / 10_000;
        let counted = breaker.counts(then + age).calls == 1;
        if age <= window * 9 / 10 {
            prop_assert!(counted);
        }
        if age >= window {
            prop_assert!(!counted);
        }
    }
}
