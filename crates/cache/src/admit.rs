//! Whether a response may be stored (RFC 9111 §3).

use http::header::{CONTENT_LENGTH, COOKIE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method, StatusCode};

use crate::directives::{ResponseDirectives, Scope};
use crate::freshness::{Freshness, Lifetime, Times, is_heuristically_cacheable, lifetime};
use crate::head::{Head, sets_cookies};
use crate::invalidate::resolves_to_target;
use crate::key::Key;
use crate::policy::Policy;
use crate::request::{Request, Use};
use crate::stored::LONGEST;
use crate::vary::{Selector, VaryError};

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as the backend has sent them.
    pub headers: &'a HeaderMap,
    /// When it was asked for, and when it came.
    pub times: Times,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refusal {
    /// Answers to this method are not stored, or not to a request with content.
    Method,
    /// The request forbids it.
    RequestNoStore,
    /// No final answer, a part, or an answer to a condition of the client's.
    Status,
    /// The response forbids it.
    NoStore,
    /// It is for one user.
    Private,
    /// What it says could not be read to the end, and may have forbidden it.
    Unclear,
    /// The request has credentials, and the response does not say that others may have it.
    Authorization,
    /// It sets cookies.
    SetCookie,
    /// It varies by more than the request, or by too many fields.
    Vary,
    /// It would never be fresh, and could not be validated.
    NoFreshness,
    /// Its body is too large, or its URL.
    TooLarge,
    /// It has no length that could be right, or several.
    BadLength,
    /// It has too many tags.
    TooManyTags,
}

impl Refusal {
    /// A word for it, as `Cache-Status` has in `detail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Unclear => "unclear",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::NoFreshness => "no-freshness",
            Self::TooLarge => "too-large",
            Self::BadLength => "bad-length",
            Self::TooManyTags => "too-many-tags",
        }
    }
}

/// What is known of a response that may be stored.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) head: Head,
    pub(crate) freshness: Freshness,
    pub(crate) selector: Selector,
    /// How long its body is to be.
    pub(crate) length: Option<u64>,
}

pub(crate) fn admit(
    policy: &Policy,
    key: &Key,
    request: &Request<'_>,
    response: &Response<'_>,
) -> Result<Admitted, Refusal> {
    let Response {
        status,
        headers,
        times,
    } = *response;
    let is_post = check_method(key, request)?;
    if key.as_bytes().len() > LONGEST {
        return Err(Refusal::TooLarge);
    }
    if policy.wishes(request.headers).no_store {
        return Err(Refusal::RequestNoStore);
    }
    let directives = ResponseDirectives::read(headers, &policy.targeted);
    check_status(status, &directives)?;
    check_privacy(policy, request, headers, &directives)?;
    let selector =
        Selector::new(headers, request.headers, policy).map_err(|error| match error {
            VaryError::Anything | VaryError::TooMany => Refusal::Vary,
        })?;
    let implicit =
        policy.implicit_with_cookies || directives.public || !request.headers.contains_key(COOKIE);
    let lifetime = lifetime(
        &directives,
        status,
        headers,
        policy,
        times.received,
        implicit,
    );
    if is_post && !is_answer_to_get(request, headers, lifetime) {
        return Err(Refusal::Method);
    }
    let freshness = Freshness::new(&directives, headers, lifetime, policy, times);
    let may_guess = implicit && (directives.public || is_heuristically_cacheable(status));
    check_use(headers, lifetime, &freshness, may_guess)?;
    let length = content_length(headers)?;
    if length.is_some_and(|length| length > policy.largest_body) {
        return Err(Refusal::TooLarge);
    }
    Ok(Admitted {
        head: Head::new(status, headers, &directives, times.received),
        freshness,
        selector,
        // There is no body, whatever the length says (RFC 9110 §8.6).
        length: if status == StatusCode::NO_CONTENT {
            Some(0)
        } else {
            length
        },
    })
}

/// Whether it is a `POST`, whose answer may stand for the answer to a `GET`.
fn check_method(key: &Key, request: &Request<'_>) -> Result<bool, Refusal> {
    match request.use_of_cache() {
        Use::Get if !request.has_content() => Ok(false),
        Use::Query if key.has_content() => Ok(false),
        Use::No if *request.method == Method::POST => Ok(true),
        _ => Err(Refusal::Method),
    }
}

/// RFC 9110 §9.3.3: it says how long it is fresh, and that it is what the URL has now.
fn is_answer_to_get(request: &Request<'_>, headers: &HeaderMap, lifetime: Lifetime) -> bool {
    matches!(lifetime, Lifetime::Explicit(_)) && resolves_to_target(headers, request.target)
}

pub(crate) fn check_status(
    status: StatusCode,
    directives: &ResponseDirectives,
) -> Result<(), Refusal> {
    let is_part =
        status == StatusCode::PARTIAL_CONTENT || status == StatusCode::RANGE_NOT_SATISFIABLE;
    let of_condition =
        status == StatusCode::NOT_MODIFIED || status == StatusCode::PRECONDITION_FAILED;
    if status.is_informational() || is_part || of_condition {
        return Err(Refusal::Status);
    }
    // `no-store` is for caches that do not know the status, if they are asked to understand it (RFC 9111 §5.2.2.3).
    let is_known = status.canonical_reason().is_some();
    match (directives.must_understand, directives.no_store) {
        (true, _) if !is_known => Err(Refusal::Status),
        (false, true) => Err(Refusal::NoStore),
        _ => Ok(()),
    }
}

pub(crate) fn check_privacy(
    policy: &Policy,
    request: &Request<'_>,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
) -> Result<(), Refusal> {
    if directives.private == Scope::Everything {
        return Err(Refusal::Private);
    }
    if directives.unclear {
        return Err(Refusal::Unclear);
    }
    let is_for_others =
        directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.has_credentials() && !is_for_others && !policy.isolated {
        return Err(Refusal::Authorization);
    }
    if !policy.store_set_cookie && sets_cookies(headers, directives) {
        return Err(Refusal::SetCookie);
    }
    Ok(())
}

/// Somebody has to allow it, and what is never fresh is of use only if it can be validated, or if the backend fails.
/// `may_guess` says whether status and request are such that a lifetime might be guessed.
fn check_use(
    headers: &HeaderMap,
    lifetime: Lifetime,
    freshness: &Freshness,
    may_guess: bool,
) -> Result<(), Refusal> {
    if lifetime == Lifetime::Unknown && !may_guess {
        return Err(Refusal::NoFreshness);
    }
    let is_fresh = lifetime.seconds() > 0 && !freshness.no_cache;
    let may_be_stale = freshness.stale_if_error > 0 || freshness.stale_while_revalidate > 0;
    let can_be_validated = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
    if is_fresh || can_be_validated || (may_be_stale && !freshness.no_cache) {
        Ok(())
    } else {
        Err(Refusal::NoFreshness)
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let value = value.to_str().ok().filter(|it| !it.starts_with('+'));
        let value: u64 = value
            .and_then(|it| it.trim().parse().ok())
            .ok_or(Refusal::BadLength)?;
        if length.is_some_and(|other| other != value) {
            return Err(Refusal::BadLength);
        }
        length = Some(value);
    }
    Ok(length)
}
