//! What is known of one endpoint, by all threads.
//!
//! A [`Load`] belongs to an endpoint's identity and not to a configuration: the caller keeps one for as long as the
//! endpoint exists in any, so that a reload loses neither requests in flight nor latency, health or an ejection.
//!
//! All of it is atomics, and none of them orders another: a reader may see a request ended and its failure not yet
//! counted. Nothing here needs more, since every decision made of it is made anew with the next request.
//!
//! # Layout
//! What requests write to is in one cache line together with the counts of the [`Arc`], which each request in flight
//! clones, and what they only read is in the next: a line that several threads write to is the most expensive thing
//! here. With the counts a load takes up 128 bytes, which allocators align as they should be. A request that succeeds
//! writes when it starts and when it ends. Its answer is not counted by itself: what has ended and neither failed nor
//! gone unanswered has succeeded.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::ewma::PeakEwma;
use crate::in_flight::{Outcome, Streak};
use crate::stripes::Count;

/// One in the lower half of a word, and in the upper one. What overflows from the upper half is gone.
const ONE: u64 = 1;
const UPPER: u64 = 1 << 32;

/// Not available: active checks say so.
const UNHEALTHY: u32 = 1;
/// Not available: outlier detection says so.
const EJECTED: u32 = 2;
/// Not available: an operator says so.
const DRAINED: u32 = 4;

/// A failure that is the endpoint's own counts as a latency of no less than this: long beside most answers, short
/// enough that an endpoint which failed once is not avoided for a minute.
const FAILURE_LATENCY: Duration = Duration::from_secs(1);

/// One endpoint's load and standing, shared by all threads and by successive configurations.
///
/// An endpoint that two upstreams have in common has one for each: what an upstream asks of it, and what it answers,
/// is not the other's business.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Load {
    /// Lower half: requests that have been started and have not ended. Upper half: those that have ended; wraps.
    requests: AtomicU64,
    /// Requests since outlier detection last asked: lower half failures, upper half those without an answer.
    unsuccessful: AtomicU64,
    /// Failures without a success between them: lower half all, upper half those of the gateway kind.
    streak: AtomicU64,
    latency: PeakEwma,
    _rest_of_line: u64,
    /// When it last became available, in nanoseconds: slow start counts from there.
    available_since: AtomicU64,
    /// [`UNHEALTHY`], [`EJECTED`] and [`DRAINED`]; available when none is set.
    standing: AtomicU32,
    /// Requests that had ended when outlier detection last asked.
    ended_before: AtomicU32,
    /// When its ejection ends, or ended, in nanoseconds.
    ejected_until: AtomicU64,
    /// How often it has been ejected in a row.
    ejections: AtomicU32,
    /// The sum over all endpoints of the upstream, if anybody has asked for it.
    all: OnceLock<Arc<AllInFlight>>,
    _rest_of_size: [u64; 2],
}

/// Requests in flight to all endpoints of an upstream that are counted together.
#[derive(Debug, Default)]
pub(crate) struct AllInFlight(Count);

/// Where a request has been counted when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// With its endpoint.
    Here,
    /// With all endpoints as well.
    WithAll,
}

/// Answers of one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) all: u32,
    pub(crate) failures: u32,
}

impl Load {
    /// An endpoint that joins at `now`, available: slow start begins.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self {
            available_since: AtomicU64::new(nanoseconds(now)),
            ..Self::default()
        }
    }

    /// Requests in flight.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        // The lower half.
        self.requests.load(Ordering::Relaxed) as u32
    }

    /// The moving average of its latency; none before the first answer.
    #[must_use]
    pub fn latency(&self, now: Duration) -> Option<Duration> {
        self.latency
            .get(nanoseconds(now))
            .map(|latency| Duration::from_nanos(latency as u64))
    }

    /// Whether neither active checks nor outlier detection nor an operator have anything against it.
    #[inline]
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == 0
    }

    /// Whether outlier detection has ejected it.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// Whether active checks have found it unhealthy.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & UNHEALTHY != 0
    }

    /// Whether an operator has drained it.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.standing.load(Ordering::Relaxed) & DRAINED != 0
    }

    /// It gets no new requests until [`undrain`](Self::undrain), whatever becomes of the others: as if its weight were 0.
    pub fn drain(&self) {
        self.standing.fetch_or(DRAINED, Ordering::Relaxed);
    }

    /// It gets requests again, if it is otherwise available; slow start begins.
    pub fn undrain(&self, now: Duration) {
        self.clear(DRAINED, now);
    }

    /// Active checks have found it unhealthy.
    pub fn mark_unhealthy(&self) {
        self.standing.fetch_or(UNHEALTHY, Ordering::Relaxed);
    }

    /// Active checks have found it healthy: that ends an ejection as well, and forgets failures before it. If it was
    /// not available, slow start begins.
    pub fn mark_healthy(&self, now: Duration) {
        self.uneject(now);
        self.clear(UNHEALTHY, now);
    }

    /// It is the `in_a_row`th time.
    pub(crate) fn eject(&self, until: Duration, in_a_row: u32) {
        self.ejected_until
            .store(nanoseconds(until), Ordering::Relaxed);
        self.ejections.store(in_a_row, Ordering::Relaxed);
        self.standing.fetch_or(EJECTED, Ordering::Relaxed);
    }

    /// Ends an ejection, if it is ejected, and forgets the failures before it: a few new ones are not to eject it
    /// again. [`Detector::tick`](crate::outlier::Detector::tick) does that in time; this is for a configuration
    /// without outlier detection.
    pub fn uneject(&self, now: Duration) {
        if self.is_ejected() {
            self.ejected_until
                .store(nanoseconds(now), Ordering::Relaxed);
            self.forget_failures();
            self.clear(EJECTED, now);
        }
    }

    fn clear(&self, flags: u32, now: Duration) {
        let before = self.standing.fetch_and(!flags, Ordering::Relaxed);
        if before != 0 && before & !flags == 0 {
            self.available_since
                .store(nanoseconds(now), Ordering::Relaxed);
        }
    }

    /// When the present or the latest ejection ends or ended.
    pub(crate) fn ejected_until(&self) -> Duration {
        Duration::from_nanos(self.ejected_until.load(Ordering::Relaxed))
    }

    /// Ejections in a row.
    pub(crate) fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// An interval has passed without an ejection.
    pub(crate) fn forgive_ejection(&self) {
        // Only outlier detection comes here, from one thread at a time.
        self.ejections
            .store(self.ejections().saturating_sub(1), Ordering::Relaxed);
    }

    /// The answers since the last call.
    pub(crate) fn take_answers(&self) -> Answers {
        let ended = (self.requests.load(Ordering::Relaxed) >> 32) as u32;
        let unsuccessful = self.unsuccessful.swap(0, Ordering::Relaxed);
        let (failures, unanswered) = (unsuccessful as u32, (unsuccessful >> 32) as u32);
        let before = self.ended_before.swap(ended, Ordering::Relaxed);
        let answered = ended.wrapping_sub(before).saturating_sub(unanswered);
        Answers {
            // A failure counts when its answer comes, and ends a little later.
            all: answered.max(failures),
            failures,
        }
    }

    pub(crate) fn forget_failures(&self) {
        self.streak.store(0, Ordering::Relaxed);
    }

    /// Nanoseconds since it last became available.
    #[inline]
    pub(crate) fn available_for(&self, now: u64) -> u64 {
        now.saturating_sub(self.available_since.load(Ordering::Relaxed))
    }

    /// Its latency at `now`, in nanoseconds.
    #[inline]
    pub(crate) fn latency_at(&self, now: u64) -> Option<f32> {
        self.latency.get(now)
    }

    #[inline]
    pub(crate) fn begin(&self, now: u64) -> Counted {
        self.requests.fetch_add(ONE, Ordering::Relaxed);
        self.latency.touch(now);
        match self.all.get() {
            None => Counted::Here,
            Some(all) => {
                all.0.increment();
                Counted::WithAll
            }
        }
    }

    #[inline]
    pub(crate) fn end(&self, counted: Counted) {
        self.requests.fetch_add(UPPER - ONE, Ordering::Relaxed);
        if let (Counted::WithAll, Some(all)) = (counted, self.all.get()) {
            all.0.decrement();
        }
    }

    /// A request has ended of which nothing is known.
    #[cold]
    pub(crate) fn record_unanswered(&self) {
        self.unsuccessful.fetch_add(UPPER, Ordering::Relaxed);
    }

    /// Takes in how a request was answered at `now`, `latency` after it was sent. Both in nanoseconds.
    #[inline]
    pub(crate) fn record(&self, outcome: Outcome, latency: u64, now: u64) -> Streak {
        match outcome {
            Outcome::Success => {
                // The word is in the cache already, and is rarely anything but 0: not worth a write each time.
                if self.streak.load(Ordering::Relaxed) != 0 {
                    self.forget_failures();
                }
                self.latency.observe(latency, now);
                Streak::default()
            }
            Outcome::ServerError => {
                self.unsuccessful.fetch_add(ONE, Ordering::Relaxed);
                // Another kind of failure ends a row of gateway failures: the upper half.
                self.streak.fetch_and(UPPER - ONE, Ordering::Relaxed);
                let before = self.streak.fetch_add(ONE, Ordering::Relaxed);
                self.latency.observe_failure(latency, Duration::ZERO, now);
                Streak::of(before.wrapping_add(ONE))
            }
            Outcome::GatewayFailure => {
                self.unsuccessful.fetch_add(ONE, Ordering::Relaxed);
                let before = self.streak.fetch_add(UPPER | ONE, Ordering::Relaxed);
                self.latency.observe_failure(latency, FAILURE_LATENCY, now);
                Streak::of(before.wrapping_add(UPPER | ONE))
            }
            Outcome::Cancelled => {
                self.record_unanswered();
                self.latency.observe_at_least(latency, now);
                Streak::default()
            }
        }
    }
}

impl AllInFlight {
    /// The count of all these endpoints together, from now on: one that some of them have already, if there is one.
    pub(crate) fn of<'a>(loads: impl Iterator<Item = &'a Load> + Clone) -> Arc<Self> {
        let all = loads.clone().find_map(|load| load.all.get().cloned());
        let all = all.unwrap_or_default();
        for load in loads {
            load.all.get_or_init(|| Arc::clone(&all));
        }
        all
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.get()
    }
}

/// A time as it is kept: 584 years are enough.
#[inline]
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
