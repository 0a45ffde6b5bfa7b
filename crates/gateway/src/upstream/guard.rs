//! Circuit breakers: an upstream, an endpoint, or a route that fails is not asked for a while.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::{Breaker, Policy, Rejected, Transition};
use tokio::time::Instant;

use super::members::Member;
use super::moment;
use super::statuses::Statuses;

/// The breakers of an upstream, or that of a route.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The upstream's, or the route's.
    name: Box<str>,
    pub(super) scope: GuardScope,
    /// What its breakers are like.
    policy: Policy,
    /// The statuses that are failures.
    failures: Statuses,
}

/// What a breaker watches.
#[derive(Debug)]
pub(crate) enum GuardScope {
    /// The upstream as a whole: this one does.
    Upstream(Arc<Breaker>),
    /// Each member by itself, which has its own.
    Endpoint,
    /// What one route asks of its upstream: this one does.
    Route(Arc<Breaker>),
}

/// Leave to ask, and the duty to say what came of it.
#[derive(Debug)]
pub(crate) struct Permit(circuit_breaker::Permit<Arc<Breaker>>);

impl Guard {
    pub(crate) const fn new(
        name: Box<str>,
        scope: GuardScope,
        policy: Policy,
        failures: Statuses,
    ) -> Self {
        Self {
            name,
            scope,
            policy,
            failures,
        }
    }

    /// Its one breaker, where it has one that is like this.
    pub(crate) fn breaker_like(&self, policy: &Policy) -> Option<&Arc<Breaker>> {
        self.one_breaker().filter(|_| self.policy == *policy)
    }

    /// The one breaker; none where each member has its own.
    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.one_breaker().map(|breaker| &**breaker)
    }

    fn one_breaker(&self) -> Option<&Arc<Breaker>> {
        match &self.scope {
            GuardScope::Upstream(breaker) | GuardScope::Route(breaker) => Some(breaker),
            GuardScope::Endpoint => None,
        }
    }

    /// Whether one breaker watches all members.
    pub(crate) const fn is_of_all(&self) -> bool {
        !matches!(self.scope, GuardScope::Endpoint)
    }

    /// Leave to ask `member`; that of a route is asked for before one has been picked.
    ///
    /// # Errors
    /// When it is not to be asked, the time after which it may be.
    pub(crate) fn try_acquire(
        &self,
        member: Option<&Member>,
        now: Instant,
    ) -> Result<Permit, Duration> {
        let breaker = match &self.scope {
            GuardScope::Upstream(breaker) | GuardScope::Route(breaker) => Some(breaker),
            GuardScope::Endpoint => member.and_then(|member| member.breaker.as_ref()),
        };
        let Some(breaker) = breaker else {
            return Err(Duration::ZERO);
        };
        let permit = breaker
            .try_acquire_owned(moment(now))
            .map_err(|Rejected { retry_after, .. }| retry_after)?;
        if let Some(transition) = permit.transition() {
            self.tell(member, transition);
        }
        Ok(Permit(permit))
    }

    /// Whether an answer with this status is a failure.
    pub(crate) fn is_failure(&self, status: u16) -> bool {
        self.failures.contain(status)
    }

    /// Says that a call to `member` has succeeded, or failed.
    pub(crate) fn record(
        &self,
        Permit(permit): Permit,
        member: &Member,
        failed: bool,
        now: Instant,
    ) {
        let transition = if failed {
            permit.failure(moment(now))
        } else {
            permit.success(moment(now))
        };
        if let Some(transition) = transition {
            self.tell(Some(member), transition);
        }
    }

    fn tell(&self, member: Option<&Member>, transition: Transition) {
        let Transition { from, to, cause } = transition;
        let of_route = matches!(self.scope, GuardScope::Route(_));
        let endpoint = member.map(|member| &*member.label);
        tracing::warn!(
            route = of_route.then_some(&*self.name),
            upstream = (!of_route).then_some(&*self.name),
            endpoint = endpoint.filter(|_| !of_route),
            ?from,
            ?to,
            ?cause,
            "circuit breaker"
        );
    }
}
