//! The memory is divided: what one route stores displaces nothing of the others.

use cache::{Cache, Policy, Settings};

use crate::answer;
use crate::gateway::Gateway;

const FRESH: &str = "cache-control: max-age=900";

/// A gateway of 1 MiB, of which the responses of the first share have a quarter.
fn divided(share: usize, cache: &Cache) -> Gateway {
    Gateway {
        cache: cache.clone(),
        policy: Policy {
            share,
            ..Policy::default()
        },
        ..Gateway::default()
    }
}

fn cache() -> Cache {
    let cache = Cache::new(Settings {
        capacity: 1 << 20,
        largest_body: 64 << 10,
        ..Settings::default()
    });
    cache.set_capacity(1 << 20, &[256 << 10]);
    cache
}

fn fill(gateway: &mut Gateway, prefix: &str, count: usize) {
    let body = "x".repeat(1_000);
    for number in 0..count {
        let path = format!("/{prefix}/{number}");
        gateway.get(&path, &[], &answer(200, &[FRESH], &body));
    }
}

#[test]
fn what_has_a_share_of_its_own_displaces_nothing_else_and_takes_no_more() {
    let cache = cache();
    let (mut common, mut own) = (divided(0, &cache), divided(1, &cache));
    fill(&mut common, "common", 400);
    let before = cache.usage();
    assert_eq!((before.keys, before.evicted_keys), (400, 0));
    fill(&mut own, "own", 5_000);
    let after = cache.usage();
    assert!((0..400).all(|number| common.has(&format!("/common/{number}"))));
    let of_share = after.bytes - before.bytes;
    assert!(of_share <= 256 << 10, "{of_share}");
    assert!(of_share > 200 << 10, "{of_share}");
    assert_eq!(
        after.keys - before.keys + usize::try_from(after.evicted_keys).unwrap(),
        5_000
    );
    assert!(after.evicted_bytes > after.evicted_keys * 1_000);
    assert_eq!(after.capacity, 1 << 20);

    // And the other way around.
    let own_keys: Vec<_> = (0..5_000)
        .filter(|it| own.has(&format!("/own/{it}")))
        .collect();
    fill(&mut common, "more", 5_000);
    assert!(own_keys.iter().all(|it| own.has(&format!("/own/{it}"))));
}

#[test]
fn purges_reach_every_share() {
    let cache = cache();
    let (mut common, mut own) = (divided(0, &cache), divided(1, &cache));
    for manner in ["url", "all", "unsafe"] {
        common.get("/a", &[], &answer(200, &[FRESH], "common"));
        own.get("/b", &[], &answer(200, &[FRESH], "own"));
        assert!(common.has("/a") && own.has("/b"));
        match manner {
            "url" => {
                for path in ["/a", "/b"] {
                    let key = common.recipe.url(&Gateway::target(path));
                    cache.purge(&cache::Purge::Url(&key), cache::Manner::Hard);
                }
            }
            "all" => cache.purge(&cache::Purge::Everything, cache::Manner::Hard),
            _ => {
                for path in ["/a", "/b"] {
                    common.request("DELETE", path, &[], &answer(204, &[], ""));
                }
            }
        }
        assert!(!common.has("/a") && !own.has("/b"), "{manner}");
    }
}

#[test]
fn the_capacity_can_be_changed_and_divided_anew() {
    let cache = cache();
    let (mut common, mut own) = (divided(0, &cache), divided(1, &cache));
    fill(&mut common, "common", 600);
    fill(&mut own, "own", 200);
    cache.set_capacity(512 << 10, &[128 << 10]);
    let smaller = cache.usage();
    assert_eq!(smaller.capacity, 512 << 10);
    assert!(
        smaller.bytes <= 512 << 10 && smaller.bytes > 300 << 10,
        "{smaller:?}"
    );
    assert_eq!(
        smaller.keys + usize::try_from(smaller.evicted_keys).unwrap(),
        800
    );

    cache.set_capacity(4 << 20, &[128 << 10, 1 << 20]);
    fill(&mut divided(2, &cache), "third", 600);
    assert_eq!(cache.usage().keys, smaller.keys + 600);
    assert_eq!(cache.usage().capacity, 4 << 20);

    // A share that is gone takes what it had with it, and who asks for it has the common one.
    cache.set_capacity(4 << 20, &[]);
    let mut gone = divided(1, &cache);
    assert!(!gone.has("/own/199"));
    gone.get("/own/199", &[], &answer(200, &[FRESH], "x"));
    assert!(divided(0, &cache).has("/own/199"));
}

#[test]
fn the_largest_body_is_one_that_the_share_has_room_for() {
    let cache = cache();
    let (mut common, mut own) = (divided(0, &cache), divided(1, &cache));
    cache.set_capacity(1 << 20, &[64 << 10]);
    let body = "x".repeat(40_000);
    common.get("/a", &[], &answer(200, &[FRESH], &body));
    own.get("/a2", &[], &answer(200, &[FRESH], &body));
    assert!(common.has("/a"));
    assert!(!own.has("/a2"));
    assert_eq!(cache.usage().too_large, 1);
}
