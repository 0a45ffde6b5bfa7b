//! The gradient controller for many threads, and who passes.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use super::gradient::Gradient;
use super::{Policy, Priority};
use crate::error::PolicyError;
use crate::gauge::Gauge;
use crate::sync::{AtomicU32, Ordering};
use crate::time::nanoseconds;

/// A limit of requests in flight that follows their latency. For any number of threads.
///
/// All times are given as the time since a fixed point, the same for all calls.
#[derive(Debug)]
pub struct AdaptiveLimit {
    /// What the controller last said.
    limit: AtomicU32,
    in_flight: Gauge,
    controller: Mutex<Gradient>,
}

/// A request in flight. Tell when it has been answered by [`complete`](Self::complete); when it is dropped instead, it
/// gives its place back and its latency means nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped ends the request"]
pub struct Permit<L: Deref<Target = AdaptiveLimit>> {
    limit: L,
    /// When the request began, in nanoseconds.
    began: u64,
}

/// A request that must not be sent, because too many are in flight for its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is in flight for a request of priority {priority:?}: the limit is {limit}")]
pub struct Shed {
    /// The request's priority.
    pub priority: Priority,
    /// The limit at that time.
    pub limit: u32,
}

impl AdaptiveLimit {
    /// A limit that begins by measuring the least latency. `seed` makes the jitter: give each another.
    ///
    /// # Errors
    /// When a value of `policy` is out of its range.
    pub fn new(policy: &Policy, seed: u64) -> Result<Self, PolicyError> {
        policy.check()?;
        let controller = Gradient::new(policy.clone(), seed);
        Ok(Self {
            limit: AtomicU32::new(controller.limit()),
            in_flight: Gauge::default(),
            controller: Mutex::new(controller),
        })
    }

    /// Asks at `now` to send a request.
    ///
    /// # Errors
    /// When too many are in flight for its priority.
    #[inline]
    pub fn try_acquire(&self, priority: Priority, now: Duration) -> Result<Permit<&Self>, Shed> {
        let now = nanoseconds(now);
        self.take(priority, now)?;
        Ok(Permit {
            limit: self,
            began: now,
        })
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that outlives the borrow.
    ///
    /// # Errors
    /// When too many are in flight for its priority.
    #[inline]
    pub fn try_acquire_owned(
        self: &Arc<Self>,
        priority: Priority,
        now: Duration,
    ) -> Result<Permit<Arc<Self>>, Shed> {
        let now = nanoseconds(now);
        self.take(priority, now)?;
        Ok(Permit {
            limit: Arc::clone(self),
            began: now,
        })
    }

    #[inline]
    fn take(&self, priority: Priority, now: u64) -> Result<(), Shed> {
        let limit = self.limit();
        if self.in_flight.try_take(priority.share_of(limit)) {
            return Ok(());
        }
        self.control(|controller| controller.refuse(now));
        Err(Shed { priority, limit })
    }

    /// The limit at present.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.used()
    }

    /// The latency of the backend when it is idle, as it was last measured. None before the first measurement is done.
    #[must_use]
    pub fn min_rtt(&self) -> Option<Duration> {
        let controller = self.controller.lock();
        let controller = controller.unwrap_or_else(PoisonError::into_inner);
        let microseconds = controller.min_rtt()?;
        Some(Duration::from_micros(u64::from(microseconds)))
    }

    /// Tells the controller something, unless another thread does.
    fn control(&self, tell: impl FnOnce(&mut Gradient)) {
        let mut controller = match self.controller.try_lock() {
            Ok(controller) => controller,
            // It is whole at any time: a thread that has panicked leaves nothing half done.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        tell(&mut controller);
        self.limit.store(controller.limit(), Ordering::Relaxed);
    }
}

impl<L: Deref<Target = AdaptiveLimit>> Permit<L> {
    /// The request has waited for something else since: it begins at `now`.
    pub fn begins(&mut self, now: Duration) {
        self.began = nanoseconds(now);
    }

    /// The request has been answered at `now`.
    pub fn complete(self, now: Duration) {
        let (began, now) = (self.began, nanoseconds(now));
        self.limit
            .control(|controller| controller.record(began, now));
    }
}

impl<L: Deref<Target = AdaptiveLimit>> Drop for Permit<L> {
    #[inline]
    fn drop(&mut self) {
        self.limit.in_flight.give_back();
    }
}
