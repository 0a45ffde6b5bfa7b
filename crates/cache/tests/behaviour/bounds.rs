//! Whatever comes, memory has its bounds, and nothing wrong is served.

use crate::gateway::Gateway;
use crate::{answer, fields};
use cache::{
    Abandoned, Cache, Extra, Forward, KeyRecipe, Lookup, Policy, Purge, Refusal, Request, Response,
    Settings, Times,
};
use http::{Method, StatusCode};

const FRESH: &str = "cache-control: max-age=900";

fn small(capacity: u64, largest_body: u64) -> Gateway {
    Gateway {
        cache: Cache::new(Settings {
            capacity,
            largest_body,
            ..Settings::default()
        }),
        ..Gateway::default()
    }
}

#[test]
fn no_more_is_stored_than_the_capacity() {
    let mut gateway = small(1 << 20, 64 << 10);
    for number in 0..3_000 {
        let body = "x".repeat(number % 5_000);
        gateway.get(&format!("/{number}"), &[], &answer(200, &[FRESH], &body));
        let usage = gateway.cache.usage();
        assert!(usage.bytes <= usage.capacity, "{usage:?}");
    }
    let usage = gateway.cache.usage();
    assert!(usage.bytes > usage.capacity / 2, "{usage:?}");
    assert!(gateway.has("/2999"), "the last");
}

#[test]
fn what_is_replaced_is_not_evicted() {
    let mut gateway = small(1 << 20, 64 << 10);
    let purge = Purge::Everything;
    for number in 0..100 {
        let body = "x".repeat(number);
        gateway.get("/", &[], &answer(200, &[FRESH, "vary: foo"], &body));
        gateway.cache.purge(&purge, cache::Manner::Soft);
    }
    let usage = gateway.cache.usage();
    assert_eq!(
        (usage.keys, usage.evicted_keys, usage.evicted_bytes),
        (1, 0, 0)
    );
}

#[test]
fn what_is_asked_for_again_and_again_stays_when_much_passes_through() {
    let mut gateway = small(1 << 20, 64 << 10);
    let body = "x".repeat(1_000);
    let answer_ = answer(200, &[FRESH], &body);
    for round in 0..200 {
        for path in ["/a", "/b", "/c"] {
            gateway.get(path, &[], &answer_);
        }
        for number in 0..20 {
            gateway.get(&format!("/{round}/{number}"), &[], &answer_);
        }
    }
    assert!(gateway.has("/a") && gateway.has("/b") && gateway.has("/c"));
}

#[test]
fn variants_of_one_key_are_bounded_and_the_used_ones_stay() {
    let mut gateway = Gateway::default();
    let varies = answer(200, &[FRESH, "vary: foo"], "x");
    gateway.get("/", &["foo: used"], &varies);
    for number in 0..5_000 {
        gateway.wait(1);
        let (used, _) = gateway.get("/", &["foo: used"], &answer(200, &[], ""));
        if number < 800 {
            assert!(used.cached, "{number}");
        }
        gateway.get("/", &[&format!("foo: {number}")], &varies);
    }
    let usage = gateway.cache.usage();
    assert_eq!(usage.keys, 1);
    assert!(usage.bytes < 40_000, "{usage:?}");
}

#[test]
fn variants_of_one_key_do_not_take_all_the_room() {
    let mut gateway = small(1 << 20, 100_000);
    let large = answer(200, &[FRESH, "vary: foo"], &"x".repeat(90_000));
    gateway.get("/other", &[], &answer(200, &[FRESH], "x"));
    gateway.has("/other");
    for number in 0..200 {
        let line = format!("foo: {number}");
        gateway.get("/", &[&line], &large);
        assert!(gateway.get("/", &[&line], &large).0.cached, "{number}");
    }
    assert!(gateway.cache.usage().bytes <= 1 << 20);
    assert!(gateway.has("/other"));
}

#[test]
fn tags_and_vary_fields_are_bounded_by_not_storing_what_has_too_many() {
    let mut gateway = Gateway::default();
    let tags: Vec<String> = (0..129).map(|it| format!("t{it}")).collect();
    let many = format!("cache-tag: {}", tags.join(","));
    gateway.get("/a", &[], &answer(200, &[FRESH, &many], ""));
    assert!(!gateway.has("/a"));
    let most = format!("surrogate-key: {}", tags[1..].join(" "));
    gateway.get("/b", &[], &answer(200, &[FRESH, &most], ""));
    assert!(gateway.has("/b"));
    gateway
        .cache
        .purge(&Purge::Tag("t128"), cache::Manner::Hard);
    assert!(!gateway.has("/b"));
    let vary = format!("vary: {}", tags.join(","));
    gateway.get("/c", &[], &answer(200, &[FRESH, &vary], ""));
    assert!(!gateway.has("/c"));
}

/// Hands a body over chunk by chunk; what comes of it.
fn filled(gateway: &mut Gateway, lines: &[&str], chunks: &[&[u8]]) -> Result<(), Abandoned> {
    let target = Gateway::target("/");
    let headers = fields(&[]);
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &headers,
        has_credentials: false,
    };
    let key = KeyRecipe::default().key(&target, &headers, &Extra::default());
    let lookup = gateway
        .cache
        .lookup(&key, &request, &gateway.policy, gateway.now);
    let Lookup::Miss(miss) = lookup else {
        panic!("{lookup:?}")
    };
    let response_headers = fields(lines);
    let response = Response {
        status: StatusCode::OK,
        headers: &response_headers,
        times: Times {
            requested: gateway.now,
            received: gateway.now,
        },
    };
    let admission = gateway
        .cache
        .admit(&key, &request, &gateway.policy, &response, miss.ticket())
        .unwrap();
    let mut fill = gateway.cache.fill(admission);
    for chunk in chunks {
        fill.push(chunk)?;
    }
    fill.finish().map(|_| ())
}

#[test]
fn a_body_is_stored_only_if_it_is_as_long_as_it_said() {
    for (chunks, expected) in [
        (&[&b"01234"[..]][..], Ok(())),
        (&[b"01", b"", b"234"], Ok(())),
        (&[b"0123"], Err(Abandoned::BadLength)),
        (&[b"0123", b"45"], Err(Abandoned::BadLength)),
        (&[], Err(Abandoned::BadLength)),
    ] {
        let mut gateway = Gateway::default();
        let lines = [FRESH, "content-length: 5"];
        assert_eq!(filled(&mut gateway, &lines, chunks), expected);
        assert_eq!(gateway.has("/"), expected.is_ok());
    }
}

#[test]
fn an_endless_body_is_given_up_and_its_room_given_back() {
    let mut gateway = small(4 << 20, 1 << 20);
    let chunk = vec![0; 100_000];
    let endless = vec![&chunk[..]; 1_000];
    for _ in 0..50 {
        assert_eq!(
            filled(&mut gateway, &[FRESH], &endless),
            Err(Abandoned::TooLarge)
        );
    }
    let largest = usize::try_from(gateway.cache.settings().largest_body).unwrap();
    let exactly = vec![0; largest];
    assert_eq!(filled(&mut gateway, &[FRESH], &[&exactly]), Ok(()));
    assert!(gateway.has("/"));
}

#[test]
fn bodies_that_are_arriving_share_a_bounded_room() {
    let gateway = small(4 << 20, 1 << 20);
    let headers = fields(&[]);
    let response_headers = fields(&[FRESH]);
    let response = Response {
        status: StatusCode::OK,
        headers: &response_headers,
        times: Times {
            requested: gateway.now,
            received: gateway.now,
        },
    };
    let chunk = vec![0; 400_000];
    let mut fills = Vec::new();
    let mut results = Vec::new();
    for number in 0..4 {
        let path = format!("/{number}");
        let target = Gateway::target(&path);
        let request = Request {
            method: &Method::GET,
            target: &target,
            headers: &headers,
            has_credentials: false,
        };
        let key = KeyRecipe::default().url(&target);
        let ticket = gateway.cache.ticket(&key);
        let admission = gateway
            .cache
            .admit(&key, &request, &gateway.policy, &response, &ticket)
            .unwrap();
        let mut fill = gateway.cache.fill(admission);
        results.push(fill.push(&chunk));
        fills.push(fill);
    }
    assert_eq!(
        results,
        [
            Ok(()),
            Ok(()),
            Err(Abandoned::NoRoom),
            Err(Abandoned::NoRoom)
        ]
    );
}

#[test]
fn what_says_that_it_is_too_large_is_not_begun() {
    let gateway = small(4 << 20, 1 << 20);
    let target = Gateway::target("/");
    let headers = fields(&[]);
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &headers,
        has_credentials: false,
    };
    let key = KeyRecipe::default().url(&target);
    let ticket = gateway.cache.ticket(&key);
    for (line, expected) in [
        ("content-length: 99999999", Refusal::TooLarge),
        (
            "content-length: 99999999999999999999999",
            Refusal::BadLength,
        ),
        ("content-length: +5", Refusal::BadLength),
        ("content-length: -5", Refusal::BadLength),
    ] {
        let response_headers = fields(&[FRESH, line]);
        let response = Response {
            status: StatusCode::OK,
            headers: &response_headers,
            times: Times {
                requested: gateway.now,
                received: gateway.now,
            },
        };
        let refusal = gateway
            .cache
            .admit(&key, &request, &Policy::default(), &response, &ticket)
            .unwrap_err();
        assert_eq!(refusal, expected, "{line}");
    }
}

#[test]
fn misses_say_why() {
    let mut gateway = Gateway::default();
    let varies = answer(200, &[FRESH, "vary: foo"], "x");
    assert_eq!(
        gateway.get("/", &["foo: 1"], &varies).0.forward,
        Some(Forward::UriMiss)
    );
    assert_eq!(
        gateway.get("/", &["foo: 2"], &varies).0.forward,
        Some(Forward::VaryMiss)
    );
    let demands = ["foo: 1", "cache-control: no-cache"];
    assert_eq!(
        gateway.get("/", &demands, &varies).0.forward,
        Some(Forward::Request)
    );
    assert_eq!(
        gateway.request("PUT", "/x", &[], &varies).0.forward,
        Some(Forward::Method)
    );
    gateway.wait(901);
    assert_eq!(
        gateway.get("/", &["foo: 1"], &varies).0.forward,
        Some(Forward::Stale)
    );
}
