//! A hash ring, as in Ketama.
//!
//! A member has a number of points on a circle of 2³² places; a key belongs to the first point at or after it. A
//! member's points are the beginning of an endless sequence that follows from its identity alone, and their number
//! follows from its weight compared with the heaviest member's: [`POINTS`] for that one. So whoever joins takes the
//! keys before its points and no others move, whatever the number of members. (Envoy divides a ring of fixed size
//! among its members: when one joins, the others lose points, and their keys go anywhere.) Only where the heaviest
//! member changes, or the ring would be smaller than its minimum or too large, the numbers of all change, by powers
//! of two.
//!
//! With 512 points, shares deviate by some 1/√512 = 4.4 %; the tables of others that have 100 to 160, by 10 %. A
//! look-up does not search: a second table leads from the upper bits of a key to the point that comes next.

use super::Member;
use crate::random::nth;

/// Points of the heaviest member.
const POINTS: u64 = 512;
/// Points of the whole ring beyond which members get fewer, unless a greater minimum is asked for: 8 MiB.
const MANY_POINTS: u64 = 1 << 20;
/// The greatest minimum, as in Envoy.
const GREATEST_MINIMUM: u64 = 1 << 23;

#[derive(Debug)]
pub(crate) struct Ring {
    /// By place. Never empty.
    points: Box<[Point]>,
    /// For each value of a place's upper bits, the first point that is not before all places that have them. Their
    /// number is that of the points or up to twice as many.
    starts: Box<[u32]>,
    /// By how many bits to shift a place for its upper bits.
    shift: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    place: u32,
    /// Where two points have the same place, the order of the members' identities decides.
    member: u32,
}

impl Ring {
    pub(crate) fn new(members: &[Member], min_size: u32) -> Self {
        let counts = counts(members, u64::from(min_size).min(GREATEST_MINIMUM));
        let mut points: Vec<Point> = members
            .iter()
            .zip(counts)
            .enumerate()
            .flat_map(|(member, (Member { id, .. }, count))| {
                (0..count).map(move |point| Point {
                    place: (nth(*id, point) >> 32) as u32,
                    member: member as u32,
                })
            })
            .collect();
        points.sort_unstable_by_key(|point| (point.place, members[point.member as usize].id));

        // At least one bit: a shift by all 32 would be none.
        let bits = points.len().max(2).next_power_of_two().trailing_zeros();
        let shift = u32::BITS - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for upper in 0..1_u32 << bits {
            while next < points.len() && points[next].place < upper << shift {
                next += 1;
            }
            starts.push(next as u32);
        }
        Self {
            points: points.into(),
            starts: starts.into(),
            shift,
        }
    }

    #[inline]
    pub(crate) fn member(&self, key: u64) -> usize {
        let place = (key >> 32) as u32;
        let start = self.starts[(place >> self.shift) as usize] as usize;
        // One or two steps: there are at least as many starts as points.
        let next = self.points[start..]
            .iter()
            .find(|point| point.place >= place);
        // After the last point comes the first.
        next.unwrap_or(&self.points[0]).member as usize
    }
}

/// How many points each member has.
fn counts(members: &[Member], min_size: u64) -> Vec<u64> {
    let heaviest = members.iter().map(|member| member.weight).max();
    let heaviest = u64::from(heaviest.unwrap_or(1).max(1));
    let counts = |most: u64| -> Vec<u64> {
        members
            .iter()
            .map(|member| (most * u64::from(member.weight) / heaviest).max(1))
            .collect()
    };
    let size = |most| counts(most).iter().sum::<u64>();
    let mut most = POINTS;
    while size(most) < min_size {
        most *= 2;
    }
    while most > 1 && size(most) > MANY_POINTS.max(2 * min_size) {
        most /= 2;
    }
    counts(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_weights(weights: &[u32], min_size: u64) -> Vec<u64> {
        let members: Vec<Member> = weights
            .iter()
            .map(|&weight| Member { id: 0, weight })
            .collect();
        counts(&members, min_size)
    }

    #[test]
    fn points_follow_the_weights() {
        assert_eq!(of_weights(&[1, 2, 4], 0), [128, 256, 512]);
        assert_eq!(of_weights(&[1, 1_000_000], 0), [1, 512]);
    }

    #[test]
    fn a_ring_has_its_least_size() {
        for (count, min_size, size) in [
            (1, 1_024, 1_024),
            (2, 1_024, 1_024),
            (3, 1_024, 1_536),
            (3, 100_000, 196_608),
            (3, GREATEST_MINIMUM, 12_582_912),
            (3_000, 1_024, 768_000),
        ] {
            let size_of_ring: u64 = of_weights(&vec![1; count], min_size).iter().sum();
            assert_eq!(size_of_ring, size, "{count} {min_size}");
        }
    }
}
