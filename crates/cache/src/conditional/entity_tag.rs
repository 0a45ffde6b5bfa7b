//! Entity tags (RFC 9110 §8.8.3).

use http::HeaderValue;

/// Whether two tags are the same but for their weakness. What is no entity tag is compared as it is.
pub(crate) fn is_weak_match(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty() && opaque(one) == opaque(other)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether two tags are the same, and neither is weak.
pub(crate) fn is_strong_match(one: &[u8], other: &[u8]) -> bool {
    one.first() == Some(&b'"') && one == other
}

/// Whether an `If-None-Match` has a tag of what is stored, or an asterisk.
pub(crate) fn matches_any<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    stored: Option<&[u8]>,
) -> bool {
    lines.into_iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*"
            || stored.is_some_and(|stored| tags(line).any(|tag| is_weak_match(tag, stored)))
    })
}

/// The tags of a list. A tag may hold commas, and backslashes that escape nothing.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest
            .iter()
            .position(|it| !matches!(it, b' ' | b'\t' | b','))?;
        rest = rest.get(start..)?;
        let mut quoted = false;
        let end = rest.iter().position(|it| {
            quoted ^= *it == b'"';
            *it == b',' && !quoted
        });
        let (tag, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after;
        Some(tag.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(line: &str, stored: &str) -> bool {
        let line = HeaderValue::from_str(line).unwrap();
        matches_any([&line], Some(stored.as_bytes()))
    }

    #[test]
    fn a_list_matches_by_any_of_its_tags_weakly() {
        for line in [
            "\"a\"",
            "W/\"a\"",
            "\"x\", \"a\" ,\"y\"",
            ", \"x,\", W/\"a\"",
            "\"\\\", \"a\"",
            "*",
            " * ",
        ] {
            assert!(matches(line, "\"a\""), "{line}");
            assert!(matches(line, "W/\"a\""), "{line}");
        }
        for line in [
            "\"b\"",
            "a",
            "\"x, \"a\"\"",
            "\"A\"",
            "",
            "\"*\"",
            "w/\"a\"",
        ] {
            assert!(!matches(line, "\"a\""), "{line}");
        }
    }

    #[test]
    fn an_asterisk_matches_where_there_is_no_tag() {
        assert!(matches_any([&HeaderValue::from_static("*")], None));
        assert!(!matches_any([&HeaderValue::from_static("\"a\"")], None));
    }

    #[test]
    fn a_weak_tag_matches_nothing_strongly() {
        assert!(is_strong_match(b"\"a\"", b"\"a\""));
        assert!(!is_strong_match(b"W/\"a\"", b"W/\"a\""));
        assert!(!is_strong_match(b"\"a\"", b"W/\"a\""));
    }
}
