//! What came of counting a request.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use rate_limiter::Decision;

use super::limit::RateLimit;
use super::told::{RateLimitFields, Told, seconds};
use crate::error::Refusal;

/// Whether a request may pass, and what its answer tells, whatever it is.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    told: Told,
    /// When there is room for the request again, where it has met a limit.
    refused: Option<Duration>,
    /// A limit that would have refused it, were it enforced: an index.
    pub(crate) shadowed: Option<usize>,
}

impl Verdict {
    /// Nothing has been counted yet, of limits with this `RateLimit-Policy`.
    pub(super) fn new(policy: Option<&HeaderValue>) -> Self {
        Self {
            told: Told::new(policy),
            ..Self::default()
        }
    }

    /// What `limit`, whose index this is, has decided.
    pub(super) fn decide(
        &mut self,
        (index, limit): (usize, &RateLimit),
        decision: &Decision,
        fields: RateLimitFields,
    ) {
        if limit.shadow {
            if !decision.allowed {
                self.shadowed = Some(index);
            }
            return;
        }
        if !decision.allowed {
            self.refused = self.refused.max(Some(decision.retry_after));
        }
        self.told.add(limit, decision, fields);
    }

    /// Adds what came of counting the request against further limits.
    pub(crate) fn add(&mut self, later: Self) {
        self.told.add_all(later.told);
        self.refused = self.refused.max(later.refused);
        self.shadowed = later.shadowed.or(self.shadowed);
    }

    /// Lets the request pass, or not.
    ///
    /// # Errors
    /// When it has met a limit.
    pub(crate) fn result(&self) -> Result<(), Refusal> {
        self.refused.map_or(Ok(()), |after| {
            Err(Refusal::rate_limited(HeaderValue::from(
                seconds(after).max(1),
            )))
        })
    }

    /// Says on an answer what is left.
    pub(crate) fn decorate(self, answer: &mut HeaderMap) {
        self.told.write(answer);
    }
}
