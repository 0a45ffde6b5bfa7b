//! Case by case: what a response says, what a later request says, and whether the one answers the other.

use crate::gateway::Gateway;
use crate::{answer, fields};
use http::Method;

/// A date so many seconds from now.
fn date(gateway: &Gateway, offset: i64) -> String {
    let seconds = gateway.now.as_secs().checked_add_signed(offset).unwrap();
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// Puts dates in the place of `{seconds}`.
fn dated(gateway: &Gateway, lines: &[&str]) -> Vec<String> {
    let one = |line: &&str| match (line.find('{'), line.find('}')) {
        (Some(start), Some(end)) => {
            let offset = line[start + 1..end].parse().unwrap();
            format!(
                "{}{}{}",
                &line[..start],
                date(gateway, offset),
                &line[end + 1..]
            )
        }
        _ => (*line).to_owned(),
    };
    lines.iter().map(one).collect()
}

/// What answers the second request, three seconds after the first was answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Cache,
    /// The backend, without a condition.
    Backend,
    /// The cache, after the backend has been asked.
    Validation,
}
use By::{Backend, Cache, Validation};

fn second(status: u16, first: &[&str], response: &[&str], request: &[&str]) -> By {
    let mut gateway = Gateway::default();
    let response = dated(&gateway, response);
    let response: Vec<&str> = response.iter().map(String::as_str).collect();
    let stored = answer(status, &response, if status == 204 { "" } else { "body" });
    gateway.get("/", first, &stored);
    gateway.wait(3);
    let mut by = Cache;
    gateway.send(&Method::GET, "/", &fields(request), None, &mut |sent| {
        let conditional = ["if-none-match", "if-modified-since"]
            .iter()
            .any(|it| sent.headers.contains_key(*it));
        by = if conditional { Validation } else { Backend };
        Some(if conditional {
            answer(304, &[], "")
        } else {
            stored.clone()
        })
    });
    by
}

#[test]
fn freshness() {
    for (response, expected) in [
        (&["cache-control: max-age=4"][..], Cache),
        (&["cache-control: max-age=3"], Backend),
        (&["cache-control: max-age=0"], Backend),
        (&["cache-control: max-age=99999999999"], Cache),
        (&["cache-control: max-age=0, s-maxage=9"], Cache),
        (&["cache-control: max-age=9, s-maxage=1"], Backend),
        (
            &["cache-control: s-maxage=1", "cache-control: max-age=9"],
            Backend,
        ),
        (&["cache-control: max-age=9", "expires: {-9}"], Cache),
        (&["cache-control: max-age=9", "expires: 0"], Cache),
        (&["cache-control: max-age=0", "expires: {9}"], Backend),
        (&["cache-control: foo, max-age=9"], Cache),
        (&["cache-control: x=\"max-age=9\", max-age=1"], Backend),
        (&["cache-control: max-age=1, x=\"max-age=9\""], Backend),
        (&["cache-control: max-age=9, max-age=1"], Backend),
        (&["cache-control: max-age=9", "age: 6"], Backend),
        (&["cache-control: max-age=9", "age: 5"], Cache),
        (&["cache-control: max-age=9", "age: 0, 7200"], Cache),
        (&["cache-control: max-age=9", "age: 7200, 0"], Backend),
        (&["cache-control: max-age=9", "age: -7200"], Cache),
        (&["cache-control: max-age=9", "date: {-9}"], Backend),
        (&["expires: {9}", "date: {0}"], Cache),
        (&["expires: {0}", "date: {0}"], Backend),
        (&["expires: {300}", "date: {400}"], Backend),
        (&["expires: {9}", "date: foo"], Cache),
        (&["expires: {9}", "expires: {8}"], Backend),
        (&["expires: {20}", "date: {10}", "age: 15"], Backend),
        (&["expires: Thu, 18 Aug 2050 02:01:18 UTC"], Backend),
        (&["expires: THU, 18 AUG 2050 02:01:18 gmt"], Cache),
        (&[], Backend),
    ] {
        assert_eq!(second(200, &[], response, &[]), expected, "{response:?}");
    }
}

#[test]
fn targeted_directives() {
    for (response, expected) in [
        (&["cdn-cache-control: max-age=9"][..], Cache),
        (
            &["cdn-cache-control: max-age=9", "cache-control: no-store"],
            Cache,
        ),
        (&["cdn-cache-control: max-age=9", "expires: {-9}"], Cache),
        (
            &["cdn-cache-control: max-age=1", "cache-control: max-age=9"],
            Backend,
        ),
        (&["cdn-cache-control: max-age=0", "expires: {9}"], Backend),
        (
            &["cdn-cache-control: private", "cache-control: max-age=9"],
            Backend,
        ),
        (
            &["cdn-cache-control: no-store", "cache-control: max-age=9"],
            Backend,
        ),
        (
            &["cdn-cache-control: no-cache", "cache-control: max-age=9"],
            Backend,
        ),
        (
            &[
                "cdn-cache-control: max-age=9, &&",
                "cache-control: no-store",
            ],
            Backend,
        ),
        (
            &[
                "cdn-cache-control: max-age=\"9\"",
                "cache-control: no-store",
            ],
            Backend,
        ),
        (
            &[
                "cdn-cache-control: max-age=\"1\"",
                "cache-control: max-age=9",
            ],
            Cache,
        ),
        (&["cdn-cache-control: ", "cache-control: max-age=9"], Cache),
    ] {
        assert_eq!(second(200, &[], response, &[]), expected, "{response:?}");
    }
}

#[test]
fn what_may_be_stored() {
    for (response, expected) in [
        (&["cache-control: no-store, max-age=9"][..], Backend),
        (&["cache-control: No-StOrE, max-age=9"], Backend),
        (&["cache-control: private, max-age=9"], Backend),
        (&["cache-control: private=\"a\", max-age=9"], Cache),
        (&["cache-control: no-cache, max-age=9"], Backend),
        (
            &["cache-control: no-cache, max-age=9", "etag: \"a\""],
            Validation,
        ),
        (&["cache-control: no-cache=\"a\", max-age=9"], Cache),
        (&["cache-control: must-revalidate, max-age=9"], Cache),
        (
            &["cache-control: must-understand, no-store, max-age=9"],
            Cache,
        ),
        (&["cache-control: max-age=9", "vary: *"], Backend),
        (&["cache-control: max-age=9", "vary: a, *"], Backend),
        (&["cache-control: max-age=9", "set-cookie: a=b"], Backend),
        (
            &[
                "cache-control: max-age=9, no-cache=\"set-cookie\"",
                "set-cookie: a=b",
            ],
            Cache,
        ),
        (
            &[
                "cache-control: max-age=9",
                "content-length: 4",
                "content-length: 5",
            ],
            Backend,
        ),
        (&["cache-control: max-age=9, x=\"y"], Backend),
        (&["cache-control: max-age=1", "etag: \"a\""], Validation),
        (
            &["cache-control: max-age=1", "last-modified: {-9}"],
            Validation,
        ),
        (&["etag: \"a\""], Validation),
    ] {
        assert_eq!(second(200, &[], response, &[]), expected, "{response:?}");
    }
}

#[test]
fn statuses() {
    for status in [
        200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599,
    ] {
        assert_eq!(
            second(status, &[], &["cache-control: max-age=9"], &[]),
            Cache
        );
        let stale = ["cache-control: max-age=1"];
        assert_eq!(second(status, &[], &stale, &[]), Backend, "{status}");
    }
    for (status, expected) in [
        (200, Cache),
        (203, Cache),
        (204, Cache),
        (404, Cache),
        (410, Cache),
        (501, Cache),
        (201, Backend),
        (403, Backend),
        (502, Backend),
        (599, Backend),
    ] {
        let modified = ["last-modified: {-100}"];
        assert_eq!(second(status, &[], &modified, &[]), expected, "{status}");
    }
    let public = ["last-modified: {-100}", "cache-control: public"];
    assert_eq!(second(599, &[], &public, &[]), Cache);
    let understand = ["cache-control: max-age=9, no-store, must-understand"];
    assert_eq!(second(599, &[], &understand, &[]), Backend);
    for status in [206, 304, 412, 416] {
        assert_eq!(
            second(status, &[], &["cache-control: max-age=9"], &[]),
            Backend,
            "{status}"
        );
    }
}

#[test]
fn credentials_and_cookies() {
    let authorized = ["authorization: x"];
    for (first, response, expected) in [
        (&authorized[..], "max-age=9", Backend),
        (&authorized, "max-age=9, public", Cache),
        (&authorized, "max-age=9, must-revalidate", Cache),
        (&authorized, "s-maxage=9", Cache),
        (&authorized, "max-age=9, public=\"x\"", Backend),
        (&["cookie: a=b"], "max-age=9", Cache),
    ] {
        let line = format!("cache-control: {response}");
        assert_eq!(second(200, first, &[&line], &[]), expected, "{response}");
    }
    let guessed = ["last-modified: {-100}"];
    assert_eq!(second(200, &["cookie: a=b"], &guessed, &[]), Backend);
    assert_eq!(second(200, &[], &guessed, &["cookie: a=b"]), Cache);
}

#[test]
fn requests_have_a_say() {
    let fresh = ["cache-control: max-age=9"];
    let tagged = ["cache-control: max-age=9", "etag: \"a\""];
    for (response, request, expected) in [
        (&fresh[..], "cache-control: no-cache", Backend),
        (&tagged, "cache-control: no-cache", Validation),
        (&tagged, "pragma: no-cache", Validation),
        (&fresh, "pragma: foo", Cache),
        (&fresh, "cache-control: no-store", Backend),
        (&fresh, "cache-control: max-age=1", Backend),
        (&fresh, "cache-control: max-age=8", Cache),
        (&fresh, "cache-control: min-fresh=7", Backend),
        (&fresh, "cache-control: min-fresh=6", Cache),
        (
            &["cache-control: max-age=1"],
            "cache-control: max-stale=2",
            Cache,
        ),
        (
            &["cache-control: max-age=1"],
            "cache-control: max-stale=1",
            Backend,
        ),
        (
            &["cache-control: max-age=1, must-revalidate"],
            "cache-control: max-stale",
            Backend,
        ),
        (&fresh, "if-match: \"a\"", Backend),
        (&fresh, "if-unmodified-since: x", Backend),
        (&fresh, "content-length: 3", Backend),
        (&fresh, "transfer-encoding: chunked", Backend),
        (&fresh, "content-length: 0", Cache),
    ] {
        assert_eq!(
            second(200, &[], response, &[request]),
            expected,
            "{response:?}; {request}"
        );
    }
}

#[test]
fn vary() {
    let response = |vary: &str| {
        [
            format!("vary: {vary}"),
            "cache-control: max-age=9".to_owned(),
        ]
    };
    for (vary, first, request, expected) in [
        ("Foo", &["foo: 1"][..], &["foo: 1"][..], Cache),
        ("Foo", &["foo: 1"], &["foo: 2"], Backend),
        ("Foo", &["foo: 1"], &[], Backend),
        ("Foo", &[], &["foo: 1"], Backend),
        (
            "Foo",
            &["foo: 1", "other: 1"],
            &["foo: 1", "other: 2"],
            Cache,
        ),
        (
            "Foo, Bar, Baz",
            &["foo: 1", "baz: 2"],
            &["foo: 1", "baz: 2"],
            Cache,
        ),
        (
            "Foo, Bar, Baz",
            &["foo: 1", "baz: 2"],
            &["foo: 1", "bar: 2"],
            Backend,
        ),
        ("Foo", &["foo: 1, 2"], &["foo: 1", "foo: 2"], Cache),
        ("Foo", &["foo: 1,2"], &["foo: 1 , 2"], Cache),
        (
            "Accept-Language",
            &["accept-language: en, de"],
            &["accept-language: EN,De"],
            Cache,
        ),
    ] {
        let lines = response(vary);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            second(200, first, &lines, request),
            expected,
            "{vary} {request:?}"
        );
    }
}

#[test]
fn only_if_cached_never_goes_to_the_backend() {
    let mut gateway = Gateway::default();
    let backend = answer(200, &["cache-control: max-age=9"], "x");
    let only = ["cache-control: only-if-cached"];
    for lines in [&only[..], &["cache-control: only-if-cached, no-store"]] {
        let (answer, seen) = gateway.get("/", lines, &backend);
        assert_eq!(answer.status, 504);
        assert!(seen.is_none());
    }
    gateway.get("/", &[], &backend);
    assert!(gateway.get("/", &only, &backend).0.cached);
    gateway.wait(10);
    assert_eq!(gateway.get("/", &only, &backend).0.status, 504);
}

#[test]
fn conditions_and_ranges_are_answered_from_the_whole() {
    let mut gateway = Gateway::default();
    let whole = answer(
        200,
        &[
            "cache-control: max-age=9",
            "etag: \"a\"",
            "a: 1",
            "content-length: 10",
        ],
        "0123456789",
    );
    gateway.get("/", &[], &whole);
    gateway.wait(2);
    let (answer, _) = gateway.get("/", &["if-none-match: W/\"a\""], &whole);
    assert_eq!((answer.status.as_u16(), answer.cached), (304, true));
    assert!(answer.headers.contains_key("etag") && !answer.headers.contains_key("a"));
    assert!(!answer.headers.contains_key("content-length"));
    for (lines, status, body, range) in [
        (&["range: bytes=2-4"][..], 206, "234", Some("bytes 2-4/10")),
        (&["range: bytes=-1"], 206, "9", Some("bytes 9-9/10")),
        (&["range: bytes=10-"], 416, "", Some("bytes */10")),
        (&["range: bytes=0-1,3-4"], 200, "0123456789", None),
        (
            &["range: bytes=0-1", "if-range: \"b\""],
            200,
            "0123456789",
            None,
        ),
        (&["range: bytes=0-1", "if-none-match: \"a\""], 304, "", None),
    ] {
        let (answer, _) = gateway.get("/", lines, &whole);
        assert!(answer.cached, "{lines:?}");
        assert_eq!(answer.status, status, "{lines:?}");
        assert_eq!(answer.body, body.as_bytes());
        let found = answer
            .headers
            .get("content-range")
            .map(|it| it.to_str().unwrap());
        assert_eq!(found, range);
        if status != 304 {
            assert_eq!(answer.headers["content-length"], *body.len().to_string());
        }
        assert_eq!(answer.headers["age"], "2");
    }
}

#[test]
fn head_is_answered_from_get_without_a_body() {
    let mut gateway = Gateway::default();
    gateway.get(
        "/",
        &[],
        &answer(200, &["cache-control: max-age=9"], "0123456789"),
    );
    let (head, seen) = gateway.request("HEAD", "/", &[], &answer(500, &[], ""));
    assert!(seen.is_none());
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-length"], "10");
    assert!(head.body.is_empty());
}

#[test]
fn fields_of_one_hop_are_not_stored_and_all_others_are() {
    let mut gateway = Gateway::default();
    let lines = [
        "cache-control: max-age=9",
        "connection: a",
        "a: 1",
        "b: 2",
        "te: x",
        "upgrade: y",
        "proxy-authenticate: z",
    ];
    gateway.get("/", &[], &answer(200, &lines, ""));
    let (answer, _) = gateway.get("/", &[], &answer(500, &[], ""));
    assert_eq!(answer.headers["b"], "2");
    for name in ["connection", "a", "te", "upgrade", "proxy-authenticate"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

#[test]
fn query_is_cached_by_its_content() {
    let mut gateway = Gateway::default();
    let query = Method::from_bytes(b"QUERY").unwrap();
    let headers = fields(&["content-length: 3", "content-type: text/plain"]);
    let mut ask = |content: Option<&[u8]>, body: &str| {
        let backend = answer(200, &["cache-control: max-age=9"], body);
        let answer = gateway.send(&query, "/", &headers, content, &mut |_| {
            Some(backend.clone())
        });
        (answer.cached, String::from_utf8(answer.body).unwrap())
    };
    assert_eq!(ask(Some(b"1"), "one"), (false, "one".to_owned()));
    assert_eq!(ask(Some(b"2"), "two"), (false, "two".to_owned()));
    assert_eq!(ask(Some(b"1"), "x"), (true, "one".to_owned()));
    assert_eq!(
        ask(None, "three"),
        (false, "three".to_owned()),
        "without a digest"
    );
    assert_eq!(ask(None, "four"), (false, "four".to_owned()));
    assert!(!gateway.has("/"), "it is no GET");
}

#[test]
fn the_answer_to_a_post_can_stand_for_that_to_a_get() {
    let mut gateway = Gateway::default();
    let said = ["cache-control: max-age=9", "content-location: /a"];
    gateway.request(
        "POST",
        "/a",
        &["content-length: 3"],
        &answer(200, &said, "x"),
    );
    assert!(gateway.has("/a"));
    gateway.request(
        "POST",
        "/b",
        &["content-length: 3"],
        &answer(200, &said, "x"),
    );
    assert!(!gateway.has("/b"), "it is about something else");
    let unsaid = ["content-location: /c", "etag: \"a\""];
    gateway.request("POST", "/c", &[], &answer(200, &unsaid, "x"));
    assert!(!gateway.has("/c"), "it does not say how long it is fresh");
}
