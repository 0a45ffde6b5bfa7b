//! The URL of a backend, taken apart once when it is read.

use std::net::IpAddr;

use http::HeaderValue;

/// A backend's URL: `http://host[:port][/base/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name or address to connect to.
    pub host: Host,
    /// The TCP port; 80 where the URL names none.
    pub port: u16,
    /// `host:port` as it goes into the `Host` field (RFC 9110 §7.2); the port is left out when it is 80.
    pub authority: HeaderValue,
    /// What precedes every forwarded path: empty, or `/base` without a slash at its end. Percent-encoding
    /// is normalised the way request paths are.
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

/// Why a text is not a usable backend URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not of the form `scheme://host`.
    #[error("is not a URL such as http://localhost:8081")]
    NotAUrl,
}
