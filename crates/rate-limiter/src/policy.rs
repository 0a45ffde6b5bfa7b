//! What is allowed.

use std::time::Duration;

use crate::window::SLICES;

/// The shortest window: one of its slices has to be longer than what two clocks disagree by.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest window: a leap year. Counts are kept in memory and would not survive for longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// So many units in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    limit: u32,
    window: Duration,
}

/// Why there is no such policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A limit of 0, which no request could meet.
    #[error("a limit must be at least 1")]
    NoLimit,
    /// A window that is too short or too long to be counted in.
    #[error("a window must be between 10 milliseconds and 366 days long")]
    Window,
}

impl Policy {
    /// Allows `limit` units in any `window`.
    ///
    /// # Errors
    /// When `limit` is 0, or `window` shorter than 10 milliseconds or longer than 366 days.
    pub fn new(limit: u32, window: Duration) -> Result<Self, PolicyError> {
        if limit == 0 {
            return Err(PolicyError::NoLimit);
        }
        if !(SHORTEST..=LONGEST).contains(&window) {
            return Err(PolicyError::Window);
        }
        Ok(Self { limit, window })
    }

    /// Units that are allowed in a window.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The length of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The length of one slice of the window, in nanoseconds.
    pub(crate) fn slice(&self) -> u64 {
        // At most 366 days: far from the end of the type.
        let window = u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX);
        window / SLICES as u64
    }
}
