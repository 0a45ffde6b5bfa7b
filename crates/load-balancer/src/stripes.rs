//! Counters that many threads write to without waiting for each other's caches.
//!
//! A counter that two cores write to moves from one's cache to the other's with each write, which takes longer than
//! all else that a pick does: some 150 ns here. So such a counter is kept in several parts, each in a cache line of
//! its own, and a thread writes to its part only.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Parts of a counter. More threads than that share them.
pub(crate) const STRIPES: usize = 16;

/// The part of this thread, below [`STRIPES`].
#[inline]
pub(crate) fn own_stripe() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

/// What has a cache line for itself, and the one that is fetched together with it on many processors.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// A number that threads add to and take from often, and read rarely.
#[derive(Debug, Default)]
pub(crate) struct Count([Line<AtomicU32>; STRIPES]);

impl Count {
    #[inline]
    pub(crate) fn increment(&self) {
        self.0[own_stripe()].0.fetch_add(1, Ordering::Relaxed);
    }

    /// Also for what another thread has added: a part may go below 0, their sum does not.
    #[inline]
    pub(crate) fn decrement(&self) {
        self.0[own_stripe()].0.fetch_sub(1, Ordering::Relaxed);
    }

    /// What there was at some time while this was looking; exact if no other thread writes.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        let parts = self.0.iter().map(|part| part.0.load(Ordering::Relaxed));
        let sum = parts.fold(0, u32::wrapping_add);
        // A decrement may have been seen without the increment before it, in another part.
        if sum > u32::MAX / 2 { 0 } else { sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_sum_of_what_all_threads_do() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| (0..1_000).for_each(|_| count.increment()));
            }
        });
        assert_eq!(count.get(), 40_000);
        (0..39_999).for_each(|_| count.decrement());
        assert_eq!(count.get(), 1);
    }
}
