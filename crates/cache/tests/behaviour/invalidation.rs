//! Unsafe requests.

use crate::gateway::Gateway;
use crate::{answer, fields};
use cache::{KeyRecipe, Policy};
use http::{HeaderName, Method};

const FRESH: [&str; 1] = ["cache-control: max-age=900"];

fn filled(paths: &[&str]) -> Gateway {
    let mut gateway = Gateway::default();
    for path in paths {
        gateway.get(path, &[], &answer(200, &FRESH, path));
    }
    gateway
}

#[test]
fn what_an_unsafe_request_names_is_gone_if_it_did_not_fail() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        let mut gateway = filled(&["/a", "/b", "/c", "/d", "/e?x=1"]);
        gateway.request(method, "/a", &[], &answer(500, &[], ""));
        assert!(gateway.has("/a"), "{method}");
        let lines = ["location: http://A.example/b", "content-location: c"];
        gateway.request(method, "/a", &[], &answer(201, &lines, ""));
        assert!(!gateway.has("/a") && !gateway.has("/b") && !gateway.has("/c"));
        assert!(gateway.has("/d") && gateway.has("/e?x=1"));
        let elsewhere = ["location: https://a.example/d"];
        gateway.request(method, "/e?x=1", &[], &answer(303, &elsewhere, ""));
        assert!(!gateway.has("/e?x=1") && gateway.has("/d"));
    }
    let mut gateway = filled(&["/a"]);
    gateway.request("OPTIONS", "/a", &[], &answer(200, &[], ""));
    assert!(gateway.has("/a"));
}

#[test]
fn keys_with_more_than_the_url_are_invalid_too() {
    let mut gateway = Gateway {
        recipe: KeyRecipe {
            headers: vec![HeaderName::from_static("x")],
            ..KeyRecipe::default()
        },
        ..Gateway::default()
    };
    let failure = answer(500, &[], "");
    let query = Method::from_bytes(b"QUERY").unwrap();
    let content = fields(&["content-length: 1"]);
    for path in ["/a", "/b"] {
        let backend = answer(200, &FRESH, path);
        gateway.get(path, &["x: 1"], &backend);
        gateway.send(&query, path, &content, Some(b"1"), &mut |_| {
            Some(backend.clone())
        });
    }
    assert!(gateway.get("/a", &["x: 1"], &failure).0.cached);
    gateway.request("POST", "/a", &["x: 2"], &answer(200, &[], ""));
    assert!(!gateway.get("/a", &["x: 1"], &failure).0.cached);
    assert!(gateway.get("/b", &["x: 1"], &failure).0.cached);
    let mut asked = 0;
    for path in ["/a", "/b"] {
        gateway.send(&query, path, &content, Some(b"1"), &mut |_| {
            asked += 1;
            None
        });
    }
    assert_eq!(asked, 1);
}

#[test]
fn an_answer_to_what_was_asked_before_is_not_stored_after() {
    let mut gateway = Gateway::default();
    let (cache, recipe) = (gateway.cache.clone(), gateway.recipe.clone());
    gateway.send(&Method::GET, "/a", &fields(&[]), None, &mut |_| {
        // Another request changes it while this one is under way.
        let target = Gateway::target("/a");
        let ok = http::StatusCode::OK;
        cache.answered_unsafe(&recipe, &Method::POST, &target, ok, &fields(&[]));
        Some(answer(200, &FRESH, "old"))
    });
    assert!(!gateway.has("/a"));
}

#[test]
fn groups_of_the_same_origin_are_invalid_when_an_unsafe_answer_says_so() {
    let mut gateway = Gateway::default();
    for (path, groups) in [
        ("/a", "cache-groups: \"x\", \"y\""),
        ("/b", "cache-groups: \"z\""),
    ] {
        gateway.get(path, &[], &answer(200, &[FRESH[0], groups], ""));
    }
    let lines = ["cache-group-invalidation: \"y\", \"w\""];
    gateway.get("/c", &[], &answer(200, &lines, ""));
    assert!(gateway.has("/a"), "a safe request changes nothing");
    gateway.request("POST", "/c", &[], &answer(200, &lines, ""));
    assert!(!gateway.has("/a") && gateway.has("/b"));
}

#[test]
fn isolated_answers_to_requests_with_credentials_are_stored() {
    let mut gateway = Gateway {
        authenticated: true,
        ..Gateway::default()
    };
    gateway.get("/a", &[], &answer(200, &FRESH, ""));
    assert!(!gateway.has("/a"));
    gateway.policy = Policy {
        isolated: true,
        ..Policy::default()
    };
    gateway.get("/a", &[], &answer(200, &FRESH, ""));
    assert!(gateway.has("/a"));
}
