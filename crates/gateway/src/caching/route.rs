//! How a route's responses are cached.

use cache::{KeyRecipe, Policy};

use super::LastTold;
use crate::auth::{ClaimPath, Identity};

/// Compiled from `cacheable` and `cache`.
#[derive(Debug)]
pub(crate) struct RouteCache {
    /// Of which parts keys are made.
    pub(crate) recipe: KeyRecipe,
    /// What is stored, and for how long.
    pub(crate) policy: Policy,
    /// The same where the key tells consumers apart; none where it does not.
    pub(crate) isolated: Option<Policy>,
    /// Claims that are in the key, with their names.
    pub(crate) claims: Box<[(Box<str>, ClaimPath)]>,
    /// The most bytes of content with which a `QUERY` is cached.
    pub(crate) largest_query: u64,
    /// When a validation that has failed was last logged.
    pub(crate) failures: LastTold,
    /// Answers have `X-Cache`.
    pub(crate) x_cache: bool,
}

impl RouteCache {
    /// The policy for a request from `identity`, and whether that is in the key. Somebody without a name cannot be told
    /// apart from others without one.
    pub(super) fn policy_for(&self, identity: Option<&Identity>) -> (&Policy, bool) {
        let is_known = identity.is_some_and(|identity| identity.subject.is_some());
        match &self.isolated {
            Some(policy) if is_known => (policy, true),
            _ => (&self.policy, false),
        }
    }
}
