//! All limits, and what has been counted.

use std::sync::Arc;
use std::time::Duration;

use rate_limiter::{Decision, Limiter};
use tokio::time::Instant;

use super::key::Key;
use super::limit::{RateLimit, RouteLimits};
use super::told::RateLimitFields;
use super::verdict::Verdict;
use crate::auth::Subject;

/// All limits, and what has been counted in this process.
#[derive(Debug)]
pub struct RateLimits {
    limits: Box<[RateLimit]>,
    fields: RateLimitFields,
    counted: Arc<Counted>,
}

/// What has been counted, which outlives the limits' configuration: what is kept there is found by the limits' identities.
#[derive(Debug)]
pub struct Counted {
    limiter: Limiter,
    epoch: Instant,
}

/// What will become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// No limit is known to refuse it.
    Open,
    /// A limit will refuse it, so that it is to take nothing from the others.
    Refused,
}

/// Whether a limit has room for one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    None,
    /// It is counted in Redis, which has not been asked.
    Elsewhere,
}

impl Outlook {
    pub(super) fn new(is_refused: bool) -> Self {
        if is_refused {
            Self::Refused
        } else {
            Self::Open
        }
    }
}

impl RateLimits {
    /// Counts for about `keys` clients at once, and goes on with what has been `counted` before.
    #[must_use]
    pub fn new(
        limits: Vec<RateLimit>,
        fields: RateLimitFields,
        keys: usize,
        counted: Option<Arc<Counted>>,
    ) -> Self {
        let keys = if limits.is_empty() { 0 } else { keys };
        let new = || {
            Arc::new(Counted {
                limiter: Limiter::new(keys),
                epoch: Instant::now(),
            })
        };
        Self {
            limits: limits.into(),
            fields,
            counted: counted.unwrap_or_else(new),
        }
    }

    /// All of them, by their indices.
    pub(crate) fn all(&self) -> &[RateLimit] {
        &self.limits
    }

    /// What has been counted; none where there is no limit, and no room for counts.
    pub(crate) fn counted(&self) -> Option<&Arc<Counted>> {
        (!self.limits.is_empty()).then_some(&self.counted)
    }

    /// Whether any limit is counted in Redis.
    pub(crate) fn need_redis(&self) -> bool {
        self.limits.iter().any(|limit| limit.shared.is_some())
    }

    /// Counts a request of `subject` at `now`, all in this process. One that meets a limit takes nothing from the
    /// others.
    pub(crate) fn count(
        &self,
        route: &RouteLimits,
        subject: &Subject<'_>,
        now: Instant,
    ) -> Verdict {
        let now = self.since_epoch(now);
        let holding = self.holding(route, subject);
        // Another worker may take what has been seen here. Then the request costs some units, and still meets its limit.
        let outlook = Outlook::new(
            route.limits.len() > 1
                && holding
                    .clone()
                    .any(|key| !key.limit.shadow && !self.has_room(&key, now)),
        );
        let mut verdict = Verdict::new(route.policy_field.as_ref());
        for key in holding {
            self.decide(&key, &self.take(&key, now, outlook), &mut verdict);
        }
        verdict
    }

    /// What the limits of a route that hold for `subject` say at `now`; nothing is counted.
    pub(crate) fn outlook<'a>(
        &'a self,
        route: &'a RouteLimits,
        subject: &'a Subject<'a>,
        now: Instant,
    ) -> Vec<(&'a RateLimit, Room)> {
        let now = self.since_epoch(now);
        let room = |key: &Key<'_>| match (&key.limit.shared, self.has_room(key, now)) {
            (Some(_), _) => Room::Elsewhere,
            (None, true) => Room::Left,
            (None, false) => Room::None,
        };
        let holding = self.holding(route, subject);
        holding.map(|key| (key.limit, room(&key))).collect()
    }

    /// The limits of a route that hold for `subject`.
    pub(super) fn holding<'a>(
        &'a self,
        route: &'a RouteLimits,
        subject: &'a Subject<'a>,
    ) -> impl Iterator<Item = Key<'a>> + Clone {
        route
            .limits
            .iter()
            .map(|of_route| Key {
                limit: &self.limits[of_route.limit],
                parameters: &of_route.parameters,
                subject,
            })
            .filter(|key| !key.limit.exempts(key.subject.client))
    }

    pub(super) fn since_epoch(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.counted.epoch)
    }

    pub(super) fn has_room(&self, key: &Key<'_>, now: Duration) -> bool {
        self.counted
            .limiter
            .has(&key.limit.policy, key, now, key.limit.cost)
    }

    /// Takes what the request costs, or nothing where another limit will refuse it and this one would not.
    pub(super) fn take(&self, key: &Key<'_>, now: Duration, outlook: Outlook) -> Decision {
        let limit = key.limit;
        let spared = outlook == Outlook::Refused && !limit.shadow && self.has_room(key, now);
        let units = if spared { 0 } else { limit.cost };
        self.counted.limiter.take(&limit.policy, key, now, units)
    }

    pub(super) fn decide(&self, key: &Key<'_>, decision: &Decision, verdict: &mut Verdict) {
        verdict.decide(key.limit, decision, self.fields);
    }
}
