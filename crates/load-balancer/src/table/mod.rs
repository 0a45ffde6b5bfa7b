//! From a key to one of a set of members, so that few keys move when the set changes.
//!
//! Both tables are pure functions of the members' identities and weights, not of their order or of which of them are
//! available: every gateway has the same, and a member that fails for a while and comes back finds its own keys, and
//! no others have moved. What an unavailable member's keys do meanwhile is up to the caller.

mod maglev;
mod ring;

use maglev::Maglev;
use ring::Ring;

use crate::settings::HashTable;

/// Maps keys to members.
#[derive(Debug)]
pub(crate) enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

/// Who is in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Different for each.
    pub(crate) id: u64,
    /// Above 0.
    pub(crate) weight: u32,
}

impl Table {
    /// Of at least one member.
    pub(crate) fn new(kind: HashTable, members: &[Member]) -> Self {
        match kind {
            HashTable::Ring { min_size } => Self::Ring(Ring::new(members, min_size)),
            HashTable::Maglev { size } => Self::Maglev(Maglev::new(members, size)),
        }
    }

    /// The place in the list of members of the one that `key` belongs to. Keys are evenly spread over all `u64`.
    #[inline]
    pub(crate) fn member(&self, key: u64) -> usize {
        match self {
            Self::Ring(ring) => ring.member(key),
            Self::Maglev(maglev) => maglev.member(key),
        }
    }
}

#[cfg(test)]
mod tests;
