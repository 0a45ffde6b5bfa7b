//! Maglev's look-up table (Eisenbud et al.: "Maglev: A Fast and Reliable Software Network Load Balancer", §3.4).
//!
//! Each member has a permutation of the table's places, from its identity; the members take turns to take the next
//! free place of theirs, and one of a lower weight misses turns, as in Envoy. Places are shared out to within a few,
//! and when a member joins or leaves, little more than its own places change hands.

use super::Member;
use crate::random::{below, nth};

/// The largest table, as in Envoy.
const LARGEST: u32 = 5_000_011;
const FREE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Maglev {
    /// The member of each place. A prime number of them.
    places: Box<[u32]>,
}

/// One member while the table is filled.
struct Turn {
    member: u32,
    /// Compared with the heaviest member: above 0, up to 1.
    weight: f64,
    /// Turns it has been due: whole ones are taken.
    due: f64,
    /// The next place of its permutation.
    place: usize,
    /// To the one after that.
    skip: usize,
}

impl Maglev {
    pub(crate) fn new(members: &[Member], size: u32) -> Self {
        let size = prime_from(size.clamp(3, LARGEST)) as usize;
        let heaviest = members.iter().map(|member| member.weight).max();
        let heaviest = f64::from(heaviest.unwrap_or(1).max(1));
        let mut turns: Vec<Turn> = members
            .iter()
            .enumerate()
            .map(|(member, &Member { id, weight })| Turn {
                member: member as u32,
                weight: f64::from(weight) / heaviest,
                due: 0.0,
                place: (nth(id, 0) % size as u64) as usize,
                skip: (nth(id, 1) % (size as u64 - 1)) as usize + 1,
            })
            .collect();
        // Who goes first in a round is part of the table, and not a matter of the list's order.
        turns.sort_unstable_by_key(|turn| members[turn.member as usize].id);

        let mut places = vec![FREE; size];
        let mut free = size;
        // The heaviest member takes a place in every round: as many rounds as places at most.
        'filling: loop {
            for turn in &mut turns {
                turn.due += turn.weight;
                if turn.due < 1.0 {
                    continue;
                }
                turn.due -= 1.0;
                // The size is prime, so that each skip leads to every place; one of them is free.
                while places[turn.place] != FREE {
                    turn.advance(size);
                }
                places[turn.place] = turn.member;
                turn.advance(size);
                free -= 1;
                if free == 0 {
                    break 'filling;
                }
            }
        }
        Self {
            places: places.into(),
        }
    }

    #[inline]
    pub(crate) fn member(&self, key: u64) -> usize {
        self.places[below(key, self.places.len())] as usize
    }
}

impl Turn {
    fn advance(&mut self, size: usize) {
        self.place = (self.place + self.skip) % size;
    }
}

/// The first prime from `number` on.
fn prime_from(number: u32) -> u32 {
    let is_prime = |number: &u32| {
        (2..)
            .take_while(|divisor| divisor * divisor <= *number)
            .all(|divisor| !number.is_multiple_of(divisor))
    };
    // There is a prime between any number and its double.
    (number..).find(is_prime).unwrap_or(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_prime_number_of_places() {
        for (number, prime) in [(3, 3), (4, 5), (65_536, 65_537), (LARGEST, LARGEST)] {
            assert_eq!(prime_from(number), prime);
        }
    }
}
