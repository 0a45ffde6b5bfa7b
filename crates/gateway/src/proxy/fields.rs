//! Which fields of a message end at the gateway.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Takes off a message the fields that are for this hop only because `Connection` names them (RFC 9110 §7.6.1): what is
/// not to go on is not to decide anything here either.
pub(crate) fn strip_nominated(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
}

/// What `Connection` names besides its own options and fields that end here anyway: nearly always nothing.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for option in options(headers) {
        let known = [&b"close"[..], b"keep-alive", b"upgrade", b""];
        if !known.iter().any(|known| option.eq_ignore_ascii_case(known)) {
            let name = HeaderName::from_bytes(option);
            names.extend(name.ok().filter(|name| !ends_at_the_gateway(name)));
        }
    }
    names
}

/// Whether a request's field ends here, whatever the route: it is for this hop only, or written anew for the next one.
pub(crate) fn ends_at_the_gateway(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        // RFC 9440 §2.4: only the gateway says which certificate a client has shown.
        "client-cert"
            | "client-cert-chain"
            | "connection"
            | "content-length"
            | "expect"
            | "host"
            | "http2-settings"
            | "keep-alive"
            // CGI and its kin take it for the address of their own proxy (CVE-2016-5385).
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-request-id"
            | "x-request-timeout-ms"
    )
}

/// Takes the fields off an answer that are for the hop to the backend only.
pub(crate) fn strip_answer(headers: &mut HeaderMap, upgraded: bool) {
    // Most answers have nothing to lose, and a look at each name costs less than five look-ups.
    if !headers.keys().any(ends_here) {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        strip_nominated(headers);
        headers.remove(header::CONNECTION);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove(header::TRANSFER_ENCODING);
    if !upgraded {
        headers.remove(header::UPGRADE);
    }
}

/// Whether a field of an answer is for this hop only.
fn ends_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    )
}

/// Whether `headers` ask to switch to WebSocket (RFC 6455 §4.1).
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|value| list(value).any(|item| item.eq_ignore_ascii_case(b"websocket")))
}

/// Whether the client understands trailers (RFC 9110 §10.1.4).
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .any(|value| list(value).any(|item| item.eq_ignore_ascii_case(b"trailers")))
}

fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CONNECTION).iter().flat_map(list)
}

fn list(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn connection_nominates_fields_but_not_its_own_options() {
        let mut headers = headers(&[
            ("connection", "close, X-A, TE"),
            ("connection", "keep-alive,x-b, not a name,Host"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("x-c", "1"),
            ("te", "trailers"),
            ("host", "a"),
        ]);
        strip_nominated(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["connection", "host", "te", "x-c"]);
    }

    #[test]
    fn an_answer_loses_what_is_for_one_hop() {
        let mut headers = headers(&[
            ("connection", "x-a, close"),
            ("x-a", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-b", "2"),
        ]);
        strip_answer(&mut headers, false);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-b"], "2");
    }

    #[test]
    fn websocket_and_trailers_are_found_in_lists() {
        assert!(asks_for_websocket(&headers(&[(
            "upgrade",
            "h2c, WebSocket"
        )])));
        assert!(!asks_for_websocket(&headers(&[("upgrade", "h2c")])));
        assert!(accepts_trailers(&headers(&[("te", "gzip, trailers")])));
        assert!(!accepts_trailers(&headers(&[("te", "gzip")])));
    }
}
