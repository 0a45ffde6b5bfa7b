//! The two forms of an access log line.

use std::io::Write;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Version};

use super::Entry;
use crate::upstream::{Endpoint, Host};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One JSON object a line, for machines.
    Json,
    /// For people at a terminal.
    Text,
}

/// Appends the line of `entry`, with its line feed. Writing to memory does not fail.
pub(super) fn push_line(out: &mut Vec<u8>, entry: &Entry, style: Style) {
    match style {
        Style::Json => push_json(out, entry),
        Style::Text => push_text(out, entry),
    }
    out.push(b'\n');
}

fn push_json(out: &mut Vec<u8>, entry: &Entry) {
    let _ = write!(
        out,
        "{{\"time\":\"{}\"",
        humantime::format_rfc3339_millis(SystemTime::now())
    );
    push_member(out, "requestId", Some(entry.request_id.as_bytes()));
    let _ = write!(out, ",\"client\":\"{}\"", entry.client);
    push_member(
        out,
        "method",
        entry
            .method
            .as_ref()
            .map(|method| method.as_str().as_bytes()),
    );
    // The query may hold what is not for logs, such as tokens.
    push_member(
        out,
        "path",
        entry
            .method
            .as_ref()
            .map(|_| entry.target.path().as_bytes()),
    );
    push_member(out, "host", entry.host.as_ref().map(HeaderValue::as_bytes));
    push_member(out, "route", entry.route_name().map(str::as_bytes));
    let _ = write!(out, ",\"status\":{}", entry.status);
    push_member(
        out,
        "error",
        entry.error.map(|error| error.code().as_bytes()),
    );
    let _ = write!(
        out,
        ",\"bytesIn\":{},\"bytesOut\":{}",
        entry.received, entry.sent
    );
    push_milliseconds(out, "durationMs", Some(entry.total_time));
    push_milliseconds(out, "upstreamMs", entry.upstream_time);
    match entry.endpoint() {
        Some(endpoint) => {
            out.extend_from_slice(b",\"upstream\":\"");
            push_endpoint(out, endpoint);
            out.push(b'"');
        }
        None => push_member(out, "upstream", None),
    }
    push_member(out, "protocol", Some(protocol(entry.version).as_bytes()));
    push_member(
        out,
        "userAgent",
        entry.user_agent.as_ref().map(HeaderValue::as_bytes),
    );
    out.push(b'}');
}

fn push_text(out: &mut Vec<u8>, entry: &Entry) {
    let method = entry.method.as_ref().map_or("-", |method| method.as_str());
    let path = if entry.method.is_some() {
        entry.target.path()
    } else {
        "-"
    };
    let _ = write!(
        out,
        "{} {} {} {} {} {:.1}ms",
        humantime::format_rfc3339_millis(SystemTime::now()),
        entry.client,
        method,
        path,
        entry.status,
        entry.total_time.as_secs_f64() * 1000.0,
    );
    if let Some(endpoint) = entry.endpoint() {
        out.extend_from_slice(b" -> ");
        push_endpoint(out, endpoint);
    }
    if let Some(error) = entry.error {
        let _ = write!(out, " {}", error.code());
    }
}

fn push_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint) {
    let port = endpoint.target.port;
    let _ = match &endpoint.target.host {
        Host::Address(address) => write!(out, "{}", std::net::SocketAddr::new(*address, port)),
        Host::Name(name) => write!(out, "{name}:{port}"),
    };
}

fn push_milliseconds(out: &mut Vec<u8>, name: &str, time: Option<Duration>) {
    let _ = match time {
        Some(time) => write!(
            out,
            ",\"{name}\":{}.{:03}",
            time.as_millis(),
            time.as_micros() % 1000
        ),
        None => write!(out, ",\"{name}\":null"),
    };
}

/// `,"name":"value"`, or `null`.
fn push_member(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let _ = write!(out, ",\"{name}\":");
    match value {
        Some(value) => {
            out.push(b'"');
            push_escaped(out, value);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// The inside of a JSON string (RFC 8259 §7). Bytes beyond ASCII are taken for Latin-1, as HTTP once did: the
/// result is valid whatever came.
fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_a_string_stays_a_string() {
        let mut out = Vec::new();
        push_member(&mut out, "a", Some(b"x\"\\\n\x00\xe9y"));
        assert_eq!(out, br#","a":"x\"\\\u000a\u0000\u00e9y""#);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&[b"{\"b\":1", &out[..], b"}"].concat())
                .is_ok()
        );
    }

    #[test]
    fn times_are_milliseconds_with_three_decimals() {
        let mut out = Vec::new();
        push_milliseconds(&mut out, "t", Some(Duration::from_micros(1_002_003)));
        push_milliseconds(&mut out, "u", None);
        assert_eq!(out, b",\"t\":1002.003,\"u\":null");
    }
}
