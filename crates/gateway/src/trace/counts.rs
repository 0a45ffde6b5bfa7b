//! What has become of spans.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of spans, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    /// The queue was full.
    overflowed: AtomicU64,
    /// The collector could not be reached, or did not want them.
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn export(&self, spans: usize) {
        add(&self.exported, spans);
    }

    pub(super) fn overflow(&self, spans: usize) {
        add(&self.overflowed, spans);
    }

    pub(super) fn fail(&self, spans: usize) {
        add(&self.failed, spans);
    }

    /// Spans that the collector has taken.
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans that were dropped because the queue was full.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Spans that were dropped because the collector did not take them.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

fn add(count: &AtomicU64, spans: usize) {
    count.fetch_add(spans as u64, Ordering::Relaxed);
}
