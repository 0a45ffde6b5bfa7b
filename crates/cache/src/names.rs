//! Field names out of stored heads, without an allocation for those that have been seen.

use std::cell::RefCell;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use http::HeaderName;

/// Places per thread. A name has one of two, by its hash, and takes it over from the one of them that came earlier: two
/// names of one head that meet do not displace each other at every hit.
const PLACES: usize = 256;
/// Longer names are made anew each time.
const LONGEST: usize = 64;

thread_local! {
    static TABLE: RefCell<Vec<Option<HeaderName>>> = RefCell::new(vec![None; PLACES]);
}

/// The name that is written so, in lower case.
pub(crate) fn of(name: &[u8]) -> Option<HeaderName> {
    if name.len() > LONGEST {
        return HeaderName::from_bytes(name).ok();
    }
    TABLE.with_borrow_mut(|table| {
        let first = place(name) & !1;
        let places = table.get_mut(first..first + 2)?;
        let known = places.iter().flatten();
        if let Some(known) = known.clone().find(|it| it.as_str().as_bytes() == name) {
            return Some(known.clone());
        }
        let made = HeaderName::from_bytes(name).ok()?;
        places.swap(0, 1);
        *places.first_mut()? = Some(made.clone());
        Some(made)
    })
}

/// Whoever makes names meet makes them slower to find, and nothing else.
fn place(name: &[u8]) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
    let hash = FixedState::default().hash_one(name) as usize;
    hash % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_was_asked_for_however_many_there_are() {
        for round in 0..2 {
            for number in 0..2_000 {
                let name = format!("x-name-{number}");
                assert_eq!(of(name.as_bytes()).unwrap(), *name, "round {round}");
            }
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(of(long.as_bytes()).unwrap(), *long);
        assert_eq!(of(b"a b"), None);
    }
}
