//! What a route's `path` and `hosts` may look like.

use std::fmt;

use super::path;

/// Longer than any request target that is accepted.
const LONGEST: usize = 8 * 1024;

/// A path pattern: `/users/:id`, `/files/*path`, `/users/{id}`, `/files/{*path}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    pub(super) segments: Box<[Segment]>,
    /// All up to the first parameter.
    literal_prefix: Box<str>,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, in the one form of paths. Empty for a slash at the end.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Parameter(Box<str>),
    /// Everything from here on, also nothing.
    Rest(Box<str>),
}

/// A host pattern: `api.example.com`, or `*.example.com` for all names below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This name or address, in lower case.
    Exact(Box<str>),
    /// One or more labels before this name, as in the Gateway API; not the name itself.
    Below(Box<str>),
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Paths start with a slash.
    #[error("a path must start with \"/\"")]
    NotAbsolute,
    /// More than 8 KiB.
    #[error("a path may be at most {LONGEST} bytes long")]
    TooLong,
    /// `:` or `*` or `{}` without a name.
    #[error(
        "\"{0}\" has no name; write \":name\" or \"{{name}}\" for one segment, \"*name\" or \"{{*name}}\" for the rest"
    )]
    Unnamed(String),
    /// A name with other characters than letters, digits, `_` and `-`.
    #[error("\"{0}\" is not a name; use letters, digits, \"_\" and \"-\"")]
    BadName(String),
    /// Two parameters of one name.
    #[error("the name \"{0}\" is used twice; give each parameter a name of its own")]
    RepeatedName(String),
    /// A rest parameter with more behind it.
    #[error("\"{0}\" takes the rest of the path and must be its last segment")]
    RestNotLast(String),
    /// Something like `/file-{id}` or `/a*b`.
    #[error("\"{0}\" mixes a parameter with other text; a parameter is one whole segment")]
    MixedSegment(String),
    /// `//`.
    #[error(
        "an empty segment can never match: duplicate slashes in requests are merged; write a single \"/\""
    )]
    EmptySegment,
    /// `.` or `..`.
    #[error(
        "\"{0}\" can never match: dot segments in requests are resolved; write the path without them"
    )]
    DotSegment(String),
    /// `;` in a literal.
    #[error(
        "\"{0}\" can never match: parameters after \";\" are ignored in matching; leave them out"
    )]
    Parameters(String),
    /// A query or a fragment.
    #[error("a path must not hold \"?\" or \"#\"; match query parameters with \"query\"")]
    NotOnlyPath,
    /// What a request path may not hold either.
    #[error("\"{segment}\" can never match: {reason}")]
    Refused {
        /// The segment.
        segment: String,
        /// Why requests with it are refused.
        reason: path::PathError,
    },
    /// A host that is no name, address or wildcard.
    #[error(
        "\"{0}\" is not a host; write a name such as \"api.example.com\", or \"*.example.com\" for all names below"
    )]
    NotAHost(String),
    /// A host with a port.
    #[error("\"{0}\" holds a port; hosts are matched without their port, leave it out")]
    HostWithPort(String),
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is malformed, or no request could ever match it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NotAbsolute)?;
        if text.len() > LONGEST {
            return Err(PatternError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(PatternError::NotOnlyPath);
        }
        let texts: Vec<&str> = rest.split('/').collect();
        let mut segments: Vec<Segment> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let last = index + 1 == texts.len();
            let segment = Segment::parse(text)?;
            match &segment {
                Segment::Literal(literal) if literal.is_empty() && !last => {
                    return Err(PatternError::EmptySegment);
                }
                Segment::Rest(_) if !last => {
                    return Err(PatternError::RestNotLast((*text).to_owned()));
                }
                _ => {}
            }
            if let Some(name) = segment
                .name()
                .filter(|name| segments.iter().any(|other| other.name() == Some(name)))
            {
                return Err(PatternError::RepeatedName(name.to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self {
            literal_prefix: literal_prefix(&segments).into(),
            segments: segments.into(),
        })
    }

    /// The part before the first parameter: `/api/users` for `/api/users/*path`, the whole for a pattern without.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        &self.literal_prefix
    }
}

fn literal_prefix(segments: &[Segment]) -> String {
    let mut prefix = String::new();
    for segment in segments {
        let Segment::Literal(literal) = segment else {
            break;
        };
        prefix.push('/');
        prefix.push_str(literal);
    }
    prefix
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let braced = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let (rest, name) = match (braced, text.as_bytes().first()) {
            (Some(inner), _) => inner
                .strip_prefix('*')
                .map_or((false, inner), |name| (true, name)),
            (None, Some(b':')) => (false, &text[1..]),
            (None, Some(b'*')) => (true, &text[1..]),
            _ => return Self::parse_literal(text),
        };
        if name.is_empty() {
            return Err(PatternError::Unnamed(text.to_owned()));
        }
        if name.contains(['{', '}', '*', ':']) {
            return Err(PatternError::MixedSegment(text.to_owned()));
        }
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            return Err(PatternError::BadName(name.to_owned()));
        }
        Ok(if rest {
            Self::Rest(name.into())
        } else {
            Self::Parameter(name.into())
        })
    }

    fn parse_literal(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Ok(Self::Literal("".into()));
        }
        if text.contains(['{', '}', '*']) {
            return Err(PatternError::MixedSegment(text.to_owned()));
        }
        let slashed = format!("/{text}");
        let normal = path::normalise(&slashed).map_err(|reason| match reason {
            path::PathError::AboveRoot => PatternError::DotSegment(text.to_owned()),
            path::PathError::NamelessParameters => PatternError::Parameters(text.to_owned()),
            reason => PatternError::Refused {
                segment: text.to_owned(),
                reason,
            },
        })?;
        match normal.trim_start_matches('/') {
            "" => Err(PatternError::DotSegment(text.to_owned())),
            literal if path::name(literal) != literal => {
                Err(PatternError::Parameters(text.to_owned()))
            }
            literal => Ok(Self::Literal(literal.into())),
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }
}

/// The canonical form, with `{name}` and `{*name}`.
impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(formatter, "/{literal}"),
            Segment::Parameter(name) => write!(formatter, "/{{{name}}}"),
            Segment::Rest(name) => write!(formatter, "/{{*{name}}}"),
        })
    }
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is neither a host name, an IP address nor a wildcard.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let not_a_host = || PatternError::NotAHost(text.to_owned());
        let lower = text.to_ascii_lowercase();
        if let Some(address) = lower.strip_prefix('[') {
            let (address, port) = address.split_once(']').ok_or_else(not_a_host)?;
            if !port.is_empty() {
                return Err(PatternError::HostWithPort(text.to_owned()));
            }
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| not_a_host())?;
            return Ok(Self::Exact(lower.into()));
        }
        if lower.contains(':') {
            return Err(PatternError::HostWithPort(text.to_owned()));
        }
        let lower = lower.strip_suffix('.').unwrap_or(&lower);
        let (wildcard, name) = lower
            .strip_prefix("*.")
            .map_or((false, lower), |name| (true, name));
        let labels_are_fine = name.split('.').all(is_label);
        if name.len() > 253 || !labels_are_fine {
            return Err(not_a_host());
        }
        Ok(if wildcard {
            Self::Below(name.into())
        } else {
            Self::Exact(name.into())
        })
    }
}

/// RFC 1123 §2.1, with underscores, which private names often hold.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::Below(name) => write!(formatter, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        PathPattern::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .to_string()
    }

    #[test]
    fn both_ways_to_write_parameters_mean_the_same() {
        assert_eq!(
            canonical("/users/:id/posts/*rest"),
            "/users/{id}/posts/{*rest}"
        );
        assert_eq!(
            canonical("/users/{id}/posts/{*rest}"),
            "/users/{id}/posts/{*rest}"
        );
    }

    #[test]
    fn literals_take_the_one_form_of_paths() {
        assert_eq!(canonical("/café/%41/%c3%a9"), "/caf%C3%A9/A/%C3%A9");
        assert_eq!(canonical("/v1/users:batch"), "/v1/users:batch");
        assert_eq!(canonical("/"), "/");
        assert_eq!(canonical("/a/"), "/a/");
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_parameter() {
        let prefix = |text| {
            PathPattern::parse(text)
                .unwrap()
                .literal_prefix()
                .to_owned()
        };
        assert_eq!(prefix("/api/users/*path"), "/api/users");
        assert_eq!(prefix("/a/:id/b"), "/a");
        assert_eq!(prefix("/*path"), "");
        assert_eq!(prefix("/a/b"), "/a/b");
    }

    #[test]
    fn patterns_that_cannot_work_say_why() {
        for (text, part) in [
            ("users", "must start with"),
            ("", "must start with"),
            ("/a/:", "has no name"),
            ("/a/*", "has no name"),
            ("/a/{}", "has no name"),
            ("/a/{*}", "has no name"),
            ("/a/:b c", "not a name"),
            ("/:a/{a}", "used twice"),
            ("/*a/b", "last segment"),
            ("/file-{id}", "whole segment"),
            ("/a*b", "whole segment"),
            ("/{a}{b}", "whole segment"),
            ("/a//b", "single"),
            ("/a/../b", "dot segments"),
            ("/a/./b", "dot segments"),
            ("/a/%2e%2e", "dot segments"),
            ("/a;v=1", "parameters"),
            ("/a?b", "\"query\""),
            ("/a#b", "\"query\""),
            ("/a%2fb", "can never match"),
            ("/a%zz", "can never match"),
            ("/a\\b", "can never match"),
        ] {
            let error = PathPattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_are_names_addresses_or_wildcards() {
        let host = |text| HostPattern::parse(text).unwrap().to_string();
        assert_eq!(host("API.Example.com."), "api.example.com");
        assert_eq!(host("*.Example.com"), "*.example.com");
        assert_eq!(host("127.0.0.1"), "127.0.0.1");
        assert_eq!(host("[::1]"), "[::1]");
        for bad in [
            "",
            "*",
            "*.",
            "a..b",
            "a b",
            "a/b",
            "*.*.a",
            "a.*.b",
            "http://a",
            "[x]",
            "é.example",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(
            HostPattern::parse("a:80")
                .unwrap_err()
                .to_string()
                .contains("port")
        );
    }
}
