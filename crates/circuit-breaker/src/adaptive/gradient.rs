//! The gradient controller: latencies in, a limit out. For one thread, and pure: `mod.rs` says what it does.

use super::Policy;
use crate::histogram::Histogram;
use crate::time::nanoseconds;

/// So many windows in a row at the minimum, and the least latency is measured anew. As in Envoy.
const AT_MINIMUM: u32 = 5;
/// How far the limit goes in one window.
const STEEPEST: (f64, f64) = (0.5, 2.0);
const MICROSECOND: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Gradient {
    policy: Policy,
    limit: u32,
    /// In microseconds, 1 at least.
    min_rtt: Option<u32>,
    /// What began before this, in nanoseconds, is no sample: it was sent under another limit.
    since: u64,
    /// Those of this window, or of this measurement.
    samples: Histogram,
    phase: Phase,
    /// What the next random number is made of.
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The least latency is being measured.
    Measuring {
        /// The limit when it has been.
        then: u32,
        /// When it has to be, with as many samples as there are. Nanoseconds; none before the first request.
        until: Option<u64>,
    },
    /// The limit follows the gradient. Times in nanoseconds.
    Following {
        window_ends: u64,
        measure_at: u64,
        /// Windows in a row that have ended with the limit at its minimum, as they began.
        at_minimum: u32,
    },
}

impl Gradient {
    pub(super) fn new(policy: Policy, seed: u64) -> Self {
        Self {
            limit: policy.min_concurrency,
            min_rtt: None,
            since: 0,
            samples: Histogram::default(),
            phase: Phase::Measuring {
                then: policy.min_concurrency,
                until: None,
            },
            policy,
            seed,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn min_rtt(&self) -> Option<u32> {
        self.min_rtt
    }

    /// A request has been refused at `now`, in nanoseconds.
    pub(super) fn refuse(&mut self, now: u64) {
        if let Phase::Measuring { then, until } = &mut self.phase {
            let interval = nanoseconds(self.policy.min_rtt_interval);
            if now >= *until.get_or_insert(now.saturating_add(interval)) {
                self.limit = *then;
                self.follow(now);
            }
        }
    }

    /// A request that began at `began` has been answered at `now`, in nanoseconds.
    pub(super) fn record(&mut self, began: u64, now: u64) {
        if began < self.since {
            return;
        }
        let latency = now.saturating_sub(began) / MICROSECOND;
        let latency = u32::try_from(latency).unwrap_or(u32::MAX).max(1);
        match self.phase {
            Phase::Measuring { then, .. } => {
                self.samples.add(latency);
                if self.samples.count() >= self.policy.request_count {
                    self.limit = then;
                    self.follow(now);
                }
            }
            Phase::Following {
                window_ends,
                measure_at,
                at_minimum,
            } => {
                let at_minimum = if now >= window_ends {
                    self.adjust(now, measure_at, at_minimum)
                } else {
                    at_minimum
                };
                self.samples.add(latency);
                if now >= measure_at || at_minimum >= AT_MINIMUM {
                    self.measure(now);
                }
            }
        }
    }

    /// A window is over: the next limit, and the next window. Returns how many have been at the minimum.
    fn adjust(&mut self, now: u64, measure_at: u64, mut at_minimum: u32) -> u32 {
        if let (Some(median), Some(min_rtt)) = (self.take_quantile(), self.min_rtt) {
            let before = self.limit;
            self.limit = self.next_limit(min_rtt, median);
            let minimum = self.policy.min_concurrency;
            at_minimum = if before == minimum && self.limit == minimum {
                at_minimum + 1
            } else {
                0
            };
        }
        self.phase = Phase::Following {
            window_ends: now.saturating_add(nanoseconds(self.policy.window)),
            measure_at,
            at_minimum,
        };
        at_minimum
    }

    fn next_limit(&self, min_rtt: u32, median: u32) -> u32 {
        let unchanged = f64::from(min_rtt) * (1.0 + self.policy.buffer);
        let gradient = (unchanged / f64::from(median)).clamp(STEEPEST.0, STEEPEST.1);
        let limit = f64::from(self.limit) * gradient;
        // At most 2,001,415, and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let limit = (limit + limit.sqrt()) as u32;
        limit.clamp(self.policy.min_concurrency, self.policy.max_limit)
    }

    /// Begins to measure the least latency.
    fn measure(&mut self, now: u64) {
        self.phase = Phase::Measuring {
            then: self.limit,
            until: Some(now.saturating_add(nanoseconds(self.policy.min_rtt_interval))),
        };
        self.limit = self.policy.min_concurrency;
        self.samples.clear();
        self.since = now;
    }

    /// Begins to follow the gradient, with a least latency from what has been measured.
    fn follow(&mut self, now: u64) {
        self.min_rtt = self.take_quantile().or(self.min_rtt);
        let interval = nanoseconds(self.policy.min_rtt_interval);
        let jitter = self
            .policy
            .min_rtt_interval
            .mul_f64(self.policy.jitter * self.random());
        self.phase = Phase::Following {
            window_ends: now.saturating_add(nanoseconds(self.policy.window)),
            measure_at: now
                .saturating_add(interval)
                .saturating_add(nanoseconds(jitter)),
            at_minimum: 0,
        };
    }

    /// What stands for the latencies so far. They are forgotten.
    fn take_quantile(&mut self) -> Option<u32> {
        let quantile = self.samples.quantile(self.policy.percentile);
        self.samples.clear();
        quantile
    }

    /// A number from 0 to 1, by SplitMix64 (Steele, Lea, Flood, 2014): enough for jitter.
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // A share need not be exact.
        #[allow(clippy::cast_precision_loss)]
        let share = mixed as f64 / u64::MAX as f64;
        share
    }
}
