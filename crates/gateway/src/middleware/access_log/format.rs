//! The two forms of an access log line.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, Version};

use super::Entry;
use super::timestamp::{self, push_thousandths};

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
    out.extend_from_slice(b"{\"time\":\"");
    timestamp::push_now(out);
    out.push(b'"');
    push_member(out, b",\"requestId\":", Some(entry.request_id.as_bytes()));
    if let Some(trace) = entry.trace() {
        let context = trace.context();
        push_member(out, b",\"traceId\":", Some(&context.trace_digits()));
        push_member(out, b",\"spanId\":", Some(&context.span_digits()));
    }
    out.extend_from_slice(b",\"client\":\"");
    push_address(out, entry.client);
    out.push(b'"');
    let method = entry.method.as_ref();
    push_member(
        out,
        b",\"method\":",
        method.map(|method| method.as_str().as_bytes()),
    );
    // The query may hold what is not for logs, such as tokens.
    push_member(
        out,
        b",\"path\":",
        method.map(|_| entry.target.path().as_bytes()),
    );
    push_member(
        out,
        b",\"host\":",
        entry.host.as_ref().map(HeaderValue::as_bytes),
    );
    push_member(out, b",\"route\":", entry.route_name().map(str::as_bytes));
    push_number(out, b",\"status\":", entry.status);
    push_member(
        out,
        b",\"error\":",
        entry.error.map(|error| error.code().as_bytes()),
    );
    push_shadow(out, entry);
    if let Some(consumer) = entry.consumer() {
        push_member(out, b",\"consumer\":", Some(consumer.as_bytes()));
    }
    if let Some(key) = entry.api_key() {
        push_member(out, b",\"apiKey\":", Some(key.as_bytes()));
    }
    push_number(out, b",\"bytesIn\":", entry.received);
    push_number(out, b",\"bytesOut\":", entry.sent);
    push_milliseconds(out, b",\"durationMs\":", Some(entry.total_time));
    push_milliseconds(out, b",\"upstreamMs\":", entry.upstream_time);
    push_member(
        out,
        b",\"upstream\":",
        entry.endpoint().as_deref().map(str::as_bytes),
    );
    if entry.retries() > 0 {
        push_number(out, b",\"retries\":", entry.retries());
    }
    if let Some(report) = entry.cache() {
        push_member(out, b",\"cache\":", Some(report.outcome.name().as_bytes()));
    }
    push_member(
        out,
        b",\"protocol\":",
        Some(protocol(entry.version).as_bytes()),
    );
    if let Some((version, resumed)) = entry.tls {
        push_member(out, b",\"tls\":", Some(version.name().as_bytes()));
        out.extend_from_slice(match resumed {
            true => b",\"tlsResumed\":true",
            false => b",\"tlsResumed\":false",
        });
    }
    push_member(
        out,
        b",\"userAgent\":",
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
    timestamp::push_now(out);
    let _ = write!(
        out,
        " {} {} {} {} {:.1}ms",
        entry.client,
        method,
        path,
        entry.status,
        entry.total_time.as_secs_f64() * 1000.0,
    );
    if let Some(endpoint) = entry.endpoint() {
        let _ = write!(out, " -> {}", endpoint);
    }
    if let Some(report) = entry.cache() {
        let _ = write!(out, " cache:{}", report.outcome.name());
    }
    if let Some(error) = entry.error {
        let _ = write!(out, " {}", error.code());
    }
    if let Some(limit) = entry.shadowed() {
        let _ = write!(out, " shadow:{limit}");
    }
    for code in entry.shadow() {
        let _ = write!(out, " shadow:{}", code.code());
    }
}

/// What policies that are tried out would have refused; nothing where there is nothing.
fn push_shadow(out: &mut Vec<u8>, entry: &Entry) {
    if let Some(limit) = entry.shadowed() {
        push_member(out, b",\"shadowRateLimit\":", Some(limit.as_bytes()));
    }
    let mut separator = &b",\"shadow\":[\""[..];
    for code in entry.shadow() {
        out.extend_from_slice(separator);
        out.extend_from_slice(code.code().as_bytes());
        separator = b"\",\"";
    }
    if separator == b"\",\"" {
        out.extend_from_slice(b"\"]");
    }
}

/// `"value"`, or `null`, behind `name`, which brings its comma, quotes and colon along.
fn push_member(out: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    out.extend_from_slice(name);
    match value {
        Some(value) => {
            out.push(b'"');
            push_escaped(out, value);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn push_number(out: &mut Vec<u8>, name: &[u8], number: impl itoa::Integer) {
    out.extend_from_slice(name);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_milliseconds(out: &mut Vec<u8>, name: &[u8], time: Option<Duration>) {
    let Some(time) = time else {
        return push_member(out, name, None);
    };
    push_number(out, name, time.as_millis());
    out.push(b'.');
    push_thousandths(out, time.subsec_micros() % 1000);
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_number(out, b"", first);
            for octet in rest {
                push_number(out, b".", octet);
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// The inside of a JSON string (RFC 8259 §7). Bytes beyond ASCII are taken for Latin-1, as HTTP once did: the
/// result is valid whatever came.
fn push_escaped(out: &mut Vec<u8>, mut value: &[u8]) {
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    // Most are plain; without an early end to it, the look at all of it takes many bytes at a time.
    if value.iter().fold(true, |all, &byte| all & is_plain(byte)) {
        return out.extend_from_slice(value);
    }
    while let Some(at) = value.iter().position(|&byte| !is_plain(byte)) {
        let (plain, rest) = value.split_at(at);
        out.extend_from_slice(plain);
        if let [special, rest @ ..] = rest {
            let _ = match special {
                b'"' | b'\\' => out.write_all(&[b'\\', *special]),
                _ => write!(out, "\\u{special:04x}"),
            };
            value = rest;
        }
    }
    out.extend_from_slice(value);
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
        push_member(&mut out, b",\"a\":", Some(b"x\"\\\n\x00\xe9y"));
        assert_eq!(out, br#","a":"x\"\\\u000a\u0000\u00e9y""#);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&[b"{\"b\":1", &out[..], b"}"].concat())
                .is_ok()
        );
    }

    #[test]
    fn times_are_milliseconds_with_three_decimals() {
        let mut out = Vec::new();
        push_milliseconds(&mut out, b",\"t\":", Some(Duration::from_micros(1_002_003)));
        push_milliseconds(&mut out, b",\"u\":", None);
        assert_eq!(out, b",\"t\":1002.003,\"u\":null");
    }

    #[test]
    fn addresses_are_written_as_usual() {
        for address in ["192.0.2.1", "10.0.255.0", "::1", "2001:db8::a:b"] {
            let mut out = Vec::new();
            push_address(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }
}
