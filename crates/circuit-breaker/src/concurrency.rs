//! How much may go on at the same time.
//!
//! What Envoy calls circuit breaking: an upstream has a most of requests in flight, and a most of requests that wait
//! for a connection; whatever comes on top is refused at once (Envoy answers 503 with `x-envoy-overloaded`). That holds
//! a slow backend's damage within bounds before any breaker has enough failures to go by.
//!
//! A [`Limit`] counts places; [`Limits`] are the two of an upstream. A place is a [`Place`], and is given back when
//! that is dropped, however the request ends. A most can be changed while places are taken: if there are more then than
//! allowed, those stay, and nobody gets one until there are fewer.

use std::ops::Deref;
use std::sync::Arc;

use crate::gauge::Gauge;
use crate::sync::{AtomicU32, Ordering};

/// As in Envoy. Its users find that little for upstreams of many requests a second, and enough for most.
const DEFAULT: u32 = 1024;

/// So many places. For any number of threads.
#[derive(Debug)]
pub struct Limit {
    most: AtomicU32,
    taken: Gauge,
}

/// The limits of an upstream. 1,024 each by default, as in Envoy.
#[derive(Debug, Default)]
pub struct Limits {
    /// Requests that have been sent, and not been answered to the end.
    pub in_flight: Limit,
    /// Requests that wait to be sent.
    pub pending: Limit,
}

/// A place that is taken. Dropping gives it back.
#[derive(Debug)]
#[must_use = "a place that is dropped is free again"]
pub struct Place<L: Deref<Target = Limit>> {
    limit: L,
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {most} places are taken")]
pub struct Full {
    /// How many there are.
    pub most: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl Limit {
    /// A limit of `most` places. With 0, nothing passes.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            most: AtomicU32::new(most),
            taken: Gauge::default(),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When all are taken.
    #[inline]
    pub fn try_acquire(&self) -> Result<Place<&Self>, Full> {
        self.take()?;
        Ok(Place { limit: self })
    }

    /// As [`try_acquire`](Self::try_acquire), for a place that outlives the borrow.
    ///
    /// # Errors
    /// When all are taken.
    #[inline]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<Place<Arc<Self>>, Full> {
        self.take()?;
        let limit = Arc::clone(self);
        Ok(Place { limit })
    }

    #[inline]
    fn take(&self) -> Result<(), Full> {
        let most = self.most();
        if self.taken.try_take(most) {
            Ok(())
        } else {
            Err(Full { most })
        }
    }

    /// Places that are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.used()
    }

    /// Places that there are.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// Has `most` places from here on.
    pub fn set_most(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }
}

impl Limits {
    /// Limits of so many requests in flight, and so many that wait.
    #[must_use]
    pub fn new(in_flight: u32, pending: u32) -> Self {
        Self {
            in_flight: Limit::new(in_flight),
            pending: Limit::new(pending),
        }
    }
}

impl<L: Deref<Target = Limit>> Drop for Place<L> {
    #[inline]
    fn drop(&mut self) {
        self.limit.taken.give_back();
    }
}
