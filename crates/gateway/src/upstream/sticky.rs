//! Cookies that clients stay with their endpoint by.

use std::time::Duration;

use http::{HeaderValue, request};

use crate::auth::Place;

/// A cookie that names an endpoint, by its identity: a number that stands for the endpoint's address, and is the same in
/// all gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sticky {
    name: Box<str>,
    place: Place,
    /// How long the client keeps it; none for as long as the browser runs.
    ttl: Option<Duration>,
}

impl Sticky {
    /// By a cookie of this name.
    pub(crate) fn new(name: &str, ttl: Option<Duration>) -> Self {
        Self {
            name: name.into(),
            place: Place::Cookie(name.into()),
            ttl,
        }
    }

    /// The endpoint that the client is to stay with.
    pub(crate) fn endpoint(&self, head: &request::Parts) -> Option<u64> {
        let value = self.place.find(head).ok()?;
        u64::from_str_radix(std::str::from_utf8(&value).ok()?, 16).ok()
    }

    /// `Set-Cookie` (RFC 6265 §4.1) for a client that has been sent to `endpoint`.
    pub(crate) fn cookie(&self, endpoint: u64) -> Option<HeaderValue> {
        let mut text = format!(
            "{}={endpoint:016x}; Path=/; HttpOnly; SameSite=Lax",
            self.name
        );
        if let Some(ttl) = self.ttl {
            text += &format!("; Max-Age={}", ttl.as_secs());
        }
        HeaderValue::from_str(&text).ok()
    }
}
