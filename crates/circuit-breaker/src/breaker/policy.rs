//! When a breaker opens, for how long, and what closes it: as given, and as the breaker uses it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::window::Counts;
use crate::error::PolicyError;
use crate::time::nanoseconds;

/// The most failures in a row, and the most calls in a window, that can be asked for.
const MOST_CALLS: u32 = 1_000_000;
/// The most trials at once, and the most successes, that can be asked for: ten bits hold them.
const MOST_TRIALS: u32 = 1_000;
/// A tenth of the shortest is still far longer than what two threads' clocks disagree by; a tenth of the longest has
/// fewer calls than a bucket can count.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
const OPEN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

/// When a breaker opens, for how long, and what closes it. At least one of `consecutive_failures`, `failure_ratio` and
/// `slow_calls` has to be set; each that is opens the breaker by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Opens after so many failures without a success in between: 1 to 1,000,000. 5 by default, as in Envoy's outlier
    /// detection.
    pub consecutive_failures: Option<u32>,
    /// Opens when this share of the calls in the window has failed: above 0, at most 1. Not set by default.
    pub failure_ratio: Option<f64>,
    /// Opens when too many of the calls in the window were slow. Not set by default.
    pub slow_calls: Option<SlowCalls>,
    /// The time that ratios look back on: 1 second to 1 hour. It moves on in tenths. 10 seconds by default.
    pub window: Duration,
    /// Calls that must be in the window before a ratio means anything: 1 to 1,000,000. 20 by default.
    pub minimum_calls: u32,
    /// How long the breaker stays open.
    pub open: OpenTime,
    /// The most calls that a half-open breaker has in flight at once: 1 to 1,000. 5 by default.
    pub permitted: u32,
    /// Successes that close a half-open breaker: 1 to 1,000. 3 by default. No more than the larger of the two numbers
    /// pass before the breaker has decided, not counting those that ended without a verdict.
    pub successes: u32,
    /// How many threads use the breaker at the same time, about: 1 to 256. So many sets of counters of 256 bytes are
    /// kept when a ratio is set (rounded up to a power of two); with too few, threads wait for each other's cache
    /// lines, and nothing else is worse. 8 by default.
    pub threads: usize,
}

/// What is slow, and how much of it is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowCalls {
    /// A call that takes longer is slow, whether it succeeds or fails. Above 0.
    pub longer_than: Duration,
    /// Opens when this share of the calls in the window was slow: above 0, at most 1.
    pub ratio: f64,
}

/// How long a breaker stays open: `base`, and `multiplier` times as long as before each time that a trial fails, but
/// never longer than `max`. Closing starts over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenTime {
    /// The first time: 1 millisecond to 24 hours. 10 seconds by default.
    pub base: Duration,
    /// The growth: 1 to 100. 1 by default: the time does not grow.
    pub multiplier: f64,
    /// The longest time: `base` to 24 hours. 5 minutes by default.
    pub max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            failure_ratio: None,
            slow_calls: None,
            window: Duration::from_secs(10),
            minimum_calls: 20,
            open: OpenTime::default(),
            permitted: 5,
            successes: 3,
            threads: 8,
        }
    }
}

impl Default for OpenTime {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(10),
            multiplier: 1.0,
            max: Duration::from_mins(5),
        }
    }
}

impl Policy {
    /// Whether the breaker has to keep counts.
    pub(super) fn needs_window(&self) -> bool {
        self.failure_ratio.is_some() || self.slow_calls.is_some()
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.consecutive_failures.is_none() && !self.needs_window() {
            return Err(PolicyError::NoRule);
        }
        let calls = "it must be between 1 and 1,000,000";
        let trials = "it must be between 1 and 1,000";
        let ratio = "a ratio must be above 0 and at most 1";
        let is_ratio = |ratio: f64| ratio > 0.0 && ratio <= 1.0;
        let in_range = PolicyError::unless::<u32>;
        if let Some(failures) = self.consecutive_failures {
            let allowed = (1..=MOST_CALLS).contains(&failures);
            in_range(allowed, "consecutive_failures", failures, calls)?;
        }
        if let Some(found) = self.failure_ratio {
            PolicyError::unless(is_ratio(found), "failure_ratio", found, ratio)?;
        }
        if let Some(slow) = self.slow_calls {
            let (longer_than, name) = (slow.longer_than, "slow_calls.longer_than");
            PolicyError::unless(
                !longer_than.is_zero(),
                name,
                longer_than,
                "it must be above 0",
            )?;
            PolicyError::unless(is_ratio(slow.ratio), "slow_calls.ratio", slow.ratio, ratio)?;
        }
        PolicyError::unless(
            WINDOW.contains(&self.window),
            "window",
            self.window,
            "it must be between 1 second and 1 hour",
        )?;
        let (minimum, most) = (self.minimum_calls, MOST_CALLS);
        in_range(
            (1..=most).contains(&minimum),
            "minimum_calls",
            minimum,
            calls,
        )?;
        for (name, found) in [("permitted", self.permitted), ("successes", self.successes)] {
            in_range((1..=MOST_TRIALS).contains(&found), name, found, trials)?;
        }
        PolicyError::unless(
            (1..=256).contains(&self.threads),
            "threads",
            self.threads,
            "it must be between 1 and 256",
        )?;
        self.open.check()
    }
}

impl OpenTime {
    fn check(&self) -> Result<(), PolicyError> {
        PolicyError::unless(
            OPEN.contains(&self.base),
            "open.base",
            self.base,
            "it must be between 1 millisecond and 24 hours",
        )?;
        PolicyError::unless(
            (1.0..=100.0).contains(&self.multiplier),
            "open.multiplier",
            self.multiplier,
            "it must be between 1 and 100",
        )?;
        PolicyError::unless(
            (self.base..=*OPEN.end()).contains(&self.max),
            "open.max",
            self.max,
            "it must be between open.base and 24 hours",
        )
    }

    /// How long a breaker stays open whose trials have failed `reopenings` times since it was closed.
    fn nanoseconds(&self, reopenings: u8) -> u64 {
        let base = self.base.as_secs_f64();
        let grown = base * self.multiplier.powi(i32::from(reopenings));
        if reopenings == 0 {
            nanoseconds(self.base)
        } else if grown < self.max.as_secs_f64() {
            nanoseconds(Duration::from_secs_f64(grown))
        } else {
            nanoseconds(self.max)
        }
    }
}

/// A policy as the breaker uses it: checked, times in nanoseconds.
#[derive(Debug)]
pub(super) struct Rules {
    /// Failures in a row that open the breaker.
    pub(super) consecutive_failures: Option<u32>,
    failure_ratio: Option<f64>,
    slow_ratio: Option<f64>,
    /// The longest time that is not slow. All of time if nothing is.
    not_slow: u64,
    minimum_calls: u64,
    open: OpenTime,
    pub(super) permitted: u32,
    pub(super) successes: u32,
}

/// Which ratio is too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Failures,
    SlowCalls,
}

impl Rules {
    pub(super) fn new(policy: &Policy) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self {
            consecutive_failures: policy.consecutive_failures,
            failure_ratio: policy.failure_ratio,
            slow_ratio: policy.slow_calls.map(|slow| slow.ratio),
            not_slow: policy
                .slow_calls
                .map_or(u64::MAX, |slow| nanoseconds(slow.longer_than)),
            minimum_calls: u64::from(policy.minimum_calls),
            open: policy.open,
            permitted: policy.permitted,
            successes: policy.successes,
        })
    }

    pub(super) fn is_slow(&self, latency: u64) -> bool {
        latency > self.not_slow
    }

    /// How long a breaker stays open, in nanoseconds.
    pub(super) fn open_for(&self, reopenings: u8) -> u64 {
        self.open.nanoseconds(reopenings)
    }

    /// Most trials that may have begun, and not been given up, before the breaker has decided.
    pub(super) fn trials(&self) -> u32 {
        self.permitted.max(self.successes)
    }

    /// What is too much in `counts`.
    pub(super) fn excess(&self, counts: Counts) -> Option<Excess> {
        if counts.calls < self.minimum_calls {
            return None;
        }
        // Far below 2^52: nothing is lost. A quotient is rounded as the literal of the same number is, so that 3 of 10
        // calls are not less than 0.3.
        #[allow(clippy::cast_precision_loss)]
        let reaches = |part: u64, ratio: Option<f64>| {
            ratio.is_some_and(|ratio| part as f64 / counts.calls as f64 >= ratio)
        };
        if reaches(counts.failures, self.failure_ratio) {
            Some(Excess::Failures)
        } else if reaches(counts.slow, self.slow_ratio) {
            Some(Excess::SlowCalls)
        } else {
            None
        }
    }
}
