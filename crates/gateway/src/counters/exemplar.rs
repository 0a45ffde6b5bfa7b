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
    /// That of a `traceparent` (W3C Trace Context §3.2) that is valid and says that the trace is recorded: a link to any
    /// other would lead nowhere.
    pub(crate) fn from_traceparent(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(55)?;
        let [
            b'0'..=b'9' | b'a'..=b'f',
            b'0'..=b'9' | b'a'..=b'f',
            b'-',
            ..,
        ] = known
        else {
            return None;
        };
        // Version ff is forbidden; those to come may have more behind another dash, version 00 has not.
        let version = known.get(..2)?;
        if version == b"ff" || !(rest.is_empty() || (version != b"00" && rest.starts_with(b"-"))) {
            return None;
        }
        if known.get(35) != Some(&b'-') || known.get(52) != Some(&b'-') {
            return None;
        }
        let trace = hexadecimal(known.get(3..35)?)?;
        let parent = hexadecimal(known.get(36..52)?)?;
        let flags = hexadecimal(known.get(53..55)?)?;
        (parent != 0 && flags & 1 == 1).then_some(())?;
        NonZeroU128::new(trace).map(Self)
    }
}

/// Lower case only, as the standard demands.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
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

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn only_a_valid_and_recorded_trace_is_an_example() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        let of = |text: &str| TraceId::from_traceparent(text.as_bytes());
        assert_eq!(of(&good).unwrap().to_string(), TRACE);
        assert!(of(&good.replacen("00", "cc", 1)).is_some());
        assert!(of(&format!("{}-what-is-to-come", good.replacen("00", "cc", 1))).is_some());
        for bad in [
            good.replacen("00", "ff", 1),
            format!("{good}-more"),
            good.replace("-01", "-00"),
            good.replace("b7ad6b7169203331", "0000000000000000"),
            good.replace(TRACE, "00000000000000000000000000000000"),
            good.to_uppercase(),
            good.replace('-', "_"),
            good[..54].to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&bad), None, "{bad}");
        }
    }

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
