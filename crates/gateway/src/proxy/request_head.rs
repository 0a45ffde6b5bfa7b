//! The head of a request as the backend gets it.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, VIA};
use http::{HeaderValue, Method, request};
use wire::head::{push_field, push_request_line};

use super::fields::{accepts_trailers, ends_at_the_gateway};
use super::forwarded::{self, ClientSide};
use super::join::join;
use crate::auth::Identity;
use crate::config::Route;
use crate::middleware::request_id::X_REQUEST_ID;
use crate::trace::{TRACEPARENT, TraceContext};
use crate::upstream::Target;

/// All that goes into the head.
#[derive(Debug)]
pub(super) struct RequestHead<'a> {
    pub(super) head: &'a request::Parts,
    /// Normalised.
    pub(super) path: &'a str,
    pub(super) route: &'a Route,
    /// Of the member that it is for.
    pub(super) target: &'a Target,
    pub(super) side: &'a ClientSide,
    /// Who the request is from, where that is known.
    pub(super) identity: Option<&'a Identity>,
    pub(super) request_id: &'a HeaderValue,
    /// Where the request comes from; none to leave it to what the client has sent.
    pub(super) trace: Option<TraceContext>,
    /// For the answer's head.
    pub(super) time_left: Duration,
    pub(super) framing: RequestFraming,
    pub(super) expects_continue: bool,
    pub(super) websocket: bool,
}

/// How the request's body is delimited towards the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// No body, and nothing said about one.
    None,
    /// This many bytes, perhaps none.
    Fixed(u64),
    Chunked,
}

impl RequestFraming {
    /// Of a body whose length is known, or is not. RFC 9110 §9.3: a request without a body says nothing about one,
    /// except where a length is usual for the method.
    pub(super) fn of(length: Option<u64>, method: &Method) -> Self {
        match length {
            Some(0) if !expects_content(method) => Self::None,
            Some(length) => Self::Fixed(length),
            None => Self::Chunked,
        }
    }
}

/// Whether content is usual, so that none is said to be none (RFC 9110 §8.6, RFC 10008 §2).
fn expects_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method) || method.as_str() == "QUERY"
}

/// How long the backend has for its answer's head, in milliseconds: work that nobody waits for any more need not be done.
fn push_time_left(out: &mut Vec<u8>, time: Duration) {
    out.extend_from_slice(b"x-request-timeout-ms: ");
    out.extend_from_slice(itoa::Buffer::new().format(time.as_millis()).as_bytes());
    out.extend_from_slice(b"\r\n");
}

impl RequestHead<'_> {
    /// Appends the head, with its empty line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (head, route) = (self.head, self.route);
        let query = head.uri.query();
        let shown = query.and_then(|query| route.hidden.without_parameters(query));
        push_request_line(out, &head.method, |out| {
            join(
                &self.target.base_path,
                route.stripped_segments,
                self.path,
                match &shown {
                    Some(shown) => Some(&**shown).filter(|shown| !shown.is_empty()),
                    None => query,
                },
                out,
            );
        });
        let host = head
            .headers
            .get(HOST)
            .filter(|_| route.preserve_host)
            .unwrap_or(&self.target.authority);
        push_field(out, &HOST, host.as_bytes());
        for (name, value) in &head.headers {
            let dropped = ends_at_the_gateway(name) || route.withholds(name);
            if dropped {
                continue;
            }
            match route.hidden.without_cookies(name, value.as_bytes()) {
                None => push_field(out, name, value.as_bytes()),
                Some(shown) if shown.is_empty() => {}
                Some(shown) => push_field(out, name, &shown),
            }
        }
        for claim in &route.claims {
            let claims = self.identity.map(|identity| &identity.claims);
            if let Some(value) = claims.and_then(|claims| claim.value(claims)) {
                push_field(out, &claim.field, &value);
            }
        }
        forwarded::push_fields(out, &head.headers, self.side);
        push_field(out, &X_REQUEST_ID, self.request_id.as_bytes());
        if let Some(trace) = self.trace {
            push_field(out, &TRACEPARENT, &trace.to_bytes());
        }
        push_time_left(out, self.time_left);
        self.push_hop(out);
        out.extend_from_slice(b"\r\n");
    }

    /// The fields for the hop to the backend.
    fn push_hop(&self, out: &mut Vec<u8>) {
        // RFC 9110 §7.6.3: a gateway adds itself.
        for via in self.head.headers.get_all(VIA) {
            push_field(out, &VIA, via.as_bytes());
        }
        out.extend_from_slice(b"via: 1.1 api-gateway\r\n");
        match self.framing {
            RequestFraming::None => {}
            RequestFraming::Fixed(length) => {
                push_field(out, &CONTENT_LENGTH, HeaderValue::from(length).as_bytes());
            }
            RequestFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        if self.expects_continue {
            push_field(out, &EXPECT, b"100-continue");
        }
        if self.websocket {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        } else if accepts_trailers(&self.head.headers) {
            // RFC 9110 §10.1.4: TE is for one hop, and named in Connection.
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
    }
}
