//! A number of things that are in use: never more than allowed when they are taken, never below none.

use crate::sync::{AtomicU32, Ordering};

/// How many are in use.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU32);

impl Gauge {
    /// Takes one, if fewer than `most` are in use. Exact: two that come at the same time do not both get the last, and
    /// none is refused because of another that is refused.
    #[inline]
    pub(crate) fn try_take(&self, most: u32) -> bool {
        let mut used = self.used();
        while used < most {
            let swap =
                self.0
                    .compare_exchange_weak(used, used + 1, Ordering::AcqRel, Ordering::Acquire);
            match swap {
                Ok(_) => return true,
                Err(found) => used = found,
            }
        }
        false
    }

    /// Gives back one that was taken.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn used(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}
