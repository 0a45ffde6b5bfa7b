//! Smooth weighted round robin, precomputed.
//!
//! The sequence that nginx's smooth algorithm would produce over one full round is computed once, when the
//! weights are known; a pick is then one atomic addition and one look-up, whatever the number of endpoints and
//! whoever else is picking. Weights are divided by their greatest common divisor first; a round that would
//! still be longer than [`MAX_ROUND`] is refused rather than approximated.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest round, in picks: 64 Ki entries of four bytes.
pub const MAX_ROUND: u64 = 65_536;

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
    /// Picks made so far; wraps.
    turn: AtomicUsize,
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
        Ok(Self {
            round: smooth_round(&weights, total),
            turn: AtomicUsize::new(0),
        })
    }

    /// The index of the endpoint whose turn it is.
    #[inline]
    pub fn pick(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.round[turn % self.round.len()] as usize
    }
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
