//! What responses are stored under.
//!
//! A key is a sequence of bytes in which every part has its length before it, so that nothing that a request holds can
//! pass for another part: two keys are the same only if all their parts are.

mod query;

use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

pub use query::QueryParameters;

/// What a request asks for, in the form in which the gateway compares such things: the scheme, the authority without a
/// port that is meant anyway, the path, and what follows the question mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The authority; letters may be of either case.
    pub host: &'a str,
    /// The path, beginning with a slash.
    pub path: &'a str,
    /// The query without its question mark, if there is one.
    pub query: Option<&'a str>,
}

/// Of which parts keys are made, for one route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRecipe {
    /// Which parameters of the query count.
    pub query: QueryParameters,
    /// Whether parameters in another order are the same query.
    pub sort_query: bool,
    /// Fields of the request that count, whatever a `Vary` says.
    pub headers: Vec<HeaderName>,
}

/// What else tells requests apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra<'a> {
    /// Named parts, such as the claims of a token.
    pub parts: &'a [(&'a str, &'a [u8])],
    /// A digest of the request's content that nobody can find another content for, such as SHA-256. A `QUERY` cannot
    /// be cached without (RFC 10008 §2.7); what the request's fields say of the content (RFC 9110 §8) becomes part of the
    /// key as well.
    pub content: Option<&'a [u8]>,
}

/// A key. Its memory can be used for the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    bytes: Vec<u8>,
    /// How much of it is the URL.
    url: usize,
    has_content: bool,
}

impl KeyRecipe {
    /// The key of a request.
    #[must_use]
    pub fn key(&self, target: &Target<'_>, headers: &HeaderMap, extra: &Extra<'_>) -> Key {
        let mut key = Key {
            bytes: Vec::with_capacity(128),
            ..Key::default()
        };
        self.write(target, headers, extra, &mut key);
        key
    }

    /// Makes `key` that of a request.
    pub fn write(
        &self,
        target: &Target<'_>,
        headers: &HeaderMap,
        extra: &Extra<'_>,
        key: &mut Key,
    ) {
        self.write_url(target, key);
        for name in &self.headers {
            key.bytes.push(b'h');
            push(&mut key.bytes, name.as_str().as_bytes());
            push_all(&mut key.bytes, headers, name);
        }
        for (name, value) in extra.parts {
            key.bytes.push(b'x');
            push(&mut key.bytes, name.as_bytes());
            push(&mut key.bytes, value);
        }
        if let Some(digest) = extra.content {
            key.bytes.push(b'c');
            push(&mut key.bytes, digest);
            for name in [
                CONTENT_TYPE,
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
            ] {
                push_all(&mut key.bytes, headers, &name);
            }
            key.has_content = true;
        }
    }

    /// The key of a URL alone: what is purged and invalidated by it.
    #[must_use]
    pub fn url(&self, target: &Target<'_>) -> Key {
        let mut key = Key::default();
        self.write_url(target, &mut key);
        key
    }

    fn write_url(&self, target: &Target<'_>, key: &mut Key) {
        let bytes = &mut key.bytes;
        bytes.clear();
        push_origin(bytes, target.scheme, target.host);
        let mut path_and_query = Vec::new();
        let whole = match (&self.query, target.query) {
            (_, None) | (QueryParameters::None, _) => None,
            (QueryParameters::All, query) if !self.sort_query => query.map(str::as_bytes),
            (parameters, Some(query)) => {
                parameters.write(query, self.sort_query, &mut path_and_query);
                // A query of which nothing counts is none.
                (!path_and_query.is_empty()).then_some(&*path_and_query)
            }
        };
        push_length(bytes, target.path.len());
        push_length(bytes, whole.map_or(0, |query| query.len() + 1));
        bytes.extend_from_slice(target.path.as_bytes());
        if let Some(query) = whole {
            bytes.push(b'?');
            bytes.extend_from_slice(query);
        }
        key.url = bytes.len();
        key.has_content = false;
    }
}

impl Key {
    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part that is the URL.
    pub(crate) fn url(&self) -> &[u8] {
        self.bytes.get(..self.url).unwrap_or(&self.bytes)
    }

    pub(crate) fn has_content(&self) -> bool {
        self.has_content
    }
}

/// The parts of a key that purges look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Scheme and host.
    pub(crate) origin: &'a [u8],
    pub(crate) path_and_query: &'a [u8],
    /// All of the URL.
    pub(crate) url: &'a [u8],
    /// Whether there is more in the key than the URL.
    pub(crate) has_extra: bool,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(key: &'a [u8]) -> Option<Self> {
        let mut rest = key;
        for _ in 0..2 {
            let length = pop_length(&mut rest)?;
            rest = rest.get(length..)?;
        }
        let origin = key.get(..key.len() - rest.len())?;
        let length = pop_length(&mut rest)?.checked_add(pop_length(&mut rest)?)?;
        let (path_and_query, extra) = rest.split_at_checked(length)?;
        Some(Self {
            origin,
            path_and_query,
            url: key.get(..key.len() - extra.len())?,
            has_extra: !extra.is_empty(),
        })
    }
}

/// Adds scheme and host as a key begins with.
pub(crate) fn push_origin(bytes: &mut Vec<u8>, scheme: &str, host: &str) {
    for part in [scheme, host] {
        push_length(bytes, part.len());
        bytes.extend(part.bytes().map(|it| it.to_ascii_lowercase()));
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    push_length(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn push_all(bytes: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    push_length(bytes, headers.get_all(name).iter().count());
    for value in headers.get_all(name) {
        push(bytes, value.as_bytes());
    }
}

/// A length in as many bytes as it needs, seven bits in each.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let mut length = length;
    while length > 0x7f {
        #[allow(clippy::cast_possible_truncation, reason = "of seven bits")]
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "of seven bits")]
    bytes.push(length as u8);
}

fn pop_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests;
