//! Who is picked when not all are available.

use super::*;
use crate::Locality;

/// Ten endpoints of the first priority and ten of the second, of which so many are available.
fn two_levels(policy: Policy, first: usize, second: usize) -> Picker {
    let endpoints: Vec<Endpoint> = (0..20)
        .map(|index| {
            let (priority, place) = ((index / 10) as u32, index % 10);
            let endpoint = endpoint(index, 1);
            if place >= [first, second][index / 10] {
                endpoint.load.mark_unhealthy();
            }
            Endpoint {
                priority,
                ..endpoint
            }
        })
        .collect();
    Picker::new(settings(policy), endpoints)
}

#[test]
fn traffic_spills_over_to_the_next_priority() {
    for policy in POLICIES {
        for (first, second, percent) in
            [(10, 10, 100.0), (8, 10, 100.0), (5, 10, 70.0), (0, 10, 0.0)]
        {
            let picks = picks(&two_levels(policy, first, second), 20_000, 0);
            let got = 100.0 * shares(&picks)[..10].iter().sum::<f64>();
            assert!(
                (got - percent).abs() < 2.0,
                "{policy:?} {first} {second}: {got}"
            );
            let unavailable = (0..20).filter(|index| index % 10 >= [first, second][index / 10]);
            assert!(unavailable.into_iter().all(|index| picks[index] == 0));
        }
    }
}

#[test]
fn below_the_panic_threshold_all_are_picked() {
    for policy in POLICIES {
        let picker = two_levels(policy, 2, 2);
        let mut random = Random::new(1);
        let mut picked = [false; 20];
        for _ in 0..5_000 {
            let pick = picker.pick(&request(&mut random)).unwrap();
            assert!(pick.panic);
            picked[pick.index] = true;
        }
        assert_eq!(picked, [true; 20], "{policy:?}");
    }
}

#[test]
fn without_a_panic_threshold_those_that_are_available_are_picked_to_the_last() {
    for policy in POLICIES {
        let settings = Settings {
            panic_threshold: 0,
            ..settings(policy)
        };
        let picker = Picker::new(settings, endpoints(&[1; 5]));
        let mut random = Random::new(1);
        for left in (1..5).rev() {
            picker.endpoints()[left].load.mark_unhealthy();
            for picker in [&picker, &picker.refresh()] {
                for _ in 0..50 {
                    let pick = picker.pick(&request(&mut random)).unwrap();
                    assert!(!pick.panic && pick.index < left, "{policy:?}");
                }
            }
        }
        picker.endpoints()[0].load.mark_unhealthy();
        for picker in [&picker, &picker.refresh()] {
            assert!(picker.pick(&request(&mut random)).unwrap().panic);
        }
    }
}

#[test]
fn an_endpoint_that_fails_is_not_picked_from_then_on() {
    for policy in POLICIES {
        let picker = picker(policy, &[1; 6]);
        assert!(!picker.is_stale());
        picker.endpoints()[2].load.mark_unhealthy();
        assert!(picker.is_stale());
        for picker in [&picker, &picker.refresh()] {
            let picks = picks(picker, 6_000, 3);
            assert_eq!(picks[2], 0);
            assert!(
                picks.iter().filter(|&&picks| picks > 600).count() == 5,
                "{policy:?} {picks:?}"
            );
        }
        assert!(!picker.refresh().is_stale());
    }
}

#[test]
fn a_request_that_is_repeated_goes_elsewhere_until_there_is_nowhere_left() {
    for policy in POLICIES {
        let picker = picker(policy, &[1, 1, 5, 1]);
        let mut tried: Vec<u64> = Vec::new();
        let mut random = Random::new(4);
        for _ in 0..4 {
            let pick = picker
                .pick(&Request {
                    tried: &tried,
                    ..request(&mut random)
                })
                .unwrap();
            assert!(!tried.contains(&pick.endpoint().id) && !pick.panic);
            tried.push(pick.endpoint().id);
        }
        assert!(
            picker
                .pick(&Request {
                    tried: &tried,
                    ..request(&mut random)
                })
                .is_none()
        );
    }
}

#[test]
fn what_is_repeated_leaves_its_level_only_when_all_there_have_been_tried() {
    let picker = two_levels(Policy::RoundRobin, 10, 10);
    let tried: Vec<u64> = picker.endpoints()[..9].iter().map(|it| it.id).collect();
    let mut random = Random::new(4);
    let mut pick = |tried| {
        picker
            .pick(&Request {
                tried,
                ..request(&mut random)
            })
            .unwrap()
    };
    assert_eq!(pick(&tried).index, 9);
    let tried: Vec<u64> = picker.endpoints()[..10].iter().map(|it| it.id).collect();
    let next = pick(&tried);
    assert!(next.index >= 10 && !next.panic);
}

/// Three zones of three, seen from zone "a"; those in `unavailable` are not.
fn zones(policy: Policy, unavailable: &[usize]) -> Picker {
    let locality = |zone: &str| Locality {
        zone: Some(zone.into()),
        region: None,
    };
    let endpoints: Vec<Endpoint> = (0..9)
        .map(|index| {
            let endpoint = endpoint(index, 1);
            if unavailable.contains(&index) {
                endpoint.load.mark_unhealthy();
            }
            Endpoint {
                locality: locality(["a", "b", "c"][index / 3]),
                ..endpoint
            }
        })
        .collect();
    let settings = Settings {
        locality: Some(locality("a")),
        ..settings(policy)
    };
    Picker::new(settings, endpoints)
}

#[test]
fn requests_stay_in_their_zone_as_far_as_it_has_its_share() {
    for policy in &POLICIES[..5] {
        let own = |unavailable: &[usize]| {
            let picks = picks(&zones(*policy, unavailable), 20_000, 0);
            (100.0 * shares(&picks)[..3].iter().sum::<f64>()).round() as u32
        };
        assert_eq!(own(&[]), 100, "{policy:?}");
        // Two of eight, for a third of all requests.
        assert!((74..=76).contains(&own(&[0])), "{policy:?}");
        // Too few to tell apart.
        assert!((38..=42).contains(&own(&[0, 3, 6, 7])), "{policy:?}");
        assert_eq!(own(&[0, 1, 2]), 0, "{policy:?}");
    }
}

#[test]
fn a_key_finds_the_same_endpoint_from_every_zone() {
    for policy in &POLICIES[5..7] {
        let here = zones(*policy, &[]);
        let elsewhere = here.update(settings(*policy), here.endpoints());
        let mut random = Random::new(8);
        for _ in 0..1_000 {
            let request = request(&mut random);
            assert_eq!(
                here.pick(&request).unwrap().index,
                elsewhere.pick(&request).unwrap().index
            );
        }
    }
}

#[test]
fn a_drained_endpoint_is_not_picked_even_in_panic_and_comes_back() {
    for policy in POLICIES {
        let picker = picker(policy, &[1; 6]);
        let drained = &picker.endpoints()[2];
        drained.load.drain();
        assert!(picker.is_stale());
        // Too few are left: whoever has a weight is picked, and this one has none.
        for index in [0, 1, 3, 4] {
            picker.endpoints()[index].load.mark_unhealthy();
        }
        let refreshed = picker.refresh();
        let picked = picks(&refreshed, 3_000, 5);
        assert_eq!(picked[2], 0, "{policy:?}");
        assert!(picked[0] > 0, "{policy:?}");
        let sticky = Request {
            sticky: Some(drained.id),
            ..request(&mut Random::new(1))
        };
        assert_ne!(refreshed.pick(&sticky).unwrap().index, 2);
        // Health checks do not bring it back.
        drained.load.mark_healthy(Duration::ZERO);
        assert!(!refreshed.is_stale());
        drained.load.undrain(Duration::ZERO);
        assert!(refreshed.is_stale());
        assert!(picks(&refreshed.refresh(), 3_000, 5)[2] > 0, "{policy:?}");
    }
}

#[test]
fn where_all_are_drained_nobody_is_picked() {
    for policy in POLICIES {
        let picker = picker(policy, &[1; 3]);
        for endpoint in picker.endpoints() {
            endpoint.load.drain();
        }
        for picker in [&picker.refresh(), &picker] {
            assert!(
                picker.pick(&request(&mut Random::new(1))).is_none(),
                "{policy:?}"
            );
        }
    }
}
