//! What came of counting a request.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use rate_limiter::Decision;

use super::limit::RateLimit;
use super::told::{RateLimitFields, Told, seconds};
use crate::error::Refusal;

/// Seconds after which somebody who could not be counted may come back: Redis is looked for about as often.
const RETRY_PAUSE: u64 = 1;

/// Whether a request may pass, and what its answer tells, whatever it is.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    told: Told,
    refused: Option<Refused>,
    /// The name of a limit that would have refused it, were it enforced.
    pub(crate) shadowed: Option<Arc<str>>,
}

/// Why a request may not pass; of two reasons the greater one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    /// Nobody has decided.
    Undecided,
    /// It has met a limit; there is room for it again after this time.
    Met(Duration),
}

impl Verdict {
    /// Nothing has been counted yet, of limits with this `RateLimit-Policy`.
    pub(super) fn new(policy: Option<&HeaderValue>) -> Self {
        Self {
            told: Told::new(policy),
            ..Self::default()
        }
    }

    /// What `limit` has decided.
    pub(super) fn decide(
        &mut self,
        limit: &RateLimit,
        decision: &Decision,
        fields: RateLimitFields,
    ) {
        if limit.shadow {
            if !decision.allowed {
                self.shadowed = Some(Arc::clone(&limit.name));
            }
            return;
        }
        if !decision.allowed {
            self.refused = self.refused.max(Some(Refused::Met(decision.retry_after)));
        }
        self.told.add(limit, decision, fields);
    }

    /// A limit that must not be passed uncounted could not be counted.
    pub(super) fn refuse_for_want_of_a_decision(&mut self) {
        self.refused = self.refused.max(Some(Refused::Undecided));
    }

    /// The same, with nothing to tell.
    pub(crate) fn untold(self) -> Self {
        Self {
            told: Told::default(),
            ..self
        }
    }

    /// Adds what came of counting the request against further limits.
    pub(crate) fn add(&mut self, later: Self) {
        self.told.add_all(later.told);
        self.refused = self.refused.max(later.refused);
        self.shadowed = later.shadowed.or(self.shadowed.take());
    }

    /// Lets the request pass, or not.
    ///
    /// # Errors
    /// When it has met a limit, or could not be counted and must be.
    pub(crate) fn result(&self) -> Result<(), Refusal> {
        match self.refused {
            None => Ok(()),
            Some(Refused::Met(after)) => Err(Refusal::rate_limited(seconds(after).max(1))),
            Some(Refused::Undecided) => Err(Refusal::rate_limit_unavailable(RETRY_PAUSE)),
        }
    }

    /// Says on an answer what is left.
    pub(crate) fn decorate(self, answer: &mut HeaderMap) {
        self.told.write(answer);
    }
}
