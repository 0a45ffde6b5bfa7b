//! The endpoint that a key belongs to.
//!
//! The table is one over all members, available or not: so availability moves nobody's keys but those of the endpoint
//! that fails, and gives them back when it recovers. A key whose endpoint is turned down is looked up again under
//! other values that follow from it, as if it were another key: the keys of an endpoint that fails are spread over
//! all others, and each finds the same one every time. (Walking along a ring instead would pile the keys of
//! an overloaded endpoint up on the next: Chen, Coleman, Shrivastava: "Revisiting Consistent Hashing with Bounded
//! Loads".)
//!
//! **Bounded load**: an endpoint is turned down as well when it has its share, by weight, of all requests in flight
//! times the factor, rounded up. With this request counted in, shares are above what is in flight by at least the
//! factor, so that there is an endpoint with room unless it has been tried or has failed since. The count of all
//! requests is read before this one is added to it: as many threads as there are may exceed the bound by one
//! each.
//!
//! **Slow start** lets keys in one after the other: each key has, for each endpoint, a point of the ramp from which
//! on it is let in. None of them comes and goes.

use std::sync::Arc;

use super::{Materials, Query, Slot, Slots};
use crate::load::AllInFlight;
use crate::random::{nth, unit};
use crate::settings::{Endpoint, HashTable};
use crate::table::{Member, Table};

/// How often a key is looked up before all endpoints are looked at.
const LOOKUPS: u64 = 8;

/// A table, and what it has been made of.
#[derive(Debug)]
pub(crate) struct Placement {
    kind: HashTable,
    members: Vec<Member>,
    table: Table,
}

#[derive(Debug)]
pub(super) struct ConsistentHash {
    placement: Arc<Placement>,
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    /// The factor divided by the number of endpoints that might be used when this was made: what an endpoint of mean
    /// weight may have of all requests.
    part: f64,
    /// Requests in flight to the whole upstream.
    all: Arc<AllInFlight>,
}

impl ConsistentHash {
    pub(super) fn new(
        kind: HashTable,
        balance_factor: Option<f64>,
        slots: &Slots,
        materials: &Materials<'_>,
    ) -> Self {
        let endpoints = slots.slots.iter().map(|slot| slot.endpoint);
        let members: Vec<Member> = endpoints
            .map(|endpoint| &materials.endpoints[endpoint])
            .map(|&Endpoint { id, weight, .. }| Member { id, weight })
            .collect();
        let known = materials
            .placements
            .iter()
            .find(|placement| placement.kind == kind && placement.members == members);
        let placement = known.cloned().unwrap_or_else(|| {
            Arc::new(Placement {
                kind,
                table: Table::new(kind, &members),
                members,
            })
        });
        Self {
            placement,
            bound: balance_factor.map(|factor| Bound {
                // Not `clamp`: what is not a number becomes 1.
                part: factor.max(1.0) / slots.usable as f64,
                all: AllInFlight::of(materials.endpoints.iter().map(|endpoint| &*endpoint.load)),
            }),
        }
    }

    pub(super) const fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    #[inline]
    pub(super) fn choose(&self, slots: &Slots, query: &Query<'_>) -> Option<usize> {
        let mut key = query.key;
        for lookup in 1..=LOOKUPS {
            let found = self.placement.table.member(key);
            let slot = &slots.slots[found];
            if slots.allows(query, slot)
                && self.has_room(slot)
                && is_let_in(query, slot, slots.warmth(query, slot))
            {
                return Some(found);
            }
            key = nth(query.key, lookup);
        }
        self.of_all(slots, query)
    }

    /// Whether one more request keeps an endpoint within its bound.
    #[inline]
    fn has_room(&self, slot: &Slot) -> bool {
        let Some(bound) = &self.bound else {
            return true;
        };
        // An idle one has, whatever the others do: the count of all, which every thread writes to, is left alone.
        let in_flight = slot.load.in_flight();
        if in_flight == 0 {
            return true;
        }
        let all = f64::from(bound.all.get()) + 1.0;
        f64::from(in_flight) < (bound.part * all * f64::from(slot.weight)).ceil()
    }

    /// One with room, by lots that follow from the key and the endpoints' identities (rendezvous hashing); if none
    /// has room, the one with the fewest requests for its weight. Takes time in proportion to their number.
    #[cold]
    fn of_all(&self, slots: &Slots, query: &Query<'_>) -> Option<usize> {
        let allowed = || {
            let slots_with_index = slots.slots.iter().enumerate();
            slots_with_index.filter(|(_, slot)| slots.allows(query, slot))
        };
        let least = |score: &dyn Fn(&Slot) -> f32, with: &dyn Fn(&Slot) -> bool| {
            allowed()
                .filter(|(_, slot)| with(slot))
                .map(|(index, slot)| (index, score(slot)))
                .min_by(|one, other| one.1.total_cmp(&other.1))
                .map(|(index, _)| index)
        };
        // Exponentially distributed with the weight as the rate: the least is drawn by weight.
        let lot = |slot: &Slot| {
            let weight = slot.weight * slots.warmth(query, slot);
            -unit(nth(query.key, slot.id)).max(f32::MIN_POSITIVE).ln() / weight
        };
        let load = |slot: &Slot| slot.load.in_flight() as f32 / slot.weight;
        least(&lot, &|slot| self.has_room(slot)).or_else(|| least(&load, &|_| true))
    }
}

/// Whether an endpoint that is at the share `warmth` of its weight takes this key already.
#[inline]
fn is_let_in(query: &Query<'_>, slot: &Slot, warmth: f32) -> bool {
    warmth >= 1.0 || unit(nth(query.key, !slot.id)) < warmth
}
