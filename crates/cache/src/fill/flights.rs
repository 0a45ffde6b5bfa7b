//! Which requests are under way.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use super::flight::Flight;
use crate::time::Timestamp;

const SHARDS: usize = 16;
/// Places for what was refused last.
const REFUSED: usize = 1 << 12;
/// For how many seconds nobody waits for the next answer after one was refused.
const REFUSED_FOR: u64 = 5;

type Shard = Mutex<HashMap<Box<[u8]>, Arc<Flight>, RandomState>>;

/// Flights by what can join them.
pub(crate) struct Flights {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    /// The most in each shard.
    most: usize,
    /// Of each, the upper bits of its hash and the second in which it was refused.
    refused: Box<[AtomicU64]>,
}

/// What came of asking for a flight.
pub(super) enum Boarding {
    /// It is new.
    First(Arc<Flight>),
    /// It has a follower more, of this number.
    Joined(Arc<Flight>, usize),
    /// There is no place in it, or for it.
    Full,
}

impl Flights {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            most: most.div_ceil(SHARDS),
            refused: (0..REFUSED).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Joins a flight if there is one whose answer will still be right, by `is_current` of its epoch; else begins one.
    pub(super) fn board(
        &self,
        name: &[u8],
        epoch: u64,
        most_followers: usize,
        now: Timestamp,
        is_current: impl Fn(u64) -> bool,
    ) -> Boarding {
        let mut shard = self
            .shard(name)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = shard.get(name)
            && is_current(flight.epoch)
        {
            let number = flight.lock().join(most_followers);
            return match number {
                Some(number) => Boarding::Joined(Arc::clone(flight), number),
                None => Boarding::Full,
            };
        }
        if shard.len() >= self.most && !shard.contains_key(name) {
            return Boarding::Full;
        }
        let flight = Arc::new(Flight::new(epoch, now));
        shard.insert(name.into(), Arc::clone(&flight));
        Boarding::First(flight)
    }

    pub(super) fn remove(&self, name: &[u8], flight: &Arc<Flight>) {
        let mut shard = self
            .shard(name)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.get(name).is_some_and(|it| Arc::ptr_eq(it, flight)) {
            shard.remove(name);
        }
    }

    fn shard(&self, name: &[u8]) -> &Shard {
        #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
        let shard = self.hasher.hash_one(name) as usize % SHARDS;
        &self.shards[shard]
    }

    pub(super) fn note_refused(&self, name: &[u8], now: Timestamp) {
        let (place, mark) = self.refused_place(name);
        if let Some(place) = place {
            place.store(mark | (now.as_secs() & SECONDS), Ordering::Relaxed);
        }
    }

    /// Whether an answer of the kind could not be shared a short while ago, so that it is not worth waiting for.
    pub(super) fn was_refused(&self, name: &[u8], now: Timestamp) -> bool {
        let (place, mark) = self.refused_place(name);
        let Some(kept) = place.map(|it| it.load(Ordering::Relaxed)) else {
            return false;
        };
        let since = now.as_secs().wrapping_sub(kept) & SECONDS;
        kept & !SECONDS == mark && since < REFUSED_FOR
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
    fn refused_place(&self, name: &[u8]) -> (Option<&AtomicU64>, u64) {
        let hash = self.hasher.hash_one(name);
        // Never zero, as an empty place is.
        (
            self.refused.get(hash as usize % REFUSED),
            (hash & !SECONDS) | 1 << 63,
        )
    }
}

/// The bits of a mark that are a time.
const SECONDS: u64 = (1 << 24) - 1;

impl std::fmt::Debug for Flights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}
