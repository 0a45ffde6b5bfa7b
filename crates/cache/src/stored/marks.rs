//! What changes about a stored response: what purges have to do with it, and when it was used.

use std::sync::atomic::Ordering;

use super::Stored;
use crate::time::Timestamp;

impl Stored {
    /// Purges up to this one are not about it, or have been noted by [`soften`](Self::soften).
    pub(crate) fn checked(&self) -> u64 {
        self.fixed().checked.load(Ordering::Acquire)
    }

    pub(crate) fn note_checked(&self, last: u64) {
        self.fixed().checked.fetch_max(last, Ordering::Release);
    }

    /// Whether a purge has made it stale.
    pub(crate) fn is_softened(&self) -> bool {
        self.fixed().softened.load(Ordering::Relaxed)
    }

    pub(crate) fn soften(&self) {
        self.fixed().softened.store(true, Ordering::Relaxed);
    }

    /// Notes a use, at most once a second: all threads would write the same line of memory at each hit.
    pub(crate) fn touch(&self, now: Timestamp) {
        let used = &self.fixed().used;
        let now = coarse(now);
        if used.load(Ordering::Relaxed) != now {
            used.store(now, Ordering::Relaxed);
        }
    }

    /// In seconds since the epoch modulo 2³².
    pub(crate) fn last_used(&self) -> u32 {
        self.fixed().used.load(Ordering::Relaxed)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "modulo 2³²")]
pub(super) fn coarse(now: Timestamp) -> u32 {
    now.as_secs() as u32
}
