//! A request of an HTTP/2 stream in the form that HTTP/1.1's have, and what is refused on the way.
//!
//! `h2` has refused by now, with a reset: fields that are for a connection, names with upper-case letters, control bytes
//! in values, and pseudo-fields that are missing, doubled, unknown or late. What is checked here is what is left of that by
//! which a backend, which reads HTTP/1.1, could be led to read something else than has been judged.

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use h2::RecvStream;
use h2::ext::Protocol;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use wire::Body;
use wire::head::{HeadError, RequestLimits, is_host};
use wire::server::ServerConfig;

use super::body::Received;

/// A request that can be served.
pub(super) enum Accepted {
    /// One with an answer.
    Request(Request<Body>),
    /// One for a WebSocket (RFC 8441 §5), as HTTP/1.1 asks for it (RFC 6455 §4.1); the stream is its connection.
    WebSocket(Request<Body>, RecvStream),
}

/// The request in the form that HTTP/1.1 requests have: origin form, and its authority in `Host`.
pub(super) fn accept(
    request: Request<RecvStream>,
    config: &ServerConfig,
    received: &Rc<Cell<u64>>,
) -> Result<Accepted, HeadError> {
    let (mut head, body) = request.into_parts();
    join_cookies(&mut head.headers);
    check_method(&head.method)?;
    check_fields(&head.headers, &config.head)?;
    set_host(&head.uri, &mut head.headers)?;
    let length = content_length(&head.headers)?;
    head.uri = Uri::from(target(&head.uri, &head.method, &config.head)?);
    if head.method == Method::CONNECT {
        let protocol = head.extensions.remove::<Protocol>();
        if protocol.is_none_or(|protocol| protocol.as_str() != "websocket") {
            return Err(HeadError::Malformed("CONNECT is served for WebSocket only"));
        }
        if length.is_some() {
            return Err(HeadError::Malformed("CONNECT has no Content-Length"));
        }
        head.method = Method::GET;
        ask_for_websocket(&mut head.headers);
        return Ok(Accepted::WebSocket(
            Request::from_parts(head, Body::empty()),
            body,
        ));
    }
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        let idle = config.request_body_idle;
        Body::boxed(Received::new(body, length, idle, Rc::clone(received)))
    };
    Ok(Accepted::Request(Request::from_parts(head, body)))
}

/// HTTP/2 may split the cookies over several fields, and HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let fields: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if fields.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&fields.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// The rule of HTTP/1.1 requests: methods are case-sensitive, and not all backends think so.
fn check_method(method: &Method) -> Result<(), HeadError> {
    if method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase())
    {
        return Err(HeadError::Malformed("the method holds lower-case letters"));
    }
    Ok(())
}

fn check_fields(headers: &HeaderMap, limits: &RequestLimits) -> Result<(), HeadError> {
    if headers.len() > limits.fields {
        return Err(HeadError::TooManyFields);
    }
    let size = headers
        .iter()
        // As HTTP/1.1 would write it, with `: ` and an end of line.
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    if size.sum::<usize>() > limits.head {
        return Err(HeadError::TooLarge);
    }
    // RFC 9113 §8.2.1.
    let padded = |value: &HeaderValue| {
        let ends = [value.as_bytes().first(), value.as_bytes().last()];
        ends.contains(&Some(&b' ')) || ends.contains(&Some(&b'\t'))
    };
    if headers.values().any(padded) {
        return Err(HeadError::Malformed(
            "a field value begins or ends with a blank",
        ));
    }
    if headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(HeadError::Malformed("Content-Type is repeated"));
    }
    Ok(())
}

/// Puts the authority into `Host`.
fn set_host(uri: &Uri, headers: &mut HeaderMap) -> Result<(), HeadError> {
    // Of a request without an authority, the scheme is not kept.
    if uri
        .scheme()
        .is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS)
    {
        return Err(HeadError::Malformed("the scheme is neither http nor https"));
    }
    let mut sent = headers.get_all(HOST).iter();
    let (sent, repeated) = (sent.next(), sent.next().is_some());
    if repeated {
        return Err(HeadError::Malformed("Host is repeated"));
    }
    let Some(authority) = uri.authority() else {
        return match sent {
            Some(host) if is_host(host.as_bytes()) => Ok(()),
            Some(_) => Err(HeadError::Malformed(
                "Host is not a host name with an optional port",
            )),
            None => Err(HeadError::Malformed("Host is missing")),
        };
    };
    // RFC 9113 §8.3.1: where both are there they must agree, and there is no user information.
    if sent.is_some_and(|sent| sent != authority.as_str()) {
        return Err(HeadError::Malformed(":authority and Host differ"));
    }
    if !is_host(authority.as_str().as_bytes()) {
        return Err(HeadError::Malformed(
            ":authority is not a host name with an optional port",
        ));
    }
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_| HeadError::Malformed("the authority is malformed"))?;
    headers.insert(HOST, host);
    Ok(())
}

/// RFC 9110 §8.6. That the body is of this length is `h2`'s business (RFC 9113 §8.1.1).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(length), more) = (lengths.next(), lengths.next()) else {
        return Ok(None);
    };
    let digits = length
        .to_str()
        .ok()
        .filter(|length| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    match (length, more) {
        (Some(length), None) => Ok(Some(length)),
        (_, Some(_)) => Err(HeadError::Malformed("Content-Length is repeated")),
        (None, None) => Err(HeadError::Malformed("Content-Length is not a number")),
    }
}

/// The path and the query: all of the target that HTTP/1.1 is told.
fn target(uri: &Uri, method: &Method, limits: &RequestLimits) -> Result<PathAndQuery, HeadError> {
    let Some(target) = uri.path_and_query() else {
        return Ok(PathAndQuery::from_static("/"));
    };
    if target.as_str().len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    match target.as_str() {
        "*" if method == Method::OPTIONS => Ok(target.clone()),
        "*" => Err(HeadError::Malformed("the target * goes with OPTIONS only")),
        path if path.starts_with('/') => Ok(target.clone()),
        _ => Err(HeadError::Malformed("the path does not begin with a slash")),
    }
}

/// What HTTP/1.1 says in place of `:protocol`.
fn ask_for_websocket(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let version = headers.entry(SEC_WEBSOCKET_VERSION);
    version.or_insert(HeaderValue::from_static("13"));
    // No secret: it shows that whoever answers has understood the question.
    let key = BASE64_STANDARD.encode(fastrand::u128(..).to_be_bytes());
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
}
