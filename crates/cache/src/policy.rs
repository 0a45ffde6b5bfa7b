//! What the operator says about caching, for one route.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

use crate::directives::RequestDirectives;

/// What is stored, and for how long. The defaults follow the response alone, and on the side of caution where the
/// specifications leave a choice.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a successful response is fresh that says nothing about it, not even when it was last modified. Zero:
    /// it is not stored.
    pub default_lifetime: Duration,
    /// How long responses with these statuses are fresh if they do not say so: negative caching.
    pub status_lifetimes: Vec<(StatusCode, Duration)>,
    /// The share of the time since it was last modified, in percent, that a response is taken to be fresh for if it
    /// does not say so (RFC 9111 §4.2.2).
    pub heuristic_percent: u32,
    /// The most that this comes to.
    pub heuristic_limit: Duration,
    /// Whether a response that does not say how long it is fresh is stored even if the request had cookies. Such
    /// answers are often made for one person by those who never thought of a cache.
    pub implicit_with_cookies: bool,
    /// Whether a response that sets cookies is stored.
    pub store_set_cookie: bool,
    /// Whether the key tells one identity from another, so that responses to requests with credentials are stored as
    /// others are (RFC 9111 §3.5 is for caches that do not know whom they answer).
    pub isolated: bool,
    /// How long a stale response is served while it is revalidated, if the response does not say so (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// How long a stale response is served when the backend fails, if the response does not say so (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// How long a stale response is served when the backend cannot be reached, if the response does not say so: a cache
    /// that is disconnected may do so unasked (RFC 9111 §4.2.4). Where `stale_if_error` is longer, that counts.
    pub stale_if_disconnected: Duration,
    /// Whether requests have a say: `Cache-Control` and `Pragma` of clients.
    pub honour_requests: bool,
    /// Fields that stand instead of `Cache-Control`, in this order (RFC 9213).
    pub targeted: Vec<HeaderName>,
    /// Whether languages in another order are the same wish. RFC 9110 §12.5.4 says that nobody can rely on the order,
    /// but there are backends that do.
    pub ignore_language_order: bool,
    /// The most bytes that a stored body has.
    pub largest_body: u64,
    /// The most responses that are stored for one key, told apart by `Vary`.
    pub most_variants: usize,
    /// Which share of the memory its responses have, see [`Cache::set_capacity`](crate::Cache::set_capacity); 0 is the
    /// common one.
    pub share: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default_lifetime: Duration::ZERO,
            status_lifetimes: Vec::new(),
            heuristic_percent: 10,
            heuristic_limit: Duration::from_secs(24 * 60 * 60),
            implicit_with_cookies: false,
            store_set_cookie: false,
            isolated: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            stale_if_disconnected: Duration::ZERO,
            honour_requests: true,
            targeted: vec![HeaderName::from_static("cdn-cache-control")],
            ignore_language_order: false,
            largest_body: 8 * 1024 * 1024,
            most_variants: 32,
            share: 0,
        }
    }
}

impl Policy {
    /// What a request wants, as far as it has a say.
    pub(crate) fn wishes(&self, request: &HeaderMap) -> RequestDirectives {
        if self.honour_requests {
            RequestDirectives::read(request)
        } else {
            RequestDirectives::default()
        }
    }

    pub(crate) fn status_lifetime(&self, status: StatusCode) -> Option<Duration> {
        self.status_lifetimes
            .iter()
            .find(|(of, _)| *of == status)
            .map(|(_, lifetime)| *lifetime)
    }
}
