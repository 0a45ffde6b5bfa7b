//! Which policies there are.

use std::time::Duration;

use circuit_breaker::{Breaker, OpenTime, Policy, PolicyError, SlowCalls};

use crate::{ms, s};

#[test]
fn the_defaults_are_a_policy() {
    assert!(Breaker::new(&Policy::default()).is_ok());
}

#[test]
fn a_breaker_that_nothing_opens_is_refused() {
    let policy = Policy {
        consecutive_failures: None,
        ..Policy::default()
    };
    assert_eq!(Breaker::new(&policy).unwrap_err(), PolicyError::NoRule);
}

#[test]
fn a_value_out_of_its_range_is_refused_with_its_name_and_what_is_allowed() {
    let policy = Policy {
        failure_ratio: Some(1.5),
        ..Policy::default()
    };
    let error = Breaker::new(&policy).unwrap_err();
    let message = "failure_ratio is 1.5: a ratio must be above 0 and at most 1";
    assert_eq!(error.to_string(), message);
}

#[test]
fn every_value_has_a_range() {
    type Change = fn(&mut Policy);
    let changes: [(&str, Change); 21] = [
        ("consecutive_failures", |p| p.consecutive_failures = Some(0)),
        ("consecutive_failures", |p| {
            p.consecutive_failures = Some(1_000_001);
        }),
        ("failure_ratio", |p| p.failure_ratio = Some(0.0)),
        ("failure_ratio", |p| p.failure_ratio = Some(-0.5)),
        ("failure_ratio", |p| p.failure_ratio = Some(f64::NAN)),
        ("slow_calls.longer_than", |p| {
            p.slow_calls = Some(SlowCalls {
                longer_than: Duration::ZERO,
                ratio: 0.5,
            });
        }),
        ("slow_calls.ratio", |p| {
            p.slow_calls = Some(SlowCalls {
                longer_than: s(1),
                ratio: f64::INFINITY,
            });
        }),
        ("window", |p| p.window = ms(999)),
        ("window", |p| p.window = s(3_601)),
        ("minimum_calls", |p| p.minimum_calls = 0),
        ("minimum_calls", |p| p.minimum_calls = u32::MAX),
        ("permitted", |p| p.permitted = 0),
        ("permitted", |p| p.permitted = 1_001),
        ("successes", |p| p.successes = 0),
        ("successes", |p| p.successes = 1_001),
        ("threads", |p| p.threads = 0),
        ("threads", |p| p.threads = 257),
        ("open.base", |p| p.open.base = Duration::ZERO),
        ("open.multiplier", |p| p.open.multiplier = 0.9),
        ("open.max", |p| p.open.max = ms(9_999)),
        ("open.max", |p| p.open.max = Duration::MAX),
    ];
    for (name, change) in changes {
        let mut policy = Policy::default();
        change(&mut policy);
        match Breaker::new(&policy).unwrap_err() {
            PolicyError::OutOfRange { setting, .. } => assert_eq!(setting, name),
            error @ PolicyError::NoRule => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_ends_of_the_ranges_are_allowed() {
    let extreme = |most: bool| Policy {
        consecutive_failures: Some(if most { 1_000_000 } else { 1 }),
        failure_ratio: Some(if most { 1.0 } else { f64::MIN_POSITIVE }),
        slow_calls: None,
        window: if most { s(3_600) } else { s(1) },
        minimum_calls: if most { 1_000_000 } else { 1 },
        open: OpenTime {
            base: if most { s(86_400) } else { ms(1) },
            multiplier: if most { 100.0 } else { 1.0 },
            max: if most { s(86_400) } else { ms(1) },
        },
        permitted: if most { 1_000 } else { 1 },
        successes: if most { 1_000 } else { 1 },
        threads: if most { 256 } else { 1 },
    };
    assert!(Breaker::new(&extreme(true)).is_ok());
    assert!(Breaker::new(&extreme(false)).is_ok());
}
