//! Sets of web origins (RFC 6454).

use std::collections::HashSet;
use std::str::FromStr;

use http::HeaderValue;

/// Origins that somebody has listed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    exact: HashSet<Box<str>>,
    below: Box<[Below]>,
}

/// One item of such a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`.
    Any,
    /// `https://app.example.com`, or `null`: lower case, without a default port.
    Exact(Box<str>),
    /// `https://*.example.com`: all names below.
    Below(Below),
}

/// All hosts below a name, with one scheme and one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// `https://`.
    scheme: Box<str>,
    /// `.example.com:8443`.
    suffix: Box<str>,
}

/// A text that is no item of a list of origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be \"*\", \"null\", or an origin such as https://app.example.com or https://*.example.com, without a path"
)]
pub struct OriginError;

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "null" {
            return Ok(Self::Exact(text.into()));
        }
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(OriginError)?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ if is_scheme(scheme) => "",
            _ => return Err(OriginError),
        };
        // A browser leaves the default port out (RFC 6454 §6.1).
        let authority = match authority.strip_suffix(default_port) {
            Some(host) if !default_port.is_empty() => host,
            _ => authority,
        };
        let (below, host) = match authority.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, authority),
        };
        if !is_authority(host) {
            return Err(OriginError);
        }
        Ok(if below {
            Self::Below(Below {
                scheme: format!("{scheme}://").into(),
                suffix: format!(".{host}").into(),
            })
        } else {
            Self::Exact(format!("{scheme}://{host}").into())
        })
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A host, perhaps with a port: what the URL parser takes for one and leaves as it is.
fn is_authority(text: &str) -> bool {
    let parsed = text.parse::<http::uri::Authority>();
    parsed.is_ok_and(|authority| {
        !authority.host().is_empty()
            && !text.contains(['@', '*'])
            && (authority.host().len() == text.len() || authority.port_u16().is_some())
    })
}

impl Origins {
    /// The set of what is listed.
    pub fn new(patterns: impl IntoIterator<Item = OriginPattern>) -> Self {
        let (mut any, mut exact, mut below) = (false, HashSet::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                OriginPattern::Any => any = true,
                OriginPattern::Exact(origin) => {
                    exact.insert(origin);
                }
                OriginPattern::Below(names) => below.push(names),
            }
        }
        Self {
            any,
            exact,
            below: below.into(),
        }
    }

    /// Whether all origins are in it.
    #[must_use]
    pub const fn are_any(&self) -> bool {
        self.any
    }

    /// What to say to a request with this `Origin`: itself, or `*`; nothing where it is not in the set.
    pub(super) fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        let listed = self.exact.contains(text) || self.below.iter().any(|names| names.hold(text));
        listed.then(|| origin.clone())
    }
}

impl Below {
    fn hold(&self, origin: &str) -> bool {
        let host = origin.strip_prefix(&*self.scheme);
        host.and_then(|host| host.strip_suffix(&*self.suffix))
            // One or more labels. A name only: nothing that could end the host before the suffix.
            .is_some_and(|labels| {
                !labels.is_empty()
                    && labels.split('.').all(|label| {
                        !label.is_empty()
                            && label
                                .bytes()
                                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &str) -> bool {
        let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap());
        Origins::new(patterns)
            .allowed(&origin.parse().unwrap())
            .is_some()
    }

    #[test]
    fn an_exact_origin_is_scheme_host_and_port() {
        let listed = [
            "https://A.example",
            "http://b.example:8080",
            "https://c.example:443",
        ];
        for origin in [
            "https://a.example",
            "http://b.example:8080",
            "https://c.example",
        ] {
            assert!(allows(&listed, origin), "{origin}");
        }
        for origin in [
            "http://a.example",
            "https://a.example:8443",
            "https://a.example.evil.example",
            "https://x.a.example",
            "http://b.example",
            "null",
        ] {
            assert!(!allows(&listed, origin), "{origin}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_names_below_and_nothing_else() {
        let listed = ["https://*.a.example", "http://*.b.example:8080"];
        for origin in [
            "https://x.a.example",
            "https://x.y.a.example",
            "http://x.b.example:8080",
        ] {
            assert!(allows(&listed, origin), "{origin}");
        }
        for origin in [
            "https://a.example",
            "https://.a.example",
            "https://evila.example",
            "http://x.a.example",
            "https://x.a.example:8443",
            "https://evil.example/.a.example",
            "https://evil.example?.a.example",
            "https://evil.example#.a.example",
            "https://evil.example:1.a.example",
            "https://u@x.a.example",
        ] {
            assert!(!allows(&listed, origin), "{origin}");
        }
    }

    #[test]
    fn null_is_an_origin_only_where_it_is_listed() {
        assert!(allows(&["null"], "null"));
        assert!(allows(&["*"], "null"));
        assert!(!allows(&["https://a.example"], "null"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "https://u@a.example",
            "https://a.*.example",
            "https://*",
            "https://*.",
            "https://a.example:",
            "https://a.example:99999",
            "https://a b",
            "1x://a",
        ] {
            assert_eq!(text.parse::<OriginPattern>(), Err(OriginError), "{text}");
        }
        for text in [
            "capacitor://localhost",
            "http://[::1]:8080",
            "http://localhost:3000",
        ] {
            assert!(text.parse::<OriginPattern>().is_ok(), "{text}");
        }
    }
}
