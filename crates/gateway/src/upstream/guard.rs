//! Circuit breakers: an upstream, or an endpoint, that fails is not asked for a while.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::{Breaker, Rejected, Transition};
use tokio::time::Instant;

use super::moment;
use super::statuses::Statuses;

/// The breakers of an upstream.
#[derive(Debug)]
pub(crate) struct Guard {
    breakers: Box<[Arc<Breaker>]>,
    scope: GuardScope,
    /// The statuses that are failures.
    failures: Statuses,
}

/// What a breaker watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardScope {
    /// The upstream as a whole.
    Upstream,
    /// Each endpoint by itself.
    Endpoint,
}

/// Leave to ask, and the duty to say what came of it.
#[derive(Debug)]
pub(crate) struct Permit(circuit_breaker::Permit<Arc<Breaker>>);

impl Guard {
    /// Of one breaker, or of one for each endpoint, in the order of the endpoints.
    pub(crate) fn new(
        breakers: Box<[Arc<Breaker>]>,
        scope: GuardScope,
        failures: Statuses,
    ) -> Self {
        Self {
            breakers,
            scope,
            failures,
        }
    }

    pub(crate) const fn scope(&self) -> GuardScope {
        self.scope
    }

    /// Leave to ask `endpoint`, an index.
    ///
    /// # Errors
    /// When it is not to be asked, the time after which it may be.
    pub(crate) fn try_acquire(&self, endpoint: usize, now: Instant) -> Result<Permit, Duration> {
        let breaker = match self.scope {
            GuardScope::Upstream => self.breakers.first(),
            GuardScope::Endpoint => self.breakers.get(endpoint),
        };
        let Some(breaker) = breaker else {
            return Err(Duration::ZERO);
        };
        let permit = breaker
            .try_acquire_owned(moment(now))
            .map_err(|Rejected { retry_after, .. }| retry_after)?;
        if let Some(transition) = permit.transition() {
            tell(endpoint, transition);
        }
        Ok(Permit(permit))
    }

    /// Whether an answer with this status is a failure.
    pub(crate) fn is_failure(&self, status: u16) -> bool {
        self.failures.contain(status)
    }
}

impl Permit {
    /// Says that the call has succeeded, or failed.
    pub(crate) fn record(self, endpoint: usize, failed: bool, now: Instant) {
        let now = moment(now);
        let transition = if failed {
            self.0.failure(now)
        } else {
            self.0.success(now)
        };
        if let Some(transition) = transition {
            tell(endpoint, transition);
        }
    }
}

fn tell(endpoint: usize, transition: Transition) {
    let Transition { from, to, cause } = transition;
    tracing::warn!(endpoint, ?from, ?to, ?cause, "circuit breaker");
}
