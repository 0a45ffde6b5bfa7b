//! What is asked of the cache.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method};

use crate::key::Target;

/// A request, as the cache sees it: the same when it is looked up and when its answer is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// What it is for.
    pub target: &'a Target<'a>,
    /// Its fields, as the backend chooses an answer by them (`Vary`).
    pub headers: &'a HeaderMap,
    /// Whether it has credentials that are not in `Authorization`, such as an API key in a field of another name.
    pub has_credentials: bool,
}

/// How a method uses a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// `GET`: from it, and into it.
    Get,
    /// `HEAD`: from it, and its answer says something about what is stored.
    Head,
    /// `QUERY`: as `GET`, by what it holds (RFC 10008 §2.7).
    Query,
    /// None.
    No,
}

impl Request<'_> {
    pub(crate) fn use_of_cache(&self) -> Use {
        match *self.method {
            Method::GET => Use::Get,
            Method::HEAD => Use::Head,
            _ if self.method.as_str() == "QUERY" => Use::Query,
            _ => Use::No,
        }
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.has_credentials || self.headers.contains_key(AUTHORIZATION)
    }

    /// Whether it has, or may have, content.
    pub(crate) fn has_content(&self) -> bool {
        let empty = |value: &http::HeaderValue| value.as_bytes() == b"0";
        self.headers.contains_key(TRANSFER_ENCODING)
            || self
                .headers
                .get_all(CONTENT_LENGTH)
                .iter()
                .any(|it| !empty(it))
    }
}

/// Whether a method changes nothing. One that is not known may (RFC 9111 §4.4).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH"
    )
}
