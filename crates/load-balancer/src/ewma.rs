//! Latency as a peak-sensitive moving average.
//!
//! The estimate rises quickly and comes down slowly: a sample above it draws it up by [`RISE`] of the difference, one
//! below pulls it down with a weight that grows with the time since the last one, over [`DECAY`]. Without samples it
//! fades towards nothing, so that an endpoint that was slow is tried again after a while: one that is ten times
//! slower than the others after `ln 10 × DECAY`, 23 s. It is tried by **one** request: when that is sent, the estimate
//! is what it was before, and fades anew. (Otherwise all requests would go to an endpoint that has been out of use
//! for minutes until it answers the first one.) What the answer says then counts by the whole time since the last.
//!
//! Finagle's `PeakEwma`, and linkerd's after it, let a sample above the estimate replace it. That has been tried: where
//! one request in two thousand takes thirty times as long as the others, whichever its endpoint, each estimate is
//! that of the latest such request for seconds, and says nothing of the endpoints. Three endpoints at 600 requests a
//! second, one of them tenfold slower, had a 99th percentile of 120 to 134 ms then; with a rise of a sixteenth it is
//! 22 to 24 ms, and 21 ms if all are well (`tests/simulation.rs`). An endpoint that has become ten times slower has
//! four times its estimate after six requests.
//!
//! Value and time of the last sample are one atomic word, so that they can be read and written by any number of
//! threads without a lock. Time has a grain of about a millisecond, and a sample that is not above the
//! estimate counts only if it is the first in its grain: at high rates nearly all requests read the word and do not
//! write it, and the average is one over evenly spaced samples.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The time in which an estimate that gets no samples falls to 1/e: as in Finagle and linkerd.
const DECAY: Duration = Duration::from_secs(10);
/// How much of the way a sample above the estimate draws it up at once.
const RISE: f32 = 1.0 / 16.0;
/// A second, in grains: an estimate has not faded much by then.
const WHILE: u32 = (1_000_000_000_u64 >> GRAIN_BITS) as u32;
/// By how many grains the clock of a thread may be behind that of another: a minute.
const BEHIND: u32 = 1 << 16;
/// The grain of time is 2²⁰ ns. The 32 bits of a time stamp are worth 52 days; an endpoint without any request for
/// longer has, for one more `DECAY`, the latency that it had then.
const GRAIN_BITS: u32 = 20;

/// The moving average of one endpoint's latency.
#[derive(Debug, Default)]
pub(crate) struct PeakEwma {
    /// Upper half: the estimate in nanoseconds, as the bits of an `f32`; 0 before the first sample. Lower half: the
    /// grain of the last sample.
    state: AtomicU64,
    /// The grain of the latest request that was sent a while after the last sample.
    tried: AtomicU32,
}

impl PeakEwma {
    /// Takes in a latency that has been measured at `now`. Both in nanoseconds.
    #[inline]
    pub(crate) fn observe(&self, latency: u64, now: u64) {
        self.update(now, |_| latency as f32, Sample::Exact);
    }

    /// Takes in that a request has taken `latency` and was not done: the estimate may rise by it, and not fall.
    #[inline]
    pub(crate) fn observe_at_least(&self, latency: u64, now: u64) {
        self.update(now, |_| latency as f32, Sample::AtLeast);
    }

    /// Takes in a failure after `latency`. How soon an endpoint fails does not say how quick it is, and it must not
    /// look quick by failing: the sample is no lower than the present estimate and `penalty`.
    #[inline]
    pub(crate) fn observe_failure(&self, latency: u64, penalty: Duration, now: u64) {
        let least = penalty.as_nanos() as f32;
        self.update(
            now,
            |estimate| estimate.max(least).max(latency as f32),
            Sample::Exact,
        );
    }

    fn update(&self, now: u64, sample: impl Fn(f32) -> f32, kind: Sample) {
        let grain = grain(now);
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (value, stamp) = unpack(state);
            // 0 stands for "none yet".
            let sample = sample(value).max(1.0);
            let age = age(grain, stamp);
            let passed = if age == 0 { 0.0 } else { 1.0 - fade(age) };
            let weight = if value == 0.0 {
                1.0
            } else if sample > value {
                passed.max(RISE)
            } else if age > 0 && matches!(kind, Sample::Exact) {
                passed
            } else {
                return;
            };
            let next = value + weight * (sample - value);
            let next = pack(next, grain);
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(present) => state = present,
            }
        }
    }

    /// A request is being sent at `now`: if there has been no sample for a while, it is one to try the endpoint.
    #[inline]
    pub(crate) fn touch(&self, now: u64) {
        let (_, stamp) = unpack(self.state.load(Ordering::Relaxed));
        let now = grain(now);
        if age(now, stamp) > WHILE {
            self.tried.store(now, Ordering::Relaxed);
        }
    }

    /// The estimate at `now`, in nanoseconds; none before the first sample.
    #[inline]
    pub(crate) fn get(&self, now: u64) -> Option<f32> {
        let (value, stamp) = unpack(self.state.load(Ordering::Relaxed));
        if value == 0.0 {
            return None;
        }
        let now = grain(now);
        let mut age = age(now, stamp);
        if age > WHILE {
            age = age.min(self::age(now, self.tried.load(Ordering::Relaxed)));
        }
        // Fading is an exponential function: not for an endpoint that has just had a request.
        let faded = if age == 0 { value } else { value * fade(age) };
        Some(faded.max(1.0))
    }
}

/// What a sample says.
#[derive(Debug, Clone, Copy)]
enum Sample {
    Exact,
    AtLeast,
}

/// The share of an estimate that is left after `age` grains.
fn fade(age: u32) -> f32 {
    const GRAINS: f32 = DECAY.as_nanos() as f32 / (1_u64 << GRAIN_BITS) as f32;
    (-(age as f32) / GRAINS).exp()
}

/// Grains since `stamp`; none if it is ahead, by the clock of another thread.
#[inline]
const fn age(grain: u32, stamp: u32) -> u32 {
    let age = grain.wrapping_sub(stamp);
    if age > u32::MAX - BEHIND { 0 } else { age }
}

#[inline]
const fn grain(nanoseconds: u64) -> u32 {
    // The upper bits are dropped: stamps wrap.
    (nanoseconds >> GRAIN_BITS) as u32
}

#[inline]
const fn pack(value: f32, stamp: u32) -> u64 {
    (value.to_bits() as u64) << 32 | stamp as u64
}

#[inline]
const fn unpack(state: u64) -> (f32, u32) {
    (f32::from_bits((state >> 32) as u32), state as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MILLISECOND;

    fn estimate(ewma: &PeakEwma, now: u64) -> f32 {
        ewma.get(now).unwrap() / MILLISECOND as f32
    }

    #[test]
    fn there_is_no_estimate_before_the_first_sample() {
        assert_eq!(PeakEwma::default().get(SECOND), None);
    }

    #[test]
    fn samples_above_it_draw_it_up_at_once() {
        let ewma = PeakEwma::default();
        ewma.observe(10 * MILLISECOND, SECOND);
        for _ in 0..6 {
            ewma.observe(100 * MILLISECOND, SECOND);
        }
        assert!((estimate(&ewma, SECOND) - 38.9).abs() < 0.1);
    }

    #[test]
    fn one_that_is_asked_rarely_has_the_latency_it_shows() {
        let ewma = PeakEwma::default();
        for second in 0..100 {
            ewma.observe(50 * MILLISECOND, second * 5 * SECOND);
            assert!((estimate(&ewma, second * 5 * SECOND) - 50.0).abs() < 0.1);
        }
        // And after a while it is the latest.
        ewma.observe(200 * MILLISECOND, 600 * SECOND);
        assert!((estimate(&ewma, 600 * SECOND) - 200.0).abs() < 0.1);
    }

    #[test]
    fn lower_samples_pull_it_down_by_the_time_that_has_passed() {
        let ewma = PeakEwma::default();
        ewma.observe(100 * MILLISECOND, 0);
        for tick in 1..=1_000 {
            ewma.observe(10 * MILLISECOND, tick * 10 * MILLISECOND);
        }
        // After 10 s: 10 + 90/e.
        assert!((estimate(&ewma, 10 * SECOND) - 43.1).abs() < 0.5);
    }

    #[test]
    fn without_samples_it_fades_and_a_sample_restores_it() {
        let ewma = PeakEwma::default();
        ewma.observe(100 * MILLISECOND, 0);
        assert!((estimate(&ewma, 10 * SECOND) - 36.8).abs() < 0.1);
        assert!(estimate(&ewma, 1_000 * SECOND) >= 1.0 / MILLISECOND as f32);
        ewma.observe(100 * MILLISECOND, 10 * SECOND);
        assert!((estimate(&ewma, 10 * SECOND) - 100.0).abs() < 0.1);
    }

    #[test]
    fn an_endpoint_that_was_not_used_for_long_is_tried_by_one_request() {
        let ewma = PeakEwma::default();
        ewma.observe(100 * MILLISECOND, 0);
        let now = 100 * SECOND;
        assert!(estimate(&ewma, now) < 0.01);
        ewma.touch(now);
        assert!((estimate(&ewma, now) - 100.0).abs() < 0.1);
        // It may not answer; then it is tried again.
        assert!((estimate(&ewma, now + 10 * SECOND) - 36.8).abs() < 0.1);
        // If it does, that counts for all of the time.
        ewma.observe(10 * MILLISECOND, now + 10 * SECOND);
        assert!((estimate(&ewma, now + 10 * SECOND) - 10.0).abs() < 0.1);
    }

    #[test]
    fn a_failure_does_not_make_an_endpoint_look_quick() {
        let ewma = PeakEwma::default();
        ewma.observe(50 * MILLISECOND, 0);
        ewma.observe_failure(MILLISECOND, Duration::ZERO, SECOND);
        assert!((estimate(&ewma, SECOND) - 50.0).abs() < 0.1);
        ewma.observe_failure(MILLISECOND, Duration::from_millis(850), SECOND);
        assert!((estimate(&ewma, SECOND) - 100.0).abs() < 0.1);
    }

    #[test]
    fn a_request_that_was_given_up_can_raise_it_only() {
        let ewma = PeakEwma::default();
        ewma.observe(50 * MILLISECOND, 0);
        ewma.observe_at_least(MILLISECOND, SECOND);
        assert!((estimate(&ewma, 0) - 50.0).abs() < 0.1);
        ewma.observe_at_least(82 * MILLISECOND, MILLISECOND);
        assert!((estimate(&ewma, MILLISECOND) - 52.0).abs() < 0.1);
    }

    #[test]
    fn it_fades_as_well_after_a_month() {
        const MONTH: u64 = 30 * 24 * 60 * 60 * SECOND;
        let ewma = PeakEwma::default();
        ewma.observe(100 * MILLISECOND, MONTH);
        assert!((estimate(&ewma, MONTH + 10 * SECOND) - 36.8).abs() < 0.1);
        assert!(estimate(&ewma, MONTH + MONTH / 2) < 0.01);
    }

    #[test]
    fn a_clock_that_is_behind_does_no_harm() {
        let ewma = PeakEwma::default();
        ewma.observe(50 * MILLISECOND, 10 * SECOND);
        ewma.observe(10 * MILLISECOND, 9 * SECOND);
        assert!((estimate(&ewma, 9 * SECOND) - 50.0).abs() < 0.1);
    }
}
