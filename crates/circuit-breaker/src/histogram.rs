//! Latencies, in bounded memory.
//!
//! A counter for each microsecond up to 16, and above that 16 counters for each power of two: what comes out is at most
//! a 32nd off, up to 71 minutes, in 1.9 KB.

use crate::sync::{AtomicU32, Ordering};

/// Counters for each power of two, as a power of two.
const PRECISION: u32 = 4;
const COUNTERS: usize = ((u32::BITS - PRECISION + 1) << PRECISION) as usize;

/// Latencies of one thread.
#[derive(Debug)]
pub(crate) struct Histogram {
    counters: Box<[u32; COUNTERS]>,
    /// The sum of all counters.
    count: u32,
}

/// Latencies that many threads add, and one takes out.
#[derive(Debug)]
pub(crate) struct SharedHistogram {
    counters: Box<[AtomicU32; COUNTERS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counters: Box::new([0; COUNTERS]),
            count: 0,
        }
    }
}

impl Histogram {
    /// Adds a latency, in microseconds. The first four billion count.
    pub(crate) fn add(&mut self, latency: u32) {
        self.add_to(index(latency), 1);
    }

    fn add_to(&mut self, index: usize, times: u32) {
        if let (Some(counter), Some(count)) =
            (self.counters.get_mut(index), self.count.checked_add(times))
        {
            *counter += times;
            self.count = count;
        }
    }

    /// Adds all latencies of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (index, &times) in other.counters.iter().enumerate() {
            self.add_to(index, times);
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn clear(&mut self) {
        self.counters.fill(0);
        self.count = 0;
    }

    /// The latency that a share of `percentile` of all do not exceed, about. None if there are none.
    pub(crate) fn quantile(&self, percentile: f64) -> Option<u32> {
        // Between 1 and `count`, which 64 bits of floating point hold exactly.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((f64::from(self.count) * percentile).ceil() as u32).max(1);
        let mut seen = 0;
        let position = self.counters.iter().position(|&counter| {
            seen += counter;
            seen >= rank
        });
        position.map(middle)
    }
}

impl Default for SharedHistogram {
    fn default() -> Self {
        Self {
            counters: Box::new([const { AtomicU32::new(0) }; COUNTERS]),
        }
    }
}

impl SharedHistogram {
    /// Adds a latency, in microseconds.
    #[inline]
    pub(crate) fn add(&self, latency: u32) {
        if let Some(counter) = self.counters.get(index(latency)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Moves all latencies to another. None is lost that is added meanwhile.
    pub(crate) fn drain_into(&self, histogram: &mut Histogram) {
        for (index, counter) in self.counters.iter().enumerate() {
            // Most are empty, and reading is cheaper than swapping.
            if counter.load(Ordering::Relaxed) > 0 {
                histogram.add_to(index, counter.swap(0, Ordering::Relaxed));
            }
        }
    }
}

/// The counter of a latency.
fn index(latency: u32) -> usize {
    let power = latency.checked_ilog2().unwrap_or(0);
    match power.checked_sub(PRECISION) {
        None => latency as usize,
        // The power, and the bits behind the first.
        Some(shift) => ((shift << PRECISION) + (latency >> shift)) as usize,
    }
}

/// The latency in the middle of those of a counter.
fn middle(index: usize) -> u32 {
    // Fewer than 500 counters.
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let row = index >> PRECISION;
    match row.checked_sub(1) {
        None => index,
        Some(shift) => {
            let first = (index - (shift << PRECISION)) << shift;
            first + (1 << shift) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_latency_has_a_counter() {
        assert_eq!(index(0), 0);
        assert_eq!(index(u32::MAX), COUNTERS - 1);
        for position in 0..COUNTERS {
            assert_eq!(index(middle(position)), position);
        }
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        /// Against sorting.
        #[test]
        fn a_quantile_is_at_most_a_32nd_off(
            mut latencies in prop::collection::vec(
                (0_u32..32).prop_flat_map(|bits| 0..=(u32::MAX >> bits)), 1..200),
            percentile in 0.01_f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            for &latency in &latencies {
                histogram.add(latency);
            }
            latencies.sort_unstable();
            let rank = (latencies.len() as f64 * percentile).ceil() as usize;
            let exact = f64::from(latencies[rank - 1]);
            let quantile = f64::from(histogram.quantile(percentile).unwrap());
            prop_assert!((quantile - exact).abs() <= exact / 32.0, "{} for {}", quantile, exact);
            histogram.clear();
            prop_assert_eq!(histogram.quantile(percentile), None);
        }
    }
}
