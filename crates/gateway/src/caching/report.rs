//! What the cache has done with a request.

use std::sync::atomic::{AtomicU64, Ordering};

use cache::{CacheStatus, Forward, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The name in `Cache-Status`.
const NAME: &str = "api-gateway";
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What a request has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered from the cache.
    Hit,
    /// Answered from the cache with something stale.
    Stale,
    /// Answered from the cache, after the backend has said that it is still right.
    Revalidated,
    /// Answered by the backend.
    Miss,
    /// Answered with what another request has fetched.
    Coalesced,
    /// The cache had nothing to do with it.
    Bypass,
}

impl Outcome {
    /// All of them, in the order of their counts.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Coalesced,
        Self::Bypass,
    ];

    /// As logs and metrics have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }

    const fn is_from_cache(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Revalidated)
    }
}

/// What was done with one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(super) status: CacheStatus<'static>,
    pub(super) x_cache: bool,
}

impl Report {
    pub(super) fn new(outcome: Outcome, status: CacheStatus<'static>) -> Self {
        Self {
            outcome,
            status,
            x_cache: false,
        }
    }

    /// Of a request that goes to the backend.
    pub(super) fn forwarded(why: Forward) -> Self {
        let outcome = match why {
            Forward::Bypass | Forward::Method => Outcome::Bypass,
            Forward::UriMiss | Forward::VaryMiss | Forward::Request | Forward::Stale => {
                Outcome::Miss
            }
        };
        Self::new(outcome, why.cache_status())
    }

    /// Says so on the answer.
    pub(crate) fn decorate(&self, headers: &mut HeaderMap) {
        self.status.append_to(headers, NAME);
        if self.x_cache {
            let word = if self.outcome.is_from_cache() {
                "HIT"
            } else {
                "MISS"
            };
            headers.insert(X_CACHE, HeaderValue::from_static(word));
        }
    }
}

/// When a route's failed validations were last logged, in seconds: each stale answer may bring the next.
#[derive(Debug, Default)]
pub(crate) struct LastTold(AtomicU64);

/// Whether an event is worth a line of the log by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    Loud,
    /// There was a line of the same kind a short while ago.
    Quiet,
}

/// For how many seconds the next failures of a route's validations are quiet.
const QUIET_FOR: u64 = 10;

impl LastTold {
    /// How loudly to tell of another failure.
    pub(super) fn next(&self, now: Timestamp) -> Loudness {
        let (Self(told), now) = (self, now.as_secs());
        let last = told.load(Ordering::Relaxed);
        if now < last + QUIET_FOR {
            return Loudness::Quiet;
        }
        // Of several workers one tells it.
        match told.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Loudness::Loud,
            Err(_) => Loudness::Quiet,
        }
    }
}
