use std::sync::Arc;

use super::*;
use crate::in_flight::InFlight;

const NOW: Duration = Duration::from_secs(100);

fn after(milliseconds: u64) -> Duration {
    NOW + Duration::from_millis(milliseconds)
}

fn answered(load: &Arc<Load>, outcome: Outcome) -> Streak {
    InFlight::start(load, NOW).answered(outcome, after(20))
}

#[test]
#[cfg(target_pointer_width = "64")]
fn what_requests_write_to_is_in_one_cache_line_with_the_counts() {
    let counts = 2 * size_of::<usize>();
    assert_eq!(counts + std::mem::offset_of!(Load, available_since), 64);
    assert_eq!(counts + size_of::<Load>(), 128);
}

#[test]
fn a_request_is_in_flight_until_it_is_dropped() {
    let load = Arc::new(Load::new(NOW));
    let mut one = InFlight::start(&load, NOW);
    let other = InFlight::start(&load, NOW);
    assert_eq!(load.in_flight(), 2);
    one.answered(Outcome::Success, NOW);
    assert_eq!(load.in_flight(), 2, "its body is still to come");
    drop(one);
    drop(other);
    assert_eq!(load.in_flight(), 0);
}

#[test]
fn what_a_request_has_waited_for_something_else_is_no_latency() {
    let load = Arc::new(Load::new(NOW));
    let mut request = InFlight::start(&load, NOW);
    request.begins(after(500));
    request.answered(Outcome::Success, after(520));
    let latency = load.latency(after(520)).unwrap();
    assert!(latency.abs_diff(Duration::from_millis(20)) < Duration::from_micros(10));
    // Nothing begins that has been answered.
    request.begins(after(900));
    assert_eq!(
        request.answered(Outcome::GatewayFailure, after(900)),
        Streak::default()
    );
}

#[test]
fn latency_is_the_time_to_the_first_answer() {
    let load = Arc::new(Load::new(NOW));
    assert_eq!(load.latency(NOW), None);
    let mut request = InFlight::start(&load, NOW);
    request.answered(Outcome::Success, after(20));
    request.answered(Outcome::GatewayFailure, after(2_000));
    let latency = load.latency(after(20)).unwrap();
    assert!(latency.abs_diff(Duration::from_millis(20)) < Duration::from_micros(10));
}

#[test]
fn a_gateway_failure_is_as_bad_as_a_long_wait() {
    let load = Arc::new(Load::new(NOW));
    answered(&load, Outcome::GatewayFailure);
    assert_eq!(load.latency(after(20)), Some(FAILURE_LATENCY));
}

#[test]
fn failures_are_counted_to_the_next_success() {
    use Outcome::{Cancelled, GatewayFailure, ServerError, Success};
    let load = Arc::new(Load::new(NOW));
    for (outcome, server_errors, gateway_failures) in [
        (ServerError, 1, 0),
        (GatewayFailure, 2, 1),
        (GatewayFailure, 3, 2),
        (ServerError, 4, 0),
        (GatewayFailure, 5, 1),
        (Cancelled, 0, 0),
        (GatewayFailure, 6, 2),
        (Success, 0, 0),
        (GatewayFailure, 1, 1),
    ] {
        let streak = Streak {
            server_errors,
            gateway_failures,
        };
        assert_eq!(answered(&load, outcome), streak);
    }
}

#[test]
fn answers_are_what_has_ended_without_what_has_no_answer() {
    use Outcome::{Cancelled, GatewayFailure, ServerError, Success};
    let load = Arc::new(Load::new(NOW));
    for outcome in [Success, Success, ServerError, GatewayFailure, Cancelled] {
        answered(&load, outcome);
    }
    drop(InFlight::start(&load, NOW));
    let _running = InFlight::start(&load, NOW);
    let answers = Answers {
        all: 4,
        failures: 2,
    };
    assert_eq!(load.take_answers(), answers);
    let none = Answers {
        all: 0,
        failures: 0,
    };
    assert_eq!(load.take_answers(), none);
}

#[test]
fn answers_are_counted_across_the_end_of_the_counter() {
    let load = Arc::new(Load {
        requests: AtomicU64::new(u64::MAX - (UPPER - ONE)),
        ended_before: AtomicU32::new(u32::MAX),
        ..Load::new(NOW)
    });
    for _ in 0..3 {
        answered(&load, Outcome::Success);
    }
    assert_eq!(load.take_answers().all, 3);
    assert_eq!(load.in_flight(), 0);
}

#[test]
fn it_is_available_when_neither_checks_nor_answers_speak_against_it() {
    let load = Load::new(NOW);
    load.mark_unhealthy();
    load.eject(after(30_000), 1);
    load.uneject(after(1));
    assert!(load.is_unhealthy() && !load.is_available());
    load.eject(after(30_000), 1);
    load.mark_healthy(after(2));
    assert!(load.is_available() && !load.is_ejected());
}

#[test]
fn it_starts_slowly_from_when_it_became_available() {
    let load = Load::new(NOW);
    let available_for = |now| load.available_for(nanoseconds(now)) / 1_000_000;
    assert_eq!(available_for(after(5)), 5);
    load.mark_healthy(after(10));
    assert_eq!(available_for(after(15)), 15, "it was available before");
    load.mark_unhealthy();
    load.mark_healthy(after(20));
    assert_eq!(available_for(after(25)), 5);
    load.eject(after(30_000), 1);
    load.uneject(after(40));
    assert_eq!(available_for(after(45)), 5);
    assert_eq!(available_for(NOW), 0, "by a clock that is behind");
}

#[test]
fn a_status_says_how_it_went() {
    for (status, outcome) in [
        (200, Outcome::Success),
        (404, Outcome::Success),
        (500, Outcome::ServerError),
        (501, Outcome::ServerError),
        (502, Outcome::GatewayFailure),
        (503, Outcome::GatewayFailure),
        (504, Outcome::GatewayFailure),
        (599, Outcome::ServerError),
    ] {
        assert_eq!(Outcome::from_status(status), outcome);
    }
}
