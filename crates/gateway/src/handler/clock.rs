//! The time of day.

use std::cell::Cell;

use tokio::time::Instant;

/// Turns points in time into dates without asking the system for each.
#[derive(Debug)]
pub(crate) struct Clock {
    /// A moment, and what the system's clock said then, in milliseconds since 1970.
    seen: Cell<(Instant, u64)>,
}

impl Clock {
    /// A clock that takes the present time from the system.
    pub(crate) fn new() -> Self {
        Self {
            seen: Cell::new(Self::look()),
        }
    }

    /// Looks again: the system's clock may have been set, or the machine have slept.
    pub(crate) fn renew(&self) {
        self.seen.set(Self::look());
    }

    fn look() -> (Instant, u64) {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        (
            Instant::now(),
            u64::try_from(since.as_millis()).unwrap_or(0),
        )
    }

    /// The present time, in seconds since 1970.
    pub(crate) fn now(&self) -> f64 {
        self.seconds(Instant::now())
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a clock beyond 2^53 milliseconds is no clock"
    )]
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        self.unix_milliseconds(at) as f64 / 1000.0
    }

    pub(super) fn unix_milliseconds(&self, at: Instant) -> u64 {
        let (seen, then) = self.seen.get();
        let since = at.saturating_duration_since(seen).as_millis();
        then + u64::try_from(since).unwrap_or(0)
    }
}
