//! How long to wait before a retry.

use std::time::Duration;

use crate::error::PolicyError;
use crate::time::nanoseconds;

/// How long to wait before a retry.
///
/// Exponential back-off with full jitter: before its `n`th retry a request waits for a random part of
/// `(2^n - 1) × base`, as Envoy does. The whole of the time is random, because requests that failed together would come
/// back together otherwise, and fail together again. See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015:
/// full jitter makes the least work for all.
///
/// A server that says `Retry-After` knows better: nothing is sent before that, and the jitter comes on top. A server
/// that wants to be left alone for longer than anybody would hold a request for is not asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    max_hint: Duration,
}

impl Default for Backoff {
    /// Envoy's: 25 milliseconds, 250 at most, and up to 300 seconds if the server asks for it.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            max: Duration::from_millis(250),
            max_hint: Duration::from_mins(5),
        }
    }
}

impl Backoff {
    /// Waits for a part of `base` before the first retry, of `max` at most before later ones, and for `max_hint` at
    /// most if a server asks for it.
    ///
    /// # Errors
    /// When `base` is 0, or `max` less than it.
    pub fn new(base: Duration, max: Duration, max_hint: Duration) -> Result<Self, PolicyError> {
        PolicyError::unless(!base.is_zero(), "base", base, "it must be above 0")?;
        PolicyError::unless(max >= base, "max", max, "it must not be less than base")?;
        Ok(Self {
            base,
            max,
            max_hint,
        })
    }

    /// How long to wait before retry `number`, the first of which is 1. Any value of `random` must be as likely as any
    /// other.
    #[must_use]
    pub fn delay(&self, number: u32, random: u64) -> Duration {
        let doubled = 1_u64.checked_shl(number).unwrap_or(0).wrapping_sub(1);
        let most = nanoseconds(self.base)
            .saturating_mul(doubled)
            .min(nanoseconds(self.max));
        // A part of `most`, as `random` is a part of 2^64.
        let delay = (u128::from(most) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(delay).unwrap_or(most))
    }

    /// How long to wait before retry `number` of a request whose answer says to come again after `hint`. None if that
    /// is longer than allowed: then pass the answer on.
    #[must_use]
    pub fn delay_after(&self, hint: Duration, number: u32, random: u64) -> Option<Duration> {
        (hint <= self.max_hint).then(|| hint.saturating_add(self.delay(number, random)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_range_doubles_up_to_its_limit() {
        let backoff = Backoff::default();
        let longest: Vec<_> = (1..=6)
            .map(|number| {
                backoff
                    .delay(number, u64::MAX)
                    .as_nanos()
                    .div_ceil(1_000_000)
            })
            .collect();
        assert_eq!(longest, [25, 75, 175, 250, 250, 250]);
    }

    #[test]
    fn randomness_is_spread_over_the_whole_range() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0), Duration::ZERO);
        assert_eq!(backoff.delay(1, 1 << 63), Duration::from_micros(12_500));
        assert_eq!(backoff.delay(4, 1 << 62), Duration::from_micros(62_500));
    }

    #[test]
    fn a_hint_is_waited_for_and_the_jitter_comes_on_top() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay_after(ms(2_000), 1, 0), Some(ms(2_000)));
        let jittered = backoff.delay_after(ms(2_000), 4, 1 << 63);
        assert_eq!(jittered, Some(ms(2_125)));
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_for_too_long_is_not_retried() {
        let backoff = Backoff::default();
        assert!(backoff.delay_after(ms(300_000), 1, 7).is_some());
        assert_eq!(backoff.delay_after(ms(300_001), 1, 7), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Backoff::new(Duration::ZERO, ms(1), ms(1)).is_err());
        let error = Backoff::new(ms(2), ms(1), ms(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "max is 1ms: it must not be less than base"
        );
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_allowed(
            base in 1_u64..1 << 62,
            more in 0_u64..1 << 62,
            number in any::<u32>(),
            random in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_nanos(base), Duration::from_nanos(base + more));
            let delay = Backoff::new(base, max, max).unwrap().delay(number, random);
            prop_assert!(delay < max);
            if number == 0 {
                prop_assert_eq!(delay, Duration::ZERO);
            }
        }
    }
}
