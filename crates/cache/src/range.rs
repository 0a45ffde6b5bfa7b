//! Parts of a stored body (RFC 9110 §14).

use std::ops::Range;

use http::HeaderMap;
use http::header::{DATE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};

use crate::conditional::is_strong_match;
use crate::head::HeadRef;
use crate::time::{Timestamp, parse_date};

/// What a request wants of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it. Also where several parts are asked for: a server may ignore such a wish (RFC 9110 §14.2), and
    /// overlapping parts by the hundred are an old way to make it work hard.
    Everything,
    /// These bytes; there is at least one.
    Part(Range<u64>),
    /// A part that begins after the end.
    Unsatisfiable,
}

impl Wanted {
    pub(crate) fn read(
        request: &HeaderMap,
        head: HeadRef<'_>,
        length: u64,
        now: Timestamp,
    ) -> Self {
        let Some(range) = request.get(RANGE) else {
            return Self::Everything;
        };
        if !if_range_holds(request, head, now) {
            return Self::Everything;
        }
        parse(range.as_bytes(), length).unwrap_or(Self::Everything)
    }
}

/// Whether the client's part is of what is stored (RFC 9110 §13.1.5).
fn if_range_holds(request: &HeaderMap, head: HeadRef<'_>, now: Timestamp) -> bool {
    let Some(condition) = request.get(IF_RANGE) else {
        return true;
    };
    let matches = |name: &str, same: fn(&[u8], &[u8]) -> bool| {
        head.get(name)
            .is_some_and(|stored| same(condition.as_bytes(), stored))
    };
    matches(ETAG.as_str(), is_strong_match)
        || (matches(LAST_MODIFIED.as_str(), |one, other| one == other) && is_date_strong(head, now))
}

/// Whether what was modified in the second of the response's own date cannot have been modified once more in it (RFC
/// 9110 §8.8.2.2).
fn is_date_strong(head: HeadRef<'_>, now: Timestamp) -> bool {
    let date = |name: &str| head.get(name).map(|value| parse_date(value, now));
    match (date(LAST_MODIFIED.as_str()), date(DATE.as_str())) {
        (Some(Some(modified)), Some(Some(sent))) => modified < sent,
        (Some(Some(_)), None) => true,
        _ => false,
    }
}

/// One range of bytes; `None` for anything else.
fn parse(value: &[u8], length: u64) -> Option<Wanted> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let dash = memchr::memchr(b'-', set)?;
    let first = set.get(..dash)?.trim_ascii_start();
    let last = set.get(dash + 1..)?.trim_ascii_end();
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => {
            let count = number(last)?;
            length.saturating_sub(count)..if count == 0 { 0 } else { length }
        }
        (false, true) => number(first)?..length,
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.is_empty() {
        Wanted::Unsatisfiable
    } else {
        Wanted::Part(range)
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        // More than any body has is more than any body has.
        Some(
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0')),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directives::ResponseDirectives;
    use crate::head::Head;
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    fn wanted(range: &str, length: u64) -> Wanted {
        with_condition(range, None, length)
    }

    const MODIFIED: &str = "Sun, 06 Sep 2026 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Sep 2026 08:49:38 GMT";

    fn with_condition(range: &str, condition: Option<&'static str>, length: u64) -> Wanted {
        when_sent(LATER, range, condition, length)
    }

    fn when_sent(
        sent: &'static str,
        range: &str,
        condition: Option<&'static str>,
        length: u64,
    ) -> Wanted {
        let mut request = HeaderMap::new();
        request.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(condition) = condition {
            request.insert(IF_RANGE, HeaderValue::from_static(condition));
        }
        let mut response = HeaderMap::new();
        response.insert(ETAG, HeaderValue::from_static("\"a\""));
        response.insert(DATE, HeaderValue::from_static(sent));
        response.insert(LAST_MODIFIED, HeaderValue::from_static(MODIFIED));
        let head = Head::new(
            StatusCode::OK,
            &response,
            &ResponseDirectives::default(),
            Timestamp::default(),
        );
        Wanted::read(
            &request,
            head.view(),
            length,
            Timestamp::from_secs(1_790_000_000),
        )
    }

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-1", 0..2),
            ("Bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=9-99999999999999999999999", 9..10),
            ("bytes= 1-1 ", 1..2),
        ] {
            assert_eq!(wanted(range, 10), Wanted::Part(expected), "{range}");
        }
    }

    #[test]
    fn what_begins_after_the_end_cannot_be_satisfied() {
        for (range, length) in [
            ("bytes=10-", 10),
            ("bytes=10-12", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-1", 0),
        ] {
            assert_eq!(wanted(range, length), Wanted::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn several_ranges_other_units_and_nonsense_are_ignored() {
        for range in [
            "bytes=0-1,3-4",
            "bytes=0-0,-1",
            "lines=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=3-2",
            "bytes=1 - 2",
            "bytes",
            "",
        ] {
            assert_eq!(wanted(range, 10), Wanted::Everything, "{range}");
        }
    }

    #[test]
    fn a_part_of_something_else_is_not_given() {
        let part = Wanted::Part(0..2);
        for (condition, expected) in [
            ("\"a\"", &part),
            (MODIFIED, &part),
            ("W/\"a\"", &Wanted::Everything),
            ("\"b\"", &Wanted::Everything),
            (LATER, &Wanted::Everything),
        ] {
            assert_eq!(
                with_condition("bytes=0-1", Some(condition), 10),
                *expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn a_date_tells_parts_apart_only_where_it_is_past() {
        for (sent, expected) in [
            (LATER, Wanted::Part(0..2)),
            (MODIFIED, Wanted::Everything),
            ("x", Wanted::Everything),
        ] {
            assert_eq!(when_sent(sent, "bytes=0-1", Some(MODIFIED), 10), expected);
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_body(range in "bytes=[0-9]{0,22}-[0-9]{0,22}", length in 0_u64..100) {
            if let Wanted::Part(part) = wanted(&range, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
