//! Smooth weighted round robin, precomputed.
//!
//! The sequence that nginx's smooth algorithm would produce over one full round is computed once, when the
//! weights are known; a pick is then one atomic addition and one look-up, whatever the number of endpoints and
//! whoever else is picking: threads have rounds of their own. Weights are divided by their greatest common divisor
//! first; a round that would still be longer than [`MAX_ROUND`] is refused rather than approximated.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stripes::{Line, STRIPES, own_stripe};

/// The longest round, in picks: 64 Ki entries of four bytes.
pub const MAX_ROUND: u64 = 65_536;
/// Endpoints times picks of a round that is made smooth in nginx's way: some 20 ms.
const MAX_STEPS: u64 = 1 << 24;

/// Picks indices `0..n` in proportion to their weights, evenly interleaved.
///
/// ```
/// use load_balancer::WeightedRoundRobin;
/// let balancer = WeightedRoundRobin::new(&[2, 1]).unwrap();
/// let picks: Vec<usize> = (0..6).map(|_| balancer.pick()).collect();
/// assert_eq!(picks, [0, 1, 0, 0, 1, 0]);
/// ```
#[derive(Debug)]
pub struct WeightedRoundRobin {
    /// One full round of picks. Never empty.
    round: Box<[u32]>,
    /// The turns of each stripe of threads.
    turns: Box<[Line<Turns>; STRIPES]>,
    /// Stripes that have taken a turn.
    begun: AtomicUsize,
    /// Picks that were made before, when this goes on for another.
    before: usize,
}

/// Turns that the threads of a stripe take, apart from the others.
#[derive(Debug, Default)]
struct Turns {
    taken: AtomicUsize,
    /// Where in the round they begin.
    first: AtomicUsize,
}

/// Why a list of weights cannot be balanced over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// No weights, or only zeros: there is nothing to pick.
    #[error("at least one weight must be greater than 0")]
    NothingToPick,
    /// The weights, reduced, still need a round of this many picks.
    #[error(
        "the weights need a round of {0} picks; at most {MAX_ROUND} are allowed: use smaller or rounder weights"
    )]
    RoundTooLong(u64),
}

impl WeightedRoundRobin {
    /// A balancer over `weights.len()` endpoints. An endpoint of weight 0 is never picked.
    ///
    /// # Errors
    /// When no weight is above zero, and when the reduced weights add up to more than [`MAX_ROUND`].
    pub fn new(weights: &[u32]) -> Result<Self, WeightsError> {
        let divisor = weights
            .iter()
            .fold(0, |divisor, &weight| gcd(divisor, weight));
        if divisor == 0 {
            return Err(WeightsError::NothingToPick);
        }
        let weights: Vec<i64> = weights
            .iter()
            .map(|&weight| i64::from(weight / divisor))
            .collect();
        let total: i64 = weights.iter().sum();
        if total.unsigned_abs() > MAX_ROUND {
            return Err(WeightsError::RoundTooLong(total.unsigned_abs()));
        }
        Ok(Self::of(round(&weights, total)))
    }

    /// The same with weights that are rounded as far as needed: any weights do, as long as there is one and none is
    /// 0. Each is at least one in [`MAX_ROUND`] then.
    pub(crate) fn nearest(weights: &[u32]) -> Self {
        Self::new(weights).unwrap_or_else(|_| {
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            let count = weights.len() as u64;
            // One is kept back for each, to round up to.
            let room = MAX_ROUND.saturating_sub(count).max(1);
            let rounded: Vec<i64> = weights
                .iter()
                .map(|&weight| (u64::from(weight) * room / total.max(1)).max(1) as i64)
                .collect();
            let total = rounded.iter().sum();
            Self::of(round(&rounded, total))
        })
    }

    fn of(round: Box<[u32]>) -> Self {
        Self {
            round,
            turns: Box::default(),
            begun: AtomicUsize::new(0),
            before: 0,
        }
    }

    /// The same after so many picks.
    pub(crate) fn starting_at(self, turn: usize) -> Self {
        Self {
            before: turn,
            ..self
        }
    }

    /// Picks made so far; wraps.
    pub(crate) fn turn(&self) -> usize {
        let taken = |line: &Line<Turns>| line.0.taken.load(Ordering::Relaxed);
        let taken = self.turns.iter().map(taken);
        taken.fold(self.before, usize::wrapping_add)
    }

    /// Decides where in the round a stripe begins: the first of them where this does, each further one the golden
    /// section of the round after the one before, so that threads are not at the same endpoints at the same time.
    #[cold]
    fn begin(&self, turns: &Turns) {
        let nth = self.begun.fetch_add(1, Ordering::Relaxed);
        let section = self.round.len() * 618 / 1_000;
        let first = self.before.wrapping_add(nth.wrapping_mul(section));
        turns.first.store(first, Ordering::Relaxed);
    }

    /// The index of the endpoint whose turn it is.
    #[inline]
    pub fn pick(&self) -> usize {
        let turns = &self.turns[own_stripe()].0;
        let taken = turns.taken.fetch_add(1, Ordering::Relaxed);
        if taken == 0 {
            self.begin(turns);
        }
        let turn = taken.wrapping_add(turns.first.load(Ordering::Relaxed));
        self.round[turn % self.round.len()] as usize
    }
}

fn round(weights: &[i64], total: i64) -> Box<[u32]> {
    let steps = weights.len() as u64 * total.unsigned_abs();
    if weights.len() as u64 == total.unsigned_abs() {
        (0..weights.len() as u32).collect()
    } else if steps <= MAX_STEPS {
        smooth_round(weights, total)
    } else {
        round_by_deadlines(weights)
    }
}

/// One round in which each endpoint's picks are as far from each other as they can: the `k`th of an endpoint of
/// weight `w` is due `(k + ½) / w` into the round. Nearly as smooth as the other, and in no more steps than picks.
fn round_by_deadlines(weights: &[i64]) -> Box<[u32]> {
    let mut picks: Vec<(f64, u32)> = (0..)
        .zip(weights)
        .flat_map(|(endpoint, &weight)| {
            (0..weight).map(move |nth| ((nth as f64 + 0.5) / weight as f64, endpoint))
        })
        .collect();
    picks.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    picks.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// One round of smooth weighted round robin (as in nginx): every turn each endpoint gains its weight, the
/// richest is picked and pays the total.
fn smooth_round(weights: &[i64], total: i64) -> Box<[u32]> {
    let mut credit = vec![0_i64; weights.len()];
    (0..total)
        .map(|_| {
            let mut richest = 0;
            for (index, &weight) in weights.iter().enumerate() {
                credit[index] += weight;
                if credit[index] > credit[richest] {
                    richest = index;
                }
            }
            credit[richest] -= total;
            u32::try_from(richest).unwrap_or(u32::MAX)
        })
        .collect()
}

const fn gcd(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[u32], count: usize) -> Vec<usize> {
        let balancer = WeightedRoundRobin::new(weights).unwrap();
        (0..count).map(|_| balancer.pick()).collect()
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&[7, 7, 7], 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_heavy_endpoint_is_interleaved_and_not_bunched() {
        assert_eq!(picks(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn an_endpoint_of_weight_zero_is_never_picked() {
        assert!(picks(&[0, 3, 1], 400).iter().all(|&index| index != 0));
        assert!(picks(&[1, 0], 10).iter().all(|&index| index == 0));
    }

    #[test]
    fn one_endpoint_gets_everything() {
        assert_eq!(picks(&[9], 3), [0, 0, 0]);
    }

    #[test]
    fn shares_over_one_round_are_exact() {
        let picked = picks(&[30, 20, 10, 1], 61);
        let share = |index| picked.iter().filter(|&&pick| pick == index).count();
        assert_eq!([share(0), share(1), share(2), share(3)], [30, 20, 10, 1]);
    }

    #[test]
    fn any_weights_are_followed_as_nearly_as_the_longest_round_allows() {
        let shares = |weights: &[u32]| {
            let balancer = WeightedRoundRobin::nearest(weights);
            assert!(balancer.round.len() <= MAX_ROUND as usize);
            let mut picked = vec![0_u32; weights.len()];
            balancer
                .round
                .iter()
                .for_each(|&pick| picked[pick as usize] += 1);
            let length = balancer.round.len() as f64;
            picked
                .into_iter()
                .map(move |picks| f64::from(picks) / length)
                .collect::<Vec<_>>()
        };
        let many: Vec<u32> = (1..=2_000).collect();
        for weights in [&[u32::MAX, 1][..], &[3_000_001, 1_000_000], &many] {
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (share, &weight) in shares(weights).into_iter().zip(weights) {
                let fair = f64::from(weight) / total;
                assert!(share > 0.0 && (share - fair).abs() < 2.0 / 65_536.0 + fair * 0.05);
            }
        }
    }

    #[test]
    fn a_round_by_deadlines_is_interleaved_as_well() {
        assert_eq!(*round_by_deadlines(&[4, 2]), [0, 1, 0, 0, 1, 0]);
        assert_eq!(*round_by_deadlines(&[2, 1, 1]), [0, 1, 2, 0]);
    }

    #[test]
    fn turns_go_on_where_they_were() {
        let balancer = WeightedRoundRobin::nearest(&[1, 1, 1]).starting_at(5);
        assert_eq!([balancer.pick(), balancer.pick()], [2, 0]);
        assert_eq!(balancer.turn(), 7);
    }

    #[test]
    fn weights_that_pick_nothing_are_refused() {
        assert_eq!(
            WeightedRoundRobin::new(&[]).unwrap_err(),
            WeightsError::NothingToPick
        );
        assert_eq!(
            WeightedRoundRobin::new(&[0, 0]).unwrap_err(),
            WeightsError::NothingToPick
        );
    }

    #[test]
    fn a_round_beyond_the_bound_is_refused() {
        assert_eq!(
            WeightedRoundRobin::new(&[u32::MAX, 1]).unwrap_err(),
            WeightsError::RoundTooLong(u64::from(u32::MAX) + 1)
        );
    }
}
