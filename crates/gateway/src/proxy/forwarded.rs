//! `X-Forwarded-*`: what the backend is told about the client's side.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use wire::head::push_field;

use crate::middleware::client_address::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::tls::{ClientCertificate, Session};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The client's side of a connection.
#[derive(Debug, Clone)]
pub(crate) struct ClientSide {
    /// The peer of the connection: the client, or the proxy before us.
    pub(crate) peer: IpAddr,
    /// The peer is a proxy whose word is taken.
    pub(crate) trusted: bool,
    /// `peer`, as text: written into every request.
    peer_text: Box<str>,
    /// The port that the connection came in on, as text.
    port_text: Box<str>,
    /// How it came in.
    pub(crate) entrance: Entrance,
}

/// How a connection has come in.
#[derive(Debug, Clone)]
pub(crate) enum Entrance {
    /// Without TLS.
    Plain,
    /// With TLS.
    Tls(Arc<Session>),
    /// Without TLS, where requests are sent to this port, which has it.
    Redirect(u16),
    /// Without TLS, where there has to be.
    PlainForTls,
}

impl ClientSide {
    /// Of a connection from `peer` to `local`.
    pub(crate) fn new(peer: IpAddr, local: SocketAddr, trusted: bool) -> Self {
        Self {
            peer,
            trusted,
            peer_text: peer.to_string().into(),
            port_text: local.port().to_string().into(),
            entrance: Entrance::Plain,
        }
    }

    /// The same, having come in so.
    pub(crate) fn through(self, entrance: Entrance) -> Self {
        Self { entrance, ..self }
    }

    /// The scheme of what the client has asked for, unless a proxy knows better.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.entrance {
            Entrance::Tls(_) => "https",
            _ => "http",
        }
    }

    /// The scheme of the request that has these fields. A trusted proxy says which it was; what others say is gone already.
    pub(crate) fn scheme_of(&self, headers: &HeaderMap) -> &'static str {
        match headers.get(X_FORWARDED_PROTO) {
            Some(proto) if proto.as_bytes().eq_ignore_ascii_case(b"https") => "https",
            Some(_) => "http",
            None => self.scheme(),
        }
    }

    /// What TLS has come to, where there is some.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.entrance {
            Entrance::Tls(session) => Some(session),
            _ => None,
        }
    }

    /// The client's certificate, where it has shown one.
    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.session()?.client.as_ref()
    }
}

/// Appends the fields. Those that are there already are a trusted proxy's: they are kept, and its address joins the chain.
pub(super) fn push_fields(out: &mut Vec<u8>, headers: &HeaderMap, side: &ClientSide) {
    out.extend_from_slice(b"x-forwarded-for: ");
    for addresses in headers.get_all(X_FORWARDED_FOR) {
        out.extend_from_slice(addresses.as_bytes());
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(side.peer_text.as_bytes());
    out.extend_from_slice(b"\r\n");
    let proto = headers.get(X_FORWARDED_PROTO);
    push(
        out,
        "x-forwarded-proto",
        proto.map_or(side.scheme().as_bytes(), HeaderValue::as_bytes),
    );
    if let Some(host) = headers.get(X_FORWARDED_HOST).or(headers.get(header::HOST)) {
        push(out, "x-forwarded-host", host.as_bytes());
    }
    let port = headers.get(X_FORWARDED_PORT);
    push(
        out,
        "x-forwarded-port",
        port.map_or(side.port_text.as_bytes(), HeaderValue::as_bytes),
    );
    if let Some(certificate) = side.certificate() {
        for (name, value) in &certificate.fields {
            push_field(out, name, value.as_bytes());
        }
    }
}

fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(before: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, value.parse().unwrap());
        }
        let side = ClientSide::new(
            "10.0.0.1".parse().unwrap(),
            "127.0.0.1:8080".parse().unwrap(),
            true,
        );
        let mut out = Vec::new();
        push_fields(&mut out, &headers, &side);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_backend_is_told_of_the_clients_side() {
        assert_eq!(
            fields(&[("host", "api.example.com")]),
            "x-forwarded-for: 10.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: api.example.com\r\n\
             x-forwarded-port: 8080\r\n"
        );
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_its_address_joins_the_chain() {
        let fields = fields(&[
            ("host", "api.example.com"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.example.com"),
        ]);
        assert_eq!(
            fields,
            "x-forwarded-for: 203.0.113.9, 198.51.100.7, 10.0.0.1\r\nx-forwarded-proto: https\r\n\
             x-forwarded-host: www.example.com\r\nx-forwarded-port: 8080\r\n"
        );
    }
}
