//! Endpoints that are alike, and how one of them is chosen.
//!
//! A pool is made once, of endpoints that may be used, and does not change; what does change while it is used is
//! looked at with each choice: an endpoint may have been tried by this request, may have become unavailable since, or
//! may be starting slowly. A policy therefore proposes, a few times, and what it proposes may be turned down; if all
//! proposals are, all endpoints of the pool are looked at, and one of those that may be used is drawn. So a choice
//! takes a small and constant time as a rule, time in proportion to the pool at worst, and finds an endpoint whenever
//! there is one.
//!
//! **Slow start** turns an endpoint down by lot, as often as it falls short of its weight: the shares that come of it
//! are exactly those of the lowered weights, and no table needs to be made anew while time passes.

mod consistent_hash;
mod least_connections;
mod two_choices;

use std::sync::Arc;

use consistent_hash::ConsistentHash;
pub(crate) use consistent_hash::Placement;
use two_choices::Cost;

use crate::load::Load;
use crate::plan::{Group, Panic};
use crate::random::Random;
use crate::sampler::Sampler;
use crate::settings::{Endpoint, Policy, Settings, SlowStart};
use crate::weighted_round_robin::WeightedRoundRobin;

/// How often a policy may propose.
const PROPOSALS: usize = 4;

/// Endpoints that are alike, and how one of them is chosen.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Slots,
    chooser: Chooser,
}

#[derive(Debug)]
enum Chooser {
    RoundRobin(WeightedRoundRobin),
    Random(Sampler),
    LeastConnections,
    TwoChoices(Sampler, Cost),
    ConsistentHash(ConsistentHash),
}

/// The endpoints of a pool.
#[derive(Debug)]
struct Slots {
    /// Not empty.
    slots: Box<[Slot]>,
    /// How many of them might be used when this was made: 1 or more.
    usable: usize,
    /// Whether health is ignored.
    panic: Panic,
    slow_start: Option<SlowStart>,
}

/// An endpoint in a pool.
#[derive(Debug)]
struct Slot {
    load: Arc<Load>,
    id: u64,
    /// Its index in the picker.
    endpoint: usize,
    /// Compared with the mean of those in the pool that might be used when it was made: 1.0 is as much as that.
    weight: f32,
}

/// What a choice depends on, besides the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// Identities of endpoints that are not to be chosen.
    pub(crate) tried: &'a [u64],
    /// Nanoseconds.
    pub(crate) now: u64,
    /// The hash, spread over all bits.
    pub(crate) key: u64,
}

impl Query<'_> {
    #[inline]
    pub(crate) fn has_tried(&self, id: u64) -> bool {
        self.tried.contains(&id)
    }
}

/// What a pool is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Materials<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) endpoints: &'a [Endpoint],
    /// Of each endpoint, whether it is available.
    pub(crate) available: &'a [bool],
    /// Tables that need not be made anew if their members are the same.
    pub(crate) placements: &'a [Arc<Placement>],
    /// Turns that have been taken before.
    pub(crate) turn: usize,
}

impl Pool {
    pub(crate) fn new(group: &Group, materials: &Materials<'_>) -> Self {
        let slots = Slots::new(group, materials);
        let weights = || -> Vec<u32> {
            let members = group.members.iter();
            members
                .map(|&member| materials.endpoints[member].weight)
                .collect()
        };
        let sampler = || {
            let weights: Vec<f64> = weights().into_iter().map(f64::from).collect();
            Sampler::new(&weights)
        };
        let chooser = match materials.settings.policy {
            Policy::RoundRobin => Chooser::RoundRobin(
                WeightedRoundRobin::nearest(&weights()).starting_at(materials.turn),
            ),
            Policy::Random => Chooser::Random(sampler()),
            Policy::LeastConnections => Chooser::LeastConnections,
            Policy::TwoChoices => Chooser::TwoChoices(sampler(), Cost::in_flight(&slots)),
            Policy::PeakEwma => Chooser::TwoChoices(sampler(), Cost::latency(&slots)),
            Policy::ConsistentHash {
                table,
                balance_factor,
            } => Chooser::ConsistentHash(ConsistentHash::new(
                table,
                balance_factor,
                &slots,
                materials,
            )),
        };
        Self { slots, chooser }
    }

    /// The index of the chosen endpoint; none if all have been tried or have become unavailable.
    #[inline]
    pub(crate) fn choose(&self, query: &Query<'_>, random: &mut Random) -> Option<usize> {
        let slots = &self.slots;
        let slot = match &self.chooser {
            Chooser::RoundRobin(turns) => slots.by_proposal(query, random, |_| turns.pick()),
            Chooser::Random(sampler) => slots.by_lot(query, random, sampler),
            Chooser::LeastConnections => slots.least_connections(query, random),
            Chooser::TwoChoices(sampler, cost) => slots.two_choices(query, random, sampler, cost),
            Chooser::ConsistentHash(hash) => hash.choose(slots, query),
        };
        slot.map(|slot| slots.slots[slot].endpoint)
    }

    /// Whether health is ignored.
    pub(crate) const fn panic(&self) -> Panic {
        self.slots.panic
    }

    /// Turns that have been taken.
    pub(crate) fn turn(&self) -> usize {
        match &self.chooser {
            Chooser::RoundRobin(turns) => turns.turn(),
            _ => 0,
        }
    }

    /// The table, if it has one.
    pub(crate) fn placement(&self) -> Option<&Arc<Placement>> {
        match &self.chooser {
            Chooser::ConsistentHash(hash) => Some(hash.placement()),
            _ => None,
        }
    }
}

impl Slots {
    fn new(group: &Group, materials: &Materials<'_>) -> Self {
        let weight = |member: usize| f64::from(materials.endpoints[member].weight);
        let members = group.members.iter().copied();
        let usable: Vec<usize> = members
            .filter(|&member| group.panic == Panic::Yes || materials.available[member])
            .collect();
        let total: f64 = usable.iter().map(|&member| weight(member)).sum();
        let mean = total / usable.len() as f64;
        let slots = group.members.iter().map(|&member| {
            let endpoint = &materials.endpoints[member];
            Slot {
                load: Arc::clone(&endpoint.load),
                id: endpoint.id,
                endpoint: member,
                weight: (weight(member) / mean) as f32,
            }
        });
        Self {
            slots: slots.collect(),
            usable: usable.len(),
            panic: group.panic,
            slow_start: materials.settings.slow_start,
        }
    }

    /// Whether an endpoint may be chosen.
    #[inline]
    fn allows(&self, query: &Query<'_>, slot: &Slot) -> bool {
        (self.panic == Panic::Yes || slot.load.is_available()) && !query.has_tried(slot.id)
    }

    /// The share of its weight that an endpoint has at the moment: below 1 while it starts slowly.
    #[inline]
    fn warmth(&self, query: &Query<'_>, slot: &Slot) -> f32 {
        match &self.slow_start {
            None => 1.0,
            Some(slow_start) => slow_start.share(slot.load.available_for(query.now)),
        }
    }

    /// The first of a few proposals that is not turned down, else one of all by lot.
    #[inline]
    fn by_proposal(
        &self,
        query: &Query<'_>,
        random: &mut Random,
        propose: impl Fn(&mut Random) -> usize,
    ) -> Option<usize> {
        for _ in 0..PROPOSALS {
            let proposed = propose(random);
            let slot = &self.slots[proposed];
            if self.allows(query, slot) {
                let warmth = self.warmth(query, slot);
                if warmth >= 1.0 || random.unit() < warmth {
                    return Some(proposed);
                }
            }
        }
        self.by_lot_of_all(query, random, |_, slot| self.warmth(query, slot))
    }

    /// One that is drawn by weight.
    #[inline]
    fn by_lot(&self, query: &Query<'_>, random: &mut Random, sampler: &Sampler) -> Option<usize> {
        self.by_proposal(query, random, |random| sampler.draw(random.next()))
    }

    /// One of all that may be chosen, drawn by weight times `part`. Takes time in proportion to their number.
    #[cold]
    fn by_lot_of_all(
        &self,
        query: &Query<'_>,
        random: &mut Random,
        part: impl Fn(usize, &Slot) -> f32,
    ) -> Option<usize> {
        let mut lot = Lot::default();
        for (index, slot) in self.slots.iter().enumerate() {
            if self.allows(query, slot) {
                lot.enter(index, slot.weight * part(index, slot), random);
            }
        }
        lot.winner
    }
}

/// Draws one of a number of entrants by weight, in one pass. (Chao's reservoir of one.)
#[derive(Debug, Default)]
pub(crate) struct Lot {
    winner: Option<usize>,
    total: f32,
}

impl Lot {
    /// An entrant of weight 0 does not win.
    #[inline]
    pub(crate) fn enter(&mut self, entrant: usize, weight: f32, random: &mut Random) {
        self.total += weight;
        if random.unit() * self.total < weight {
            self.winner = Some(entrant);
        }
    }

    pub(crate) const fn winner(&self) -> Option<usize> {
        self.winner
    }
}
