//! Zones and regions: how much of a level's requests stays near.
//!
//! The aim is Envoy's ("Zone aware routing"): as much as possible stays in the gateway's own zone, as long as all
//! endpoints get about the same. What Envoy knows and we do not is how many gateways there are in each zone; so each
//! zone that has endpoints is taken to bring in the same share of all requests, 1/Z. A zone that has `a` of the
//! available weight then keeps `a × Z` of its requests, all if that is 1 or more, and sends the rest to zones that
//! have more than their share, by weight.
//!
//! Regions come first, by the same rule: what stays in the region is then divided by zone within it, and only what
//! does not stay in the region goes beyond. A zone whose endpoints have failed still counts in Z: its gateways are
//! still there.
//!
//! With fewer available endpoints than `min_cluster_size`, or where the gateway does not say where it is, all are
//! alike. A gateway in a zone, or region, without an available endpoint keeps nothing there.

use std::collections::BTreeMap;

use super::Level;
use crate::settings::{Endpoint, Settings};

/// The available endpoints of a level in groups, nearest first, with the share of the level's requests that each
/// gets: above 0, and 1 in sum. No groups if no endpoint is available.
pub(super) fn split(
    settings: &Settings,
    endpoints: &[Endpoint],
    level: &Level,
) -> Vec<(Vec<usize>, f64)> {
    let available = level.available.clone();
    if available.is_empty() {
        return Vec::new();
    }
    let Some(own) = &settings.locality else {
        return vec![(available, 1.0)];
    };
    if available.len() < settings.min_cluster_size {
        return vec![(available, 1.0)];
    }

    let weight = |index: usize| f64::from(endpoints[index].weight);
    let region = |index: usize| endpoints[index].locality.region.as_deref();
    let own_region = own.region.as_deref();
    let regions = Split::new(&level.members, available, own_region, region, weight);

    // Zones of one region only, or by their names alone if the gateway does not know its region.
    let zone = |index: usize| endpoints[index].locality.zone.as_deref();
    let in_region = |index: &usize| own_region.is_none() || region(*index) == own_region;
    let members: Vec<usize> = level.members.iter().copied().filter(in_region).collect();
    let zones = Split::new(&members, regions.near, own.zone.as_deref(), zone, weight);

    [
        (zones.near, regions.stays * zones.stays),
        (zones.far, regions.stays * (1.0 - zones.stays)),
        (regions.far, 1.0 - regions.stays),
    ]
    .into_iter()
    .filter(|(members, share)| !members.is_empty() && *share > 0.0)
    .collect()
}

/// One place, and all others.
struct Split {
    /// Available, in this place; all that are available if it is not known which place is this.
    near: Vec<usize>,
    /// Available, in other places: in those that have more than their share, where there are any.
    far: Vec<usize>,
    /// The share of the requests of this place that stays in it.
    stays: f64,
}

impl Split {
    /// Splits `available` by whether its `place` is `own`. `members` are those that would be available if all were
    /// well: they tell how many places there are.
    fn new<'a>(
        members: &[usize],
        available: Vec<usize>,
        own: Option<&'a str>,
        place: impl Fn(usize) -> Option<&'a str>,
        weight: impl Fn(usize) -> f64,
    ) -> Self {
        let Some(own) = own else {
            return Self {
                near: available,
                far: Vec::new(),
                stays: 1.0,
            };
        };
        // What of each place is available, also if it is nothing.
        let mut places: BTreeMap<&str, f64> = BTreeMap::new();
        places.extend(
            members
                .iter()
                .filter_map(|&index| Some((place(index)?, 0.0))),
        );
        for &index in &available {
            if let Some(weight_there) = place(index).and_then(|place| places.get_mut(place)) {
                *weight_there += weight(index);
            }
        }
        let total: f64 = available.iter().map(|&index| weight(index)).sum();
        let fair = total / places.len().max(1) as f64;
        let available_in = |place: &str| places.get(place).copied().unwrap_or(0.0);

        let (near, others): (Vec<usize>, Vec<usize>) = available
            .into_iter()
            .partition(|&index| place(index) == Some(own));
        if others.is_empty() {
            let stays = if near.is_empty() { 0.0 } else { 1.0 };
            return Self {
                near,
                far: others,
                stays,
            };
        }
        let has_more = |index: &usize| place(*index).is_some_and(|it| available_in(it) > fair);
        let with_more: Vec<usize> = others.iter().copied().filter(has_more).collect();
        Self {
            near,
            far: if with_more.is_empty() {
                others
            } else {
                with_more
            },
            stays: (available_in(own) / fair).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::settings::Locality;

    fn locality(place: &str) -> Locality {
        let (region, zone) = place.split_once('/').unwrap_or(("", place));
        let name = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
        Locality {
            zone: name(zone),
            region: name(region),
        }
    }

    /// Endpoints at `places`, "region/zone" or "zone"; those that begin with "-" are not available. The groups as
    /// seen from `own`, by endpoints' indices.
    fn groups(own: &str, places: &[&str]) -> Vec<(Vec<usize>, f64)> {
        let settings = Settings {
            locality: Some(locality(own)),
            min_cluster_size: 2,
            ..Settings::default()
        };
        let endpoints: Vec<Endpoint> = places
            .iter()
            .map(|place| Endpoint {
                locality: locality(place.trim_start_matches('-')),
                ..Endpoint::new(0, Arc::default())
            })
            .collect();
        let available: Vec<bool> = places.iter().map(|place| !place.starts_with('-')).collect();
        let levels = super::super::levels::of(&endpoints, &available);
        split(&settings, &endpoints, &levels[0])
    }

    #[test]
    fn all_stays_in_a_zone_that_has_its_share() {
        assert_eq!(groups("a", &["a", "b", "a", "b"]), [(vec![0, 2], 1.0)]);
        assert_eq!(groups("a", &["a", "a", "a", "b"]), [(vec![0, 1, 2], 1.0)]);
    }

    #[test]
    fn a_zone_that_has_less_sends_the_rest_to_those_that_have_more() {
        // A fifth of the endpoints for a third of the requests: three fifths stay.
        let groups = groups("a", &["a", "b", "b", "c", "c"]);
        assert_eq!(groups[0].0, [0]);
        assert!((groups[0].1 - 0.6).abs() < 1e-9);
        assert_eq!(groups[1].0, [1, 2, 3, 4]);
        assert!((groups[1].1 - 0.4).abs() < 1e-9);
    }

    #[test]
    fn a_zone_without_available_endpoints_keeps_nothing() {
        assert_eq!(groups("a", &["-a", "b", "c"]), [(vec![1, 2], 1.0)]);
        assert_eq!(groups("z", &["a", "b", "c"]), [(vec![0, 1, 2], 1.0)]);
    }

    #[test]
    fn a_zone_that_has_failed_leaves_the_others_to_themselves() {
        // Half of what is left, for a third of the requests.
        assert_eq!(groups("a", &["a", "b", "-c"]), [(vec![0], 1.0)]);
    }

    #[test]
    fn what_leaves_the_zone_stays_in_the_region_if_it_can() {
        let groups = groups(
            "eu/1",
            &[
                "eu/1", "eu/2", "eu/2", "eu/2", "us/1", "us/1", "us/1", "us/1",
            ],
        );
        assert_eq!(groups, [(vec![0], 0.5), (vec![1, 2, 3], 0.5)]);
    }

    #[test]
    fn what_the_region_cannot_take_leaves_it() {
        let groups = groups("eu/1", &["eu/1", "us/1", "us/1", "us/2"]);
        assert_eq!(groups, [(vec![0], 0.5), (vec![1, 2, 3], 0.5)]);
    }

    #[test]
    fn zones_of_other_regions_are_not_ones_own() {
        let groups = groups("eu/1", &["eu/2", "us/1", "eu/2", "us/1"]);
        assert_eq!(groups, [(vec![0, 2], 1.0)]);
    }

    #[test]
    fn where_few_are_available_nearness_is_ignored() {
        assert_eq!(groups("a", &["a", "-b", "-b"]), [(vec![0], 1.0)]);
        assert_eq!(groups("a", &["-a", "b", "-b"]), [(vec![1], 1.0)]);
    }

    proptest! {
        /// If each zone brings in the same, each endpoint gets the same to within what the lack of a second step
        /// costs; and never is a share lost.
        #[test]
        fn endpoints_get_about_the_same_from_all_zones_together(
            zones in prop::collection::vec(1_usize..6, 2..5),
        ) {
            const NAMES: [&str; 4] = ["a", "b", "c", "d"];
            let places: Vec<&str> = zones
                .iter()
                .zip(NAMES)
                .flat_map(|(&count, name)| std::iter::repeat_n(name, count))
                .collect();
            let mut load = vec![0.0; places.len()];
            for own in &NAMES[..zones.len()] {
                let groups = groups(own, &places);
                let shares: f64 = groups.iter().map(|(_, share)| share).sum();
                prop_assert!((shares - 1.0).abs() < 1e-9);
                for (members, share) in groups {
                    for &member in &members {
                        load[member] += share / members.len() as f64 / zones.len() as f64;
                    }
                }
            }
            let fair = 1.0 / places.len() as f64;
            for load in load {
                prop_assert!((0.5 * fair..1.7 * fair).contains(&load), "{load} {fair} {zones:?}");
            }
        }
    }
}
