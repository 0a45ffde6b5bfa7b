//! The fields are structured (RFC 9651): a reader of such fields must find in them what was meant.

use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;
use rate_limiter::{Decision, Policy};
use serde_json::Value;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::told::Told;
use super::*;

/// A list of texts with parameters that are whole numbers, as a strict reader finds it.
fn read(field: &HeaderValue) -> Vec<(String, Vec<(String, i64)>)> {
    let list: List = Parser::new(field.as_bytes()).parse().unwrap();
    assert_eq!(
        sfv::FieldType::serialize(&list).as_deref(),
        field.to_str().ok()
    );
    let items = list.into_iter().map(|entry| match entry {
        ListEntry::Item(Item {
            bare_item: BareItem::String(name),
            params,
        }) => {
            let params = params.into_iter().map(|(key, value)| match value {
                BareItem::Integer(number) => (key.to_string(), i64::from(number)),
                other => panic!("{other:?} is no integer"),
            });
            (name.to_string(), params.collect())
        }
        other => panic!("{other:?} is no text"),
    });
    items.collect()
}

/// Name, limit, window in seconds, remaining, and milliseconds until the reset.
type Case = (String, u32, u32, u32, u64);
type Params = dyn Fn(&Case) -> [(&'static str, i64); 2];

fn named(name: &str, limit: u32, window: u32) -> RateLimit {
    RateLimit {
        name: name.into(),
        identity: 1,
        policy: Policy::new(limit, Duration::from_secs(window.into())).unwrap(),
        by: [Part::Address].into(),
        cost: 1,
        exempt: [].into(),
        shadow: false,
        shared: None,
    }
}

proptest! {
    #[test]
    fn whatever_the_limits_both_fields_are_lists_of_what_was_meant(
        limits in prop::collection::vec(
            ("[A-Za-z0-9_.-]{1,64}", 1_u32.., 1_u32..31_000_000, any::<u32>(), 0_u64..100_000_000_000),
            1..5,
        ),
    ) {
        let policies: Vec<String> = limits
            .iter()
            .map(|(name, limit, window, ..)| named(name, *limit, *window).policy_item())
            .collect();
        let policy = HeaderValue::from_str(&policies.join(", ")).unwrap();
        let mut told = Told::new(Some(&policy));
        for (name, limit, window, remaining, reset) in &limits {
            let decision = Decision {
                allowed: true,
                remaining: *remaining,
                retry_after: Duration::ZERO,
                reset: Duration::from_millis(*reset),
            };
            told.add(&named(name, *limit, *window), &decision, RateLimitFields::Standard);
        }
        let mut answer = http::HeaderMap::new();
        told.write(&mut answer);
        let expected = |params: &Params| {
            limits
                .iter()
                .map(|limit| (limit.0.clone(), params(limit).map(|(key, value)| (key.to_owned(), value)).to_vec()))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(
            read(&answer["ratelimit-policy"]),
            expected(&|limit| [("q", limit.1.into()), ("w", limit.2.into())])
        );
        prop_assert_eq!(
            read(&answer["ratelimit"]),
            expected(&|limit| [("r", limit.3.into()), ("t", limit.4.div_ceil(1000).cast_signed())])
        );
    }
}

/// The reader of these tests reads lists as the HTTP working group's cases say: what it finds in our fields is there.
#[test]
fn the_reader_of_these_tests_agrees_with_the_published_cases() {
    let Some(folder) = std::env::var_os("CONFORMANCE_DATA") else {
        return;
    };
    let folder = std::path::Path::new(&folder).join("structured-fields");
    let mut checked = 0;
    for file in ["list.json", "param-list.json", "string.json", "number.json"] {
        let cases: Vec<Value> =
            serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        for case in &cases {
            let lines: Vec<&str> = case["raw"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let text = lines.join(", ");
            let accepted = match case["header_type"].as_str() {
                Some("list") => Parser::new(&text).parse::<List>().is_ok(),
                _ => Parser::new(&text).parse::<Item>().is_ok(),
            };
            let must_fail = case["must_fail"] == true;
            if case["can_fail"] != true {
                assert_eq!(accepted, !must_fail, "{file}: {}", case["name"]);
                checked += 1;
            }
        }
    }
    assert!(checked > 80, "{checked}");
}
