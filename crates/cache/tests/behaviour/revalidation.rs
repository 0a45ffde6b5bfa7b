//! Stale responses: validated, freshened, served all the same.

use std::time::Duration;

use crate::gateway::Gateway;
use crate::{answer, fields};
use cache::{Forward, Policy};
use http::{Method, StatusCode};

#[test]
fn a_304_freshens_what_is_stored() {
    let mut gateway = Gateway::default();
    let stored = [
        "cache-control: max-age=5",
        "etag: \"a\"",
        "a: 1",
        "b: 1",
        "content-length: 4",
    ];
    gateway.get("/", &[], &answer(200, &stored, "body"));
    gateway.wait(9);
    let news = [
        "etag: \"a\"",
        "a: 2",
        "content-length: 0",
        "cache-control: max-age=7",
    ];
    let (validated, seen) = gateway.get("/", &["if-none-match: \"old\""], &answer(304, &news, ""));
    assert_eq!(seen.unwrap().headers["if-none-match"], "\"a\"");
    assert_eq!(validated.status, 200, "the client has something else");
    assert_eq!(validated.forward, Some(Forward::Stale));
    assert_eq!(validated.body, b"body");
    assert_eq!(validated.headers["a"], "2");
    assert_eq!(validated.headers["b"], "1");
    assert_eq!(validated.headers["content-length"], "4");
    assert_eq!(validated.headers["age"], "0");
    gateway.wait(6);
    let (hit, seen) = gateway.get("/", &["if-none-match: \"a\""], &answer(500, &[], ""));
    assert!(seen.is_none());
    assert_eq!(hit.status, 304);
    gateway.wait(1);
    assert!(!gateway.has("/"), "seven seconds");
}

#[test]
fn a_304_about_something_else_is_not_used() {
    let mut gateway = Gateway::default();
    let stored = ["cache-control: max-age=5", "etag: \"a\""];
    gateway.get("/", &[], &answer(200, &stored, "old"));
    gateway.wait(9);
    let mut asked = Vec::new();
    let got = gateway.send(&Method::GET, "/", &fields(&[]), None, &mut |sent| {
        let conditional = sent.headers.contains_key("if-none-match");
        asked.push(conditional);
        Some(if conditional {
            answer(304, &["etag: \"b\""], "")
        } else {
            answer(200, &["etag: \"b\""], "new")
        })
    });
    assert_eq!(asked, [true, false]);
    assert_eq!(got.body, b"new");
}

#[test]
fn a_new_response_takes_the_place_of_the_stale_one() {
    let mut gateway = Gateway::default();
    let stored = ["cache-control: max-age=5", "etag: \"a\""];
    gateway.get("/", &[], &answer(200, &stored, "old"));
    gateway.wait(9);
    let new = answer(200, &["cache-control: max-age=5", "etag: \"b\""], "new");
    assert_eq!(gateway.get("/", &[], &new).0.body, b"new");
    let (hit, _) = gateway.get("/", &[], &answer(500, &[], ""));
    assert!(hit.cached);
    assert_eq!(hit.body, b"new");
}

#[test]
fn stale_while_revalidate_serves_at_once_and_asks_behind() {
    let mut gateway = Gateway::default();
    let stored = [
        "cache-control: max-age=1, stale-while-revalidate=4",
        "etag: \"a\"",
    ];
    gateway.get("/", &[], &answer(200, &stored, "old"));
    gateway.wait(3);
    let new = answer(200, &["cache-control: max-age=1"], "new");
    let (old, seen) = gateway.get("/", &[], &new);
    assert_eq!(old.body, b"old");
    assert_eq!(old.headers["age"], "3");
    assert!(seen.is_some());
    let (hit, seen) = gateway.get("/", &[], &answer(500, &[], ""));
    assert_eq!(hit.body, b"new");
    assert!(seen.is_none());
}

#[test]
fn stale_if_error_serves_when_the_backend_fails() {
    let says = "cache-control: max-age=1, stale-if-error=9";
    let settings = Policy {
        stale_if_error: Duration::from_secs(9),
        ..Policy::default()
    };
    for (policy, line, expected) in [
        (Policy::default(), says, true),
        (Policy::default(), "cache-control: max-age=1", false),
        (settings.clone(), "cache-control: max-age=1", true),
        (
            settings.clone(),
            "cache-control: max-age=1, stale-if-error=1",
            false,
        ),
        (
            settings.clone(),
            "cache-control: max-age=1, must-revalidate",
            false,
        ),
        (
            settings.clone(),
            "cache-control: max-age=1, proxy-revalidate",
            false,
        ),
        (settings.clone(), "cache-control: s-maxage=1", false),
        (settings, "cache-control: max-age=1, no-cache", false),
    ] {
        for failure in [Some(answer(503, &[], "")), None] {
            let mut gateway = Gateway {
                policy: policy.clone(),
                ..Gateway::default()
            };
            gateway.get("/", &[], &answer(200, &[line, "etag: \"a\""], "old"));
            gateway.wait(5);
            let got = gateway.send(&Method::GET, "/", &fields(&[]), None, &mut |_| {
                failure.clone()
            });
            assert_eq!(got.cached, expected, "{line}");
            assert_eq!(got.status == StatusCode::OK, expected, "{line}");
        }
    }
}

#[test]
fn a_head_answer_freshens_or_spoils_what_is_stored() {
    for (lines, body) in [
        (
            &["cache-control: max-age=9", "etag: \"a\"", "a: 2"][..],
            Some("2"),
        ),
        (
            &["cache-control: max-age=9", "content-length: 3"],
            Some("1"),
        ),
        (&["cache-control: max-age=9", "content-length: 4"], None),
        (&["cache-control: max-age=9", "etag: \"b\""], None),
    ] {
        let mut gateway = Gateway::default();
        let stored = [
            "cache-control: max-age=2",
            "etag: \"a\"",
            "a: 1",
            "content-length: 3",
        ];
        gateway.get("/", &[], &answer(200, &stored, "old"));
        gateway.wait(3);
        let (head, _) = gateway.request("HEAD", "/", &[], &answer(200, lines, ""));
        assert!(!head.cached);
        let (got, _) = gateway.get("/", &[], &answer(500, &["a: none"], ""));
        assert_eq!(got.cached, body.is_some(), "{lines:?}");
        assert_eq!(got.headers["a"], body.unwrap_or("none"));
    }
}

#[test]
fn negative_answers_are_kept_for_as_long_as_is_set() {
    let mut gateway = Gateway {
        policy: Policy {
            status_lifetimes: vec![(StatusCode::NOT_FOUND, Duration::from_secs(2))],
            default_lifetime: Duration::from_secs(10),
            ..Policy::default()
        },
        ..Gateway::default()
    };
    gateway.get("/a", &[], &answer(404, &[], ""));
    gateway.get("/b", &[], &answer(200, &[], ""));
    gateway.get("/c", &[], &answer(403, &[], ""));
    gateway.wait(1);
    assert!(gateway.has("/a") && gateway.has("/b") && !gateway.has("/c"));
    gateway.wait(2);
    assert!(!gateway.has("/a") && gateway.has("/b"));
    gateway.wait(8);
    assert!(!gateway.has("/b"));
}

#[test]
fn what_a_304_brings_for_one_client_is_not_stored() {
    let stored = ["cache-control: max-age=5", "etag: \"a\"", "a: 1"];
    let mut gateway = Gateway::default();
    gateway.get("/", &[], &answer(200, &stored, "body"));
    gateway.wait(9);
    let cookie = answer(304, &["set-cookie: a=b", "a: 2"], "");
    assert!(gateway.get("/", &[], &cookie).0.cached);
    let (hit, seen) = gateway.get("/", &[], &answer(500, &[], ""));
    assert!(seen.is_none() && !hit.headers.contains_key("set-cookie"));
    assert_eq!(hit.headers["a"], "2");

    gateway.wait(9);
    let own = answer(304, &["a: secret"], "");
    let (validated, _) = gateway.get("/", &["authorization: x"], &own);
    assert_eq!(validated.headers["a"], "secret");
    let (other, seen) = gateway.get("/", &[], &answer(304, &[], ""));
    assert!(seen.is_some(), "still stale");
    assert_eq!(other.headers["a"], "2");

    gateway.wait(9);
    let private = answer(304, &["cache-control: private"], "");
    assert!(gateway.get("/", &[], &private).0.cached);
    assert!(!gateway.has("/"));
}

#[test]
fn a_304_that_varies_by_something_else_is_for_other_requests() {
    let mut gateway = Gateway::default();
    let stored = ["cache-control: max-age=5", "etag: \"a\""];
    gateway.get("/", &["foo: 1"], &answer(200, &stored, "body"));
    gateway.wait(9);
    gateway.get("/", &["foo: 1"], &answer(304, &["vary: foo"], ""));
    let failure = answer(500, &[], "");
    assert!(!gateway.get("/", &["foo: 2"], &failure).0.cached);
    assert!(gateway.get("/", &["foo: 1"], &failure).0.cached);
}
