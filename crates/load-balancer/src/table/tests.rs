use proptest::prelude::*;

use super::*;
use crate::random::{Random, identity};

const RING: HashTable = HashTable::Ring { min_size: 1024 };
const MAGLEV: HashTable = HashTable::Maglev { size: 65_537 };
const KEYS: u32 = 40_000;

fn members(count: u32) -> Vec<Member> {
    (0..count)
        .map(|number| Member {
            id: identity(&format!("10.0.0.{number}:8080")),
            weight: 1,
        })
        .collect()
}

fn keys() -> impl Iterator<Item = u64> {
    let mut random = Random::new(7);
    (0..KEYS).map(move |_| random.next())
}

/// Whom each key belongs to.
fn owners(kind: HashTable, members: &[Member]) -> Vec<u64> {
    let table = Table::new(kind, members);
    keys().map(|key| members[table.member(key)].id).collect()
}

fn shares(kind: HashTable, members: &[Member]) -> Vec<f64> {
    let owners = owners(kind, members);
    members
        .iter()
        .map(|member| {
            let owned = owners.iter().filter(|&&owner| owner == member.id).count();
            owned as f64 / f64::from(KEYS)
        })
        .collect()
}

/// The share of keys that change hands between two sets, and of those that do so without need: between two members
/// that are in both.
fn moved(kind: HashTable, before: &[Member], after: &[Member]) -> (f64, f64) {
    let in_both = |id: u64| {
        before.iter().any(|member| member.id == id) && after.iter().any(|member| member.id == id)
    };
    let (mut moved, mut needless) = (0, 0);
    for (before, after) in owners(kind, before).into_iter().zip(owners(kind, after)) {
        moved += u32::from(before != after);
        needless += u32::from(before != after && in_both(before) && in_both(after));
    }
    let share = |count| f64::from(count) / f64::from(KEYS);
    (share(moved), share(needless))
}

#[test]
fn when_a_member_joins_or_leaves_a_ring_no_key_moves_between_others() {
    for count in [3, 10, 100] {
        let all = members(count);
        let fewer = &all[..all.len() - 1];
        let fair = 1.0 / f64::from(count);
        for (before, after) in [(fewer, &all[..]), (&all[..], fewer)] {
            let (moved, needless) = moved(RING, before, after);
            assert_eq!(needless, 0.0, "{count}");
            assert!(
                (0.8 * fair..1.2 * fair).contains(&moved),
                "{count}: {moved}"
            );
        }
    }
}

#[test]
fn when_a_member_joins_or_leaves_maglev_few_keys_move_between_others() {
    for count in [3, 10, 100] {
        let all = members(count);
        let fewer = &all[..all.len() - 1];
        let fair = 1.0 / f64::from(count);
        for (before, after) in [(fewer, &all[..]), (&all[..], fewer)] {
            let (moved, needless) = moved(MAGLEV, before, after);
            assert!(moved >= 0.95 * fair, "{count}: {moved}");
            // The paper's own figures are of this size, for a table of a hundred times the members (§5.3).
            assert!(needless < 0.03, "{count}: {needless}");
        }
    }
}

#[test]
fn shares_are_even_where_weights_are() {
    for (kind, tolerance) in [(RING, 0.2), (MAGLEV, 0.05)] {
        for count in [1, 2, 3, 10, 50] {
            for share in shares(kind, &members(count)) {
                let fair = 1.0 / f64::from(count);
                // Of the keys, too, there is only a sample.
                let sample = 5.0 * (fair / f64::from(KEYS)).sqrt();
                assert!(
                    (share - fair).abs() <= tolerance * fair + sample,
                    "{kind:?} {count}: {share}"
                );
            }
        }
    }
}

#[test]
fn a_maglev_table_of_any_size_works() {
    let members = members(3);
    for size in [0, 1, 2, 3, 4, 100, 65_537] {
        let table = Table::new(HashTable::Maglev { size }, &members);
        for key in keys().take(1_000).chain([0, u64::MAX]) {
            assert!(table.member(key) < 3);
        }
    }
}

#[test]
fn the_ends_of_a_ring_belong_to_somebody() {
    let table = Table::new(RING, &members(3));
    for key in [0, 1, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        assert!(table.member(key) < 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(1_u32..10, 1..12)) {
        let members: Vec<Member> = members(weights.len() as u32)
            .into_iter()
            .zip(&weights)
            .map(|(member, &weight)| Member { weight, ..member })
            .collect();
        let total: u32 = weights.iter().sum();
        for (kind, tolerance) in [(RING, 0.5), (MAGLEV, 0.05)] {
            for (share, &weight) in shares(kind, &members).into_iter().zip(&weights) {
                let fair = f64::from(weight) / f64::from(total);
                let sample = 5.0 * (fair / f64::from(KEYS)).sqrt();
                prop_assert!((share - fair).abs() <= tolerance * fair + sample, "{kind:?} {share} {fair}");
            }
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(count in 1_u32..30, turn in 0_usize..30) {
        let one = members(count);
        let mut other = one.clone();
        other.rotate_left(turn % one.len());
        for kind in [RING, HashTable::Maglev { size: 997 }] {
            prop_assert_eq!(owners(kind, &one), owners(kind, &other));
        }
    }
}
