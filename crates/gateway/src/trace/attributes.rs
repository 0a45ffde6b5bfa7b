//! What spans tell: the attributes that OpenTelemetry's semantic conventions for HTTP name, and few of our own.
//!
//! The query is never told, nor a field that may hold credentials. Texts of clients are cut off where they are long.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Method, Version};
use opentelemetry::{KeyValue, Value};

/// Bytes of a client's text that are told.
const LONGEST: usize = 1024;

/// What is told of a request that has been served.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    /// None of bytes that are no request.
    pub(crate) method: Option<&'a Method>,
    pub(crate) path: &'a str,
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) user_agent: Option<&'a HeaderValue>,
    pub(crate) client: IpAddr,
    pub(crate) version: Version,
    /// Of the URL that the client has asked for.
    pub(crate) scheme: &'static str,
    /// The version of TLS, and whether its session was resumed; none without TLS.
    pub(crate) tls: Option<(&'static str, bool)>,
    /// The route's path pattern, and its name.
    pub(crate) route: Option<(&'a str, &'a str)>,
    pub(crate) status: u16,
    pub(crate) error: Option<&'static str>,
    pub(crate) cache: Option<&'static str>,
    pub(crate) retries: u32,
    pub(crate) request_id: &'a HeaderValue,
}

/// Why a request is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be answered.
    Attempt,
    /// To be answered, beside one that takes long.
    Hedge,
    /// To be answered by an upstream that stands in.
    Fallback,
    /// For nobody to wait for it.
    Mirror,
    /// To learn whether its client may pass.
    Auth,
}

/// A request that is sent on behalf of another.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) method: &'a Method,
    pub(crate) scheme: &'static str,
    /// As the configuration writes it: a name, or an address.
    pub(crate) host: Cow<'a, str>,
    pub(crate) port: u16,
    /// Less its query.
    pub(crate) path: String,
    /// Where it is connected to.
    pub(crate) peer: Option<SocketAddr>,
    /// How often it has been sent before.
    pub(crate) resends: u32,
}

impl Served<'_> {
    /// The span's name and attributes.
    pub(super) fn describe(&self) -> (String, Vec<KeyValue>) {
        let method = self.method.map_or("HTTP", known);
        let name = match self.route {
            Some((pattern, _)) => format!("{method} {pattern}"),
            None => method.to_owned(),
        };
        let mut told = Vec::with_capacity(16);
        if let Some(sent) = self.method {
            push_method(&mut told, sent);
            told.push(text("url.path", self.path));
        }
        told.push(KeyValue::new("url.scheme", self.scheme));
        if let Some((pattern, name)) = self.route {
            told.push(text("http.route", pattern));
            told.push(text("api_gateway.route", name));
        }
        if let Some(host) = self.host.and_then(|host| host.to_str().ok()) {
            let (address, port) = split_authority(host);
            told.push(text("server.address", address));
            told.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
        }
        told.push(KeyValue::new("client.address", self.client.to_string()));
        if let Some(version) = protocol_version(self.version) {
            told.push(KeyValue::new("network.protocol.version", version));
        }
        if let Some((version, is_resumed)) = self.tls {
            told.push(KeyValue::new("tls.protocol.version", version));
            told.push(KeyValue::new("tls.resumed", is_resumed));
        }
        if let Some(agent) = self.user_agent {
            told.push(text(
                "user_agent.original",
                &String::from_utf8_lossy(agent.as_bytes()),
            ));
        }
        told.push(KeyValue::new(
            "http.response.status_code",
            i64::from(self.status),
        ));
        match self.error {
            Some(error) => told.push(KeyValue::new("error.type", error)),
            None if self.status >= 500 => {
                told.push(KeyValue::new("error.type", self.status.to_string()));
            }
            None => {}
        }
        if let Some(cache) = self.cache {
            told.push(KeyValue::new("api_gateway.cache", cache));
        }
        if self.retries > 0 {
            told.push(KeyValue::new(
                "api_gateway.retries",
                i64::from(self.retries),
            ));
        }
        if let Ok(id) = self.request_id.to_str() {
            told.push(text("api_gateway.request_id", id));
        }
        (name, told)
    }
}

impl Attempt<'_> {
    /// The span's name and attributes.
    pub(super) fn describe(&self) -> (String, Vec<KeyValue>) {
        let mut told = Vec::with_capacity(12);
        push_method(&mut told, self.method);
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone().into_owned(),
        };
        let url = format!("{}://{host}:{}{}", self.scheme, self.port, self.path);
        told.push(text("url.full", &url));
        told.push(text("server.address", &self.host));
        told.push(KeyValue::new("server.port", i64::from(self.port)));
        if let Some(peer) = self.peer {
            told.push(KeyValue::new("network.peer.address", peer.ip().to_string()));
            told.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
        }
        if self.resends > 0 {
            told.push(KeyValue::new(
                "http.request.resend_count",
                i64::from(self.resends),
            ));
        }
        told.push(KeyValue::new("api_gateway.purpose", self.purpose.name()));
        (known(self.method).to_owned(), told)
    }
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Hedge => "hedge",
            Self::Fallback => "fallback",
            Self::Mirror => "mirror",
            Self::Auth => "auth",
        }
    }
}

/// The method, by a name that is one of few.
fn push_method(told: &mut Vec<KeyValue>, method: &Method) {
    match known(method) {
        "HTTP" => {
            told.push(KeyValue::new("http.request.method", "_OTHER"));
            told.push(text("http.request.method_original", method.as_str()));
        }
        name => told.push(KeyValue::new("http.request.method", name)),
    }
}

/// The method's name in a span's; "HTTP" for those that are not registered.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        "QUERY" => "QUERY",
        _ => "HTTP",
    }
}

const fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

fn text(name: &'static str, text: &str) -> KeyValue {
    let end = text.floor_char_boundary(LONGEST);
    KeyValue::new(name, Value::from(text[..end].to_owned()))
}

/// Host and port of a `Host` field; an IPv6 address loses its brackets.
fn split_authority(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_taken_apart() {
        for (authority, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("[::1]", "::1", None),
            ("[::1]:80", "::1", Some(80)),
            ("example.com:", "example.com", None),
        ] {
            assert_eq!(split_authority(authority), (host, port));
        }
    }

    #[test]
    fn long_texts_are_cut_off_between_characters() {
        let long = "ä".repeat(LONGEST);
        let told = text("url.path", &format!("a{long}"));
        assert_eq!(told.value.as_str().len(), LONGEST - 1);
    }
}
