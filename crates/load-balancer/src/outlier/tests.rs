use proptest::prelude::*;

use super::*;
use crate::health::{Health, Probe, Thresholds};
use crate::{InFlight, Outcome};

const START: Duration = Duration::from_secs(1_000);

fn at(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

struct Upstream {
    loads: Vec<Arc<Load>>,
    detector: Detector,
}

impl Upstream {
    fn new(endpoints: usize, settings: Settings) -> Self {
        let loads: Vec<Arc<Load>> = (0..endpoints).map(|_| Arc::new(Load::new(START))).collect();
        Self {
            detector: Detector::new(settings, loads.clone(), START),
            loads,
        }
    }

    /// `count` requests to an endpoint that all go the same way; what the detector did, if anything.
    fn answer(&self, endpoint: usize, outcome: Outcome, count: u32, now: Duration) -> Vec<Event> {
        let load = &self.loads[endpoint];
        let one = |_| {
            let streak = InFlight::start(load, now).answered(outcome, now);
            self.detector.judge(load, streak, now)
        };
        (0..count).filter_map(one).collect()
    }

    fn ejected(&self) -> Vec<usize> {
        let ejected = |&endpoint: &usize| self.loads[endpoint].is_ejected();
        (0..self.loads.len()).filter(ejected).collect()
    }
}

fn ejected(endpoint: usize, reason: Reason, seconds: u64) -> Event {
    Event {
        endpoint,
        change: Change::Ejected {
            reason,
            time: Duration::from_secs(seconds),
        },
    }
}

fn returned(endpoint: usize) -> Event {
    Event {
        endpoint,
        change: Change::Returned,
    }
}

/// Settings that judge by failures in a row only.
fn by_streak() -> Settings {
    Settings {
        success_rate: None,
        ..Settings::default()
    }
}

#[test]
fn the_defaults_are_envoys() {
    let settings = Settings::default();
    assert_eq!(settings.consecutive_server_errors, 5);
    assert_eq!(settings.consecutive_gateway_failures, 5);
    assert_eq!(settings.interval, Duration::from_secs(10));
    assert_eq!(settings.base_ejection_time, Duration::from_secs(30));
    assert_eq!(settings.max_ejection_time, Duration::from_secs(300));
    assert_eq!(settings.max_ejection_percent, 10);
    let rate = settings.success_rate.unwrap();
    assert_eq!((rate.minimum_hosts, rate.request_volume), (5, 100));
    assert_eq!(rate.stdev_factor, 1.9);
}

#[test]
fn failures_in_a_row_eject_at_once() {
    let upstream = Upstream::new(3, by_streak());
    assert_eq!(upstream.answer(1, Outcome::ServerError, 4, START), []);
    upstream.answer(1, Outcome::Success, 1, START);
    assert_eq!(upstream.answer(1, Outcome::ServerError, 4, START), []);
    assert_eq!(
        upstream.answer(1, Outcome::ServerError, 1, START),
        [ejected(1, Reason::ConsecutiveServerErrors, 30)]
    );
    assert_eq!(upstream.ejected(), [1]);
}

#[test]
fn gateway_failures_are_counted_by_themselves() {
    let settings = Settings {
        consecutive_gateway_failures: 3,
        ..by_streak()
    };
    let upstream = Upstream::new(3, settings);
    assert_eq!(
        upstream.answer(0, Outcome::GatewayFailure, 3, START),
        [ejected(0, Reason::ConsecutiveGatewayFailures, 30)]
    );
}

#[test]
fn a_threshold_of_zero_ejects_nobody() {
    let settings = Settings {
        consecutive_server_errors: 0,
        consecutive_gateway_failures: 0,
        ..by_streak()
    };
    let upstream = Upstream::new(3, settings);
    assert_eq!(upstream.answer(0, Outcome::GatewayFailure, 100, START), []);
}

#[test]
fn an_endpoint_returns_when_its_time_is_over_and_longer_each_time() {
    let upstream = Upstream::new(2, by_streak());
    let mut now = START;
    for seconds in [30, 60, 90] {
        let events = upstream.answer(0, Outcome::ServerError, 5, now);
        assert_eq!(
            events,
            [ejected(0, Reason::ConsecutiveServerErrors, seconds)]
        );
        now += Duration::from_secs(seconds - 1);
        assert_eq!(upstream.detector.tick(now), []);
        now += Duration::from_secs(1);
        assert_eq!(upstream.detector.tick(now), [returned(0)]);
        assert!(upstream.loads[0].is_available());
    }
}

#[test]
fn an_ejection_is_no_longer_than_the_longest() {
    let upstream = Upstream::new(2, by_streak());
    let mut now = START;
    let mut last = Vec::new();
    for _ in 0..20 {
        last = upstream.answer(0, Outcome::ServerError, 5, now);
        now += Duration::from_secs(300);
        upstream.detector.tick(now);
    }
    assert_eq!(last, [ejected(0, Reason::ConsecutiveServerErrors, 300)]);
    // Ten intervals of calm, and all is forgiven.
    for _ in 0..10 {
        now += Duration::from_secs(10);
        upstream.detector.tick(now);
    }
    let next = upstream.answer(0, Outcome::ServerError, 5, now);
    assert_eq!(next, [ejected(0, Reason::ConsecutiveServerErrors, 30)]);
}

#[test]
fn failures_before_an_ejection_do_not_count_after_it() {
    let upstream = Upstream::new(2, by_streak());
    upstream.answer(0, Outcome::ServerError, 5, START);
    // Those that were on their way.
    assert_eq!(upstream.answer(0, Outcome::ServerError, 4, START), []);
    upstream.detector.tick(at(30));
    assert_eq!(upstream.answer(0, Outcome::ServerError, 4, at(31)), []);
}

#[test]
fn no_more_than_the_allowed_share_is_ejected() {
    for (endpoints, most) in [(2, 1), (3, 1), (10, 1), (19, 1), (20, 2), (30, 3)] {
        let upstream = Upstream::new(endpoints, by_streak());
        for endpoint in 0..endpoints {
            upstream.answer(endpoint, Outcome::GatewayFailure, 20, START);
        }
        assert_eq!(upstream.ejected().len(), most, "{endpoints}");
    }
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    let upstream = Upstream::new(1, Settings::default());
    assert_eq!(upstream.answer(0, Outcome::GatewayFailure, 100, START), []);

    let settings = Settings {
        max_ejection_percent: 100,
        ..by_streak()
    };
    let upstream = Upstream::new(4, settings);
    // One is found unhealthy by active checks, so that three are left.
    upstream.loads[0].mark_unhealthy();
    for endpoint in 1..4 {
        upstream.answer(endpoint, Outcome::GatewayFailure, 20, START);
    }
    assert_eq!(upstream.ejected(), [1, 2]);
    assert!(upstream.loads[3].is_available());
}

#[test]
fn a_passing_check_ends_an_ejection() {
    let upstream = Upstream::new(2, by_streak());
    upstream.answer(0, Outcome::ServerError, 5, START);
    let mut health = Health::default();
    health.record(
        Probe::Passed,
        Thresholds::default(),
        &upstream.loads[0],
        at(3),
    );
    assert!(upstream.loads[0].is_available());
    assert_eq!(upstream.detector.tick(at(30)), []);
}

#[test]
fn an_endpoint_that_succeeds_much_less_than_the_others_is_ejected() {
    // Envoy's example: 50, 100, 100, 100, 100 have a mean of 90, a deviation of 20, and a least rate of 52.
    let upstream = Upstream::new(5, Settings::default());
    for endpoint in 0..5 {
        // One by one, so that no failures come in a row.
        for request in 0..200 {
            let failed = endpoint == 0 && request % 2 == 0;
            let outcome = if failed {
                Outcome::ServerError
            } else {
                Outcome::Success
            };
            assert_eq!(upstream.answer(endpoint, outcome, 1, START), []);
        }
    }
    assert_eq!(upstream.detector.tick(at(9)), []);
    assert_eq!(
        upstream.detector.tick(at(10)),
        [ejected(0, Reason::SuccessRate, 30)]
    );
    // The counts have been used up.
    assert_eq!(upstream.detector.tick(at(20)), []);
}

#[test]
fn rates_are_not_compared_where_there_are_few_endpoints_or_requests() {
    for (endpoints, requests) in [(4, 200), (5, 99)] {
        let upstream = Upstream::new(endpoints, Settings::default());
        for endpoint in 0..endpoints {
            for request in 0..requests {
                let failed = endpoint == 0 && request % 2 == 0;
                let outcome = if failed {
                    Outcome::ServerError
                } else {
                    Outcome::Success
                };
                upstream.answer(endpoint, outcome, 1, START);
            }
        }
        assert_eq!(upstream.detector.tick(at(10)), []);
    }
}

#[test]
fn endpoints_that_are_equally_bad_stay() {
    let upstream = Upstream::new(6, Settings::default());
    for endpoint in 0..6 {
        for request in 0..300 {
            let outcome = match request % 3 {
                0 => Outcome::ServerError,
                _ => Outcome::Success,
            };
            upstream.answer(endpoint, outcome, 1, START);
        }
    }
    assert_eq!(upstream.detector.tick(at(10)), []);
}

#[test]
fn what_a_detector_has_ejected_its_successor_lets_return() {
    let upstream = Upstream::new(2, by_streak());
    upstream.answer(0, Outcome::ServerError, 5, START);
    let successor = Detector::new(by_streak(), upstream.loads.clone(), at(5));
    assert_eq!(successor.tick(at(29)), []);
    assert_eq!(successor.tick(at(30)), [returned(0)]);
}

#[test]
fn an_interval_goes_on_when_endpoints_come_and_go() {
    let mut upstream = Upstream::new(5, Settings::default());
    upstream.loads.push(Arc::new(Load::new(START)));
    upstream.detector = upstream.detector.update(upstream.loads.clone());
    for endpoint in 0..6 {
        for request in 0..200 {
            let outcome = match (endpoint, request % 2) {
                (0, 0) => Outcome::ServerError,
                _ => Outcome::Success,
            };
            upstream.answer(endpoint, outcome, 1, at(5));
        }
    }
    upstream.loads.pop();
    upstream.detector = upstream.detector.update(upstream.loads.clone());
    assert_eq!(
        upstream.detector.tick(at(10)),
        [ejected(0, Reason::SuccessRate, 30)]
    );
    upstream.detector = upstream.detector.update(upstream.loads.clone());
    assert_eq!(upstream.detector.tick(at(40)), [returned(0)]);
}

#[test]
fn an_endpoint_that_has_been_removed_is_left_alone() {
    let upstream = Upstream::new(2, by_streak());
    let removed = Arc::new(Load::new(START));
    let streak = Streak {
        server_errors: 9,
        gateway_failures: 0,
    };
    assert_eq!(upstream.detector.judge(&removed, streak, START), None);
    assert!(removed.is_available());
}

#[test]
fn threads_that_judge_at_once_do_not_exceed_the_share_together() {
    let settings = Settings {
        max_ejection_percent: 50,
        ..by_streak()
    };
    let upstream = Upstream::new(8, settings);
    std::thread::scope(|scope| {
        for endpoint in 0..8 {
            let upstream = &upstream;
            scope.spawn(move || upstream.answer(endpoint, Outcome::GatewayFailure, 1_000, START));
        }
    });
    assert_eq!(upstream.ejected().len(), 4);
}

proptest! {
    /// Whatever is answered, checked and waited for: one endpoint stays available if one was, and no more than the
    /// share is ejected.
    #[test]
    fn one_endpoint_stays(
        endpoints in 1_usize..6,
        max_ejection_percent in 0_u32..=100,
        steps in prop::collection::vec((0_usize..6, 0_u8..4, 0_u64..40), 1..100),
    ) {
        let settings = Settings { max_ejection_percent, ..by_streak() };
        let upstream = Upstream::new(endpoints, settings);
        let most = (endpoints * max_ejection_percent as usize / 100).max(usize::from(max_ejection_percent > 0));
        let mut now = START;
        for (endpoint, what, seconds) in steps {
            match what {
                0 => { upstream.answer(endpoint % endpoints, Outcome::Success, 1, now); }
                1 | 2 => { upstream.answer(endpoint % endpoints, Outcome::GatewayFailure, 5, now); }
                _ => {
                    now += Duration::from_secs(seconds);
                    upstream.detector.tick(now);
                }
            }
            prop_assert!(upstream.loads.iter().any(|load| load.is_available()));
            prop_assert!(upstream.ejected().len() <= most);
        }
    }
}
