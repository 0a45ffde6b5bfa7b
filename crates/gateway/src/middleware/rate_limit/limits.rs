//! All limits, and what has been counted.

use std::time::Duration;

use rate_limiter::Limiter;
use tokio::time::Instant;

use super::key::{Key, Subject};
use super::limit::{RateLimit, RouteLimits};
use super::told::RateLimitFields;
use super::verdict::Verdict;

/// All limits, and what has been counted.
#[derive(Debug)]
pub struct RateLimits {
    limits: Box<[RateLimit]>,
    fields: RateLimitFields,
    limiter: Limiter,
    epoch: Instant,
}

impl RateLimits {
    /// Counts for about `keys` clients at once.
    #[must_use]
    pub fn new(limits: Vec<RateLimit>, fields: RateLimitFields, keys: usize) -> Self {
        let keys = if limits.is_empty() { 0 } else { keys };
        Self {
            limits: limits.into(),
            fields,
            limiter: Limiter::new(keys),
            epoch: Instant::now(),
        }
    }

    /// The name of a limit.
    pub(crate) fn name(&self, limit: usize) -> Option<&str> {
        self.limits.get(limit).map(|limit| &*limit.name)
    }

    /// Counts a request of `subject` at `now`. One that meets a limit takes nothing from the others.
    pub(crate) fn count(
        &self,
        route: &RouteLimits,
        subject: &Subject<'_>,
        now: Instant,
    ) -> Verdict {
        let now = now.saturating_duration_since(self.epoch);
        let holding = route
            .limits
            .iter()
            .map(|of_route| Key {
                index: of_route.limit,
                limit: &self.limits[of_route.limit],
                parameters: &of_route.parameters,
                subject,
            })
            .filter(|key| !key.limit.exempts(subject.address));
        // Another worker may take what has been seen here. Then the request costs some units, and still meets its limit.
        let will_be_refused = route.limits.len() > 1
            && holding
                .clone()
                .any(|key| !key.limit.shadow && !self.has_room(&key, now));
        let mut verdict = Verdict::new(route.policy_field.as_ref());
        for key in holding {
            let limit = key.limit;
            let spared = will_be_refused && !limit.shadow && self.has_room(&key, now);
            let units = if spared { 0 } else { limit.cost };
            let decision = self.limiter.take(&limit.policy, &key, now, units);
            verdict.decide((key.index, limit), &decision, self.fields);
        }
        verdict
    }

    fn has_room(&self, key: &Key<'_>, now: Duration) -> bool {
        self.limiter
            .has(&key.limit.policy, key, now, key.limit.cost)
    }
}
