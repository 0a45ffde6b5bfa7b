//! What answers tell of limits.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use rate_limiter::Decision;

use super::limit::RateLimit;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which fields tell clients of their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitFields {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    Standard,
    /// Those, and the older `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the policy that is nearest to its end.
    All,
    /// None; `Retry-After` on refusals stays.
    Off,
}

/// What an answer tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// `RateLimit-Policy`.
    policy: Option<HeaderValue>,
    /// `RateLimit`.
    items: BytesMut,
    /// Of the limit with the least left.
    least: Option<Least>,
}

/// The older fields.
#[derive(Debug, Clone, Copy)]
struct Least {
    limit: u32,
    remaining: u32,
    /// Seconds.
    reset: u64,
    /// Whether they are told.
    told: bool,
}

impl Told {
    /// Of limits with this `RateLimit-Policy`.
    pub(super) fn new(policy: Option<&HeaderValue>) -> Self {
        Self {
            policy: policy.cloned(),
            ..Self::default()
        }
    }

    /// `"name";r=5;t=30` of `RateLimit`.
    pub(super) fn add(&mut self, limit: &RateLimit, decision: &Decision, fields: RateLimitFields) {
        if fields == RateLimitFields::Off {
            return;
        }
        let reset = seconds(decision.reset.max(decision.retry_after));
        let mut digits = itoa::Buffer::new();
        self.items.put_slice(if self.items.is_empty() {
            b"\""
        } else {
            b", \""
        });
        self.items.put_slice(limit.name.as_bytes());
        self.items.put_slice(b"\";r=");
        self.items
            .put_slice(digits.format(decision.remaining).as_bytes());
        self.items.put_slice(b";t=");
        self.items.put_slice(digits.format(reset).as_bytes());
        self.least_of(Least {
            limit: limit.policy.limit(),
            remaining: decision.remaining,
            reset,
            told: fields == RateLimitFields::All,
        });
    }

    /// Tells what `later` tells, too.
    pub(super) fn add_all(&mut self, later: Self) {
        let Some(least) = later.least else {
            return;
        };
        if self.least.is_none() {
            *self = later;
            return;
        }
        self.items.put_slice(b", ");
        self.items.put_slice(&later.items);
        self.policy = join(self.policy.take(), later.policy);
        self.least_of(least);
    }

    fn least_of(&mut self, other: Least) {
        if self
            .least
            .is_none_or(|least| other.remaining < least.remaining)
        {
            self.least = Some(other);
        }
    }

    /// Says it.
    pub(super) fn write(self, answer: &mut HeaderMap) {
        let Some(least) = self.least else {
            return;
        };
        if let Some(policy) = self.policy {
            answer.insert(RATE_LIMIT_POLICY, policy);
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(self.items.freeze()) {
            answer.insert(RATE_LIMIT, value);
        }
        if least.told {
            answer.insert(X_RATE_LIMIT_LIMIT, least.limit.into());
            answer.insert(X_RATE_LIMIT_REMAINING, least.remaining.into());
            answer.insert(X_RATE_LIMIT_RESET, least.reset.into());
        }
    }
}

/// Both lists in one.
fn join(one: Option<HeaderValue>, other: Option<HeaderValue>) -> Option<HeaderValue> {
    let (Some(before), Some(after)) = (&one, &other) else {
        return one.or(other);
    };
    HeaderValue::from_bytes(&[before.as_bytes(), b", ", after.as_bytes()].concat()).ok()
}

/// Whole seconds, rounded up: who comes back then is not too early.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
