//! Active health checks: what their results make of an endpoint, and when the next one is due.
//!
//! Who sends the checks is the caller's business; here a result comes in and a state goes out. The **first** result
//! counts at once, whichever it is: a gateway that has just started neither waits for several to use an endpoint nor
//! sends requests for several to one that is down. After that, a state changes when so many results in a row speak
//! against it. Before the first result nothing is known, and the endpoint may be used.
//!
//! ```
//! use std::time::Duration;
//! use load_balancer::Load;
//! use load_balancer::health::{Health, Probe, State, Thresholds};
//!
//! let (load, mut health) = (Load::new(Duration::ZERO), Health::default());
//! let now = Duration::from_secs(3);
//! assert_eq!(health.record(Probe::Failed, Thresholds::default(), &load, now), Some(State::Unhealthy));
//! assert!(!load.is_available());
//! assert_eq!(health.record(Probe::Passed, Thresholds::default(), &load, now), Some(State::Healthy));
//! assert!(load.is_available());
//! ```

use std::time::Duration;

use crate::load::Load;
use crate::random::mix;

/// What active checks say of one endpoint. Kept, like its [`Load`], as long as the endpoint exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    state: State,
    /// Results in a row that speak against the state.
    against: u32,
}

/// Whether an endpoint may be used, as far as active checks know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// There has been no result yet.
    #[default]
    Unknown,
    /// It may be used.
    Healthy,
    /// It may not.
    Unhealthy,
}

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The answer was as expected, and in time.
    Passed,
    /// It was not, or there was none.
    Failed,
}

/// How many results in a row change a state; 0 counts as 1. By default as in Envoy Gateway: 1 and 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Passed checks that make an endpoint healthy.
    pub healthy: u32,
    /// Failed checks that make it unhealthy.
    pub unhealthy: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            healthy: 1,
            unhealthy: 3,
        }
    }
}

impl Health {
    /// The present state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes in a result, and tells the endpoint's `load`. The new state, if it has changed.
    ///
    /// A check that passes while the endpoint is healthy, or becomes so, also ends its ejection by outlier detection,
    /// as in Envoy.
    pub fn record(
        &mut self,
        probe: Probe,
        thresholds: Thresholds,
        load: &Load,
        now: Duration,
    ) -> Option<State> {
        let before = self.state;
        self.take(probe, thresholds);
        match (probe, self.state) {
            (Probe::Passed, State::Healthy) => load.mark_healthy(now),
            (_, State::Unhealthy) => load.mark_unhealthy(),
            (_, State::Healthy | State::Unknown) => {}
        }
        (self.state != before).then_some(self.state)
    }

    fn take(&mut self, probe: Probe, thresholds: Thresholds) {
        let (said, needed) = match probe {
            Probe::Passed => (State::Healthy, thresholds.healthy),
            Probe::Failed => (State::Unhealthy, thresholds.unhealthy),
        };
        if self.state == said {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.state == State::Unknown || self.against >= needed {
            self.state = said;
            self.against = 0;
        }
    }
}

/// How long to wait for the next check: `interval`, and up to `jitter` more by the number `random`, so that the
/// checks of many endpoints, or by many gateways, do not fall together. With no interval, how long to wait for the
/// first one.
#[must_use]
pub fn next_check(interval: Duration, jitter: Duration, random: u64) -> Duration {
    // The upper 32 bits as a fraction.
    let part = (mix(random) >> 32) as f64 / (1_u64 << 32) as f64;
    interval.saturating_add(jitter.mul_f64(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const THRESHOLDS: Thresholds = Thresholds {
        healthy: 2,
        unhealthy: 3,
    };

    /// The states after each of the results: "+" passed, "-" failed.
    fn states(results: &str) -> Vec<State> {
        let (load, mut health) = (Load::new(NOW), Health::default());
        let probe = |result| match result {
            '+' => Probe::Passed,
            _ => Probe::Failed,
        };
        let after = |result| {
            health.record(probe(result), THRESHOLDS, &load, NOW);
            assert_eq!(load.is_unhealthy(), health.state() == State::Unhealthy);
            health.state()
        };
        results.chars().map(after).collect()
    }

    #[test]
    fn the_first_result_counts_at_once() {
        assert_eq!(states("+"), [State::Healthy]);
        assert_eq!(states("-"), [State::Unhealthy]);
        assert_eq!(Health::default().state(), State::Unknown);
    }

    #[test]
    fn a_state_changes_after_as_many_results_in_a_row() {
        use State::{Healthy as Up, Unhealthy as Down};
        assert_eq!(states("+--+---"), [Up, Up, Up, Up, Up, Up, Down]);
        assert_eq!(states("-+-++"), [Down, Down, Down, Down, Up]);
    }

    #[test]
    fn a_passing_check_ends_an_ejection() {
        let (load, mut health) = (Load::new(Duration::ZERO), Health::default());
        health.record(Probe::Passed, THRESHOLDS, &load, NOW);
        load.eject(NOW + Duration::from_secs(30), 1);
        health.record(Probe::Failed, THRESHOLDS, &load, NOW);
        assert!(load.is_ejected(), "a failing check ends nothing");
        health.record(Probe::Passed, THRESHOLDS, &load, NOW);
        assert!(load.is_available());
    }

    #[test]
    fn a_passing_check_ends_no_ejection_while_the_endpoint_is_unhealthy() {
        let (load, mut health) = (Load::new(Duration::ZERO), Health::default());
        health.record(Probe::Failed, THRESHOLDS, &load, NOW);
        load.eject(NOW + Duration::from_secs(30), 1);
        health.record(Probe::Passed, THRESHOLDS, &load, NOW);
        assert!(load.is_ejected());
        assert_eq!(
            health.record(Probe::Passed, THRESHOLDS, &load, NOW),
            Some(State::Healthy)
        );
        assert!(load.is_available());
    }

    #[test]
    fn slow_start_begins_when_an_endpoint_becomes_available_and_not_with_each_check() {
        let (load, mut health) = (Load::new(Duration::ZERO), Health::default());
        let mut at = |seconds, probe| {
            let now = Duration::from_secs(seconds);
            health.record(probe, Thresholds::default(), &load, now);
            load.available_for(200_000_000_000) / 1_000_000_000
        };
        assert_eq!(at(10, Probe::Passed), 200);
        for seconds in 20..23 {
            at(seconds, Probe::Failed);
        }
        assert_eq!(at(30, Probe::Passed), 170);
        assert_eq!(at(40, Probe::Passed), 170);
    }

    proptest! {
        #[test]
        fn the_next_check_is_within_the_interval_and_its_jitter(
            interval in 0_u64..1_000_000, jitter in 0_u64..1_000_000, random in any::<u64>(),
        ) {
            let (interval, jitter) = (Duration::from_micros(interval), Duration::from_micros(jitter));
            let next = next_check(interval, jitter, random);
            prop_assert!(next >= interval && next <= interval + jitter);
        }
    }

    #[test]
    fn checks_are_spread_over_the_jitter() {
        let (interval, jitter) = (Duration::from_secs(10), Duration::from_secs(1));
        let waits = (0..1_000).map(|random| next_check(interval, jitter, random));
        let mean = waits.sum::<Duration>() / 1_000;
        assert!(mean.abs_diff(Duration::from_millis(10_500)) < Duration::from_millis(50));
    }
}
