//! Of two that are drawn, the cheaper.
//!
//! The cost of an endpoint is `latency² × (1 + requests in flight / weight)`, or without the latency. An endpoint whose
//! latency is not known yet is taken to have that of the other.
//!
//! Finagle and linkerd have `latency × (1 + requests in flight) / weight`. With the latency itself, costs are equal
//! when an endpoint that is ten times slower has a tenth of the requests in flight, a hundredth of all: just enough
//! to show in the 99th percentile. Of three endpoints at 600 requests a second (`tests/simulation.rs`) that is 70 ms,
//! with the square 21 ms, as if all were well; the price is a median of 12 ms instead of 11 when one of three is half
//! as quick and all are near what they can serve. And with all of it divided by the weight, an idle endpoint of
//! little weight gets nothing until the others are busy.
//!
//! Where all weights are equal, the two are different and the cheaper one is chosen. Where they are not, that rule
//! would give a light endpoint as much as a heavy one whenever both are idle, since it is one of the two often
//! enough. So the two draw lots instead, and the odds are such that endpoints which cost the same get what their
//! weights say, exactly, whatever their number. For that, an endpoint with the share
//! `p` of the weights enters with `1 / (1 − p)`: the first is drawn with probability `p₁`, the second of the others
//! with `p₂ / (1 − p₁)`, and `p₁ × p₂ / (1 − p₁) × (1 / (1 − p₂)) / (sum of both)` is the same both ways round
//! (detailed balance; the rule is Barker's). The square of what an endpoint costs then divides its odds: one that is
//! ten times slower has a ten-thousandth of them, and of two endpoints one of which has 1 % of the weight, that one
//! gets 3 to 4 % while two requests are in flight; by `weight / (requests in flight + 1)`, as Envoy has it, it is the
//! same.

use super::{Query, Slot, Slots};
use crate::random::Random;
use crate::sampler::Sampler;

/// What makes an endpoint dear.
#[derive(Debug)]
pub(super) struct Cost {
    /// Whether latency counts.
    by: By,
    /// With how much each endpoint enters a lot; none where all weights are equal.
    odds: Option<Box<[f64]>>,
}

#[derive(Debug, Clone, Copy)]
enum By {
    InFlight,
    Latency,
}

impl Cost {
    pub(super) fn in_flight(slots: &Slots) -> Self {
        Self::new(By::InFlight, slots)
    }

    pub(super) fn latency(slots: &Slots) -> Self {
        Self::new(By::Latency, slots)
    }

    fn new(by: By, slots: &Slots) -> Self {
        let total: f64 = slots.slots.iter().map(|slot| f64::from(slot.weight)).sum();
        let first = slots.slots.first().map(|slot| slot.weight);
        let even = slots.slots.iter().all(|slot| Some(slot.weight) == first);
        let odds = slots.slots.iter().map(|slot| {
            let others = total - f64::from(slot.weight);
            total / others.max(f64::MIN_POSITIVE)
        });
        Self {
            by,
            odds: (!even).then(|| odds.collect()),
        }
    }
}

impl Slots {
    #[inline]
    pub(super) fn two_choices(
        &self,
        query: &Query<'_>,
        random: &mut Random,
        sampler: &Sampler,
        cost: &Cost,
    ) -> Option<usize> {
        let first = self.by_lot(query, random, sampler)?;
        let Some(second) = self.another(query, random, sampler, first) else {
            return Some(first);
        };
        let (one, other) = (&self.slots[first], &self.slots[second]);
        let warmth = (self.warmth(query, one), self.warmth(query, other));
        if warmth.1 < 1.0 && random.unit() >= warmth.1 {
            return Some(first);
        }
        let busy = (busy(one, warmth.0), busy(other, warmth.1));
        let latency = match cost.by {
            By::InFlight => (1.0, 1.0),
            By::Latency => latencies(query, one, other),
        };
        let second_wins = match &cost.odds {
            None => busy.1 * latency.1 * latency.1 < busy.0 * latency.0 * latency.0,
            Some(odds) => {
                // Twice as precise, as the fourth power of nanoseconds is beyond the other type.
                let busy = f64::from(busy.0) / f64::from(busy.1);
                let latency = f64::from(latency.0) / f64::from(latency.1);
                let dearness = busy * latency * latency;
                let odds = (odds[first], odds[second] * dearness * dearness);
                f64::from(random.unit()) * (odds.0 + odds.1) < odds.1
            }
        };
        Some(if second_wins { second } else { first })
    }

    /// One that is not `first`, drawn by weight.
    #[inline]
    fn another(
        &self,
        query: &Query<'_>,
        random: &mut Random,
        sampler: &Sampler,
        first: usize,
    ) -> Option<usize> {
        if self.slots.len() == 1 {
            return None;
        }
        for _ in 0..super::PROPOSALS {
            let drawn = sampler.draw(random.next());
            if drawn != first && self.allows(query, &self.slots[drawn]) {
                return Some(drawn);
            }
        }
        let part = |index, _: &Slot| if index == first { 0.0 } else { 1.0 };
        self.by_lot_of_all(query, random, part)
    }
}

/// The latencies of two, for a comparison: one that is not known is taken to be that of the other.
#[inline]
fn latencies(query: &Query<'_>, one: &Slot, other: &Slot) -> (f32, f32) {
    let latency = |slot: &Slot| slot.load.latency_at(query.now);
    match (latency(one), latency(other)) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => {
            let either = one.or(other).unwrap_or(1.0);
            (either, either)
        }
    }
}

/// One more than the requests in flight for its weight: 1.0 or more.
#[inline]
fn busy(slot: &Slot, warmth: f32) -> f32 {
    1.0 + slot.load.in_flight() as f32 / (slot.weight * warmth)
}
