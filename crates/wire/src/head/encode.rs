//! Writing heads.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use crate::date;

/// How a response's body is delimited towards the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body and nothing about one: 1xx and 204 (RFC 9110 §8.6).
    Bodiless,
    /// No body, and its fields describe the one a GET would have had: HEAD and 304.
    Described,
    /// This many bytes.
    Fixed(u64),
    /// Chunks.
    Chunked,
    /// All until the close, for HTTP/1.0 clients.
    UntilClose,
}

/// Appends `METHOD target HTTP/1.1`, the target written by `target`.
pub fn push_request_line(out: &mut Vec<u8>, method: &Method, target: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    target(out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends one field line.
pub fn push_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole response head with its empty line. Framing and `Connection` are the wire's own business: what
/// `headers` say about them is not copied, and what `framing` and `closes` say is added, and a `Date` where there
/// is none (RFC 9110 §6.6.1).
pub fn push_response_head(
    out: &mut Vec<u8>,
    client: Version,
    status: StatusCode,
    headers: &HeaderMap,
    framing: ResponseFraming,
    closes: bool,
) {
    push_status_line(out, status);
    let mut dated = status.is_informational();
    for (name, value) in headers {
        if name == CONNECTION || name == TRANSFER_ENCODING {
            continue;
        }
        if name == CONTENT_LENGTH && framing != ResponseFraming::Described {
            continue;
        }
        dated |= name == DATE;
        push_field(out, name, value.as_bytes());
    }
    if !dated {
        date::push_field(out);
    }
    match framing {
        ResponseFraming::Fixed(length) => push_length(out, length),
        ResponseFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        ResponseFraming::Bodiless | ResponseFraming::Described | ResponseFraming::UntilClose => {}
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // RFC 9110 §7.8: Upgrade is named in Connection.
        out.extend_from_slice(b"connection: upgrade\r\n");
    } else if closes {
        out.extend_from_slice(b"connection: close\r\n");
    } else if client == Version::HTTP_10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of an interim answer (RFC 9110 §15.2), with its empty line.
pub(crate) fn push_informational(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    push_status_line(out, status);
    for (name, value) in headers {
        push_field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `content-length`.
pub(crate) fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn push_status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_decimal() {
        for length in [0, 7, 10, 65_536, u64::MAX] {
            let mut out = Vec::new();
            push_length(&mut out, length);
            assert_eq!(out, format!("content-length: {length}\r\n").as_bytes());
        }
    }

    #[test]
    fn what_a_backend_says_about_its_connection_stays_out_of_the_head() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("content-length", "9"),
            ("date", "today"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let mut out = Vec::new();
        push_response_head(
            &mut out,
            Version::HTTP_11,
            StatusCode::OK,
            &headers,
            ResponseFraming::Fixed(3),
            false,
        );
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 3\r\n\r\n"
        );
    }

    #[test]
    fn the_length_that_a_head_response_describes_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", "9".parse().unwrap());
        headers.insert("date", "today".parse().unwrap());
        let mut out = Vec::new();
        push_response_head(
            &mut out,
            Version::HTTP_11,
            StatusCode::OK,
            &headers,
            ResponseFraming::Described,
            false,
        );
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ndate: today\r\n\r\n"
        );
    }

    #[test]
    fn an_http_1_0_client_is_told_that_its_connection_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("date", "today".parse().unwrap());
        let mut out = Vec::new();
        push_response_head(
            &mut out,
            Version::HTTP_10,
            StatusCode::OK,
            &headers,
            ResponseFraming::Fixed(0),
            false,
        );
        assert!(out.ends_with(b"connection: keep-alive\r\n\r\n"));
    }
}
