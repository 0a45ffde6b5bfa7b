//! Time as balancers and breakers are told it.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Any fixed point: the first time that somebody asks.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point in time, as the time since a fixed one.
pub(crate) fn moment(at: Instant) -> Duration {
    // Nobody counts to less than zero; an hour in hand is for those who looked at the clock before the first asked.
    const IN_HAND: Duration = Duration::from_secs(3600);
    at.saturating_duration_since(*START) + IN_HAND
}
