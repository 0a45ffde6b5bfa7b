//! The endpoint with the fewest requests in flight for its weight.

use super::{Lot, Query, Slots};
use crate::random::Random;

impl Slots {
    /// Looks at all endpoints. Those that are equal, as all are when nothing is in flight, draw lots by weight: so
    /// shares follow the weights under any load.
    pub(super) fn least_connections(
        &self,
        query: &Query<'_>,
        random: &mut Random,
    ) -> Option<usize> {
        let mut least = f32::INFINITY;
        let mut lot = Lot::default();
        for (index, slot) in self.slots.iter().enumerate() {
            if !self.allows(query, slot) {
                continue;
            }
            let weight = slot.weight * self.warmth(query, slot);
            let load = slot.load.in_flight() as f32 / weight;
            if load > least {
                continue;
            }
            if load < least {
                least = load;
                lot = Lot::default();
            }
            lot.enter(index, weight, random);
        }
        lot.winner()
    }
}
