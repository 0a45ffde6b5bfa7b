//! An example for what a bucket counts: the last request in it that is part of a trace.

use std::fmt;
use std::num::NonZeroU128;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The trace that a request is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(NonZeroU128);

/// An example, written by one thread and read by any without a lock: a reader who comes while it is written sees none.
#[derive(Debug, Default)]
pub(super) struct Exemplar {
    /// Odd while it is written; 0 before the first time.
    version: AtomicU64,
    trace: [AtomicU64; 2],
    nanoseconds: AtomicU64,
    /// Milliseconds since 1970.
    at: AtomicU64,
}

/// An example as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) trace: TraceId,
    pub(crate) duration: Duration,
    /// Since 1970.
    pub(crate) at: Duration,
}

impl TraceId {
    /// None for zero, which is no trace's (W3C Trace Context §3.2.2.3).
    pub(crate) fn new(number: u128) -> Option<Self> {
        NonZeroU128::new(number).map(Self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl Exemplar {
    pub(super) fn set(&self, TraceId(trace): TraceId, duration: Duration) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let milliseconds = u64::try_from(at.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let [high, low] = halves(trace.get());
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (part, value) in [
            (&self.trace[0], high),
            (&self.trace[1], low),
            (&self.nanoseconds, nanoseconds),
            (&self.at, milliseconds),
        ] {
            part.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<Seen> {
        let version = self.version.load(Ordering::Acquire);
        let [high, low] = [&self.trace[0], &self.trace[1]].map(|it| it.load(Ordering::Relaxed));
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        let milliseconds = self.at.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if version % 2 == 1 || self.version.load(Ordering::Relaxed) != version {
            return None;
        }
        let trace = NonZeroU128::new(u128::from(high) << 64 | u128::from(low))?;
        Some(Seen {
            trace: TraceId(trace),
            duration: Duration::from_nanos(nanoseconds),
            at: Duration::from_millis(milliseconds),
        })
    }
}

#[allow(clippy::cast_possible_truncation, reason = "each half by itself")]
const fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_half_of_one() {
        let exemplar = Exemplar::default();
        assert_eq!(exemplar.get(), None);
        let of = |number: u64| {
            let trace = u128::from(number) << 64 | u128::from(number);
            TraceId(NonZeroU128::new(trace).unwrap())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=20_000 {
                    exemplar.set(of(number), Duration::from_nanos(number));
                }
            });
            loop {
                let Some(seen) = exemplar.get() else { continue };
                let number = u64::try_from(seen.duration.as_nanos()).unwrap();
                assert_eq!(seen.trace, of(number));
                if number == 20_000 {
                    break;
                }
            }
        });
    }
}
