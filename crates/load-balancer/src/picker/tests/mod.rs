//! What a picker promises, for every policy.

mod availability;
mod hashing;
mod shares;

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::load::Load;
use crate::random::identity;
use crate::settings::{HashTable, SlowStart};
use crate::{InFlight, Outcome};

const RING: Policy = Policy::ConsistentHash {
    table: HashTable::Ring { min_size: 1024 },
    balance_factor: None,
};
const MAGLEV: Policy = Policy::ConsistentHash {
    table: HashTable::Maglev { size: 4_099 },
    balance_factor: None,
};
const BOUNDED_RING: Policy = bounded(RING, 1.25);
const BOUNDED_MAGLEV: Policy = bounded(MAGLEV, 1.25);
const POLICIES: [Policy; 9] = [
    Policy::RoundRobin,
    Policy::Random,
    Policy::LeastConnections,
    Policy::TwoChoices,
    Policy::PeakEwma,
    RING,
    MAGLEV,
    BOUNDED_RING,
    BOUNDED_MAGLEV,
];
/// When all tests play; slow start is long over for endpoints that joined at 0.
const NOW: Duration = Duration::from_secs(10_000);

const fn bounded(policy: Policy, factor: f64) -> Policy {
    match policy {
        Policy::ConsistentHash { table, .. } => Policy::ConsistentHash {
            table,
            balance_factor: Some(factor),
        },
        other => other,
    }
}

fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    (0..)
        .zip(weights)
        .map(|(index, &weight)| endpoint(index, weight))
        .collect()
}

fn endpoint(index: usize, weight: u32) -> Endpoint {
    let id = identity(&format!("10.0.0.{index}:8080"));
    Endpoint {
        weight,
        ..Endpoint::new(id, Arc::new(Load::new(Duration::ZERO)))
    }
}

fn settings(policy: Policy) -> Settings {
    Settings {
        policy,
        ..Settings::default()
    }
}

fn picker(policy: Policy, weights: &[u32]) -> Picker {
    Picker::new(settings(policy), endpoints(weights))
}

/// A request of its own key, and its own luck.
fn request(random: &mut Random) -> Request<'static> {
    Request {
        hash: Some(random.next()),
        now: NOW,
        random: random.next(),
        ..Request::default()
    }
}

/// How many of `requests` each endpoint gets, when there are always `concurrency` in flight and the oldest ends first.
fn picks(picker: &Picker, requests: u32, concurrency: usize) -> Vec<u32> {
    let mut random = Random::new(11);
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    let mut picks = vec![0; picker.endpoints().len()];
    for _ in 0..requests {
        let pick = picker.pick(&request(&mut random)).unwrap();
        picks[pick.index] += 1;
        in_flight.push_back(pick.start(NOW));
        while in_flight.len() > concurrency {
            let mut oldest = in_flight.pop_front().unwrap();
            oldest.answered(Outcome::Success, NOW + Duration::from_millis(10));
        }
    }
    picks
}

fn shares(picks: &[u32]) -> Vec<f64> {
    let total: u32 = picks.iter().sum();
    picks
        .iter()
        .map(|&picks| f64::from(picks) / f64::from(total))
        .collect()
}

#[test]
fn the_only_endpoint_gets_everything() {
    for policy in POLICIES {
        assert_eq!(picks(&picker(policy, &[3]), 100, 7), [100], "{policy:?}");
    }
}

#[test]
fn without_an_endpoint_that_has_a_weight_nothing_is_picked() {
    for policy in POLICIES {
        for weights in [&[][..], &[0], &[0, 0]] {
            let picker = picker(policy, weights);
            assert!(picker.pick(&request(&mut Random::new(1))).is_none());
        }
    }
}

#[test]
fn a_client_stays_with_its_endpoint_while_that_is_available() {
    for policy in POLICIES {
        let picker = picker(policy, &[1, 1, 1, 0]);
        let mut random = Random::new(3);
        for remembered in 0..4 {
            let sticky = Some(picker.endpoints()[remembered].id);
            let pick = |random: &mut Random, tried| {
                let request = Request {
                    sticky,
                    tried,
                    ..request(random)
                };
                picker.pick(&request).unwrap().index
            };
            let has_weight = remembered < 3;
            let stayed = (0..50)
                .filter(|_| pick(&mut random, &[]) == remembered)
                .count();
            assert_eq!(stayed, if has_weight { 50 } else { 0 });
            let tried = [picker.endpoints()[remembered].id];
            assert_ne!(pick(&mut random, &tried), remembered);
            picker.endpoints()[remembered].load.mark_unhealthy();
            assert_ne!(pick(&mut random, &[]), remembered);
            picker.endpoints()[remembered].load.mark_healthy(NOW);
        }
    }
}

#[test]
fn an_endpoint_that_is_not_known_is_no_reason_to_fail() {
    let picker = picker(Policy::RoundRobin, &[1, 1]);
    let request = Request {
        sticky: Some(77),
        tried: &[78],
        ..request(&mut Random::new(1))
    };
    assert!(picker.pick(&request).is_some());
}

#[test]
fn turns_go_on_when_availability_changes() {
    let before = picker(Policy::RoundRobin, &[1, 1, 1]);
    let pick = |picker: &Picker| picker.pick(&request(&mut Random::new(1))).unwrap().index;
    assert_eq!([pick(&before), pick(&before)], [0, 1]);
    let after = before.refresh();
    assert_eq!([pick(&after), pick(&after)], [2, 0]);
}

#[test]
fn a_picker_can_be_shared_and_requests_can_end_anywhere() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Picker>();
    is_shared::<InFlight>();
}

prop_compose! {
    fn any_endpoints()(
        all in prop::collection::vec((0_u32..4, 0_u32..3, any::<bool>(), 0_usize..4, 0_u64..90), 0..12),
    ) -> Vec<Endpoint> {
        let all = all.into_iter().enumerate();
        all.map(|(index, (weight, priority, available, zone, age))| {
            let load = Arc::new(Load::new(NOW - Duration::from_secs(age)));
            if !available {
                load.mark_unhealthy();
            }
            let zone = ["", "a", "b", "c"][zone];
            Endpoint {
                load,
                priority,
                locality: crate::Locality {
                    zone: (!zone.is_empty()).then(|| zone.into()),
                    region: None,
                },
                ..endpoint(index, weight)
            }
        }).collect()
    }
}

proptest! {
    /// Whatever the endpoints, the settings and what has been tried: one is picked if there is one to pick, and it is
    /// available if one of those is, unless a panic is declared.
    #[test]
    fn one_is_picked_if_there_is_one(
        endpoints in any_endpoints(),
        policy in prop::sample::select(&POLICIES[..]),
        panic_threshold in prop::sample::select(&[0, 50, 100][..]),
        min_cluster_size in 0_usize..8,
        slow in any::<bool>(),
        tried in prop::collection::vec(0_usize..12, 0..12),
        broken in prop::collection::vec(any::<bool>(), 12),
        seed in any::<u64>(),
    ) {
        let settings = Settings {
            policy,
            slow_start: slow.then_some(SlowStart::over(Duration::from_secs(60))),
            panic_threshold,
            locality: Some(crate::Locality { zone: Some("a".into()), region: None }),
            min_cluster_size,
            ..Settings::default()
        };
        let picker = Picker::new(settings, endpoints);
        // Some become unavailable after it has been made.
        for (endpoint, broken) in picker.endpoints().iter().zip(broken) {
            if broken && seed % 2 == 0 {
                endpoint.load.mark_unhealthy();
            }
        }
        let ids = tried.iter().filter_map(|&index| Some(picker.endpoints().get(index)?.id));
        let tried: Vec<u64> = ids.collect();
        let candidates = || {
            let endpoints = picker.endpoints().iter();
            endpoints.filter(|it| it.weight > 0 && !tried.contains(&it.id))
        };
        let mut random = Random::new(seed);
        for _ in 0..20 {
            let pick = picker.pick(&Request { tried: &tried, ..request(&mut random) });
            prop_assert_eq!(pick.is_some(), candidates().next().is_some());
            let Some(pick) = pick else { continue };
            prop_assert!(pick.endpoint().weight > 0 && !tried.contains(&pick.endpoint().id));
            if !pick.panic {
                prop_assert!(pick.endpoint().load.is_available());
            } else if panic_threshold == 0 {
                prop_assert!(candidates().all(|it| !it.load.is_available()));
            }
        }
    }
}
