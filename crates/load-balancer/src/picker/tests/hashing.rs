//! Where keys go.

use super::*;

const KEYS: u64 = 20_000;

/// The identity of the endpoint that each key goes to.
fn owners(picker: &Picker) -> Vec<u64> {
    (0..KEYS)
        .map(|key| {
            let request = Request {
                hash: Some(key),
                now: NOW,
                // Must not matter.
                random: key ^ 0x55,
                ..Request::default()
            };
            picker.pick(&request).unwrap().endpoint().id
        })
        .collect()
}

#[test]
fn a_key_goes_where_it_went_before() {
    for policy in [RING, MAGLEV] {
        let one = picker(policy, &[1, 2, 3]);
        let owners_before = owners(&one);
        assert_eq!(owners(&one), owners_before);
        // In another gateway, that has heard of the endpoints in another order.
        let mut other: Vec<Endpoint> = endpoints(&[1, 2, 3]);
        other.reverse();
        assert_eq!(owners(&Picker::new(settings(policy), other)), owners_before);
    }
}

#[test]
fn a_key_stays_at_its_level_while_traffic_spills_over() {
    for policy in [RING, MAGLEV] {
        let mut endpoints = endpoints(&[1; 8]);
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            endpoint.priority = u32::from(index >= 4);
            if index < 2 {
                endpoint.load.mark_unhealthy();
            }
        }
        let picker = Picker::new(settings(policy), endpoints);
        for key in 0..1_000 {
            let pick = |random| {
                let request = Request {
                    hash: Some(key),
                    random,
                    ..Request::default()
                };
                picker.pick(&request).unwrap().index
            };
            assert!((1..20).all(|random| pick(random) == pick(0)));
        }
    }
}

#[test]
fn without_a_hash_requests_go_anywhere() {
    for policy in [RING, MAGLEV, BOUNDED_RING] {
        let picker = picker(policy, &[1, 1, 1]);
        let mut random = Random::new(2);
        let mut picked = [0; 3];
        for _ in 0..3_000 {
            let request = Request {
                hash: None,
                ..request(&mut random)
            };
            picked[picker.pick(&request).unwrap().index] += 1;
        }
        assert!(picked.iter().all(|&picked| picked > 700), "{picked:?}");
    }
}

#[test]
fn only_the_keys_of_an_endpoint_that_fails_move_and_they_come_back() {
    for policy in [RING, MAGLEV] {
        let picker = picker(policy, &[1; 10]);
        let before = owners(&picker);
        let failed = &picker.endpoints()[4];
        failed.load.mark_unhealthy();
        let refreshed = picker.refresh();
        let during = owners(&refreshed);
        assert_eq!(
            during,
            owners(&picker),
            "it does not matter who has noticed"
        );
        let mut taken_over = [0; 10];
        for (before, during) in before.iter().zip(&during) {
            assert_ne!(*during, failed.id);
            if *before == failed.id {
                let by = picker
                    .endpoints()
                    .iter()
                    .position(|it| it.id == *during)
                    .unwrap();
                taken_over[by] += 1;
            } else {
                assert_eq!(before, during);
            }
        }
        // Its keys are spread over all others.
        let moved: u32 = taken_over.iter().sum();
        assert!(
            taken_over
                .iter()
                .enumerate()
                .all(|(index, &taken)| index == 4 || taken > moved / 18)
        );

        failed.load.mark_healthy(NOW);
        assert_eq!(owners(&refreshed.refresh()), before);
    }
}

#[test]
fn a_table_is_made_anew_only_if_its_members_have_changed() {
    for policy in [RING, MAGLEV] {
        let before = picker(policy, &[1, 2]);
        let placement = |picker: &Picker| Arc::clone(picker.pools[0].pool.placement().unwrap());
        let same = |after: &Picker| Arc::ptr_eq(&placement(&before), &placement(after));
        before.endpoints()[0].load.mark_unhealthy();
        assert!(same(&before.refresh()));
        assert!(same(&before.update(settings(policy), before.endpoints())));
        assert!(!same(&before.update(settings(policy), endpoints(&[1, 3]))));
        assert!(!same(
            &before.update(settings(policy), endpoints(&[1, 2, 1]))
        ));
    }
}

#[test]
fn about_a_share_of_the_keys_moves_when_an_endpoint_joins() {
    for (policy, most_needless) in [(RING, 0.0), (MAGLEV, 0.05)] {
        let before = picker(policy, &[1; 9]);
        let mut all = before.endpoints().to_vec();
        all.push(endpoint(9, 1));
        let new = all[9].id;
        let after = before.update(settings(policy), all);
        let pairs = || owners(&before).into_iter().zip(owners(&after));
        let moved = pairs().filter(|(before, after)| before != after).count() as f64 / KEYS as f64;
        let needless = pairs()
            .filter(|(before, after)| before != after && *after != new)
            .count() as f64
            / KEYS as f64;
        assert!((0.08..0.15).contains(&moved), "{policy:?}: {moved}");
        assert!(needless <= most_needless, "{policy:?}: {needless}");
    }
}

#[test]
fn keys_come_one_after_the_other_to_an_endpoint_that_starts_slowly_and_stay() {
    for policy in [RING, MAGLEV] {
        let settings = Settings {
            slow_start: Some(SlowStart::over(Duration::from_secs(100))),
            ..settings(policy)
        };
        let mut endpoints = endpoints(&[1; 4]);
        endpoints[0].load = Arc::new(Load::new(NOW));
        let picker = Picker::new(settings, endpoints);
        let owners_at = |seconds| -> Vec<usize> {
            let owner = |key| {
                let request = Request {
                    hash: Some(key),
                    now: NOW + Duration::from_secs(seconds),
                    ..Request::default()
                };
                picker.pick(&request).unwrap().index
            };
            (0..KEYS).map(owner).collect()
        };
        let mut before = owners_at(0);
        for seconds in (10..=100).step_by(10) {
            let after = owners_at(seconds);
            for (before, after) in before.iter().zip(&after) {
                assert!(before == after || *after == 0);
            }
            before = after;
        }
        let share = before.iter().filter(|&&owner| owner == 0).count() as f64 / KEYS as f64;
        assert!((0.2..0.3).contains(&share), "{share}");
    }
}

/// Asserts the bound for an endpoint that has just been given a request.
fn assert_bounded(picker: &Picker, factor: f64, picked: usize) {
    let endpoints = picker.endpoints();
    let in_flight = |endpoint: &Endpoint| f64::from(endpoint.load.in_flight());
    let all: f64 = endpoints.iter().map(in_flight).sum();
    let weights: f64 = endpoints.iter().map(|it| f64::from(it.weight)).sum();
    let share = f64::from(endpoints[picked].weight) / weights;
    // A little for rounding: weights are kept as `f32`.
    let most = (factor * all * share + 1e-3).ceil();
    assert!(
        in_flight(&endpoints[picked]) <= most,
        "{picked}: {} > {most}",
        in_flight(&endpoints[picked])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// However the keys are spread, and in whatever order requests end.
    #[test]
    fn no_endpoint_ever_has_more_than_its_bound(
        weights in prop::collection::vec(1_u32..5, 1..8),
        factor in prop::sample::select(&[1.0, 1.25, 2.0][..]),
        policy in prop::sample::select(&[RING, MAGLEV][..]),
        steps in prop::collection::vec((0_u64..6, any::<bool>(), any::<prop::sample::Index>()), 1..300),
    ) {
        let picker = picker(bounded(policy, factor), &weights);
        let mut in_flight: Vec<InFlight> = Vec::new();
        for (key, ends, which) in steps {
            if ends && !in_flight.is_empty() {
                let which = which.index(in_flight.len());
                in_flight.swap_remove(which);
                continue;
            }
            let request = Request { hash: Some(key), now: NOW, ..Request::default() };
            let pick = picker.pick(&request).unwrap();
            in_flight.push(pick.start(NOW));
            assert_bounded(&picker, factor, pick.index);
        }
    }
}

#[test]
fn the_bound_holds_when_a_picker_takes_anothers_place() {
    let before = picker(BOUNDED_RING, &[1; 4]);
    let request = Request {
        hash: Some(1),
        now: NOW,
        ..Request::default()
    };
    let mut in_flight: Vec<InFlight> = (0..100)
        .map(|_| before.pick(&request).unwrap().start(NOW))
        .collect();
    // Even if that is not told of the one before.
    let after = Picker::new(before.settings().clone(), before.endpoints());
    for _ in 0..100 {
        let pick = after.pick(&request).unwrap();
        in_flight.push(pick.start(NOW));
        assert_bounded(&after, 1.25, pick.index);
    }
    drop(in_flight);
    let loads = after.endpoints().iter().map(|endpoint| &*endpoint.load);
    assert_eq!(crate::load::AllInFlight::of(loads).get(), 0);
}

#[test]
fn a_key_that_is_asked_for_too_often_overflows_and_all_others_stay() {
    let picker = picker(BOUNDED_RING, &[1; 5]);
    let request = |key| Request {
        hash: Some(key),
        now: NOW,
        ..Request::default()
    };
    let home = picker.pick(&request(1)).unwrap().index;
    let in_flight: Vec<InFlight> = (0..100)
        .map(|_| picker.pick(&request(1)).unwrap().start(NOW))
        .collect();
    assert_eq!(picker.endpoints()[home].load.in_flight(), 25);
    drop(in_flight);
    assert_eq!(picker.pick(&request(1)).unwrap().index, home);
}
