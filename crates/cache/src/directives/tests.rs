use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::response::Seconds;
use super::{RequestDirectives, ResponseDirectives, Scope};

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
    }
    headers
}

fn response(lines: &[&str]) -> ResponseDirectives {
    ResponseDirectives::read(&headers(CACHE_CONTROL, lines), &[CDN])
}

fn targeted(lines: &[&str]) -> ResponseDirectives {
    let mut all = headers(CDN, lines);
    all.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ResponseDirectives::read(&all, &[CDN])
}

fn request(lines: &[&str]) -> RequestDirectives {
    RequestDirectives::read(&headers(CACHE_CONTROL, lines))
}

#[test]
fn seconds_are_digits_and_nothing_else() {
    for (line, expected) in [
        ("max-age=0", Some(Seconds::Valid(0))),
        ("max-age=003600", Some(Seconds::Valid(3_600))),
        ("MaX-aGe=5", Some(Seconds::Valid(5))),
        ("max-age=\"5\"", Some(Seconds::Valid(5))),
        ("max-age=2147483649", Some(Seconds::Valid(1 << 31))),
        (
            "max-age=99999999999999999999999999",
            Some(Seconds::Valid(1 << 31)),
        ),
        ("max-age=-1", Some(Seconds::Invalid)),
        ("max-age='5'", Some(Seconds::Invalid)),
        ("max-age=5.0", Some(Seconds::Invalid)),
        ("max-age=a5", Some(Seconds::Invalid)),
        ("max-age", Some(Seconds::Invalid)),
        ("max-age =5", Some(Seconds::Invalid)),
        ("max-age= 5", Some(Seconds::Invalid)),
        ("max-age=5, max-age=5", Some(Seconds::Valid(5))),
        ("max-age=5, max-age=6", Some(Seconds::Invalid)),
        ("x=\"max-age=5\"", None),
    ] {
        assert_eq!(response(&[line]).max_age, expected, "{line}");
    }
    assert_eq!(
        response(&["max-age=5", "max-age=6"]).max_age,
        Some(Seconds::Invalid),
        "lines are one field"
    );
}

#[test]
fn what_restricts_counts_with_any_argument_and_what_permits_only_without() {
    let read = response(&["no-store=1, must-revalidate=x, public=1, immutable=\"\""]);
    assert!(read.no_store && read.must_revalidate);
    assert!(!read.public && !read.immutable);
    assert!(response(&["No-StOrE x"]).no_store, "malformed as it is");
}

#[test]
fn no_cache_and_private_may_be_for_some_fields_only() {
    let read = response(&["no-cache=\"A, b\", private=c"]);
    assert!(["a", "b", "c"].iter().all(|it| read.is_withheld(it)));
    assert!(!read.is_withheld("d"));
    for line in [
        "no-cache",
        "no-cache=\"a\", no-cache",
        "no-cache, no-cache=\"a\"",
        "no-cache=\"\"",
        "no-cache=\"a b\"",
        "no-cache=\"a",
    ] {
        assert_eq!(response(&[line]).no_cache, Scope::Everything, "{line}");
    }
}

#[test]
fn a_quote_that_is_not_closed_leaves_the_rest_unclear() {
    assert!(response(&["max-age=5, x=\"y, no-store"]).unclear);
    assert!(!response(&["max-age=5, x=\"y, no-store\""]).unclear);
}

#[test]
fn a_targeted_field_stands_instead_of_cache_control_if_it_is_valid() {
    let read = targeted(&["max-age=99999999999, no-cache=\"a\"", "private=?0"]);
    assert!(read.targeted && !read.no_store);
    assert_eq!(read.max_age, Some(Seconds::Valid(1 << 31)));
    assert_eq!(read.no_cache, Scope::Fields(vec!["a".into()]));
    assert_eq!(read.private, Scope::Nothing);
    assert!(targeted(&["none"]).targeted, "RFC 9213 §3.1");
    for invalid in [
        "",
        "max-age=5, &&&&",
        "max-age=\"5\"",
        "max-age=5.0",
        "max-age =5",
        "max-age= 5",
        "MaX-aGe=5",
        "max-age=(5)",
        "no-store=1",
        "private=token",
    ] {
        let read = targeted(&[invalid]);
        assert!(read.no_store && !read.targeted, "{invalid}");
    }
    assert_eq!(
        targeted(&["max-age=-5"]).max_age,
        Some(Seconds::Valid(0)),
        "no time at all"
    );
}

#[test]
fn requests_wish() {
    assert_eq!(
        request(&[
            "max-age=5, max-stale, min-fresh=3, no-cache",
            "only-if-cached, no-store"
        ]),
        RequestDirectives {
            max_age: Some(5),
            max_stale: Some(u32::MAX),
            min_fresh: Some(3),
            stale_if_error: None,
            no_cache: true,
            no_store: true,
            only_if_cached: true,
        }
    );
    assert_eq!(
        request(&["max-age=x, max-stale=y, nothing"]),
        RequestDirectives::default()
    );
    assert_eq!(request(&["max-age=9, max-age=4"]).max_age, Some(4));
}

#[test]
fn pragma_counts_where_cache_control_is_not() {
    let mut all = headers(PRAGMA, &["x, No-Cache"]);
    assert!(RequestDirectives::read(&all).no_cache);
    all.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
    assert!(!RequestDirectives::read(&all).no_cache);
}

proptest! {
    #[test]
    fn whatever_else_a_field_says_no_store_is_seen(
        before in prop::collection::vec("[a-z-]{1,8}(=[0-9a-z]{1,4}|=\"[a-z, ]{0,6}\")?", 0..4),
        after in "[\"=, a-z\\\\]{0,20}",
    ) {
        let mut members = before;
        members.push("no-store".to_owned());
        members.push(after);
        let line = members.join(", ");
        prop_assert!(response(&[line.as_str()]).no_store);
    }

    #[test]
    fn any_field_is_read_without_panic(line in "[ -~]{0,60}") {
        let _ = response(&[line.as_str()]);
        let _ = targeted(&[line.as_str()]);
        let _ = request(&[line.as_str()]);
    }
}

#[test]
fn a_string_that_is_not_closed_may_have_swallowed_a_restriction() {
    for line in [
        "max-age=60, a=\"b, no-store",
        "max-age=60, stale-if-error=\"5, no-store",
        "max-age=60, public=\"x, private",
        "max-age=60, no-cache=\"x, no-store",
        "max-age=60, immutable\", no-store",
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(line));
        assert!(ResponseDirectives::read(&headers, &[]).unclear, "{line}");
    }
}
