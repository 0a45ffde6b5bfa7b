//! Time as the state machines see it: nanoseconds since the fixed point that the caller counts from.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// All that fits, which is 584 years. Plain multiplication, where `as_nanos` would take 128 bits.
#[inline]
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(SECOND)
        .saturating_add(u64::from(time.subsec_nanos()))
}
