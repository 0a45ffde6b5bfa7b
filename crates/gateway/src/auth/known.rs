//! Credentials that have been checked already.
//!
//! To check a signature costs some microseconds, to check a password some milliseconds, and clients send the same
//! credentials with each of their requests. A worker remembers those it has accepted lately, whole, in a table of fixed
//! size: credentials that want a taken place take it over. Of tokens and passwords only good ones come in, so nobody else
//! can push them out; of decisions of other services refusals come in too, and can. What depends on the time or on the
//! route is judged for each request.

use std::cell::RefCell;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

const PLACES: usize = 1024;
/// Longer credentials are checked each time. With [`PLACES`] this bounds the table to 4 MiB, besides what it says of
/// their owners: about as much again, and up to 64 KiB a place for the answers by which services have refused.
const LONGEST: usize = 4096;

/// Credentials that have been accepted, and what is known of their owners.
pub(super) struct Known<T> {
    /// Quick, and seeded at the start. Who found credentials that share a place could do no more than have each other's
    /// checked again, and needs good ones for that.
    hasher: RandomState,
    places: RefCell<Box<[Option<Entry<T>>]>>,
}

struct Entry<T> {
    credentials: Box<[u8]>,
    owner: T,
}

impl<T> std::fmt::Debug for Known<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what is in it.
        formatter.debug_struct("Known").finish_non_exhaustive()
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            places: RefCell::new((0..PLACES).map(|_| None).collect()),
        }
    }
}

impl<T: Clone> Known<T> {
    /// The owner of `credentials`, where they are known and `holds` says that what is known still holds. What does not
    /// is forgotten.
    pub(super) fn owner(&self, credentials: &[u8], holds: impl FnOnce(&T) -> bool) -> Option<T> {
        let place = &mut self.places.borrow_mut()[self.place_of(credentials)];
        match place {
            Some(known) if *known.credentials == *credentials => {
                if holds(&known.owner) {
                    return Some(known.owner.clone());
                }
                *place = None;
                None
            }
            _ => None,
        }
    }

    /// Remembers whose `credentials` are.
    pub(super) fn remember(&self, credentials: &[u8], owner: T) {
        if credentials.len() <= LONGEST {
            self.places.borrow_mut()[self.place_of(credentials)] = Some(Entry {
                credentials: credentials.into(),
                owner,
            });
        }
    }

    /// Forgets all of whom `holds` says no.
    pub(super) fn retain(&self, holds: impl Fn(&T) -> bool) {
        for place in self.places.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|known| !holds(&known.owner)) {
                *place = None;
            }
        }
    }

    fn place_of(&self, credentials: &[u8]) -> usize {
        // The cast keeps the low bits, which are all that is needed.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.hasher.hash_one(credentials) as usize;
        hash % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(known: &Known<usize>) -> bool {
        known.places.borrow().iter().all(Option::is_none)
    }

    #[test]
    fn what_is_remembered_is_known() {
        let known = Known::default();
        assert_eq!(known.owner(b"a", |_| true), None);
        known.remember(b"a", 1);
        assert_eq!(known.owner(b"a", |owner| *owner == 1), Some(1));
        assert_eq!(known.owner(b"b", |_| true), None);
    }

    #[test]
    fn what_does_not_hold_any_more_is_forgotten() {
        let known = Known::default();
        known.remember(b"a", 1);
        assert_eq!(known.owner(b"a", |_| false), None);
        assert!(is_empty(&known));
        known.remember(b"a", 1);
        known.retain(|owner| *owner != 1);
        assert!(is_empty(&known));
    }

    #[test]
    fn memory_is_bounded() {
        let known = Known::default();
        known.remember(&[b'x'; LONGEST + 1], 1);
        assert!(is_empty(&known));
    }

    #[test]
    fn credentials_that_share_a_place_do_not_pass_for_each_other() {
        let known = Known::default();
        for token in 0..4 * PLACES {
            known.remember(token.to_string().as_bytes(), token);
        }
        let found = (0..4 * PLACES)
            .filter_map(|token| {
                let owner = known.owner(token.to_string().as_bytes(), |_| true)?;
                assert_eq!(owner, token);
                Some(owner)
            })
            .count();
        assert!(found <= PLACES);
    }
}
