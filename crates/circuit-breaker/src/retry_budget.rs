//! How much may be retried.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::PolicyError;
use crate::gauge::Gauge;

/// Retries in flight, held to a share of the requests in flight. For any number of threads.
///
/// Retries help when one request fails, and harm when all do: three tries for each request are three times the load on
/// a backend that fails because of its load. So retries in flight are held to a share of the requests in flight, 20 %
/// as in Envoy, Linkerd and the Gateway API, with a minimum, 3, so that an upstream with little to do can be retried at
/// all. When the budget is spent, the answer at hand is the answer.
///
/// Envoy's form of it: the share is of what is in flight now (active and pending), where Linkerd and the Gateway API
/// look back on the requests of the last ten seconds. What is in flight needs no clock and no window, and when a
/// backend slows down it grows with the load that the backend really bears.
#[derive(Debug)]
pub struct RetryBudget {
    ratio: f64,
    minimum: u32,
    retries: Gauge,
}

/// A retry in flight. Dropping ends it.
#[derive(Debug)]
#[must_use = "a retry that is dropped has ended"]
pub struct Retry<B: Deref<Target = RetryBudget>> {
    budget: B,
}

impl Default for RetryBudget {
    /// 20 %, and 3 at least.
    fn default() -> Self {
        Self {
            ratio: 0.2,
            minimum: 3,
            retries: Gauge::default(),
        }
    }
}

impl RetryBudget {
    /// Allows retries of `ratio` of the requests in flight (0 to 1), but `minimum` retries always.
    ///
    /// # Errors
    /// When `ratio` is not between 0 and 1.
    pub fn new(ratio: f64, minimum: u32) -> Result<Self, PolicyError> {
        PolicyError::unless(
            (0.0..=1.0).contains(&ratio),
            "ratio",
            ratio,
            "it must be between 0 and 1",
        )?;
        Ok(Self {
            ratio,
            minimum,
            retries: Gauge::default(),
        })
    }

    /// Begins a retry, if the budget has one left while `in_flight` requests are in flight, those that wait to be sent
    /// and the one that is to be retried among them. The owner knows that number, from [`Limits`] for example; counting
    /// it here again would cost every request what only retries need.
    ///
    /// [`Limits`]: crate::concurrency::Limits
    pub fn try_retry(&self, in_flight: u32) -> Option<Retry<&Self>> {
        // Not `then_some`: that would make a retry, and end it, where there is none.
        self.take(in_flight).then(|| Retry { budget: self })
    }

    /// As [`try_retry`](Self::try_retry), for a retry that outlives the borrow.
    pub fn try_retry_owned(self: &Arc<Self>, in_flight: u32) -> Option<Retry<Arc<Self>>> {
        self.take(in_flight).then(|| Retry {
            budget: Arc::clone(self),
        })
    }

    /// Retries that may be in flight while `in_flight` requests are.
    #[must_use]
    pub fn allowed(&self, in_flight: u32) -> u32 {
        // Between 0 and `in_flight`. A part of a retry is none, as in Envoy.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let share = (f64::from(in_flight) * self.ratio) as u32;
        share.max(self.minimum)
    }

    /// Retries in flight.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.used()
    }

    fn take(&self, in_flight: u32) -> bool {
        self.retries.try_take(self.allowed(in_flight))
    }
}

impl<B: Deref<Target = RetryBudget>> Drop for Retry<B> {
    fn drop(&mut self) {
        self.budget.retries.give_back();
    }
}
