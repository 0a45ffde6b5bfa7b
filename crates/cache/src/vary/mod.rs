//! Which of several responses for one key a request is answered with (RFC 9111 §4.1).

mod normalise;

use http::header::VARY;
use http::{HeaderMap, HeaderName};

use crate::directives::syntax::members;
use crate::policy::Policy;
use crate::stored::LONGEST;

/// More fields than this make a response that is not stored: each costs at every look-up.
const MOST_FIELDS: usize = 16;

/// What a response was selected by: the fields that its `Vary` names, and their values in the request. Nothing where
/// it names none, as with most.
///
/// The names, sorted, in lower case, with a comma after each; a zero; and for each name what [`values`] writes. They
/// are kept apart so that of many variants with the same names a request's values are worked out once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector(Box<[u8]>);

/// A [`Selector`], wherever its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SelectorRef<'a>(&'a [u8]);

/// Why a response can have no selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VaryError {
    /// `*`, or what is no name: no request can be known to match.
    Anything,
    /// There are too many names, or what the request has for them is too long.
    TooMany,
}

impl Selector {
    /// Of a response with these fields to a request with those.
    pub(crate) fn new(
        response: &HeaderMap,
        request: &HeaderMap,
        policy: &Policy,
    ) -> Result<Self, VaryError> {
        let mut names: Vec<HeaderName> = Vec::new();
        let lines = response.get_all(VARY).iter();
        for name in lines.flat_map(|line| members(line.as_bytes())) {
            if name == b"*" {
                return Err(VaryError::Anything);
            }
            let name = HeaderName::from_bytes(name).map_err(|_| VaryError::Anything)?;
            if !names.contains(&name) {
                names.push(name);
            }
            if names.len() > MOST_FIELDS {
                return Err(VaryError::TooMany);
            }
        }
        if names.is_empty() {
            return Ok(Self::default());
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        let mut joined = String::new();
        for name in &names {
            joined.push_str(name.as_str());
            joined.push(',');
        }
        let values = values(&joined, request, policy);
        let bytes = [joined.as_bytes(), &[0], &values].concat();
        if bytes.len() > LONGEST {
            return Err(VaryError::TooMany);
        }
        Ok(Self(bytes.into()))
    }

    pub(crate) fn view(&self) -> SelectorRef<'_> {
        SelectorRef(&self.0)
    }

    /// Of names and values that were written elsewhere; nothing if they cannot be of any selector.
    pub(crate) fn from_parts(names: &str, values: &[u8]) -> Option<Self> {
        if names.is_empty() {
            return values.is_empty().then(Self::default);
        }
        let is_name = |name: &str| HeaderName::from_lowercase(name.as_bytes()).is_ok();
        let well_formed = names.ends_with(',') && names.split_terminator(',').all(is_name);
        let few = names.split_terminator(',').count() <= MOST_FIELDS;
        let bytes = [names.as_bytes(), &[0], values].concat();
        (well_formed && few && bytes.len() <= LONGEST).then(|| Self(bytes.into()))
    }

    /// What a request has for these names.
    pub(crate) fn values_of(names: &str, request: &HeaderMap, policy: &Policy) -> Vec<u8> {
        values(names, request, policy)
    }
}

impl<'a> SelectorRef<'a> {
    /// Of the bytes of another.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Names and values; nothing where it has none.
    pub(crate) fn parts(self) -> Option<(&'a str, &'a [u8])> {
        let (names, values) = self.0.split_at_checked(memchr::memchr(0, self.0)?)?;
        Some((std::str::from_utf8(names).ok()?, values.get(1..)?))
    }

    /// Adds the names and what a request has for them to `out`.
    pub(crate) fn write_for(self, request: &HeaderMap, policy: &Policy, out: &mut Vec<u8>) {
        if let Some((names, _)) = self.parts() {
            out.extend_from_slice(names.as_bytes());
            out.extend_from_slice(&values(names, request, policy));
        }
    }
}

/// Asks one selector after the other whether a request is theirs.
#[derive(Debug)]
pub(crate) struct Matcher<'a> {
    request: &'a HeaderMap,
    policy: &'a Policy,
    names: Option<&'a str>,
    values: Vec<u8>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(request: &'a HeaderMap, policy: &'a Policy) -> Self {
        Self {
            request,
            policy,
            names: None,
            values: Vec::new(),
        }
    }

    pub(crate) fn matches(&mut self, selector: SelectorRef<'a>) -> bool {
        let Some((names, of_response)) = selector.parts() else {
            return true;
        };
        if self.names != Some(names) {
            self.values = values(names, self.request, self.policy);
            self.names = Some(names);
        }
        self.values == of_response
    }
}

/// For each name the length of its value and the value, or a mark that there is none: a field that is absent matches
/// only absent ones.
fn values(names: &str, request: &HeaderMap, policy: &Policy) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for name in names.split_terminator(',') {
        let mut lines = request.get_all(name).iter().peekable();
        if lines.peek().is_none() {
            out.extend_from_slice(&u32::MAX.to_le_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        normalise::write(name, lines, policy, &mut out);
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX - 1);
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// Whether a response that varies by `vary` to the one request answers the other.
    fn matches(vary: &str, one: &[(&'static str, &str)], other: &[(&'static str, &str)]) -> bool {
        let policy = Policy::default();
        let selector = Selector::new(&map(&[("vary", vary)]), &map(one), &policy).unwrap();
        Matcher::new(&map(other), &policy).matches(selector.view())
    }

    #[test]
    fn a_request_matches_by_all_fields_that_are_named() {
        let one = [("foo", "1"), ("bar", "abc"), ("other", "2")];
        assert!(matches("Foo, Bar", &one, &[("bar", "abc"), ("foo", "1")]));
        assert!(!matches("Foo, Bar", &one, &[("foo", "1"), ("bar", "abcd")]));
        assert!(!matches("Foo, Bar", &one, &[("foo", "1")]));
        assert!(!matches(
            "Foo, Bar",
            &[("foo", "1")],
            &[("foo", "1"), ("bar", "")]
        ));
        assert!(matches("Foo, Bar", &[("foo", "1")], &[("foo", "1")]));
        assert!(matches("", &[("foo", "1")], &[("foo", "2")]));
    }

    #[test]
    fn values_cannot_be_moved_from_field_to_field() {
        assert!(!matches(
            "a, b",
            &[("a", "x"), ("b", "")],
            &[("a", ""), ("b", "x")]
        ));
        assert!(!matches(
            "a, b",
            &[("a", "xy"), ("b", "z")],
            &[("a", "x"), ("b", "yz")]
        ));
    }

    #[test]
    fn an_asterisk_matches_nothing_wherever_it_stands() {
        let policy = Policy::default();
        for vary in [&["*"][..], &["*, *"], &[", *"], &["foo, *"], &["", "*"]] {
            let fields: Vec<_> = vary.iter().map(|it| ("vary", *it)).collect();
            assert_eq!(
                Selector::new(&map(&fields), &HeaderMap::new(), &policy),
                Err(VaryError::Anything)
            );
        }
        let many: Vec<String> = (0..=MOST_FIELDS).map(|it| format!("f{it}")).collect();
        assert_eq!(
            Selector::new(
                &map(&[("vary", &many.join(","))]),
                &HeaderMap::new(),
                &policy
            ),
            Err(VaryError::TooMany)
        );
    }

    #[test]
    fn the_order_and_number_of_names_does_not_matter() {
        let policy = Policy::default();
        let request = map(&[("a", "1"), ("b", "2")]);
        assert_eq!(
            Selector::new(&map(&[("vary", "B, a, b")]), &request, &policy),
            Selector::new(&map(&[("vary", "A"), ("vary", "b")]), &request, &policy)
        );
    }
}
