//! Whether a request is right where it has come in.

use http::header::{HOST, HeaderValue, LOCATION};
use http::{Response, StatusCode, request};
use wire::Body;
use wire::head::without_port;

use crate::error::{ErrorCode, Refusal};
use crate::middleware::client_address::X_FORWARDED_PROTO;
use crate::proxy::{ClientSide, Entrance};

/// The usual port of https.
const HTTPS: u16 = 443;

/// An answer in place of any route's, where the request has come in at the wrong place.
///
/// # Errors
/// When it cannot be answered on this connection.
pub(super) fn check(
    head: &request::Parts,
    side: &ClientSide,
) -> Result<Option<Response<Body>>, Refusal> {
    let host = || {
        head.headers
            .get(HOST)
            .map_or(&b""[..], HeaderValue::as_bytes)
    };
    match &side.entrance {
        Entrance::Plain => Ok(None),
        Entrance::Tls(session) if session.is_for(host()) => Ok(None),
        Entrance::Tls(_) => Err(ErrorCode::MisdirectedRequest.into()),
        // `OPTIONS *` is about the server, and there is no URL for it.
        Entrance::Redirect(_) if came_by_https(head) || head.uri.path() == "*" => Ok(None),
        Entrance::Redirect(port) => redirect(head, host(), *port).map(Some),
        Entrance::PlainForTls => Err(Refusal::from(ErrorCode::MalformedRequest)
            .with_detail("This port speaks HTTPS, and the request came without TLS.".to_owned())),
    }
}

/// A trusted proxy says so; what others say is gone already.
fn came_by_https(head: &request::Parts) -> bool {
    let proto = head.headers.get(X_FORWARDED_PROTO);
    proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The same at the port that has TLS. The method stays (RFC 9110 §15.4.9).
fn redirect(head: &request::Parts, authority: &[u8], port: u16) -> Result<Response<Body>, Refusal> {
    let host = without_port(authority);
    if host.is_empty() {
        return Err(Refusal::from(ErrorCode::MalformedRequest)
            .with_detail("This port leads to HTTPS, and the request names no host.".to_owned()));
    }
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host);
    if port != HTTPS {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    location.extend_from_slice(target.as_bytes());
    let location = HeaderValue::from_bytes(&location).map_err(|_| ErrorCode::MalformedRequest)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
