//! How requests are to be spread.

use std::sync::Arc;
use std::time::Duration;

use crate::load::Load;

/// How the requests to one upstream are spread over its endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How an endpoint is chosen of those that may be.
    pub policy: Policy,
    /// How an endpoint that has become available gets up to its weight. None: at once.
    pub slow_start: Option<SlowStart>,
    /// Percent of a priority level's endpoints. While fewer are available, and there are not enough at the other
    /// levels either, health is ignored: those that are left would only break down as well. 0: never; by default 50.
    pub panic_threshold: u32,
    /// Percent, at least 100. A priority level, or a zone, is whole as long as this times its available share is
    /// 100 % or more; by default 140, so that 71.4 % of the endpoints are enough.
    pub overprovisioning: u32,
    /// Where this gateway is: endpoints near it are preferred, but for consistent hashing, where a key is to find the
    /// same endpoint from everywhere. None: all are alike.
    pub locality: Option<Locality>,
    /// With fewer available endpoints than this at a priority level, nearness is ignored; by default 6.
    pub min_cluster_size: usize,
}

/// How an endpoint is chosen. All policies follow the endpoints' weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Policy {
    /// One after the other; smoothly interleaved where weights differ, as in nginx. See
    /// [`WeightedRoundRobin`](crate::WeightedRoundRobin); but here any weights do, and are rounded if need be.
    #[default]
    RoundRobin,
    /// By lot.
    Random,
    /// The one with the fewest requests in flight for its weight, of all. Its cost grows with the endpoints: for a
    /// few dozen.
    LeastConnections,
    /// Of two that are drawn by lot, the one with fewer requests in flight. (Mitzenmacher: "The Power of Two Choices
    /// in Randomized Load Balancing".)
    TwoChoices,
    /// Of two that are drawn by lot, the one with the lower latency, as a moving average over ten seconds that follows
    /// peaks quickly, and fewer requests in flight. In the manner of Finagle and linkerd.
    PeakEwma,
    /// The same endpoint for the same hash.
    ConsistentHash {
        /// How hashes are mapped to endpoints.
        table: HashTable,
        /// How many times its share of the requests in flight an endpoint may have before its keys overflow to
        /// others; values below 1 count as 1. None: any number. 1.25 is a good start. (Mirrokni, Thorup,
        /// Zadimoghaddam: "Consistent Hashing with Bounded Loads".)
        balance_factor: Option<f64>,
    },
}

/// How hashes are mapped to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// Every endpoint has many points on a ring, and the hashes up to each: when one comes or goes, no key moves
    /// between two others.
    Ring {
        /// The fewest points of the whole ring; Envoy's default is 1024.
        min_size: u32,
    },
    /// A table that endpoints take places in by turns: shares are more even and a look-up is quicker than with a
    /// ring, and a few keys more move. (Eisenbud et al.: "Maglev", NSDI 2016.)
    Maglev {
        /// Places in the table; raised to the next prime, at most 5,000,011. 65,537 is the usual; it should be a
        /// hundred times the endpoints.
        size: u32,
    },
}

/// How an endpoint that has become available gets up to its weight: in the window it has
/// `weight × max(min_weight, (time since / window)^(1 / aggression))`, as in Envoy.
///
/// With consistent hashing, keys come to it one after the other, and stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Duration,
    /// 1.0: evenly. More: most of it at the beginning. Less: most of it at the end. Above 0.
    pub aggression: f32,
    /// Percent of its weight that it has at least, 0 to 100; by default 10.
    pub min_weight: u32,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locality {
    /// A zone's name, unique within the region.
    pub zone: Option<Arc<str>>,
    /// A region's name.
    pub region: Option<Arc<str>>,
}

/// One place that requests can be sent to, as configured, with what is known of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its identity, the same in all gateways and after a restart, and different for each endpoint of an upstream:
    /// see [`identity`](crate::identity).
    pub id: u64,
    /// Its load; shared with whoever else uses this endpoint, and with the configurations before.
    pub load: Arc<Load>,
    /// How much it gets compared with the others. 0: nothing, whatever happens.
    pub weight: u32,
    /// 0 is used first; further levels as those before are not available.
    pub priority: u32,
    /// Where it is.
    pub locality: Locality,
}

impl Endpoint {
    /// Its weight, unless it is drained.
    pub(crate) fn present_weight(&self) -> u32 {
        if self.load.is_drained() {
            0
        } else {
            self.weight
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            slow_start: None,
            panic_threshold: 50,
            overprovisioning: 140,
            locality: None,
            min_cluster_size: 6,
        }
    }
}

impl SlowStart {
    /// Evenly over `window`, from a tenth on.
    #[must_use]
    pub const fn over(window: Duration) -> Self {
        Self {
            window,
            aggression: 1.0,
            min_weight: 10,
        }
    }

    /// The share of its weight that an endpoint has which has been available for so many nanoseconds: 0.0 to 1.0.
    #[inline]
    pub(crate) fn share(&self, available_for: u64) -> f32 {
        let window = self.window.as_nanos() as f32;
        let past = available_for as f32;
        if past >= window {
            return 1.0;
        }
        let ramp = past / window;
        let ramp = if self.aggression == 1.0 {
            ramp
        } else {
            ramp.powf(1.0 / self.aggression.max(f32::MIN_POSITIVE))
        };
        ramp.max(self.min_weight.min(100) as f32 / 100.0)
    }
}

impl Endpoint {
    /// An endpoint of weight 1 and the first priority, anywhere.
    #[must_use]
    pub fn new(id: u64, load: Arc<Load>) -> Self {
        Self {
            id,
            load,
            weight: 1,
            priority: 0,
            locality: Locality::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In whole percent.
    fn share(slow_start: SlowStart, seconds: u64) -> u32 {
        (slow_start.share(seconds * 1_000_000_000) * 100.0).round() as u32
    }

    #[test]
    fn slow_start_ramps_from_its_minimum_to_the_whole() {
        let slow_start = SlowStart::over(Duration::from_secs(60));
        assert_eq!(share(slow_start, 0), 10);
        assert_eq!(share(slow_start, 3), 10);
        assert_eq!(share(slow_start, 15), 25);
        assert_eq!(share(slow_start, 45), 75);
        assert_eq!(share(slow_start, 60), 100);
        assert_eq!(share(slow_start, 6_000), 100);
    }

    #[test]
    fn aggression_bends_the_ramp() {
        let bent = |aggression| SlowStart {
            aggression,
            ..SlowStart::over(Duration::from_secs(60))
        };
        assert_eq!(share(bent(2.0), 15), 50);
        assert_eq!(share(bent(0.5), 30), 25);
        assert_eq!(share(bent(0.0), 30), 10);
    }

    #[test]
    fn a_window_of_no_length_is_over() {
        assert_eq!(share(SlowStart::over(Duration::ZERO), 0), 100);
    }
}
