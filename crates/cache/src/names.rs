//! Field names out of stored heads, without an allocation for those that have been seen.

use std::cell::RefCell;

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
pub(crate) fn of(name: &str) -> Option<HeaderName> {
    if name.len() > LONGEST {
        return HeaderName::try_from(name).ok();
    }
    TABLE.with_borrow_mut(|table| {
        let first = place(name) & !1;
        let places = table.get_mut(first..first + 2)?;
        let known = places.iter().flatten().find(|it| it.as_str() == name);
        if let Some(known) = known {
            return Some(known.clone());
        }
        let made = HeaderName::try_from(name).ok()?;
        places.swap(0, 1);
        *places.first_mut()? = Some(made.clone());
        Some(made)
    })
}

fn place(name: &str) -> usize {
    // FNV-1a.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 8) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_was_asked_for_however_many_there_are() {
        for round in 0..2 {
            for number in 0..2_000 {
                let name = format!("x-name-{number}");
                assert_eq!(of(&name).unwrap(), *name, "round {round}");
            }
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(of(&long).unwrap(), *long);
        assert_eq!(of("a b"), None);
    }
}
