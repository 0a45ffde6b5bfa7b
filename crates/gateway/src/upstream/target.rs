//! The URL of a backend, taken apart once when it is read.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderValue;
use rustls::pki_types::ServerName;

use super::dns::Question;
use crate::router::path::{self, PathError};

/// A backend's URL: `http://host[:port][/base/path]`, or `http+srv://service[/base/path]`, or the same with `https`. Displays
/// as that URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where to connect to.
    pub host: Host,
    /// `host:port` as it goes into the `Host` field (RFC 9110 §7.2); the port is left out when it is the scheme's. Of a service, the
    /// domain that it is one of.
    pub authority: HeaderValue,
    /// What precedes every forwarded path: empty, or `/base` without a slash at its end, in the one form of paths.
    pub base_path: Box<str>,
}

/// How a backend is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Where a [`Target`] is, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// At a literal address; no resolver is asked. The port is the scheme's where the URL names none.
    Address(SocketAddr),
    /// At the addresses of a name, lower case, and a port, the scheme's where the URL names none.
    Name(Box<str>, u16),
    /// Where the SRV records (RFC 2782) of a name lead, such as `_http._tcp.orders.internal`; lower case.
    Service(Box<str>),
}

/// Why a text is not a usable backend URL. The texts follow the name of the setting or key and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not of the form `scheme://host`.
    #[error("must be a URL such as http://localhost:8081")]
    NotAUrl,
    /// Any other scheme.
    #[error(
        "must start with http:// or https://, or with http+srv:// or https+srv:// for a service that SRV records lead to"
    )]
    Scheme,
    /// Nothing between `//` and the path.
    #[error("has no host; write a URL such as http://localhost:8081")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error(
        "has a malformed host; write a name such as users.internal or an address, IPv6 in brackets"
    )]
    BadHost,
    /// A port that is not a number from 1 to 65535.
    #[error("has a malformed port; it must be a number from 1 to 65535")]
    BadPort,
    /// A service with a port.
    #[error("must not hold a port: the SRV records of a service have ports of their own")]
    ServicePort,
    /// A service that is an address, or whose name has nothing behind its `_service._proto`.
    #[error("must name a service with SRV records, such as http+srv://_http._tcp.orders.internal")]
    BadService,
    /// `user:password@`.
    #[error("must not hold a user name or password")]
    UserInformation,
    /// `?` or `#`.
    #[error("must not hold a query or a fragment")]
    NotOnlyPath,
    /// A path that cannot be forwarded to.
    #[error("has a path that cannot be used: {0}")]
    BadPath(PathError),
}

impl Target {
    /// Takes a URL apart.
    ///
    /// ```
    /// use api_gateway::upstream::Target;
    /// let target = Target::parse("http://users.internal:8081/v1/").unwrap();
    /// assert_eq!(target.authority, "users.internal:8081");
    /// assert_eq!(&*target.base_path, "/v1");
    /// ```
    ///
    /// # Errors
    /// What keeps it from being a backend's URL.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotAUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        let (name, is_service) = match scheme.strip_suffix("+srv") {
            Some(name) => (name, true),
            None => (scheme.as_str(), false),
        };
        let scheme = match name {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(TargetError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(TargetError::NotOnlyPath);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(TargetError::UserInformation);
        }
        let (host, port) = split_port(authority)?;
        let host = if is_service {
            Host::parse_service(host, port)?
        } else {
            Host::parse(host, port, scheme)?
        };
        if scheme == Scheme::Https && host.server_name().is_none() {
            return Err(TargetError::BadHost);
        }
        Ok(Self {
            authority: HeaderValue::from_str(&host.authority(scheme))
                .map_err(|_| TargetError::BadHost)?,
            base_path: base_path(path)?,
            scheme,
            host,
        })
    }
}

impl Scheme {
    /// As it stands in URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Host and port; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    let host_end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(TargetError::BadHost)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if host.is_empty() {
        return Err(TargetError::NoHost);
    }
    match port.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if port.is_empty() => Ok((host, None)),
        None => Err(TargetError::BadHost),
    }
}

fn base_path(path: &str) -> Result<Box<str>, TargetError> {
    if path.is_empty() {
        return Ok("".into());
    }
    let path = path::normalise(path).map_err(TargetError::BadPath)?;
    Ok(path.trim_end_matches('/').into())
}

fn parse_port(text: Option<&str>, scheme: Scheme) -> Result<u16, TargetError> {
    let Some(text) = text else {
        return Ok(scheme.port());
    };
    let port = text.parse().ok().filter(|&port| port != 0);
    port.ok_or(TargetError::BadPort)
}

/// A name, in lower case.
fn parse_name(text: &str) -> Result<Box<str>, TargetError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // A dot at the end says that the name is a whole one, which no search list completes.
    let labels = text.strip_suffix('.').unwrap_or(text);
    // A name whose last label is a number would be an address with a mistake in it (RFC 1123 §2.1).
    let numeric = labels
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let labels = labels.split('.').all(is_label);
    if labels && !numeric && text.len() <= 253 {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(TargetError::BadHost)
    }
}

/// A name without the dot at the end of a whole one, which is for resolvers: no server expects it.
fn whole(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// What is left of a service's name without its `_service._proto`.
fn domain_of(service: &str) -> &str {
    let mut domain = service;
    while let Some((label, rest)) = domain.split_once('.')
        && label.starts_with('_')
    {
        domain = rest;
    }
    domain
}

impl Host {
    fn parse(text: &str, port: Option<&str>, scheme: Scheme) -> Result<Self, TargetError> {
        let port = parse_port(port, scheme)?;
        if let Some(address) = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
        {
            let address: Ipv6Addr = address.parse().map_err(|_| TargetError::BadHost)?;
            return Ok(Self::Address((address, port).into()));
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self::Address((address, port).into())),
            Err(_) => parse_name(text).map(|name| Self::Name(name, port)),
        }
    }

    fn parse_service(text: &str, port: Option<&str>) -> Result<Self, TargetError> {
        if port.is_some() {
            return Err(TargetError::ServicePort);
        }
        if text.starts_with('[') || text.parse::<IpAddr>().is_ok() {
            return Err(TargetError::BadService);
        }
        let name = parse_name(text)?;
        let domain = domain_of(&name);
        if domain.is_empty() || domain.starts_with('_') {
            return Err(TargetError::BadService);
        }
        Ok(Self::Service(name))
    }

    /// What is to be found out about it; nothing of an address.
    pub(crate) fn question(&self) -> Option<Question> {
        match self {
            Self::Address(_) => None,
            Self::Name(host, port) => Some(Question::Addresses {
                host: host.clone(),
                port: *port,
            }),
            Self::Service(name) => Some(Question::Services { name: name.clone() }),
        }
    }

    /// As it goes into the `Host` field.
    fn authority(&self, scheme: Scheme) -> String {
        match self {
            Self::Address(_) => self.shown(scheme),
            Self::Name(name, port) => Self::Name(whole(name).into(), *port).shown(scheme),
            Self::Service(name) => whole(domain_of(name)).to_owned(),
        }
    }

    /// What a backend's certificate must be for. None where no certificate can be.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        let name = match self {
            Self::Address(address) => return Some(ServerName::IpAddress(address.ip().into())),
            Self::Name(name, _) => whole(name),
            Self::Service(name) => whole(domain_of(name)),
        };
        ServerName::try_from(name.to_owned()).ok()
    }

    /// As it stands in a URL.
    fn shown(&self, scheme: Scheme) -> String {
        let (host, port) = match self {
            Self::Address(SocketAddr::V4(address)) => (address.ip().to_string(), address.port()),
            Self::Address(SocketAddr::V6(address)) => {
                (format!("[{}]", address.ip()), address.port())
            }
            Self::Name(name, port) => (name.to_string(), *port),
            Self::Service(name) => return name.to_string(),
        };
        if port == scheme.port() {
            host
        } else {
            format!("{host}:{port}")
        }
    }

    /// Name or address, and port, as traces have them; of a service, which has no port of its own, that of `peer`.
    pub(crate) fn place(&self, peer: Option<SocketAddr>) -> (Cow<'_, str>, u16) {
        match self {
            Self::Address(address) => (address.ip().to_string().into(), address.port()),
            Self::Name(name, port) => ((&**name).into(), *port),
            Self::Service(name) => ((&**name).into(), peer.map_or(0, |peer| peer.port())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.scheme.name(), self.host.shown(self.scheme));
        let service = match self.host {
            Host::Address(_) | Host::Name(..) => "",
            Host::Service(_) => "+srv",
        };
        write!(formatter, "{scheme}{service}://{host}{}", self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, shown, authority, base_path) in [
            (
                "http://localhost:8081",
                "http://localhost:8081",
                "localhost:8081",
                "",
            ),
            (
                "HTTP://Users.Internal/",
                "http://users.internal",
                "users.internal",
                "",
            ),
            (
                "http://10.0.0.1:80/v1//x/",
                "http://10.0.0.1/v1/x",
                "10.0.0.1",
                "/v1/x",
            ),
            (
                "http://[::1]:8081/a%2db",
                "http://[::1]:8081/a-b",
                "[::1]:8081",
                "/a-b",
            ),
            (
                "HTTP+SRV://_http._tcp.Orders.Internal/v1",
                "http+srv://_http._tcp.orders.internal/v1",
                "orders.internal",
                "/v1",
            ),
            (
                "http://users.internal.:8081",
                "http://users.internal.:8081",
                "users.internal:8081",
                "",
            ),
            (
                "https://Users.Internal./v1",
                "https://users.internal./v1",
                "users.internal",
                "/v1",
            ),
            ("https://[::1]:443", "https://[::1]", "[::1]", ""),
            (
                "https://10.0.0.1:80",
                "https://10.0.0.1:80",
                "10.0.0.1:80",
                "",
            ),
            (
                "http://10.0.0.1:443",
                "http://10.0.0.1:443",
                "10.0.0.1:443",
                "",
            ),
            (
                "https+srv://_https._tcp.orders.internal",
                "https+srv://_https._tcp.orders.internal",
                "orders.internal",
                "",
            ),
            (
                "http+srv://web.service.consul",
                "http+srv://web.service.consul",
                "web.service.consul",
                "",
            ),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(target.authority, authority);
            assert_eq!(&*target.base_path, base_path);
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        for (text, error) in [
            ("localhost:8081", TargetError::NotAUrl),
            ("", TargetError::NotAUrl),
            ("https://a:0", TargetError::BadPort),
            ("wss://a", TargetError::Scheme),
            ("srv://a", TargetError::Scheme),
            ("ftp://a", TargetError::Scheme),
            ("http://", TargetError::NoHost),
            ("http:///a", TargetError::NoHost),
            ("http://:80", TargetError::NoHost),
            ("http://a b", TargetError::BadHost),
            ("http://[::1", TargetError::BadHost),
            ("http://[x]", TargetError::BadHost),
            ("http://[::1]x", TargetError::BadHost),
            ("http://1.2.3.400", TargetError::BadHost),
            ("http://a..b", TargetError::BadHost),
            ("http://a..", TargetError::BadHost),
            ("http://.", TargetError::BadHost),
            ("http://1.2.3.400.", TargetError::BadHost),
            ("http://a:0", TargetError::BadPort),
            ("http://a:65536", TargetError::BadPort),
            ("http://a:x", TargetError::BadPort),
            ("http://a:", TargetError::BadPort),
            ("http+srv://_http._tcp.a:80", TargetError::ServicePort),
            ("http+srv://10.0.0.1", TargetError::BadService),
            ("http+srv://[::1]", TargetError::BadService),
            ("http+srv://_http._tcp", TargetError::BadService),
            ("http+srv://_http._tcp.", TargetError::BadService),
            ("http+srv://", TargetError::NoHost),
            ("https+srv://_http._tcp.a:443", TargetError::ServicePort),
            ("http://u:p@a", TargetError::UserInformation),
            ("http://a?b", TargetError::NotOnlyPath),
            ("http://a/#b", TargetError::NotOnlyPath),
            ("http://a/%2f", TargetError::BadPath(PathError::HiddenSlash)),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}
