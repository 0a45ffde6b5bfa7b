//! Tiers behind the memory: what comes back from them, and what never does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cache::{
    Beyond, Cache, Decoded, Epochs, KeyRecipe, Manner, Policy, Purge, PurgeOrigin, PurgeRecord,
    Recalled, RecordName, Request, Settings, Stored, Timestamp, Unreadable, record_name,
};
use http::Method;
use proptest::prelude::*;

use crate::gateway::Gateway;
use crate::{answer, fields};

const FRESH: &str = "cache-control: max-age=900";

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told {
    stored: Mutex<Vec<Stored>>,
    purged: Mutex<Vec<(u64, PurgeOrigin, PurgeRecord)>>,
}

impl Beyond for Told {
    fn stored(&self, stored: &Stored) {
        self.stored.lock().unwrap().push(stored.clone());
    }

    fn removed(&self, _: &Stored) {}

    fn purged(&self, number: u64, origin: PurgeOrigin, purge: &PurgeRecord) {
        self.purged
            .lock()
            .unwrap()
            .push((number, origin, purge.clone()));
    }
}

/// Records by name.
type Records = HashMap<RecordName, Vec<u8>>;

/// A log that gateways share: positions count from 1, each with whose it is and its number there.
#[derive(Default)]
struct Log(Vec<(usize, u64, PurgeRecord)>);

struct Tiered {
    gateway: Gateway,
    told: Arc<Told>,
    identity: usize,
    published: usize,
    resumed: u64,
}

impl Tiered {
    fn new(identity: usize) -> Self {
        let told = Arc::new(Told::default());
        let settings = Settings {
            capacity: 16 << 20,
            largest_body: 1 << 20,
            ..Settings::default()
        };
        let gateway = Gateway {
            cache: Cache::with_tiers(settings, told.clone()),
            ..Gateway::default()
        };
        Self {
            gateway,
            told,
            identity,
            published: 0,
            resumed: 0,
        }
    }

    fn put(&mut self, path: &str, lines: &[&str], request: &[&str]) {
        let backend = answer(200, lines, path);
        assert!(self.gateway.get(path, request, &backend).0.stored);
    }

    /// Writes what was stored to a tier.
    fn flush(&self, epochs: Epochs, records: &mut Records) -> usize {
        let mut written = 0;
        for stored in self.told.stored.lock().unwrap().drain(..) {
            if let Some(encoded) = self.gateway.cache.encode(&stored, epochs) {
                written += 1;
                records.extend([encoded.response]);
                records.extend(encoded.fields);
            }
        }
        written
    }

    fn publish(&mut self, log: &mut Log) {
        let purged = self.told.purged.lock().unwrap();
        for (number, origin, purge) in &purged[self.published..] {
            if *origin == PurgeOrigin::Here {
                log.0.push((self.identity, *number, purge.clone()));
            }
        }
        self.published = purged.len();
    }

    fn follow(&self, log: &Log) {
        let cache = &self.gateway.cache;
        if cache.log_position().is_none() {
            cache.follow_log_from(0);
        }
        let done = usize::try_from(cache.log_position().unwrap()).unwrap();
        for (at, (identity, number, purge)) in log.0.iter().enumerate().skip(done) {
            let own = (*identity == self.identity).then_some(*number);
            cache.follow_log(at as u64 + 1, own, purge);
        }
    }

    fn ask(
        &self,
        path: &str,
        request: &[&str],
        epochs: Epochs,
        records: &Records,
    ) -> Result<&'static str, Unreadable> {
        let target = Gateway::target(path);
        let headers = fields(request);
        let key = KeyRecipe::default().url(&target);
        let cache = &self.gateway.cache;
        let policy = Policy::default();
        let ticket = cache.ticket(&key);
        let mut name = record_name(key.as_bytes());
        for _ in 0..2 {
            let Some(bytes) = records.get(&name) else {
                return Ok("nothing");
            };
            match cache.decode(&key, &headers, &policy, bytes, epochs)? {
                Decoded::At(other) => name = other,
                Decoded::Response(stored) => {
                    let request = Request {
                        method: &Method::GET,
                        target: &target,
                        headers: &headers,
                        has_credentials: false,
                    };
                    let now = self.gateway.now;
                    return Ok(
                        match cache.recall(&request, &policy, &ticket, stored, now) {
                            Recalled::Hit(_) => "hit",
                            Recalled::Stale(_) => "stale",
                            Recalled::Unfit => "unfit",
                        },
                    );
                }
            }
        }
        Ok("nothing")
    }

    fn purge(&self, purge: &Purge<'_>, manner: Manner) {
        self.gateway.cache.purge(purge, manner);
    }

    /// Another process with the same journal.
    fn restart(self) -> Self {
        let mut new = Self::new(self.identity);
        for (number, origin, purge) in self.told.purged.lock().unwrap().iter() {
            let position = match origin {
                PurgeOrigin::Here => None,
                PurgeOrigin::Log(position) => Some(*position),
            };
            new.gateway.cache.replay(*number, position, purge);
        }
        new.resumed = new.gateway.cache.resume(self.resumed);
        new.told
            .purged
            .lock()
            .unwrap()
            .append(&mut self.told.purged.lock().unwrap());
        new
    }
}

#[test]
fn what_was_stored_is_answered_from_a_tier_by_another_process_with_its_age() {
    let mut one = Tiered::new(1);
    one.put("/a", &[FRESH, "age: 7", "x: y"], &[]);
    let mut records = Records::new();
    assert_eq!(one.flush(Epochs::Own, &mut records), 1);

    let mut other = one.restart();
    other.gateway.wait(10);
    assert_eq!(other.ask("/a", &[], Epochs::Own, &records), Ok("hit"));
    assert_eq!(other.ask("/b", &[], Epochs::Own, &records), Ok("nothing"));
    let (answer, seen) = other.gateway.get("/a", &[], &answer(500, &[], ""));
    assert!(seen.is_none(), "it is in memory again");
    assert_eq!(answer.headers["age"], "17");
    assert_eq!(answer.headers["x"], "y");
    assert_eq!(answer.body, b"/a");
}

#[test]
fn a_variant_is_for_the_requests_it_was_selected_by() {
    let mut one = Tiered::new(1);
    for language in ["en", "fr"] {
        let request = format!("accept-language: {language}");
        one.put("/a", &[FRESH, "vary: accept-language"], &[&request]);
    }
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    let other = one.restart();
    for (language, expected) in [("en", "hit"), ("fr", "hit"), ("ko", "nothing")] {
        let request = format!("accept-language: {language}");
        assert_eq!(
            other.ask("/a", &[&request], Epochs::Own, &records),
            Ok(expected)
        );
    }
}

#[test]
fn a_record_under_a_wrong_name_answers_nothing() {
    let mut one = Tiered::new(1);
    one.put("/a", &[FRESH], &[]);
    one.put("/v", &[FRESH, "vary: x"], &["x: 1"]);
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    let name = |path| record_name(KeyRecipe::default().url(&Gateway::target(path)).as_bytes());
    let all: Vec<_> = records.values().cloned().collect();
    for record in all {
        records.insert(name("/b"), record);
        assert_eq!(
            one.ask("/b", &["x: 2"], Epochs::Own, &records),
            Err(Unreadable::OtherKey)
        );
    }
}

#[test]
fn what_was_purged_does_not_come_back_after_a_restart() {
    let url = KeyRecipe::default().url(&Gateway::target("/a"));
    let prefix = Purge::Prefix {
        scheme: "http",
        host: "a.example",
        path_and_query: "/a",
    };
    for purge in [
        Purge::Url(&url),
        prefix,
        Purge::Tag("one"),
        Purge::Everything,
    ] {
        for (manner, expected) in [(Manner::Hard, "unfit"), (Manner::Soft, "stale")] {
            let mut one = Tiered::new(1);
            one.put("/a", &[FRESH, "cache-tag: one"], &[]);
            let mut records = Records::new();
            one.flush(Epochs::Own, &mut records);
            one.purge(&purge, manner);
            assert_eq!(one.ask("/a", &[], Epochs::Own, &records), Ok(expected));
            let mut one = one.restart();
            assert_eq!(
                one.ask("/a", &[], Epochs::Own, &records),
                Ok(expected),
                "{purge:?} {manner:?}"
            );
            // What is asked for after it is not meant.
            one.gateway.wait(1_000);
            one.put("/a", &[FRESH, "cache-tag: one"], &[]);
            one.flush(Epochs::Own, &mut records);
            assert_eq!(
                one.restart().ask("/a", &[], Epochs::Own, &records),
                Ok("hit")
            );
        }
    }
}

#[test]
fn what_an_unsafe_request_makes_invalid_does_not_come_back() {
    let mut one = Tiered::new(1);
    one.put("/a", &[FRESH], &[]);
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    one.gateway
        .request("POST", "/a", &[], &answer(204, &[], ""));
    let one = one.restart();
    assert_eq!(one.ask("/a", &[], Epochs::Own, &records), Ok("unfit"));
}

#[test]
fn a_purge_holds_at_every_gateway_that_follows_the_log() {
    let (mut one, mut other) = (Tiered::new(1), Tiered::new(2));
    let (mut log, mut records) = (Log::default(), Records::new());
    one.put("/a", &[FRESH], &[]);
    assert_eq!(
        one.flush(Epochs::Log, &mut records),
        0,
        "the log is not followed"
    );
    one.follow(&log);
    other.follow(&log);
    for path in ["/a", "/b"] {
        one.put(path, &[FRESH, "cache-tag: t"], &[]);
    }
    one.flush(Epochs::Log, &mut records);
    assert_eq!(other.ask("/a", &[], Epochs::Log, &records), Ok("hit"));
    assert!(other.gateway.has("/a"));

    one.purge(&Purge::Tag("t"), Manner::Hard);
    one.publish(&mut log);
    other.follow(&log);
    assert!(!other.gateway.has("/a"), "what is in memory is purged");
    for path in ["/a", "/b"] {
        assert_eq!(other.ask(path, &[], Epochs::Log, &records), Ok("unfit"));
        assert_eq!(one.ask(path, &[], Epochs::Log, &records), Ok("unfit"));
    }
    // What is asked for now is shared again, as soon as the log tells that the purge is in it.
    one.follow(&log);
    one.put("/a", &[FRESH, "cache-tag: t"], &[]);
    one.flush(Epochs::Log, &mut records);
    assert_eq!(other.ask("/a", &[], Epochs::Log, &records), Ok("hit"));
    // A gateway that comes later reads the log from its beginning.
    let late = Tiered::new(3);
    late.follow(&log);
    assert_eq!(late.ask("/a", &[], Epochs::Log, &records), Ok("hit"));
    assert_eq!(late.ask("/b", &[], Epochs::Log, &records), Ok("unfit"));
}

#[test]
fn nothing_is_kept_of_before_a_gap_in_the_log() {
    let mut one = Tiered::new(1);
    one.follow(&Log::default());
    one.put("/a", &[FRESH], &[]);
    let mut records = Records::new();
    one.flush(Epochs::Log, &mut records);
    one.gateway.cache.follow_log_from(1_000);
    assert!(!one.gateway.has("/a"));
    assert_eq!(
        one.ask("/a", &[], Epochs::Log, &records),
        Err(Unreadable::TooOld)
    );
    let one = one.restart();
    assert_eq!(one.gateway.cache.log_position(), Some(1_000));
}

#[test]
fn a_tag_that_is_not_told_any_more_keeps_a_response_in_memory() {
    let mut one = Tiered::new(1);
    one.put("/a", &[FRESH, "cache-tag: t", "connection: cache-tag"], &[]);
    assert_eq!(one.flush(Epochs::Own, &mut Records::new()), 0);
}

#[test]
fn what_memory_has_that_is_newer_stays() {
    let mut one = Tiered::new(1);
    one.put("/a", &["cache-control: max-age=5"], &[]);
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    one.gateway.wait(6);
    one.put("/a", &[FRESH], &[]);
    assert_eq!(one.ask("/a", &[], Epochs::Own, &records), Ok("stale"));
    assert!(one.gateway.has("/a"));
}

#[test]
fn an_answer_without_content_comes_back_and_one_that_says_so_wrongly_does_not() {
    let mut one = Tiered::new(1);
    one.gateway.get("/a", &[], &answer(204, &[FRESH], ""));
    one.put("/b", &[FRESH], &[]);
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    assert_eq!(one.ask("/a", &[], Epochs::Own, &records), Ok("hit"));
    let name = record_name(KeyRecipe::default().url(&Gateway::target("/b")).as_bytes());
    let good = records[&name].clone();
    let status = good
        .windows(2)
        .rposition(|it| it == 200_u16.to_le_bytes())
        .unwrap();
    for other in [100_u16, 204, 42] {
        let mut bad = good.clone();
        bad[status..status + 2].copy_from_slice(&other.to_le_bytes());
        records.insert(name, seal(bad));
        let asked = one.ask("/b", &[], Epochs::Own, &records);
        assert_eq!(asked, Err(Unreadable::Damaged), "{other}");
    }
}

#[test]
fn versions_and_damage_are_told_apart_and_each_is_refused() {
    let mut one = Tiered::new(1);
    one.put("/a", &[FRESH, "x: y"], &[]);
    let mut records = Records::new();
    one.flush(Epochs::Own, &mut records);
    let name = *records.keys().next().unwrap();
    let good = records[&name].clone();
    for at in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            records.insert(name, bad);
            let expected = if at < 4 {
                Unreadable::Version
            } else {
                Unreadable::Damaged
            };
            assert_eq!(
                one.ask("/a", &[], Epochs::Own, &records),
                Err(expected),
                "{at}"
            );
        }
        records.insert(name, good[..at].to_vec());
        let asked = one.ask("/a", &[], Epochs::Own, &records);
        assert_eq!(asked, Err(Unreadable::Damaged), "{at}");
    }
}

/// Makes the checksum right again, as nothing that damages by chance would.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 12 {
        let sum = twox_hash::XxHash3_64::oneshot(&bytes[12..]);
        bytes[..4].copy_from_slice(b"agc\x01");
        bytes[4..12].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), sealed: bool) {
        let one = Tiered::new(1);
        let name = record_name(KeyRecipe::default().url(&Gateway::target("/a")).as_bytes());
        let bytes = if sealed { seal(bytes) } else { bytes };
        let asked = one.ask("/a", &[], Epochs::Own, &Records::from([(name, bytes)]));
        prop_assert!(asked.is_err());
    }

    /// Even where the checksum is right: what is taken has a head that can be sent, and a body as long as it says.
    #[test]
    fn a_forged_record_cannot_split_an_answer(at in 12_usize..300, byte: u8, cut in 0_usize..300) {
        let mut one = Tiered::new(1);
        one.put("/a", &[FRESH, "x: y", "content-type: text/plain"], &[]);
        let mut records = Records::new();
        one.flush(Epochs::Own, &mut records);
        for record in records.values_mut() {
            let at = at % record.len();
            record[at] = byte;
            record.truncate(record.len() - cut.min(record.len()) / 20);
            *record = seal(std::mem::take(record));
        }
        let one = Tiered { told: Arc::default(), ..Tiered::new(1) };
        if let Ok("hit" | "stale") = one.ask("/a", &[], Epochs::Own, &records) {
            let target = Gateway::target("/a");
            let headers = http::HeaderMap::new();
            let request = Request { method: &Method::GET, target: &target, headers: &headers, has_credentials: false };
            let key = KeyRecipe::default().url(&target);
            if let cache::Lookup::Hit(hit) =
                one.gateway.cache.lookup(&key, &request, &Policy::default(), Timestamp::from_secs(1_790_000_000)) {
                let lines = hit.stored().head().lines();
                prop_assert!(!lines.windows(4).any(|it| it == b"\r\n\r\n"));
                let (head, body) = hit.response().into_parts();
                prop_assert_eq!(head.headers.len(), hit.stored().head().fields().count() + 1);
                let length = head.headers["content-length"].to_str().unwrap().parse().ok();
                prop_assert_eq!(length, Some(body.map(|it| it.len()).sum::<usize>()));
            }
        }
    }

    #[test]
    fn any_response_comes_back_as_it_was(
        body in prop::collection::vec(any::<u8>(), 0..70_000),
        value in "[ -~]{0,40}", age in 0_u32..100, max_age in 1_u32..10_000, vary: bool,
    ) {
        let mut one = Tiered::new(1);
        let value = format!("x: {}", value.trim());
        let (age, max_age) = (format!("age: {age}"), format!("cache-control: max-age={}", max_age + 200));
        let mut lines = vec![value.as_str(), &age, &max_age, "cache-tag: a, b"];
        if vary { lines.push("vary: y"); }
        let mut backend = answer(200, &lines, "");
        backend.body = body;
        one.gateway.get("/a", &["y: 1"], &backend);
        let (before, _) = one.gateway.get("/a", &["y: 1"], &backend);
        let mut records = Records::new();
        one.flush(Epochs::Own, &mut records);
        let mut other = one.restart();
        prop_assert_eq!(other.ask("/a", &["y: 1"], Epochs::Own, &records), Ok("hit"));
        let (after, seen) = other.gateway.get("/a", &["y: 1"], &backend);
        prop_assert!(seen.is_none());
        prop_assert_eq!(before, after);
    }
}
