//! Shares follow the weights, whatever the policy and the load, and slow start bends them.

use super::*;

const REQUESTS: u32 = 40_000;

/// Asserts that shares are what they should be, to within `tolerance` of them and a little for chance.
fn assert_shares(picks: &[u32], expected: &[f64], tolerance: f64, what: &str) {
    let total: f64 = expected.iter().sum();
    for (share, expected) in shares(picks).into_iter().zip(expected) {
        let expected = expected / total;
        let chance = 5.0 * (expected / f64::from(REQUESTS)).sqrt();
        assert!(
            (share - expected).abs() <= tolerance * expected + chance,
            "{what}: {picks:?} is {share} instead of {expected}"
        );
    }
}

/// How far shares may be from the weights because of where an endpoint's points happen to be on a ring.
fn tolerance(policy: Policy) -> f64 {
    match policy {
        Policy::ConsistentHash {
            table: HashTable::Ring { .. },
            ..
        } => 0.25,
        Policy::ConsistentHash { .. } => 0.03,
        _ => 0.0,
    }
}

#[test]
fn equal_weights_get_equal_shares_under_any_load() {
    for policy in POLICIES {
        for count in [2, 3, 10] {
            for concurrency in [0, 3, 100] {
                let picker = picker(policy, &vec![5; count]);
                let picks = picks(&picker, REQUESTS, concurrency);
                let what = format!("{policy:?} {concurrency}");
                assert_shares(&picks, &vec![1.0; count], tolerance(policy), &what);
            }
        }
    }
}

#[test]
fn shares_follow_the_weights_when_nothing_else_is_in_flight() {
    for policy in POLICIES {
        for weights in [
            &[1, 3][..],
            &[1, 99],
            &[1, 2, 3, 4],
            &[100, 1, 1],
            &[2, 2, 1, 0, 7],
        ] {
            let picks = picks(&picker(policy, weights), REQUESTS, 0);
            let expected: Vec<f64> = weights.iter().copied().map(f64::from).collect();
            // A light endpoint has few points on a ring of a heavy one's measure.
            let tolerance = tolerance(policy) * if weights.contains(&99) { 2.0 } else { 1.0 };
            assert_shares(&picks, &expected, tolerance, &format!("{policy:?}"));
        }
    }
}

#[test]
fn shares_follow_the_weights_under_load() {
    for policy in POLICIES {
        for weights in [&[1, 3][..], &[1, 2, 3, 4], &[2, 2, 1, 0, 7]] {
            let picks = picks(&picker(policy, weights), REQUESTS, 200);
            let expected: Vec<f64> = weights.iter().copied().map(f64::from).collect();
            let tolerance = tolerance(policy) + 0.05;
            assert_shares(&picks, &expected, tolerance, &format!("{policy:?}"));
        }
    }
}

#[test]
fn an_endpoint_of_little_weight_gets_little_when_others_are_busy() {
    // A canary of 1 %, two requests at a time.
    for policy in [Policy::TwoChoices, Policy::PeakEwma] {
        let canary = shares(&picks(&picker(policy, &[1, 99]), REQUESTS, 2))[0];
        assert!((0.005..0.1).contains(&canary), "{policy:?}: {canary}");
    }
}

#[test]
fn the_fewest_connections_are_kept_exactly_in_balance() {
    let picker = picker(Policy::LeastConnections, &[1, 2, 3]);
    let mut random = Random::new(5);
    let _in_flight: Vec<InFlight> = (0..600)
        .map(|_| picker.pick(&request(&mut random)).unwrap().start(NOW))
        .collect();
    let counts: Vec<u32> = picker
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.load.in_flight())
        .collect();
    assert_eq!(counts, [100, 200, 300]);
}

#[test]
fn the_less_busy_of_two_is_chosen() {
    for policy in [
        Policy::TwoChoices,
        Policy::PeakEwma,
        Policy::LeastConnections,
    ] {
        let picker = picker(policy, &[1, 1]);
        let busy = picker.pick(&request(&mut Random::new(5))).unwrap();
        let (busy, _in_flight) = (busy.index, busy.start(NOW));
        let mut random = Random::new(9);
        for _ in 0..100 {
            assert_ne!(picker.pick(&request(&mut random)).unwrap().index, busy);
        }
    }
}

#[test]
fn an_endpoint_that_is_tenfold_slower_gets_next_to_nothing() {
    for (weights, most) in [
        (&[1, 1, 1][..], 0.001),
        (&[2, 2, 1], 0.005),
        (&[3, 1], 0.005),
    ] {
        let picker = picker(Policy::PeakEwma, weights);
        let mut random = Random::new(5);
        let mut picks = vec![0; weights.len()];
        let mut now = NOW;
        for _ in 0..10_000 {
            let pick = picker
                .pick(&Request {
                    now,
                    ..request(&mut random)
                })
                .unwrap();
            picks[pick.index] += 1;
            let mut in_flight = pick.start(now);
            let latency = if pick.index == 0 { 100 } else { 10 };
            in_flight.answered(Outcome::Success, now + Duration::from_millis(latency));
            now += Duration::from_millis(1);
        }
        let slow = shares(&picks)[0];
        assert!(slow <= most, "{weights:?}: {slow}");
    }
}

#[test]
fn an_endpoint_that_was_out_of_use_is_not_overrun_before_it_answers() {
    let picker = picker(Policy::PeakEwma, &[1, 1, 1]);
    let mut now = NOW;
    let mut random = Random::new(5);
    // An answer in 10 ms from each, and from two of them for five minutes.
    for step in 0..30_000 {
        let pick = picker
            .pick(&Request {
                now,
                ..request(&mut random)
            })
            .unwrap();
        let mut in_flight = pick.start(now);
        in_flight.answered(Outcome::Success, now + Duration::from_millis(10));
        if step == 1_000 {
            picker.endpoints()[1].load.mark_unhealthy();
        }
        now += Duration::from_millis(10);
    }
    picker.endpoints()[1].load.mark_healthy(now);
    let in_flight: Vec<InFlight> = (0..60)
        .map(|_| {
            let request = Request {
                now,
                ..request(&mut random)
            };
            picker.pick(&request).unwrap().start(now)
        })
        .collect();
    let back = picker.endpoints()[1].load.in_flight();
    assert!((10..=30).contains(&back), "{back}");
    drop(in_flight);
}

/// An endpoint that became available half a window of 60 s ago, and others that have been for long.
fn starting(policy: Policy, weights: &[u32]) -> Picker {
    let settings = Settings {
        slow_start: Some(SlowStart::over(Duration::from_secs(60))),
        ..settings(policy)
    };
    let mut endpoints = endpoints(weights);
    endpoints[0].load = Arc::new(Load::new(NOW - Duration::from_secs(30)));
    Picker::new(settings, endpoints)
}

#[test]
fn an_endpoint_that_starts_slowly_gets_its_share_of_its_weight() {
    for policy in POLICIES {
        for weights in [&[1, 1][..], &[1, 1, 1, 1, 1, 1], &[4, 1, 2]] {
            let picks = picks(&starting(policy, weights), REQUESTS, 0);
            let mut expected: Vec<f64> = weights.iter().copied().map(f64::from).collect();
            expected[0] *= 0.5;
            let what = format!("{policy:?}");
            if let Policy::ConsistentHash { .. } = policy {
                // Half of its own keys; the others go by the table again, to all.
                let whole: u32 = weights.iter().sum();
                let wanted = 0.5 * f64::from(weights[0]) / f64::from(whole);
                let share = shares(&picks)[0];
                let slack = 0.03 + (tolerance(policy) + 0.05) * wanted;
                assert!((share - wanted).abs() < slack, "{what}: {share} {wanted}");
            } else {
                assert_shares(&picks, &expected, 0.0, &what);
            }
        }
    }
}

#[test]
fn slow_start_ramps() {
    for policy in POLICIES {
        let picker = starting(policy, &[1, 1, 1, 1]);
        let share_after = |seconds| {
            let mut random = Random::new(3);
            let now = NOW + Duration::from_secs(seconds);
            let picked = (0..20_000).filter(|_| {
                let request = Request {
                    now,
                    ..request(&mut random)
                };
                picker.pick(&request).unwrap().index == 0
            });
            picked.count()
        };
        let shares = [0, 10, 20, 30].map(share_after);
        assert!(shares.is_sorted(), "{policy:?}: {shares:?}");
        assert!(shares[0] < shares[3] * 3 / 4, "{policy:?}: {shares:?}");
    }
}

#[test]
fn endpoints_that_all_start_share_evenly() {
    for policy in POLICIES {
        let settings = Settings {
            slow_start: Some(SlowStart::over(Duration::from_secs(60))),
            ..settings(policy)
        };
        let endpoints: Vec<Endpoint> = endpoints(&[1, 1, 1])
            .into_iter()
            .map(|endpoint| Endpoint {
                load: Arc::new(Load::new(NOW)),
                ..endpoint
            })
            .collect();
        let picker = Picker::new(settings, endpoints);
        let picks = picks(&picker, REQUESTS, 0);
        assert_shares(&picks, &[1.0; 3], tolerance(policy), &format!("{policy:?}"));
    }
}
