//! Compressed forms of what is stored.

use bytes::Bytes;
use cache::{Extra, Forms, Lookup, Manner, Purge, Request};
use http::{HeaderMap, Method};

use crate::answer;
use crate::gateway::Gateway;

const FRESH: &str = "cache-control: max-age=900";

/// The forms of what a `GET` hits.
fn forms(gateway: &Gateway, path: &str) -> Option<Forms> {
    let (target, headers) = (Gateway::target(path), HeaderMap::new());
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &headers,
        has_credentials: false,
    };
    let key = gateway.recipe.key(&target, &headers, &Extra::default());
    let lookup = gateway
        .cache
        .lookup(&key, &request, &gateway.policy, gateway.now);
    match lookup {
        Lookup::Hit(hit) => Some(hit.forms(&gateway.cache, &gateway.policy)),
        _ => None,
    }
}

fn read(forms: &Forms, coding: &str) -> Option<Vec<u8>> {
    Some(forms.get(coding)?.collect::<Vec<_>>().concat())
}

/// A gateway that has stored 1,000 bytes, and a form of it.
fn with_form(lines: &[&str]) -> Gateway {
    let mut gateway = Gateway::default();
    gateway.get("/", &[], &answer(200, lines, &"x".repeat(1_000)));
    let pieces = [Bytes::from_static(b"small "), Bytes::from_static(b"form")];
    assert!(forms(&gateway, "/").unwrap().keep("gzip", &pieces));
    gateway
}

#[test]
fn a_form_is_stored_beside_the_body_and_accounted() {
    for length in [1_000, 300_000] {
        let mut gateway = Gateway::default();
        let body = "x".repeat(length);
        gateway.get("/", &[], &answer(200, &[FRESH], &body));
        let before = gateway.cache.usage();
        let found = forms(&gateway, "/").unwrap();
        assert!(read(&found, "gzip").is_none());
        let pieces = vec![Bytes::from(vec![7; length / 4]); 2];
        assert!(found.keep("gzip", &pieces));
        assert!(
            forms(&gateway, "/")
                .unwrap()
                .keep("br", &[Bytes::from_static(b"br")])
        );
        let after = gateway.cache.usage();
        assert_eq!(after.keys, 1);
        let form = after.bytes - before.bytes;
        assert!(form > length as u64 / 2, "{form}");
        let found = forms(&gateway, "/").unwrap();
        assert_eq!(read(&found, "gzip").unwrap(), vec![7; length / 2]);
        assert_eq!(read(&found, "br").unwrap(), b"br");
        assert!(read(&found, "zstd").is_none());
        let (hit, _) = gateway.get("/", &[], &answer(500, &[], ""));
        assert_eq!(hit.body, body.as_bytes(), "the body is as it was");
    }
}

#[test]
fn what_is_gone_gets_no_form_and_a_form_goes_with_what_it_is_of() {
    let gateway = with_form(&[FRESH, "cache-tag: a"]);
    let old = forms(&gateway, "/").unwrap();
    gateway.cache.purge(&Purge::Tag("a"), Manner::Hard);
    assert!(forms(&gateway, "/").is_none());
    old.keep("br", &[Bytes::from_static(b"br")]);
    assert!(forms(&gateway, "/").is_none());

    let mut gateway = with_form(&[FRESH]);
    let old = forms(&gateway, "/").unwrap();
    gateway.request("PUT", "/", &[], &answer(204, &[], ""));
    assert!(!old.keep("br", &[Bytes::from_static(b"br")]));
    assert!(!gateway.has("/"));
    gateway.get("/", &[], &answer(200, &[FRESH], "another"));
    assert!(!old.keep("br", &[Bytes::from_static(b"br")]));
    assert!(read(&forms(&gateway, "/").unwrap(), "gzip").is_none());
}

#[test]
fn a_soft_purge_holds_for_what_gets_a_form_after_it() {
    let mut gateway = with_form(&[FRESH, "etag: \"a\""]);
    let old = forms(&gateway, "/").unwrap();
    let key = gateway.recipe.url(&Gateway::target("/"));
    gateway.cache.purge(&Purge::Url(&key), Manner::Soft);
    assert!(old.keep("br", &[Bytes::from_static(b"br")]));
    assert!(forms(&gateway, "/").is_none(), "it is stale");
    let (_, seen) = gateway.get("/", &[], &answer(304, &[FRESH], ""));
    assert_eq!(seen.unwrap().headers["if-none-match"], "\"a\"");
    let forms = forms(&gateway, "/").unwrap();
    assert_eq!(
        read(&forms, "gzip").unwrap(),
        b"small form",
        "the body is the same"
    );
    assert_eq!(read(&forms, "br").unwrap(), b"br");
}

#[test]
fn a_form_that_is_larger_or_there_already_is_not_stored() {
    let gateway = with_form(&[FRESH]);
    let found = forms(&gateway, "/").unwrap();
    assert!(!found.keep("gzip", &[Bytes::from_static(b"again")]));
    assert!(!found.keep("br", &[Bytes::from(vec![0; 1_001])]));
    assert!(!found.keep("br", &[]));
}

#[test]
fn variants_have_forms_of_their_own() {
    let mut gateway = Gateway::default();
    let varies = answer(200, &[FRESH, "vary: foo"], "the body of it");
    gateway.get("/", &["foo: 1"], &varies);
    gateway.get("/", &[], &varies);
    assert!(
        forms(&gateway, "/")
            .unwrap()
            .keep("gzip", &[Bytes::from_static(b"gz")])
    );
    assert_eq!(read(&forms(&gateway, "/").unwrap(), "gzip").unwrap(), b"gz");
    let (other, _) = gateway.get("/", &["foo: 1"], &answer(500, &[], ""));
    assert!(other.cached);
}
