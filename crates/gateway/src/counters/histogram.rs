//! How long things take, in buckets.

use std::sync::OnceLock;
use std::time::Duration;

use super::exemplar::{Exemplar, Seen, TraceId};
use super::shards::Count;

/// Upper bounds in nanoseconds: those that the semantic conventions of OpenTelemetry advise for durations of HTTP
/// requests, 5 ms to 10 s.
pub(crate) const BOUNDS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];
/// And one without a bound.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations that one worker has seen.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BUCKETS],
    nanoseconds: Count,
    /// The last of each bucket with a trace; made for the first one.
    exemplars: OnceLock<Box<[Exemplar; BUCKETS]>>,
}

/// Several histograms in one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// Each without those below it.
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum: Duration,
    /// The latest of each bucket.
    pub(crate) exemplars: [Option<Seen>; BUCKETS],
}

impl Histogram {
    /// Adds a duration.
    #[inline]
    pub(crate) fn observe(&self, duration: Duration) {
        self.add(duration);
    }

    /// The same, of what is part of a trace.
    #[inline]
    pub(crate) fn observe_traced(&self, duration: Duration, trace: TraceId) {
        let bucket = self.add(duration);
        let exemplars = self.exemplars.get_or_init(Box::default);
        if let Some(exemplar) = exemplars.get(bucket) {
            exemplar.set(trace, duration);
        }
    }

    #[inline]
    fn add(&self, duration: Duration) -> usize {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < nanoseconds);
        if let Some(count) = self.buckets.get(bucket) {
            count.increment();
        }
        self.nanoseconds.add(nanoseconds);
        bucket
    }
}

impl Totals {
    pub(crate) fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut totals = Self::default();
        for histogram in histograms {
            for (total, count) in totals.buckets.iter_mut().zip(&histogram.buckets) {
                *total += count.get();
            }
            totals.sum += Duration::from_nanos(histogram.nanoseconds.get());
            let exemplars = histogram.exemplars.get().into_iter().flat_map(|all| &**all);
            for (latest, exemplar) in totals.exemplars.iter_mut().zip(exemplars) {
                let seen = exemplar.get();
                if seen.as_ref().map(|seen| seen.at) > latest.as_ref().map(|latest| latest.at) {
                    *latest = seen;
                }
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for nanoseconds in [0, 5_000_000, 5_000_001, 10_000_000_000, 10_000_000_001] {
            histogram.observe(Duration::from_nanos(nanoseconds));
        }
        let totals = Totals::of([&histogram, &Histogram::default()].into_iter());
        let filled: Vec<_> = totals.buckets.iter().enumerate().collect();
        let filled: Vec<_> = filled
            .into_iter()
            .filter(|(_, count)| **count > 0)
            .collect();
        assert_eq!(filled, [(0, &2), (1, &1), (13, &1), (14, &1)]);
        assert_eq!(totals.sum, Duration::from_nanos(20_010_000_002));
    }

    #[test]
    fn the_latest_trace_of_each_bucket_is_kept() {
        let trace = |last: char| TraceId::new(u128::from(last)).unwrap();
        let histogram = Histogram::default();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(2));
        histogram.observe_traced(short, trace('a'));
        histogram.observe_traced(long, trace('b'));
        histogram.observe_traced(short, trace('c'));
        histogram.observe(short);
        let totals = Totals::of([&histogram].into_iter());
        let seen = |bucket: usize| totals.exemplars[bucket].as_ref().unwrap();
        assert_eq!((seen(0).trace, seen(0).duration), (trace('c'), short));
        assert_eq!((seen(10).trace, seen(10).duration), (trace('b'), long));
        assert_eq!(totals.exemplars.iter().flatten().count(), 2);
    }
}
