//! The field that says what the cache has done (RFC 9211).

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// `Cache-Status`.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went to the backend (`fwd`, RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache was not to be used for it.
    Bypass,
    /// Its method.
    Method,
    /// Nothing is stored under its key.
    UriMiss,
    /// What is stored is for other requests.
    VaryMiss,
    /// It did not want what is stored.
    Request,
    /// What is stored is stale.
    Stale,
}

impl Forward {
    /// As the field has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// What the cache has done for one answer. Made from a decision, and filled in as more is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// It came from the cache, without the backend.
    pub hit: bool,
    /// Why the backend was asked.
    pub forward: Option<Forward>,
    /// What the backend answered, where the client gets something else.
    pub forward_status: Option<StatusCode>,
    /// For how many seconds it is still fresh.
    pub ttl: Option<i64>,
    /// The backend's answer is stored.
    pub stored: bool,
    /// The request has shared another's way to the backend.
    pub collapsed: bool,
    /// A word that says more.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// The value, by a cache of this name.
    #[must_use]
    pub fn to_value(&self, name: &str) -> HeaderValue {
        let mut text = String::with_capacity(64);
        push_text(&mut text, name);
        if self.hit {
            text.push_str("; hit");
        }
        if let Some(forward) = self.forward {
            text.push_str("; fwd=");
            text.push_str(forward.as_str());
        }
        // Writing to a string does not fail.
        if let Some(status) = self.forward_status {
            let _ = write!(text, "; fwd-status={}", status.as_u16());
        }
        if let Some(ttl) = self.ttl {
            text.push_str("; ttl=");
            text.push_str(itoa::Buffer::new().format(ttl));
        }
        if self.stored {
            text.push_str("; stored");
        }
        if self.collapsed {
            text.push_str("; collapsed");
        }
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            push_text(&mut text, detail);
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Adds the value after those of caches that are nearer to the backend.
    pub fn append_to(&self, headers: &mut HeaderMap, name: &str) {
        headers.append(CACHE_STATUS, self.to_value(name));
    }
}

/// A token if it can be one, or else a string, without what a string cannot hold (RFC 9651 §3.3).
fn push_text(out: &mut String, text: &str) {
    let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&it);
    let begins = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '*');
    if begins && text.bytes().all(is_token) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for letter in text.chars().filter(|it| matches!(it, ' '..='~')) {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sfv::{List, Parser};

    #[test]
    fn the_field_says_what_was_done() {
        let status = CacheStatus {
            hit: true,
            ttl: Some(-3),
            ..CacheStatus::default()
        };
        assert_eq!(status.to_value("api-gateway"), "api-gateway; hit; ttl=-3");
        let status = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(StatusCode::NOT_MODIFIED),
            stored: true,
            collapsed: true,
            detail: Some("a \"b\""),
            ..CacheStatus::default()
        };
        assert_eq!(
            status.to_value("my cache"),
            "\"my cache\"; fwd=stale; fwd-status=304; stored; collapsed; detail=\"a \\\"b\\\"\""
        );
    }

    #[test]
    fn caches_nearer_to_the_backend_come_first() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_STATUS, HeaderValue::from_static("other; hit"));
        CacheStatus::default().append_to(&mut headers, "gw");
        let values: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(values, ["other; hit", "gw"]);
    }

    proptest! {
        #[test]
        fn it_is_a_structured_list_whatever_the_texts(name in ".{0,20}", detail in ".{0,20}") {
            let status = CacheStatus { detail: Some(&detail), ttl: Some(5), ..CacheStatus::default() };
            let value = status.to_value(&name);
            let list = Parser::new(value.as_bytes()).parse::<List>().unwrap();
            prop_assert_eq!(list.len(), 1);
        }
    }
}
