//! Counting where some limits are shared by several gateways.
//!
//! What is counted in this process is looked at first, then Redis decides about all it counts, in one question, and then
//! the rest is taken here. So a request that meets one limit takes nothing from the others, wherever they are counted,
//! but for two cases: another request that comes between the two looks here, and clients of which a cluster keeps the
//! counts in different places.

use std::time::Duration;

use rate_limiter::Decision;
use tokio::time::Instant;

use super::key::Key;
use super::limit::{OnError, RouteLimits, Shared};
use super::limits::{Outlook, RateLimits};
use super::store::{Ask, Fallback, Intent, Store};
use super::verdict::Verdict;
use crate::auth::Subject;

/// How a limit takes a request.
enum Standing {
    /// It is to be counted in this process.
    Here,
    /// Redis has counted it.
    Decided(Decision),
    /// Redis has not, and the request passes.
    Passed,
    /// Redis has not, and the request is refused.
    Unavailable,
}

impl RateLimits {
    /// [`count`](Self::count) for a route some limits of which are counted in Redis.
    pub(crate) async fn count_shared(
        &self,
        store: &Store,
        route: &RouteLimits,
        subject: &Subject<'_>,
        now: Instant,
    ) -> Verdict {
        let now = self.since_epoch(now);
        let keys: Vec<Key<'_>> = self.holding(route, subject).collect();
        let standings = self.standings(store, &keys, now).await;
        let limits = || keys.iter().zip(&standings);
        let outlook = Outlook::new(limits().any(|(key, standing)| {
            !key.limit.shadow
                && match standing {
                    Standing::Here => !self.has_room(key, now),
                    Standing::Decided(decision) => !decision.allowed,
                    Standing::Passed => false,
                    Standing::Unavailable => true,
                }
        }));
        let mut verdict = Verdict::new(route.policy_field.as_ref());
        for (key, standing) in limits() {
            match standing {
                Standing::Here => self.decide(key, &self.take(key, now, outlook), &mut verdict),
                Standing::Decided(decision) => self.decide(key, decision, &mut verdict),
                Standing::Passed => {}
                Standing::Unavailable => verdict.refuse_for_want_of_a_decision(),
            }
        }
        verdict
    }

    /// How each limit takes the request; what Redis counts is taken from.
    async fn standings(&self, store: &Store, keys: &[Key<'_>], now: Duration) -> Vec<Standing> {
        let refused_here = keys
            .iter()
            .filter(|key| key.limit.shared.is_none() && !key.limit.shadow)
            .any(|key| !self.has_room(key, now));
        let shared = keys
            .iter()
            .filter_map(|key| Some((key, key.limit.shared.as_ref()?)));
        let asks: Vec<Ask<'_>> = shared
            .enumerate()
            .map(|(place, (key, shared))| Ask {
                place,
                name: &shared.name,
                client: key.digest(&shared.by),
                policy: key.limit.policy,
                units: key.limit.cost,
                intent: match (key.limit.shadow, refused_here) {
                    (true, _) => Intent::TakeAlone,
                    (false, true) => Intent::Look,
                    (false, false) => Intent::Take,
                },
            })
            .collect();
        let mut decisions = match asks.is_empty() {
            true => Vec::new(),
            false => store.take(asks).await,
        }
        .into_iter();
        let standing = |key: &Key<'_>| match &key.limit.shared {
            None => Standing::Here,
            Some(shared) => match decisions.next().flatten() {
                Some(decision) => Standing::Decided(decision),
                None => without_redis(store, key, shared),
            },
        };
        keys.iter().map(standing).collect()
    }
}

/// How a limit takes a request about which Redis has not decided.
fn without_redis(store: &Store, key: &Key<'_>, shared: &Shared) -> Standing {
    let (fallback, standing) = match shared.on_error {
        OnError::Local => (Fallback::Local, Standing::Here),
        // Nobody is refused by a limit that is being tried out.
        OnError::Closed if !key.limit.shadow => (Fallback::Closed, Standing::Unavailable),
        OnError::Closed | OnError::Open => (Fallback::Open, Standing::Passed),
    };
    store.health().count_fallback(fallback);
    standing
}
