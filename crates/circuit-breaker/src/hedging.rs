//! When a request that takes long is worth a second one beside it.

use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

use crate::error::PolicyError;
use crate::histogram::{Histogram, SharedHistogram};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::nanoseconds;

/// The latencies of so many slices of time count: 27 to 30 seconds, as in Finagle.
const SLICES: u64 = 10;
const SLICE: u64 = 3_000_000_000;
/// How often the delay follows them, in nanoseconds.
const REFRESH: u64 = 1_000_000_000;
/// A percentile of fewer answers says nothing.
const FEWEST: f64 = 20.0;
/// What a hedge costs; what an answer brings in is a share of it.
const HEDGE: u32 = 100_000;
/// So many hedges may be saved up.
const MOST_SAVED: u32 = 100 * HEDGE;
const NANOSECONDS: u64 = 1_000;
const UNKNOWN: u32 = u32::MAX;

/// Sends a second request when the first takes longer than most do, as Finagle's `BackupRequestFilter` does and "The
/// Tail at Scale" (Dean and Barroso, 2013) describes it: of latencies of late, the one at a percentile is the delay.
/// With the 95th, one in twenty is sent twice, and the slowest of them no longer decide what a client waits for.
///
/// When a backend becomes slower all at once, all requests take longer than the delay, until that has followed. So
/// there is a budget besides: each answer brings in the share above the percentile, and a hedge costs one. It begins
/// empty, so that at no time more than that share of the answers has been hedged.
///
/// For any number of threads. A latency costs two additions; once a second one of them costs some microseconds, under a
/// lock that nobody waits for.
#[derive(Debug)]
pub struct Hedging {
    /// 0.5 to 0.999.
    percentile: f64,
    /// What an answer brings in.
    share: u32,
    /// Answers that the delay needs.
    fewest: u32,
    /// Those since the last refresh.
    recent: SharedHistogram,
    /// When the delay is to follow, in nanoseconds.
    refresh_at: AtomicU64,
    /// In microseconds, or [`UNKNOWN`].
    delay: AtomicU32,
    saved: AtomicU32,
    window: Mutex<Window>,
}

/// The latencies of late, by when they were recorded.
#[derive(Debug, Default)]
struct Window {
    slices: [Slice; SLICES as usize],
}

#[derive(Debug, Default)]
struct Slice {
    /// Counted from the fixed point that times are given from.
    number: u64,
    latencies: Histogram,
}

impl Hedging {
    /// Hedges requests that take longer than `percentile` percent of them, 50 to 99.9.
    ///
    /// # Errors
    /// When `percentile` is out of its range.
    pub fn new(percentile: f64) -> Result<Self, PolicyError> {
        PolicyError::unless(
            (50.0..=99.9).contains(&percentile),
            "percentile",
            percentile,
            "it must be between 50 and 99.9",
        )?;
        let share = (100.0 - percentile) / 100.0;
        // Between 100 and 50,000, and between 20 and 1,001.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (share, fewest) = (
            (share * f64::from(HEDGE)).round() as u32,
            FEWEST.max((1.0 / share).ceil()) as u32,
        );
        Ok(Self {
            percentile: percentile / 100.0,
            share,
            fewest,
            recent: SharedHistogram::default(),
            refresh_at: AtomicU64::new(0),
            delay: AtomicU32::new(UNKNOWN),
            saved: AtomicU32::new(0),
            window: Mutex::default(),
        })
    }

    /// How long a request is waited for before it is hedged. None while there are too few answers to know: twenty, or
    /// as many as it takes for one of them to be above the percentile.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let delay = self.delay.load(Ordering::Relaxed);
        (delay != UNKNOWN).then(|| Duration::from_micros(delay.into()))
    }

    /// A request has taken `latency`, with or without a second one beside it: if that was quicker, so long until then.
    /// What failed at once is not to be recorded.
    #[inline]
    pub fn record(&self, latency: Duration, now: Duration) {
        let microseconds = nanoseconds(latency) / NANOSECONDS;
        self.recent
            .add(u32::try_from(microseconds).unwrap_or(u32::MAX));
        // Threads that look at the same time save a little more than the most.
        if self.saved.load(Ordering::Relaxed) < MOST_SAVED {
            self.saved.fetch_add(self.share, Ordering::Relaxed);
        }
        let now = nanoseconds(now);
        if now >= self.refresh_at.load(Ordering::Relaxed) {
            self.refresh(now);
        }
    }

    /// Whether a second request may be sent now. Counts it.
    pub fn try_hedge(&self) -> bool {
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.checked_sub(HEDGE)
            })
            .is_ok()
    }

    #[cold]
    fn refresh(&self, now: u64) {
        let mut window = match self.window.try_lock() {
            Ok(window) => window,
            // A thread that has panicked leaves counters, whatever they are.
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            // Another thread is at it.
            Err(TryLockError::WouldBlock) => return,
        };
        self.refresh_at
            .store(now.saturating_add(REFRESH), Ordering::Relaxed);
        self.recent.drain_into(window.slice(now / SLICE));
        let latencies = window.sum(now / SLICE);
        let enough = latencies.count() >= self.fewest;
        let delay = latencies.quantile(self.percentile).filter(|_| enough);
        self.delay
            .store(delay.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }
}

impl Window {
    /// The slice of that number, emptied of what it held before.
    fn slice(&mut self, number: u64) -> &mut Histogram {
        // A remainder of ten.
        #[allow(clippy::cast_possible_truncation)]
        let slice = &mut self.slices[(number % SLICES) as usize];
        if slice.number != number {
            slice.number = number;
            slice.latencies.clear();
        }
        &mut slice.latencies
    }

    /// The latencies of the slices up to that number.
    fn sum(&self, number: u64) -> Histogram {
        let mut sum = Histogram::default();
        for slice in &self.slices {
            if slice.number + SLICES > number {
                sum.merge(&slice.latencies);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Records latencies, and lets the delay follow.
    fn record(hedging: &Hedging, latencies: impl IntoIterator<Item = Duration>, at: Duration) {
        let mut latencies = latencies.into_iter().peekable();
        while let Some(latency) = latencies.next() {
            if latencies.peek().is_none() {
                hedging.refresh_at.store(0, Ordering::Relaxed);
            }
            hedging.record(latency, at);
        }
    }

    #[test]
    fn too_few_answers_give_no_delay() {
        for (percentile, fewest) in [(50.0, 20), (95.0, 20), (99.0, 100)] {
            let hedging = Hedging::new(percentile).unwrap();
            assert_eq!(hedging.delay(), None);
            record(&hedging, (1..fewest).map(|_| ms(8)), ms(0));
            assert_eq!(hedging.delay(), None, "{percentile}");
            record(&hedging, [ms(8)], ms(0));
            assert!(hedging.delay().is_some(), "{percentile}");
        }
    }

    #[test]
    fn the_delay_follows_every_second_and_forgets_after_half_a_minute() {
        let hedging = Hedging::new(90.0).unwrap();
        for _ in 0..100 {
            hedging.record(ms(1), ms(100));
        }
        assert_eq!(hedging.delay(), None);
        hedging.record(ms(1), ms(1_100));
        let short = hedging.delay().unwrap();
        assert!(short < ms(2), "{short:?}");
        record(&hedging, (0..20).map(|_| ms(100)), ms(9_000));
        assert!(hedging.delay().unwrap() > ms(90));
        record(&hedging, (0..400).map(|_| ms(1)), ms(9_000));
        assert_eq!(hedging.delay(), Some(short));
        // The latencies of the first seconds have left the window; those of the ninth are in it.
        record(&hedging, (0..20).map(|_| ms(100)), ms(33_000));
        assert_eq!(hedging.delay(), Some(short));
        record(&hedging, [ms(100)], ms(39_000));
        assert!(hedging.delay().unwrap() > ms(90));
        record(&hedging, [ms(100)], ms(99_000));
        assert_eq!(hedging.delay(), None);
    }

    #[test]
    fn never_more_than_the_share_is_hedged() {
        let hedging = Hedging::new(95.0).unwrap();
        assert!(!hedging.try_hedge());
        let mut hedged = 0;
        for answers in 1..=1_000 {
            hedging.record(ms(5), ms(0));
            hedged += u32::from(hedging.try_hedge());
            assert!(hedged * 20 <= answers);
        }
        assert_eq!(hedged, 50);
        // No more than a hundred are saved up.
        for _ in 0..10_000 {
            hedging.record(ms(5), ms(0));
        }
        assert_eq!((0..1_000).filter(|_| hedging.try_hedge()).count(), 100);
    }

    #[test]
    fn only_percentiles_that_help_are_possible() {
        for percentile in [f64::NAN, -1.0, 0.0, 49.9, 99.91, 100.0, 101.0] {
            assert!(Hedging::new(percentile).is_err(), "{percentile}");
        }
    }

    #[test]
    fn threads_lose_no_latency() {
        let hedging = Hedging::new(50.0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..20_000 {
                        // Each refreshes now and then.
                        hedging.record(ms(number % 50), ms(number));
                    }
                });
            }
        });
        let mut window = hedging.window.lock().unwrap();
        hedging.recent.drain_into(window.slice(6));
        assert_eq!(window.sum(6).count(), 80_000);
    }

    proptest! {
        /// Against sorting.
        #[test]
        fn the_delay_is_the_percentile_within_a_32nd(
            mut latencies in prop::collection::vec(0_u64..10_000_000, 1_001..1_200),
            percentile in 50.0_f64..=99.9,
        ) {
            let hedging = Hedging::new(percentile).unwrap();
            record(&hedging, latencies.iter().copied().map(Duration::from_micros), ms(5));
            latencies.sort_unstable();
            let rank = (latencies.len() as f64 * (percentile / 100.0)).ceil() as usize;
            let exact = latencies[rank - 1] as f64;
            let delay = hedging.delay().unwrap().as_micros() as f64;
            prop_assert!((delay - exact).abs() <= exact / 32.0, "{} for {}", delay, exact);
        }
    }
}
