//! Bodies on their way into the store.

use crate::gateway::Gateway;
use crate::{answer, fields};
use cache::{Extra, Fill, KeyRecipe, Lookup, Request, Response, Times};
use http::{Method, StatusCode};

/// A response to `GET /` whose head has come.
pub(crate) fn begun(gateway: &Gateway, lines: &[&str]) -> Fill {
    let target = Gateway::target("/");
    let headers = fields(&[]);
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &headers,
        has_credentials: false,
    };
    let key = KeyRecipe::default().key(&target, &headers, &Extra::default());
    let response_headers = fields(lines);
    let response = Response {
        status: StatusCode::OK,
        headers: &response_headers,
        times: Times {
            requested: gateway.now,
            received: gateway.now,
        },
    };
    let ticket = gateway.cache.ticket(&key);
    let admission = gateway
        .cache
        .admit(&key, &request, &gateway.policy, &response, &ticket)
        .unwrap();
    gateway.cache.fill(admission)
}

#[test]
fn a_response_is_there_when_it_is_whole_and_not_before() {
    let mut gateway = Gateway::default();
    let mut fill = begun(&gateway, &["cache-control: max-age=9"]);
    fill.push(b"01").unwrap();
    assert!(!gateway.has("/"));
    fill.push(b"23").unwrap();
    let stored = fill.finish().unwrap();
    assert_eq!(stored.body_length(), 4);
    let (got, _) = gateway.get("/", &[], &answer(500, &[], ""));
    assert_eq!(got.body, b"0123");
    assert_eq!(got.headers["content-length"], "4");
}

#[test]
fn a_body_that_breaks_off_is_not_stored() {
    let mut gateway = Gateway::default();
    let mut fill = begun(&gateway, &["cache-control: max-age=9"]);
    fill.push(b"01").unwrap();
    drop(fill);
    assert!(!gateway.has("/"));
}

#[test]
fn large_bodies_come_out_as_they_went_in() {
    let mut gateway = Gateway::default();
    let body: Vec<u8> = (0..300_000_u32).map(|it| (it % 253) as u8).collect();
    let mut fill = begun(&gateway, &["cache-control: max-age=9"]);
    for chunk in body.chunks(7_001) {
        fill.push(chunk).unwrap();
    }
    fill.finish().unwrap();
    let nothing = answer(500, &[], "");
    assert_eq!(gateway.get("/", &[], &nothing).0.body, body);
    let (part, _) = gateway.get("/", &["range: bytes=65530-131080"], &nothing);
    assert_eq!(part.body, body[65_530..=131_080]);
}

#[test]
fn answers_share_the_memory_of_what_is_stored_even_when_it_is_evicted() {
    let gateway = Gateway::default();
    let mut fill = begun(&gateway, &["cache-control: max-age=9"]);
    fill.push(b"0123").unwrap();
    let stored = fill.finish().unwrap();
    let target = Gateway::target("/");
    let headers = fields(&[]);
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &headers,
        has_credentials: false,
    };
    let key = KeyRecipe::default().url(&target);
    let lookup = gateway
        .cache
        .lookup(&key, &request, &gateway.policy, gateway.now);
    let Lookup::Hit(hit) = lookup else {
        panic!("{lookup:?}")
    };
    assert!(hit.stored().is(&stored));
    gateway
        .cache
        .purge(&cache::Purge::Everything, cache::Manner::Hard);
    let [one, other] = [hit.content().next().unwrap(), hit.content().next().unwrap()];
    assert_eq!(one.as_ptr(), other.as_ptr());
    assert_eq!(one, b"0123"[..]);
}
