//! Conditional requests: those of clients, answered from a stored response, and those that ask the backend whether a
//! stored response is still right (RFC 9111 §4.3, RFC 9110 §13).

mod entity_tag;

use http::header::{
    DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue};

use crate::head::HeadRef;
use crate::time::{Timestamp, parse_date};

pub(crate) use entity_tag::{is_strong_match, matches_any};

/// Whether the client has what is stored, so that 304 says it all. `If-None-Match` goes before `If-Modified-Since`
/// (RFC 9110 §13.2.2).
pub(crate) fn is_not_modified(request: &HeaderMap, head: HeadRef<'_>, now: Timestamp) -> bool {
    // Conditions count only where the answer would be a success (RFC 9110 §13.2.1).
    if !head.status().is_success() {
        return false;
    }
    if request.contains_key(IF_NONE_MATCH) {
        return matches_any(request.get_all(IF_NONE_MATCH), head.get(ETAG.as_str()));
    }
    let Some(since) = request.get(IF_MODIFIED_SINCE) else {
        return false;
    };
    // Where nobody has said when it was last modified, `Date` is the latest time at which it can have been (RFC 9111
    // §4.3.2).
    let modified = head
        .get(LAST_MODIFIED.as_str())
        .or_else(|| head.get(DATE.as_str()));
    let modified = modified.and_then(|it| parse_date(it, now));
    match (modified, parse_date(since.as_bytes(), now)) {
        (Some(modified), Some(since)) => modified <= since,
        _ => false,
    }
}

/// Whether a request has conditions that only the backend can answer (RFC 9111 §4.3.2).
pub(crate) fn is_for_backend(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// Whether the answer to a request may be something else than the whole.
pub(crate) fn is_conditional_or_partial(request: &HeaderMap) -> bool {
    [&IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_RANGE, &RANGE]
        .iter()
        .any(|it| request.contains_key(*it))
}

/// What a stored response can be asked after by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Validators {
    pub(crate) fn of(head: HeadRef<'_>) -> Self {
        let value = |name: &str| {
            head.get(name)
                .and_then(|it| HeaderValue::from_bytes(it).ok())
        };
        Self {
            etag: value(ETAG.as_str()),
            last_modified: value(LAST_MODIFIED.as_str()),
        }
    }

    /// Whether there is nothing to ask by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Makes the request to the backend one for validation. The client's own conditions are taken off: they are
    /// answered from what is stored then. Without validators nothing is changed.
    pub fn apply(&self, request: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
            request.remove(name);
        }
        if let Some(etag) = &self.etag {
            request.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(modified) = &self.last_modified {
            request.insert(IF_MODIFIED_SINCE, modified.clone());
        }
    }
}

/// Whether a 304 with these fields is about what is stored (RFC 9111 §4.3.4). One with another entity tag than that
/// which was asked after is not.
pub(crate) fn is_about(headers: &HeaderMap, head: HeadRef<'_>) -> bool {
    if let Some(etag) = headers.get(ETAG) {
        let stored = head.get(ETAG.as_str()).unwrap_or_default();
        return entity_tag::is_weak_match(etag.as_bytes(), stored);
    }
    match (headers.get(LAST_MODIFIED), head.get(LAST_MODIFIED.as_str())) {
        (Some(new), Some(stored)) => new.as_bytes() == stored,
        // A response that has nothing of the kind, and a stored one that may have.
        _ => true,
    }
}

#[cfg(test)]
mod tests;
