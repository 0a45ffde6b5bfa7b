use super::*;
use crate::directives::ResponseDirectives;
use crate::head::Head;
use http::StatusCode;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const OLD: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const NEW: &str = "Thu, 02 Jan 2020 00:00:00 GMT";

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn head(status: StatusCode, fields: &[(&'static str, &'static str)]) -> Head {
    Head::new(status, &map(fields), &ResponseDirectives::default(), NOW)
}

fn not_modified(
    request: &[(&'static str, &'static str)],
    stored: &[(&'static str, &'static str)],
) -> bool {
    is_not_modified(&map(request), head(StatusCode::OK, stored).view(), NOW)
}

#[test]
fn if_none_match_goes_before_if_modified_since() {
    let stored = [("etag", "\"a\""), ("last-modified", NEW)];
    assert!(not_modified(
        &[("if-none-match", "\"a\""), ("if-modified-since", OLD)],
        &stored
    ));
    assert!(!not_modified(
        &[("if-none-match", "\"b\""), ("if-modified-since", NEW)],
        &stored
    ));
}

#[test]
fn if_modified_since_is_compared_with_the_last_modification_or_else_the_date() {
    for (since, expected) in [
        (OLD, false),
        (NEW, true),
        ("Thursday, 02-Jan-20 00:00:00 GMT", true),
        ("Fri, 03 Jan 2020 00:00:00 GMT", true),
        ("0", false),
    ] {
        let request = [("if-modified-since", since)];
        assert_eq!(
            not_modified(&request, &[("last-modified", NEW), ("date", OLD)]),
            expected
        );
        assert_eq!(not_modified(&request, &[("date", NEW)]), expected);
    }
}

#[test]
fn conditions_are_for_successes() {
    let stored = head(StatusCode::NOT_FOUND, &[("etag", "\"a\"")]);
    assert!(!is_not_modified(
        &map(&[("if-none-match", "*")]),
        stored.view(),
        NOW
    ));
}

#[test]
fn validation_asks_by_what_is_stored_and_not_by_what_the_client_has() {
    let stored = head(
        StatusCode::OK,
        &[("etag", "W/\"a\""), ("last-modified", OLD)],
    );
    let validators = Validators::of(stored.view());
    let mut request = map(&[
        ("if-none-match", "\"b\""),
        ("range", "bytes=0-1"),
        ("if-range", "\"b\""),
        ("a", "1"),
    ]);
    validators.apply(&mut request);
    assert_eq!(
        request,
        map(&[
            ("a", "1"),
            ("if-none-match", "W/\"a\""),
            ("if-modified-since", OLD)
        ])
    );
    let nothing = Validators::of(head(StatusCode::OK, &[]).view());
    let before = map(&[("if-none-match", "\"b\"")]);
    let mut request = before.clone();
    nothing.apply(&mut request);
    assert_eq!(request, before);
    assert!(nothing.is_empty());
}

#[test]
fn a_304_is_about_the_response_that_it_names() {
    let stored = head(StatusCode::OK, &[("etag", "\"a\""), ("last-modified", OLD)]);
    for (fields, expected) in [
        (&[][..], true),
        (&[("etag", "\"a\"")], true),
        (&[("etag", "\"b\""), ("last-modified", OLD)], false),
        (&[("last-modified", OLD)], true),
        (&[("last-modified", NEW)], false),
    ] {
        assert_eq!(
            is_about(&map(fields), stored.view()),
            expected,
            "{fields:?}"
        );
    }
}
