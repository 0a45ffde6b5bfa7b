//! Circuit breakers: an upstream, an endpoint, or a route that fails is not asked for a while.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::{Breaker, Rejected, Transition};
use tokio::time::Instant;

use super::moment;
use super::statuses::Statuses;

/// The breakers of an upstream, or that of a route.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The upstream's, or the route's.
    name: Box<str>,
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
    /// What one route asks of its upstream.
    Route,
}

/// Leave to ask, and the duty to say what came of it.
#[derive(Debug)]
pub(crate) struct Permit(circuit_breaker::Permit<Arc<Breaker>>);

impl Guard {
    /// Of one breaker, or of one for each endpoint, in the order of the endpoints.
    pub(crate) fn new(
        name: Box<str>,
        breakers: Box<[Arc<Breaker>]>,
        scope: GuardScope,
        failures: Statuses,
    ) -> Self {
        Self {
            name,
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
            GuardScope::Upstream | GuardScope::Route => self.breakers.first(),
            GuardScope::Endpoint => self.breakers.get(endpoint),
        };
        let Some(breaker) = breaker else {
            return Err(Duration::ZERO);
        };
        let permit = breaker
            .try_acquire_owned(moment(now))
            .map_err(|Rejected { retry_after, .. }| retry_after)?;
        if let Some(transition) = permit.transition() {
            self.tell(endpoint, transition);
        }
        Ok(Permit(permit))
    }

    /// Whether an answer with this status is a failure.
    pub(crate) fn is_failure(&self, status: u16) -> bool {
        self.failures.contain(status)
    }

    /// Says that a call to `endpoint` has succeeded, or failed.
    pub(crate) fn record(&self, permit: Permit, endpoint: usize, failed: bool, now: Instant) {
        let Permit(permit) = permit;
        let transition = if failed {
            permit.failure(moment(now))
        } else {
            permit.success(moment(now))
        };
        if let Some(transition) = transition {
            self.tell(endpoint, transition);
        }
    }

    fn tell(&self, endpoint: usize, transition: Transition) {
        let Transition { from, to, cause } = transition;
        let of_route = self.scope == GuardScope::Route;
        tracing::warn!(
            route = of_route.then_some(&*self.name),
            upstream = (!of_route).then_some(&*self.name),
            endpoint = (!of_route).then_some(endpoint),
            ?from,
            ?to,
            ?cause,
            "circuit breaker"
        );
    }
}
