//! When a request is sent again.
//!
//! A request that may have been carried out must not be repeated unasked (RFC 9110 §9.2.2): only idempotent methods are,
//! and what names itself by an `Idempotency-Key`, unless the route says otherwise. A request to which no connection could
//! be made has not been carried out; it is repeated whatever its method. Retries have a budget for each upstream, so that
//! they cannot multiply the load of one that is failing; what found no connection needs none to ask the next endpoint.

use std::time::Duration;

use circuit_breaker::Backoff;
use http::{HeaderName, Method, Response, request};
use wire::Body;

use crate::error::{ErrorCode, Refusal};
use crate::upstream::Statuses;

/// draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// When requests of a route are sent again.
#[derive(Debug)]
pub(crate) struct Retry {
    /// How often at most, besides the first time.
    pub(crate) attempts: u32,
    /// After there was no connection.
    pub(crate) on_connect: bool,
    /// After the connection has ended without an answer.
    pub(crate) on_reset: bool,
    /// After there was no answer within `try_timeout`.
    pub(crate) on_timeout: bool,
    /// After answers with these.
    pub(crate) on_statuses: Statuses,
    /// How long one attempt may take to its answer's head.
    pub(crate) try_timeout: Option<Duration>,
    /// Requests that are not idempotent are repeated too.
    pub(crate) non_idempotent: bool,
    /// Bytes of a body that are kept.
    pub(crate) max_body_size: u64,
    /// How long is waited in between.
    pub(crate) backoff: Backoff,
}

/// Whether a request may be carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// It may.
    Yes,
    /// Only if it has not been carried out for certain.
    Unprocessed,
}

impl Retry {
    pub(super) fn repeatable(&self, head: &request::Parts) -> Repeatable {
        if self.non_idempotent
            || is_idempotent(&head.method)
            || head.headers.contains_key(IDEMPOTENCY_KEY)
        {
            Repeatable::Yes
        } else {
            Repeatable::Unprocessed
        }
    }

    /// Whether what has come of an attempt is a reason for another.
    pub(super) fn is_reason(
        &self,
        result: &Result<Response<Body>, Refusal>,
        repeatable: Repeatable,
    ) -> bool {
        match result {
            Ok(answer) => {
                repeatable == Repeatable::Yes && self.on_statuses.contain(answer.status().as_u16())
            }
            Err(refusal) => match refusal.code {
                code if code.is_unconnected() => self.on_connect,
                ErrorCode::UpstreamReset | ErrorCode::UpstreamMalformed => {
                    self.on_reset && repeatable == Repeatable::Yes
                }
                ErrorCode::UpstreamTimeout => self.on_timeout && repeatable == Repeatable::Yes,
                _ => false,
            },
        }
    }
}

/// RFC 9110 §9.2.2, and QUERY (RFC 10008 §2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
        || method.as_str() == "QUERY"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        let mut on_statuses = Statuses::default();
        on_statuses.add("503").unwrap();
        Retry {
            attempts: 2,
            on_connect: true,
            on_reset: true,
            on_timeout: false,
            on_statuses,
            try_timeout: None,
            non_idempotent: false,
            max_body_size: 0,
            backoff: Backoff::default(),
        }
    }

    fn head(method: &str, field: &str) -> request::Parts {
        let request = http::Request::builder().method(method).header(field, "1");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_what_may_be_carried_out_twice_is_repeated_when_it_may_have_been() {
        let retry = retry();
        assert_eq!(retry.repeatable(&head("GET", "x")), Repeatable::Yes);
        assert_eq!(retry.repeatable(&head("PUT", "x")), Repeatable::Yes);
        assert_eq!(retry.repeatable(&head("QUERY", "x")), Repeatable::Yes);
        assert_eq!(
            retry.repeatable(&head("POST", "x")),
            Repeatable::Unprocessed
        );
        assert_eq!(
            retry.repeatable(&head("POST", "Idempotency-Key")),
            Repeatable::Yes
        );
        let daring = Retry {
            non_idempotent: true,
            ..self::retry()
        };
        assert_eq!(daring.repeatable(&head("PATCH", "x")), Repeatable::Yes);
    }

    #[test]
    fn a_reason_is_one_that_the_route_names() {
        let retry = retry();
        let answer = |status: u16| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok(response)
        };
        let failed = |code: ErrorCode| Err(code.into());
        for (result, yes, unprocessed) in [
            (answer(503), true, false),
            (answer(500), false, false),
            (answer(200), false, false),
            (failed(ErrorCode::UpstreamUnreachable), true, true),
            (failed(ErrorCode::UpstreamReset), true, false),
            (failed(ErrorCode::UpstreamTimeout), false, false),
            (failed(ErrorCode::MalformedRequest), false, false),
        ] {
            assert_eq!(retry.is_reason(&result, Repeatable::Yes), yes, "{result:?}");
            let is_reason = retry.is_reason(&result, Repeatable::Unprocessed);
            assert_eq!(is_reason, unprocessed, "{result:?}");
        }
    }
}
