//! The head of a stored response, as it is sent.

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::directives::ResponseDirectives;
use crate::directives::syntax::members;
use crate::names;
use crate::time::{Timestamp, format_date};

/// What cookies were once set by (RFC 2965).
pub(crate) const SET_COOKIE2: HeaderName = HeaderName::from_static("set-cookie2");

/// Status and fields, these as lines of HTTP/1.1 in one piece of memory. A [`HeaderMap`] takes four times as much.
#[derive(Debug, Clone)]
pub struct Head {
    status: StatusCode,
    block: Bytes,
}

/// A look at a [`Head`], wherever its lines are.
#[derive(Debug, Clone, Copy)]
pub struct HeadRef<'a> {
    status: StatusCode,
    block: &'a [u8],
}

/// Fields that belong to one connection or one hop (RFC 9110 §7.6.1, RFC 9111 §3.1), and `Age`, which is made anew.
const NEVER_STORED: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that say what the stored body is, which an answer without it does not change (RFC 9111 §3.2).
const NEVER_UPDATED: [&str; 3] = ["content-encoding", "content-length", "content-range"];

impl Head {
    /// Of a response with these fields.
    pub(crate) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        received: Timestamp,
    ) -> Self {
        let mut block = Vec::with_capacity(512);
        for (name, value) in storable(headers, directives) {
            push_line(&mut block, name, value.as_bytes());
        }
        push_date(&mut block, headers, received);
        Self {
            status,
            block: block.into_boxed_slice().into(),
        }
    }

    /// Of lines that a [`Head`] once had.
    pub(crate) fn of_lines(status: StatusCode, block: Bytes) -> Self {
        Self { status, block }
    }

    /// Of lines that a tier has kept; nothing if they are no head that could have been stored, whose body is `length`
    /// bytes long.
    pub(crate) fn from_lines(status: u16, lines: &[u8], length: u64) -> Option<Self> {
        let status = StatusCode::from_u16(status).ok()?;
        let head = Self::of_lines(status, Bytes::copy_from_slice(lines));
        let mut whole = 0;
        let mut lengths = 0;
        for (name, value) in head.view().fields() {
            whole += name.len() + value.len() + 4;
            HeaderName::from_lowercase(name.as_bytes()).ok()?;
            HeaderValue::from_bytes(value).ok()?;
            if NEVER_STORED.contains(&name) || name == AGE.as_str() {
                return None;
            }
            if name == CONTENT_LENGTH.as_str() {
                lengths += 1;
                let value = std::str::from_utf8(value).ok()?;
                if value.parse() != Ok(length) {
                    return None;
                }
            }
        }
        let is_framed = match status {
            StatusCode::NO_CONTENT => length == 0 && lengths <= 1,
            status => !status.is_informational() && lengths == 1,
        };
        // What is not read as lines would be sent all the same.
        (whole == lines.len() && is_framed && head.is_exact()).then_some(head)
    }

    /// Whether its lines are as they are written here, and nothing stands between them.
    fn is_exact(&self) -> bool {
        let mut again = Vec::with_capacity(self.block.len());
        for (name, value) in self.view().fields() {
            push_line(&mut again, name, value);
        }
        again == self.block
    }

    /// The fields as HTTP/1.1 sends them, a line each, without `Age` and without the empty line at the end.
    #[must_use]
    pub fn lines(&self) -> &Bytes {
        &self.block
    }

    /// A look at it.
    #[must_use]
    pub fn view(&self) -> HeadRef<'_> {
        HeadRef::new(self.status, &self.block)
    }

    /// The fields as a map, with room for `more`. Values share the memory of the head.
    #[must_use]
    pub fn to_map(&self, more: usize) -> HeaderMap {
        // A line is seldom shorter, and a few places too many cost less than to count them.
        let fields = (self.block.len() / 24).min(64);
        self.collect(HeaderMap::with_capacity(fields + more), |_| true)
    }

    /// Some of the fields as a map.
    pub(crate) fn to_map_of(&self, is_wanted: impl Fn(&[u8]) -> bool) -> HeaderMap {
        self.collect(HeaderMap::with_capacity(8), is_wanted)
    }

    fn collect(&self, mut map: HeaderMap, is_wanted: impl Fn(&[u8]) -> bool) -> HeaderMap {
        for (name, range) in self.view().ranges().filter(|(name, _)| is_wanted(name)) {
            let value = HeaderValue::from_maybe_shared(self.block.slice(range));
            if let (Some(name), Ok(value)) = (names::of(name), value) {
                map.append(name, value);
            }
        }
        map
    }

    /// With `Content-Length`, unless it is there or there can be none.
    pub(crate) fn with_length(self, length: u64) -> Self {
        let has_none = self.status == StatusCode::NO_CONTENT;
        if has_none || self.view().get(CONTENT_LENGTH.as_str()).is_some() {
            return self;
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(length).as_bytes();
        let mut block = Vec::with_capacity(self.block.len() + 18 + digits.len());
        block.extend_from_slice(&self.block);
        push_line(&mut block, CONTENT_LENGTH.as_str(), digits);
        Self {
            block: block.into_boxed_slice().into(),
            ..self
        }
    }
}

impl<'a> HeadRef<'a> {
    /// Whether it sets cookies.
    pub(crate) fn sets_cookies(self) -> bool {
        self.fields()
            .any(|(name, _)| name == SET_COOKIE.as_str() || name == SET_COOKIE2.as_str())
    }

    pub(crate) fn new(status: StatusCode, block: &'a [u8]) -> Self {
        Self { status, block }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields as HTTP/1.1 sends them, a line each, without `Age` and without the empty line at the end.
    #[must_use]
    pub fn lines(&self) -> &'a [u8] {
        self.block
    }

    /// The fields one by one, names in lower case.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let block = self.block;
        self.ranges().filter_map(move |(name, range)| {
            let name = std::str::from_utf8(name).ok()?;
            Some((name, block.get(range)?))
        })
    }

    /// The first value of a field. `name` is in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// What is stored after an answer that the response has not changed: its fields stand instead of those of the
    /// same name, all others stay (RFC 9111 §3.2).
    pub(crate) fn updated(
        &self,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        received: Timestamp,
    ) -> Head {
        let is_new = |name: &str| {
            let is_updated = !NEVER_STORED.contains(&name) && !NEVER_UPDATED.contains(&name);
            name == DATE.as_str() || (headers.contains_key(name) && is_updated)
        };
        let mut block = Vec::with_capacity(self.block.len() + 128);
        for (name, value) in self.fields().filter(|(name, _)| !is_new(name)) {
            push_line(&mut block, name, value);
        }
        for (name, value) in storable(headers, directives) {
            if !NEVER_UPDATED.contains(&name) {
                push_line(&mut block, name, value.as_bytes());
            }
        }
        push_date(&mut block, headers, received);
        Head {
            status: self.status,
            block: block.into_boxed_slice().into(),
        }
    }

    fn ranges(&self) -> impl Iterator<Item = (&'a [u8], std::ops::Range<usize>)> + use<'a> {
        let block = self.block;
        let mut at = 0;
        std::iter::from_fn(move || {
            let line = block.get(at..)?;
            // Neither a name nor a value holds what is looked for.
            let colon = memchr::memchr(b':', line)?;
            let end = colon + memchr::memchr(b'\r', line.get(colon..)?)?;
            let name = line.get(..colon)?;
            let value = at + colon + 2..at + end;
            at += end + 2;
            Some((name, value))
        })
    }
}

/// Fields that may be stored.
fn storable<'a>(
    headers: &'a HeaderMap,
    directives: &'a ResponseDirectives,
) -> impl Iterator<Item = (&'a str, &'a HeaderValue)> {
    let nominated: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|line| members(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    headers
        .iter()
        .filter(move |(name, _)| {
            *name != AGE
                && !NEVER_STORED.contains(&name.as_str())
                && !nominated.contains(name)
                && !directives.is_withheld(name.as_str())
        })
        .map(|(name, value)| (name.as_str(), value))
}

/// Whether the fields set cookies that would be stored.
pub(crate) fn sets_cookies(headers: &HeaderMap, directives: &ResponseDirectives) -> bool {
    let name = SET_COOKIE.as_str();
    (headers.contains_key(name) && !directives.is_withheld(name))
        || headers.contains_key(SET_COOKIE2)
}

/// A recipient with a clock adds the date if it is missing, before it stores a response (RFC 9110 §6.6.1).
fn push_date(block: &mut Vec<u8>, headers: &HeaderMap, received: Timestamp) {
    if !headers.contains_key(DATE) {
        push_line(block, DATE.as_str(), format_date(received).as_bytes());
    }
}

fn push_line(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn stored(fields: &[(&'static str, &'static str)]) -> Head {
        let headers = map(fields);
        let directives = ResponseDirectives::read(&headers, &[]);
        Head::new(
            StatusCode::OK,
            &headers,
            &directives,
            Timestamp::from_secs(784_111_777),
        )
    }

    #[test]
    fn a_head_is_lines_and_a_map() {
        let head =
            stored(&[("date", "x"), ("a", "1"), ("a", ""), ("custom-name", "x")]).with_length(7);
        assert_eq!(
            head.lines(),
            "date: x\r\na: 1\r\na: \r\ncustom-name: x\r\ncontent-length: 7\r\n"
        );
        let map = head.to_map(1);
        assert_eq!(map.len(), 5);
        assert_eq!(map.get_all("a").iter().count(), 2);
        assert_eq!(map["custom-name"], "x");
        assert_eq!(head.view().get("content-length"), Some(&b"7"[..]));
        assert_eq!(head.view().get("age"), None);
    }

    #[test]
    fn fields_of_one_hop_and_withheld_ones_are_not_stored() {
        let head = stored(&[
            ("connection", "a, B"),
            ("a", "1"),
            ("b", "1"),
            ("age", "5"),
            ("te", "x"),
            ("keep-alive", "x"),
            ("cache-control", "no-cache=\"c\", private=\"d\""),
            ("c", "1"),
            ("d", "1"),
            ("e", "1"),
        ]);
        let names: Vec<_> = head.view().fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["cache-control", "e", "date"]);
        assert_eq!(
            head.view().get("date"),
            Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]),
            "added, since there was none"
        );
    }

    #[test]
    fn an_update_replaces_all_lines_of_a_field_but_never_what_the_body_is() {
        let head = stored(&[
            ("date", "x"),
            ("a", "1"),
            ("a", "2"),
            ("b", "1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
        ]);
        let headers = map(&[
            ("a", "3"),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("connection", "c"),
            ("c", "1"),
            ("date", "y"),
        ]);
        let updated = head.view().updated(
            &headers,
            &ResponseDirectives::default(),
            Timestamp::default(),
        );
        assert_eq!(
            updated.lines(),
            "b: 1\r\ncontent-length: 5\r\ncontent-encoding: gzip\r\na: 3\r\ndate: y\r\n"
        );
    }
}
