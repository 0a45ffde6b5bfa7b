//! The counts of many keys.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Policy;
use crate::window::{Decision, Window};

/// Keys that share a set, and compete for its places.
const WAYS: usize = 8;

/// Counts units by key, for any number of threads.
///
/// Memory is bounded: 112 bytes for each key, and room for so many keys. When there is no place for a new key, the key
/// that is furthest from its limit makes room, of those in the same set. Which keys share a set nobody outside can
/// know: a client that is at its limit cannot be forgotten by sending many others' names, before it has brought as
/// many names to their limits.
#[derive(Debug)]
pub struct Limiter {
    sets: Box<[Mutex<Vec<Entry>>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    /// The key's hash, whole: with a secret that is drawn at the start, two keys that share it are not to be found.
    key: u64,
    /// When it has no units in its window any more.
    empty_at: Duration,
    /// The share of its limit that was used when it was last touched.
    fullness: f32,
    window: Window,
}

impl Limiter {
    /// Keeps the counts of about `keys` keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Takes `units` for `key` at `now` if `policy` has them left. `now` is the time since any fixed point. A key is
    /// always used with the same policy: two policies for one client are two keys.
    pub fn take(&self, policy: &Policy, key: impl Hash, now: Duration, units: u32) -> Decision {
        let key = self.hasher.hash_one(key);
        let mut set = self.set(key);
        let entry = entry(&mut set, key, now);
        let decision = entry.window.take(policy, now, units);
        entry.empty_at = now + decision.reset;
        #[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
        {
            entry.fullness = 1.0 - decision.remaining as f32 / policy.limit() as f32;
        }
        decision
    }

    /// Whether [`take`](Self::take) would find `units`. Nothing is taken.
    pub fn has(&self, policy: &Policy, key: impl Hash, now: Duration, units: u32) -> bool {
        let key = self.hasher.hash_one(key);
        let set = self.set(key);
        match set.iter().find(|entry| entry.key == key) {
            Some(entry) => entry.window.has(policy, now, units),
            None => units <= policy.limit(),
        }
    }

    fn set(&self, key: u64) -> MutexGuard<'_, Vec<Entry>> {
        // A power of two of sets: the low bits choose one. The cast keeps those.
        #[allow(clippy::cast_possible_truncation)]
        let set = &self.sets[key as usize & (self.sets.len() - 1)];
        // A count is whole at any time: a thread that has panicked leaves nothing half done.
        set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys have counts, including those whose counts have become empty.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets
            .iter()
            .map(|set| set.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether no key has a count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The entry of `key`, made if need be.
fn entry(set: &mut Vec<Entry>, key: u64, now: Duration) -> &mut Entry {
    let place = match set.iter().position(|entry| entry.key == key) {
        Some(place) => place,
        None => {
            let new = Entry {
                key,
                empty_at: now,
                fullness: 0.0,
                window: Window::default(),
            };
            match replaceable(set, now) {
                Some(place) => {
                    set[place] = new;
                    place
                }
                None => {
                    set.push(new);
                    set.len() - 1
                }
            }
        }
    };
    &mut set[place]
}

/// The place for a new key: that of an entry that counts nothing any more, or, when the set is full, of the one that is
/// furthest from its limit. None when there is room for another place.
fn replaceable(set: &[Entry], now: Duration) -> Option<usize> {
    if let Some(empty) = set.iter().position(|entry| entry.empty_at <= now) {
        return Some(empty);
    }
    if set.len() < WAYS {
        return None;
    }
    (0..set.len()).min_by(|&one, &other| set[one].fullness.total_cmp(&set[other].fullness))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn policy(limit: u32) -> Policy {
        Policy::new(limit, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn keys_do_not_take_from_each_other() {
        let limiter = Limiter::new(10_000);
        for key in 0..1_000 {
            assert!(limiter.take(&policy(1), key, NOW, 1).allowed);
            assert!(!limiter.take(&policy(1), key, NOW, 1).allowed);
        }
    }

    #[test]
    fn to_look_takes_nothing() {
        let limiter = Limiter::new(100);
        assert!(limiter.has(&policy(2), "key", NOW, 2));
        assert!(limiter.is_empty());
        for units in [2, 1, 0] {
            assert!(limiter.has(&policy(2), "key", NOW, units));
            assert!(!limiter.has(&policy(2), "key", NOW, units + 1));
            limiter.take(&policy(2), "key", NOW, 1);
        }
    }

    #[test]
    fn memory_is_bounded_however_many_keys_there_are() {
        let limiter = Limiter::new(1_000);
        for key in 0..1_000_000 {
            limiter.take(&policy(10), key, NOW, 1);
        }
        assert!(limiter.len() <= 1_024, "{}", limiter.len());
        assert!(size_of::<Entry>() <= 112);
    }

    #[test]
    fn a_client_at_its_limit_cannot_be_forgotten_by_a_flood_of_names() {
        let limiter = Limiter::new(1_000);
        while limiter.take(&policy(10), "attacker", NOW, 1).allowed {}
        for key in 0..1_000_000 {
            limiter.take(&policy(10), key, NOW, 1);
        }
        assert!(!limiter.take(&policy(10), "attacker", NOW, 1).allowed);
    }

    #[test]
    fn what_has_become_empty_makes_room_first() {
        let limiter = Limiter::new(WAYS);
        for key in 0..WAYS {
            limiter.take(&policy(10), key, NOW, 1);
        }
        let later = NOW + Duration::from_secs(70);
        limiter.take(&policy(10), "new", later, 1);
        assert_eq!(limiter.len(), WAYS);
        assert_eq!(limiter.take(&policy(10), "new", later, 1).remaining, 8);
    }

    #[test]
    fn threads_share_a_limit_exactly() {
        let (limiter, passed) = (Limiter::new(100), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if limiter.take(&policy(3_000), "all", NOW, 1).allowed {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 3_000);
    }
}
