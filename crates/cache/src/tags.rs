//! Names under which stored responses can be purged together: `Cache-Tag`, `Surrogate-Key`, and `Cache-Groups`
//! (RFC 9875), which are of one origin.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{List, ListEntry, Parser};

use crate::directives::syntax::members;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// A response with more is not stored: it could not be purged by all of them. RFC 9875 §2 asks for 32 groups.
pub(crate) const MOST_TAGS: usize = 128;

/// The tags of a response, of either field.
pub(crate) fn tags(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let by_comma = headers
        .get_all(CACHE_TAG)
        .iter()
        .flat_map(|line| members(line.as_bytes()));
    let by_space = headers
        .get_all(SURROGATE_KEY)
        .iter()
        .flat_map(|line| line.as_bytes().split(|it| matches!(it, b' ' | b'\t')))
        .filter(|it| !it.is_empty());
    by_comma.chain(by_space)
}

/// The groups that a response is in. A field that is not a list of strings is ignored (RFC 9875 §2).
pub(crate) fn groups(headers: &HeaderMap) -> Vec<String> {
    strings(headers, &CACHE_GROUPS)
}

/// The groups that the answer to an unsafe request makes invalid (RFC 9875 §3).
pub(crate) fn invalidated_groups(headers: &HeaderMap) -> Vec<String> {
    strings(headers, &CACHE_GROUP_INVALIDATION)
}

/// What a tag is purged by.
pub(crate) fn tag_label(tag: &[u8]) -> Box<[u8]> {
    [b"t", tag].concat().into()
}

/// What a group is purged by, which is of one origin (RFC 9875 §2).
pub(crate) fn group_label(origin: &[u8], group: &[u8]) -> Box<[u8]> {
    [b"g", origin, group].concat().into()
}

fn strings(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else {
        return Vec::new();
    };
    let strings: Option<Vec<String>> = list
        .into_iter()
        .map(|member| match member {
            ListEntry::Item(item) => Some(item.bare_item.as_string()?.as_str().to_owned()),
            ListEntry::InnerList(_) => None,
        })
        .collect();
    strings.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn tags_are_separated_by_commas_or_by_spaces() {
        let headers = map(&[
            (CACHE_TAG, "a, b c,,d"),
            (CACHE_TAG, "e"),
            (SURROGATE_KEY, " f  g,h\ti "),
        ]);
        let tags: Vec<_> = tags(&headers).collect();
        assert_eq!(tags, [&b"a"[..], b"b c", b"d", b"e", b"f", b"g,h", b"i"]);
    }

    #[test]
    fn groups_are_strings_or_nothing() {
        let read = |value| groups(&map(&[(CACHE_GROUPS, value)]));
        assert_eq!(read("\"a\", \"b c\";x=1"), ["a", "b c"]);
        for invalid in ["a", "\"a\", 5", "(\"a\")", "\"a", ""] {
            assert!(read(invalid).is_empty(), "{invalid}");
        }
        let two = map(&[
            (CACHE_GROUP_INVALIDATION, "\"a\""),
            (CACHE_GROUP_INVALIDATION, "\"b\""),
        ]);
        assert_eq!(invalidated_groups(&two), ["a", "b"]);
    }
}
