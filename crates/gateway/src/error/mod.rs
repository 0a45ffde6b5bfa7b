//! The one list of what can go wrong with a request.
//!
//! Answers, the access log and `Proxy-Status` all name failures by it. `docs/errors.md` describes it for users; a
//! test holds the two together.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Response, StatusCode};
use wire::head::HeadError;
use wire::{Body, BodyError};

/// RFC 9209.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Declares [`ErrorCode`] from one table, so that no property of a code can be forgotten.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $proxy_status:literal, $title:literal, $detail:literal;)*) => {
        /// A stable name for one way in which a request can fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All of them, in the order of the documentation.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// As it stands in answers and logs: lower-case words joined by hyphens.
            #[must_use]
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The status of the answer; for codes that come too late for one, of the log line.
            #[must_use]
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The `error` parameter of `Proxy-Status` (RFC 9209 §2.3); empty where the gateway is not the cause.
            #[must_use]
            pub(crate) const fn proxy_status(self) -> &'static str {
                match self { $(Self::$variant => $proxy_status,)* }
            }

            /// A short summary, the same for every occurrence (RFC 9457 §3.1.4).
            #[must_use]
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What the client can do about it. Names nothing that lies behind the gateway.
            #[must_use]
            pub(crate) const fn detail(self) -> &'static str {
                match self { $(Self::$variant => $detail,)* }
            }
        }
    };
}

error_codes! {
    /// The bytes on the connection are no acceptable HTTP request.
    MalformedRequest = "malformed-request", 400, "http_request_error", "Malformed request",
        "The request breaks the rules of HTTP.";
    /// The path holds what could be read in more than one way.
    InvalidPath = "invalid-path", 400, "http_request_error", "Invalid path",
        "The path holds an encoding or a segment that is not accepted.";
    /// The route needs a valid token.
    Unauthorized = "unauthorized", 401, "http_request_denied", "Unauthorized",
        "Valid credentials are needed; the WWW-Authenticate field tells of which kind.";
    /// The client is known, and may not do this.
    Forbidden = "forbidden", 403, "http_request_denied", "Forbidden",
        "The credentials are valid, and not enough for this request.";
    /// Clients with this address may not use the route.
    AddressNotAllowed = "address-not-allowed", 403, "http_request_denied", "Address not allowed",
        "Clients with this address may not use this route.";
    /// A web page of this origin may not use the route.
    OriginNotAllowed = "origin-not-allowed", 403, "http_request_denied", "Origin not allowed",
        "Web pages of this origin may not use this route.";
    /// No route matches.
    RouteNotFound = "route-not-found", 404, "http_request_error", "Route not found",
        "No route matches the request.";
    /// A route matches, but not for this method.
    MethodNotAllowed = "method-not-allowed", 405, "http_request_error", "Method not allowed",
        "The path exists, but not for this method; the Allow field lists those it exists for.";
    /// The client was too slow to send its request.
    RequestTimeout = "request-timeout", 408, "http_request_error", "Request timeout",
        "The request did not arrive in time.";
    /// The request's body is larger than allowed.
    BodyTooLarge = "body-too-large", 413, "http_request_error", "Request body too large",
        "The request's body is larger than this route accepts.";
    /// The request target is longer than allowed.
    TargetTooLong = "target-too-long", 414, "http_request_error", "Request target too long",
        "The request target is longer than this server accepts.";
    /// The request is for a host that the TLS connection is not for.
    MisdirectedRequest = "misdirected-request", 421, "http_request_error", "Misdirected request",
        "The request is for another host than the connection was made for; a new connection is needed.";
    /// The client has asked for more than its rate limit allows.
    RateLimited = "rate-limited", 429, "http_request_denied", "Too many requests",
        "The rate limit has been reached; the Retry-After field tells when to come back.";
    /// The header section is larger than allowed.
    HeadTooLarge = "head-too-large", 431, "http_request_error", "Request header fields too large",
        "The header section is larger, or has more fields, than this server accepts.";
    /// The client went away before it was answered, or before it had the whole answer.
    ClientGone = "client-gone", 499, "http_request_error", "Client closed request",
        "The client closed the connection before it was answered.";
    /// A fault in the gateway itself.
    InternalError = "internal-error", 500, "proxy_internal_error", "Internal error",
        "The gateway failed to handle the request.";
    /// A transfer coding other than chunked.
    UnsupportedTransferCoding = "unsupported-transfer-coding", 501, "http_request_error",
        "Transfer coding not supported", "The only transfer coding that is supported is chunked.";
    /// The backend could not be connected to.
    UpstreamUnreachable = "upstream-unreachable", 502, "destination_unavailable", "Upstream unreachable",
        "The service behind this route cannot be reached.";
    /// The backend's name could not be resolved.
    UpstreamUnresolved = "upstream-unresolved", 502, "dns_error", "Upstream not resolved",
        "The service behind this route cannot be found.";
    /// The backend's certificate has expired, or is not valid yet.
    UpstreamCertificateExpired = "upstream-certificate-expired", 502, "tls_certificate_error", "Upstream certificate expired",
        "The service behind this route cannot be trusted at present: its certificate is out of date.";
    /// The backend's certificate is for another name.
    UpstreamCertificateName = "upstream-certificate-name", 502, "tls_certificate_error", "Upstream certificate for another name",
        "The service behind this route cannot be trusted: its certificate is for another name.";
    /// The backend's certificate is not from an authority that is believed.
    UpstreamCertificateUntrusted = "upstream-certificate-untrusted", 502, "tls_certificate_error",
        "Upstream certificate untrusted", "The service behind this route cannot be trusted: nobody known vouches for it.";
    /// The backend has refused the TLS handshake by an alert: it may want a client certificate.
    UpstreamTlsRefused = "upstream-tls-refused", 502, "tls_alert_received", "Upstream refused TLS",
        "The service behind this route refused an encrypted connection.";
    /// The backend has broken off the TLS handshake, or does not speak TLS.
    UpstreamTlsFailed = "upstream-tls-failed", 502, "tls_protocol_error", "Upstream TLS failed",
        "No encrypted connection to the service behind this route came about.";
    /// The backend closed the connection instead of answering.
    UpstreamReset = "upstream-reset", 502, "connection_terminated", "Upstream closed the connection",
        "The service behind this route closed the connection without an answer.";
    /// The backend's answer is malformed or ambiguous.
    UpstreamMalformed = "upstream-malformed", 502, "http_protocol_error", "Malformed upstream response",
        "The service behind this route gave an answer that is not acceptable.";
    /// The backend broke off in the middle of its answer.
    UpstreamTruncated = "upstream-truncated", 502, "http_response_incomplete", "Upstream response incomplete",
        "The service behind this route broke off in the middle of its answer.";
    /// Whether the client may pass cannot be found out: its issuer's keys or the deciding service are not to be had.
    AuthUnavailable = "auth-unavailable", 503, "proxy_internal_error", "Authentication unavailable",
        "Whether the request may pass cannot be found out at present.";
    /// The request could not be counted, and must not pass uncounted.
    RateLimitUnavailable = "rate-limit-unavailable", 503, "proxy_internal_error", "Rate limit unavailable",
        "The request could not be counted; the Retry-After field tells when to come back.";
    /// The backend fails, and is not asked for a while.
    CircuitOpen = "circuit-open", 503, "destination_unavailable", "Circuit open",
        "The service behind this route fails, and is given time to recover; the Retry-After field tells when to come back.";
    /// As many requests are at the backend already as it is to have.
    UpstreamFull = "upstream-full", 503, "connection_limit_reached", "Upstream full",
        "The service behind this route has as many requests as it can take.";
    /// More requests are at the backend than its latency bears.
    UpstreamOverloaded = "upstream-overloaded", 503, "connection_limit_reached", "Upstream overloaded",
        "The service behind this route is slow under its load, and takes no more of this kind.";
    /// No endpoint of the upstream can be used.
    UpstreamUnavailable = "upstream-unavailable", 503, "destination_unavailable", "Upstream unavailable",
        "No part of the service behind this route can take requests.";
    /// Its route was removed, and the time that was left is over.
    RouteRemoved = "route-removed", 503, "proxy_configuration_error", "Route removed",
        "The route is served no more.";
    /// The client wants an answer from the cache only, and there is none.
    NotCached = "not-cached", 504, "http_request_error", "Not cached",
        "The request is to be answered from the cache only, which has no answer for it.";
    /// Connecting to the backend took too long.
    UpstreamConnectTimeout = "upstream-connect-timeout", 504, "connection_timeout", "Upstream connect timeout",
        "The service behind this route did not accept a connection in time.";
    /// The backend's answer did not begin in time.
    UpstreamTimeout = "upstream-timeout", 504, "http_response_timeout", "Upstream timeout",
        "The service behind this route did not answer in time.";
    /// The backend stopped in the middle of its answer, or a tunnel was idle, for too long.
    UpstreamStalled = "upstream-stalled", 504, "connection_read_timeout", "Upstream stalled",
        "The connection was idle for too long.";
    /// An HTTP version other than 1.0, 1.1 and 2.
    VersionNotSupported = "version-not-supported", 505, "http_request_error", "HTTP version not supported",
        "HTTP/1.0, HTTP/1.1 and HTTP/2 are supported.";
}

impl ErrorCode {
    /// Whether no backend has been asked: the request can be sent elsewhere.
    pub(crate) const fn was_not_asked(self) -> bool {
        matches!(
            self,
            Self::CircuitOpen
                | Self::UpstreamFull
                | Self::UpstreamOverloaded
                | Self::UpstreamUnavailable
        ) || self.is_unconnected()
    }

    /// Whether no connection to the backend could be made.
    pub(crate) const fn is_unconnected(self) -> bool {
        matches!(
            self,
            Self::UpstreamUnreachable
                | Self::UpstreamUnresolved
                | Self::UpstreamConnectTimeout
                | Self::UpstreamCertificateExpired
                | Self::UpstreamCertificateName
                | Self::UpstreamCertificateUntrusted
                | Self::UpstreamTlsRefused
                | Self::UpstreamTlsFailed
        )
    }

    /// Whether there is no way to the backend, as opposed to one that takes no more, or answers late or wrongly.
    pub(crate) const fn is_disconnection(self) -> bool {
        matches!(
            self,
            Self::CircuitOpen | Self::UpstreamUnavailable | Self::UpstreamReset
        ) || self.is_unconnected()
    }

    /// Whether it says nothing about the backend: the client has gone, or has not sent what it announced.
    pub(crate) const fn is_the_clients(self) -> bool {
        matches!(
            self,
            Self::ClientGone | Self::MalformedRequest | Self::RequestTimeout | Self::BodyTooLarge
        )
    }
}

/// A failure on its way to become an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    /// More exact than the code's own detail; never holds anything internal.
    detail: Option<String>,
    /// A field that the answer must carry.
    field: Option<(HeaderName, HeaderValue)>,
    /// The answer, where somebody else has given it already.
    answer: Option<Box<Response<Body>>>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            detail: None,
            field: None,
            answer: None,
        }
    }
}

impl Refusal {
    /// Adds what exactly was wrong. The text must come from the program, not from outside.
    pub(crate) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The field that its answer carries on top of the usual ones.
    pub(crate) fn field(&self) -> Option<(&HeaderName, &HeaderValue)> {
        self.field.as_ref().map(|(name, value)| (name, value))
    }

    /// The path exists for other methods.
    pub(crate) fn method_not_allowed(allow: HeaderValue) -> Self {
        Self {
            field: Some((ALLOW, allow)),
            ..ErrorCode::MethodNotAllowed.into()
        }
    }

    /// The client must show who it is.
    pub(crate) fn unauthorized(challenge: Option<HeaderValue>) -> Self {
        Self {
            field: challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)),
            ..ErrorCode::Unauthorized.into()
        }
    }

    /// The client has shown who it is, and that is not enough.
    pub(crate) fn forbidden(challenge: Option<HeaderValue>) -> Self {
        Self {
            field: challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)),
            ..ErrorCode::Forbidden.into()
        }
    }

    /// The service that decides has answered in the gateway's place.
    pub(crate) fn answered(answer: Response<Body>) -> Self {
        let code = match answer.status() {
            StatusCode::FORBIDDEN => ErrorCode::Forbidden,
            _ => ErrorCode::Unauthorized,
        };
        Self {
            answer: Some(Box::new(answer)),
            ..code.into()
        }
    }

    /// The backend may be asked again after this time.
    pub(crate) fn circuit_open(after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        Self {
            field: Some((RETRY_AFTER, seconds.max(1).into())),
            ..ErrorCode::CircuitOpen.into()
        }
    }

    /// Nobody can say at the moment who the client is, or what it may do.
    pub(crate) fn auth_unavailable() -> Self {
        Self {
            field: Some((RETRY_AFTER, 1.into())),
            ..ErrorCode::AuthUnavailable.into()
        }
    }

    /// The client may come back after so many seconds.
    pub(crate) fn rate_limited(seconds: u64) -> Self {
        Self {
            field: Some((RETRY_AFTER, seconds.into())),
            ..ErrorCode::RateLimited.into()
        }
    }

    /// The same, though it is not the client's fault.
    pub(crate) fn rate_limit_unavailable(seconds: u64) -> Self {
        Self {
            field: Some((RETRY_AFTER, seconds.into())),
            ..ErrorCode::RateLimitUnavailable.into()
        }
    }

    /// A problem document (RFC 9457) with a `Proxy-Status` (RFC 9209).
    pub(crate) fn into_response(self, request_id: &str) -> Response<Body> {
        if let Some(answer) = self.answer {
            return *answer;
        }
        let detail = self.detail.as_deref().unwrap_or_else(|| self.code.detail());
        let document = serde_json::json!({
            "type": format!("urn:api-gateway:error:{}", self.code.code()),
            "title": self.code.title(),
            "status": self.code.status(),
            "detail": detail,
            "code": self.code.code(),
            "requestId": request_id,
        });
        let mut response = Response::new(Body::full(Bytes::from(document.to_string())));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Ok(status) =
            HeaderValue::from_str(&format!("api-gateway; error={}", self.code.proxy_status()))
        {
            headers.insert(PROXY_STATUS, status);
        }
        if let Some((name, value)) = self.field {
            headers.insert(name, value);
        }
        response
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        let code = match error {
            HeadError::Malformed(_) => ErrorCode::MalformedRequest,
            HeadError::TargetTooLong => ErrorCode::TargetTooLong,
            HeadError::TooLarge | HeadError::TooManyFields => ErrorCode::HeadTooLarge,
            HeadError::UnsupportedTransferCoding => ErrorCode::UnsupportedTransferCoding,
            HeadError::UnsupportedVersion => ErrorCode::VersionNotSupported,
            HeadError::TimedOut => ErrorCode::RequestTimeout,
        };
        Self::from(code).with_detail(sentence(&error.to_string()))
    }
}

/// The request's body has not come whole.
impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let malformed = |detail| Self::from(ErrorCode::MalformedRequest).with_detail(detail);
        match error {
            BodyError::Malformed(reason) => malformed(format!("The body is malformed: {reason}.")),
            BodyError::Truncated => malformed("The body ended early.".to_owned()),
            BodyError::TimedOut => ErrorCode::RequestTimeout.into(),
            BodyError::TooLarge => ErrorCode::BodyTooLarge.into(),
            BodyError::Io(_) => ErrorCode::ClientGone.into(),
        }
    }
}

/// `text` as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| format!("{}{}.", first.to_ascii_uppercase(), letters.as_str()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_hyphenated() {
        let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(codes.iter().all(|code| {
            code.bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_lowercase())
        }));
    }

    #[test]
    fn the_documentation_lists_every_code_with_its_status_and_nothing_else() {
        let documentation = include_str!("../../../../docs/errors.md");
        let rows: Vec<&str> = documentation
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        for (row, code) in rows.iter().zip(ErrorCode::ALL) {
            let expected = format!(
                "| `{}` | {} | `{}` |",
                code.code(),
                code.status(),
                code.proxy_status()
            );
            assert!(
                row.starts_with(&expected),
                "expected {expected}, found {row}"
            );
        }
        assert_eq!(rows.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn details_name_what_was_wrong_as_a_sentence() {
        let refusal = Refusal::from(HeadError::Malformed("Host is missing"));
        assert_eq!(refusal.detail.as_deref(), Some("Host is missing."));
    }
}
