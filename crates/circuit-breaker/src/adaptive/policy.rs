//! How a limit finds itself: as given.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::PolicyError;

const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const WINDOW: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

/// How a limit finds itself. The defaults are Envoy's; it has none for `min_rtt_interval`, and uses a minute in its
/// examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The limit never goes below this, and is this while the least latency is measured: 1 to `max_limit`. 3 by
    /// default.
    pub min_concurrency: u32,
    /// The limit never goes above this: 1 to 1,000,000. 1,000 by default.
    pub max_limit: u32,
    /// Answers that the least latency is measured by: 1 to 10,000. 50 by default.
    pub request_count: u32,
    /// The time from one measurement of the least latency to the next: 1 second to 24 hours. 1 minute by default.
    pub min_rtt_interval: Duration,
    /// By how much of itself that time is made longer at most, at random: 0 to 1. 0.15 by default.
    pub jitter: f64,
    /// How much more than the least latency is not more, as a share of it: 0 to 1. 0.25 by default.
    pub buffer: f64,
    /// Which latency stands for those of a window: above 0, at most 1. 0.5 by default, the median.
    pub percentile: f64,
    /// The time from one limit to the next: 1 millisecond to 1 minute. 100 milliseconds by default.
    pub window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_concurrency: 3,
            max_limit: 1_000,
            request_count: 50,
            min_rtt_interval: Duration::from_mins(1),
            jitter: 0.15,
            buffer: 0.25,
            percentile: 0.5,
            window: Duration::from_millis(100),
        }
    }
}

impl Policy {
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        PolicyError::unless(
            (1..=1_000_000).contains(&self.max_limit),
            "max_limit",
            self.max_limit,
            "it must be between 1 and 1,000,000",
        )?;
        PolicyError::unless(
            (1..=self.max_limit).contains(&self.min_concurrency),
            "min_concurrency",
            self.min_concurrency,
            "it must be between 1 and max_limit",
        )?;
        PolicyError::unless(
            (1..=10_000).contains(&self.request_count),
            "request_count",
            self.request_count,
            "it must be between 1 and 10,000",
        )?;
        PolicyError::unless(
            INTERVAL.contains(&self.min_rtt_interval),
            "min_rtt_interval",
            self.min_rtt_interval,
            "it must be between 1 second and 24 hours",
        )?;
        for (name, share) in [("jitter", self.jitter), ("buffer", self.buffer)] {
            let allowed = "it must be between 0 and 1";
            PolicyError::unless((0.0..=1.0).contains(&share), name, share, allowed)?;
        }
        PolicyError::unless(
            self.percentile > 0.0 && self.percentile <= 1.0,
            "percentile",
            self.percentile,
            "it must be above 0 and at most 1",
        )?;
        PolicyError::unless(
            WINDOW.contains(&self.window),
            "window",
            self.window,
            "it must be between 1 millisecond and 1 minute",
        )
    }
}
