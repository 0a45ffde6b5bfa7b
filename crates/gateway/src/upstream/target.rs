//! The URL of a backend, taken apart once when it is read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::HeaderValue;

use crate::router::path::{self, PathError};

/// A backend's URL: `http://host[:port][/base/path]`. Displays as that URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name or address to connect to.
    pub host: Host,
    /// The TCP port; 80 where the URL names none.
    pub port: u16,
    /// `host:port`, as logs name the endpoint.
    pub address: Arc<str>,
    /// `host:port` as it goes into the `Host` field (RFC 9110 §7.2); the port is left out when it is 80.
    pub authority: HeaderValue,
    /// What precedes every forwarded path: empty, or `/base` without a slash at its end, in the one form of paths.
    pub base_path: Box<str>,
}

/// The host part of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address; connecting asks no resolver.
    Address(IpAddr),
    /// A name, resolved when a connection is made. Lower case.
    Name(Box<str>),
}

/// Why a text is not a usable backend URL. The texts follow the name of the setting or key and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not of the form `scheme://host`.
    #[error("must be a URL such as http://localhost:8081")]
    NotAUrl,
    /// `https://`.
    #[error("https:// backends cannot be reached by this version; use http://")]
    Https,
    /// Any other scheme.
    #[error("must start with http://")]
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
    /// assert_eq!((target.port, &*target.base_path), (8081, "/v1"));
    /// ```
    ///
    /// # Errors
    /// What keeps it from being a backend's URL.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotAUrl)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(TargetError::Https),
            _ => return Err(TargetError::Scheme),
        }
        if rest.contains(['?', '#']) {
            return Err(TargetError::NotOnlyPath);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(TargetError::UserInformation);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or(TargetError::BadPort)?,
            None => 80,
        };
        let host = Host::parse(host)?;
        let address: Arc<str> = format!("{host}:{port}").into();
        let authority = if port == 80 {
            HeaderValue::from_str(&host.to_string())
        } else {
            HeaderValue::from_str(&address)
        };
        Ok(Self {
            authority: authority.map_err(|_| TargetError::BadHost)?,
            address,
            base_path: base_path(path)?,
            host,
            port,
        })
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

impl Host {
    fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(address) = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
        {
            return address
                .parse::<Ipv6Addr>()
                .map(|address| Self::Address(address.into()))
                .map_err(|_| TargetError::BadHost);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // A name whose last label is a number would be an address with a mistake in it (RFC 1123 §2.1).
        let numeric = text
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        let labels = text
            .strip_suffix('.')
            .unwrap_or(text)
            .split('.')
            .all(is_label);
        if labels && !numeric && text.len() <= 253 {
            Ok(Self::Name(text.to_ascii_lowercase().into()))
        } else {
            Err(TargetError::BadHost)
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.host)?;
        if self.port != 80 {
            write!(formatter, ":{}", self.port)?;
        }
        formatter.write_str(&self.base_path)
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
            ("https://a", TargetError::Https),
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
            ("http://a:0", TargetError::BadPort),
            ("http://a:65536", TargetError::BadPort),
            ("http://a:x", TargetError::BadPort),
            ("http://a:", TargetError::BadPort),
            ("http://u:p@a", TargetError::UserInformation),
            ("http://a?b", TargetError::NotOnlyPath),
            ("http://a/#b", TargetError::NotOnlyPath),
            ("http://a/%2f", TargetError::BadPath(PathError::HiddenSlash)),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}
