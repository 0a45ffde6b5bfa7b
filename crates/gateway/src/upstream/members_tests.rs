//! What members come of, and what of them stays.

use circuit_breaker::State;

use super::super::dns::Answer;
use super::*;

const NOW: Duration = Duration::from_secs(100);

fn roster(urls: &[(&str, u32, u32)]) -> Roster {
    let endpoints = urls.iter().map(|(url, weight, priority)| Endpoint {
        priority: *priority,
        ..Endpoint::new(Target::parse(url).unwrap(), *weight)
    });
    Roster {
        endpoints: endpoints.collect(),
        balance: Settings::default(),
        outliers: Some(outlier::Settings::default()),
        checked: true,
        breaker: Some(Policy::default()),
        peers: Arc::default(),
        tls: None,
    }
}

/// A name that has come to these places, each an address with what it falls back on, weight and priority.
fn resolved(places: &[(&[&str], u32, u32)]) -> Option<Watched> {
    let places = places.iter().map(|(addresses, weight, priority)| {
        let mut addresses = addresses.iter().map(|address| address.parse().unwrap());
        Resolved {
            address: addresses.next().unwrap(),
            fallbacks: addresses.collect(),
            weight: *weight,
            priority: *priority,
        }
    });
    let answer = Answer::new(places.collect());
    Some(Watched::for_tests(Some(answer)))
}

/// Label, weight and priority of each.
fn shown(members: &Members) -> Vec<String> {
    let balanced = members.picker.endpoints().iter();
    let members = members.all.iter().zip(balanced);
    members
        .map(|(member, it)| {
            assert_eq!(member.id, it.id);
            format!("{} {} {}", member.label, it.weight, it.priority)
        })
        .collect()
}

#[test]
fn literal_addresses_are_members_at_once_and_names_when_they_are_resolved() {
    let roster = roster(&[("http://10.0.0.1", 2, 0), ("http://users", 3, 1)]);
    let first = Members::new(&roster, NOW);
    assert_eq!(shown(&first), ["10.0.0.1:80 2 0"]);
    assert!(first.incomplete);
    let two = resolved(&[(&["10.0.0.2:80"], 1, 0), (&["10.0.0.3:80"], 1, 0)]);
    let members = first.update(&roster, &[None, two], NOW);
    let all = ["10.0.0.1:80 2 0", "10.0.0.2:80 3 1", "10.0.0.3:80 3 1"];
    assert_eq!(shown(&members), all);
    assert!(!members.incomplete);
    let nowhere = members.update(&roster, &[None, resolved(&[])], NOW);
    assert_eq!(shown(&nowhere), ["10.0.0.1:80 2 0"]);
    assert!(!nowhere.incomplete);
}

#[test]
fn weights_and_priorities_of_records_are_within_those_of_the_endpoint() {
    let roster = roster(&[("http+srv://_http._tcp.users", 2, 1)]);
    let places = resolved(&[
        (&["10.0.0.1:8081"], 60, 10),
        (&["10.0.0.2:8082"], 40, 10),
        (&["10.0.0.3:8083"], 1, 20),
    ]);
    let members = Members::new(&roster, NOW).update(&roster, &[places], NOW);
    let all = [
        "10.0.0.1:8081 120 1",
        "10.0.0.2:8082 80 1",
        "10.0.0.3:8083 2 2",
    ];
    assert_eq!(shown(&members), all);
}

#[test]
fn what_is_known_of_an_address_stays_with_it() {
    let roster = roster(&[("http://users", 1, 0)]);
    let two = resolved(&[(&["10.0.0.1:80"], 1, 0), (&["10.0.0.2:80"], 1, 0)]);
    let before = Members::new(&roster, NOW).update(&roster, &[two], NOW);
    let id = before.all[1].id;
    let (member, load) = before.find(id).unwrap();
    load.mark_unhealthy();
    let breaker = member.breaker.as_ref().unwrap();
    for _ in 0..5 {
        breaker.try_acquire(NOW).unwrap().failure(NOW);
    }
    // Its place among them is another, and it has somewhere to fall back on.
    let other = resolved(&[(&["10.0.0.2:80", "[fd00::2]:80"], 1, 0)]);
    let after = before.update(&roster, &[other], NOW);
    assert_eq!(shown(&after), ["10.0.0.2:80 1 0"]);
    let (member, load) = after.find(id).unwrap();
    assert!(load.is_unhealthy());
    assert_eq!(member.addresses.len(), 2);
    assert_eq!(member.breaker.as_ref().unwrap().state(NOW), State::Open);
    assert_eq!(
        member.peer.number(),
        before.find(id).unwrap().0.peer.number()
    );
}

#[test]
fn a_member_that_has_not_changed_is_the_same() {
    let roster = roster(&[("http://10.0.0.1", 1, 0), ("http://users", 1, 0)]);
    let two = || resolved(&[(&["10.0.0.2:80", "[fd00::2]:80"], 1, 0)]);
    let before = Members::new(&roster, NOW).update(&roster, &[None, two()], NOW);
    let after = before.update(&roster, &[None, two()], NOW);
    for (one, other) in before.all.iter().zip(&*after.all) {
        assert!(Arc::ptr_eq(one, other));
    }
}

#[test]
fn a_peer_is_gone_with_the_last_member_that_leads_to_it() {
    let roster = roster(&[("http://users/a", 1, 0), ("http://users/b", 1, 0)]);
    let one = || resolved(&[(&["10.0.0.1:80"], 1, 0)]);
    let other = || resolved(&[(&["10.0.0.2:80"], 1, 0)]);
    let both = Members::new(&roster, NOW).update(&roster, &[one(), one()], NOW);
    let peer = both.all[0].peer.clone();
    assert_eq!(peer.number(), both.all[1].peer.number());
    let half = both.update(&roster, &[one(), other()], NOW);
    drop(both);
    assert!(!peer.is_gone());
    let neither = half.update(&roster, &[other(), other()], NOW);
    // A request that is in flight keeps its member, not the connections of others.
    let in_flight = Arc::clone(&half.all[0]);
    drop(half);
    assert!(peer.is_gone() && in_flight.peer.is_gone());
    assert_eq!(shown(&neither).len(), 2);
}

#[test]
fn whoever_cannot_be_reached_has_its_name_looked_up() {
    let roster = roster(&[("http://users", 1, 0)]);
    let users = resolved(&[(&["10.0.0.1:80"], 1, 0)]);
    let watched = users.clone().unwrap();
    let members = Members::new(&roster, NOW).update(&roster, &[users], NOW);
    assert!(!watched.is_wanted());
    members.all[0].is_unreachable();
    assert!(watched.is_wanted());
}

#[test]
fn names_that_lead_nowhere_are_looked_up_for_those_who_miss_them() {
    let roster = roster(&[
        ("http://users", 1, 0),
        ("http://orders", 1, 0),
        ("http://carts", 1, 0),
    ]);
    let named = [
        resolved(&[(&["10.0.0.1:80"], 1, 0)]),
        resolved(&[]),
        Some(Watched::for_tests(None)),
    ];
    let members = Members::new(&roster, NOW).update(&roster, &named, NOW);
    members.are_missed();
    let wanted = named.map(|watched| watched.unwrap().is_wanted());
    assert_eq!(wanted, [false, true, true]);
}

#[test]
fn who_is_ejected_is_named_by_its_place_among_those_with_a_weight() {
    let roster = roster(&[("http://10.0.0.1", 0, 0), ("http://10.0.0.2", 1, 0)]);
    let members = Members::new(&roster, NOW);
    assert_eq!(&*members.weighted(0).unwrap().label, "10.0.0.2:80");
    assert!(members.weighted(1).is_none());
}
