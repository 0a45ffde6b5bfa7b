//! How many requests have been answered, and how many of them by 5xx.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one worker, which alone writes them; on memory of their own, so that no other worker waits for it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Answers {
    all: AtomicU64,
    failed: AtomicU64,
}

impl Answers {
    /// A request has been answered with this status.
    pub(super) fn count(&self, status: u16) {
        let increment = |counter: &AtomicU64| {
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        };
        increment(&self.all);
        if status >= 500 {
            increment(&self.failed);
        }
    }

    /// All, and those by 5xx.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.all), of(&self.failed))
    }
}
