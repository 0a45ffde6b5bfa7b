//! Field names out of bytes, most of them seen before.
//!
//! Clients and backends send the same few names over and over. To lower, look up and check a name costs more than to
//! find it in a small table by its bytes as they are on the wire; and a name that is not among those that `http` knows
//! would be a new allocation each time. In the program, a request and its answer with a dozen fields take 0.3 of
//! 5.8 µs less with the table. It has a fixed number of places, and a name that wants a taken one takes it over:
//! whatever a peer sends, it can only make itself slower.

use std::cell::RefCell;

use http::HeaderName;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE,
};

/// Names longer than this are looked up in full each time.
const LONGEST: usize = 32;
const PLACES: usize = 512;

thread_local! {
    static TABLE: RefCell<Vec<Option<Known>>> = RefCell::new((0..PLACES).map(|_| None).collect());
}

#[derive(Clone)]
struct Known {
    /// As on the wire, padded with zeros, which no name holds.
    bytes: [u8; LONGEST],
    name: HeaderName,
    role: Role,
}

/// What a field means to the reader of a head: a bit each, none for most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Role(u8);

impl Role {
    pub(super) const CONNECTION: Self = Self(1);
    pub(super) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(super) const CONTENT_TYPE: Self = Self(1 << 2);
    pub(super) const EXPECT: Self = Self(1 << 3);
    pub(super) const HOST: Self = Self(1 << 4);
    pub(super) const TRANSFER_ENCODING: Self = Self(1 << 5);
    pub(super) const UPGRADE: Self = Self(1 << 6);
    pub(super) const KEEP_ALIVE: Self = Self(1 << 7);

    fn of(name: &HeaderName) -> Self {
        match name {
            name if name == CONNECTION => Self::CONNECTION,
            name if name == CONTENT_LENGTH => Self::CONTENT_LENGTH,
            name if name == CONTENT_TYPE => Self::CONTENT_TYPE,
            name if name == EXPECT => Self::EXPECT,
            name if name == HOST => Self::HOST,
            name if name == TRANSFER_ENCODING => Self::TRANSFER_ENCODING,
            name if name == UPGRADE => Self::UPGRADE,
            name if name == "keep-alive" => Self::KEEP_ALIVE,
            _ => Self::default(),
        }
    }
}

/// Which roles the fields of a head play, and which of them more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Roles {
    present: u8,
    repeated: u8,
}

impl Roles {
    pub(super) fn add(&mut self, role: Role) {
        self.repeated |= self.present & role.0;
        self.present |= role.0;
    }

    pub(super) fn has(self, role: Role) -> bool {
        self.present & role.0 != 0
    }

    pub(super) fn has_many(self, role: Role) -> bool {
        self.repeated & role.0 != 0
    }
}

/// The name that `bytes` spell, and its role; none when they spell none.
pub(super) fn name(bytes: &[u8]) -> Option<(HeaderName, Role)> {
    let mut padded = [0; LONGEST];
    let Some(place) = padded.get_mut(..bytes.len()) else {
        return parse(bytes);
    };
    place.copy_from_slice(bytes);
    TABLE.with_borrow_mut(|table| {
        let place = &mut table[place_of(&padded, bytes.len())];
        match place {
            Some(known) if known.bytes == padded => Some((known.name.clone(), known.role)),
            _ => {
                let (name, role) = parse(bytes)?;
                *place = Some(Known {
                    bytes: padded,
                    name: name.clone(),
                    role,
                });
                Some((name, role))
            }
        }
    })
}

fn parse(bytes: &[u8]) -> Option<(HeaderName, Role)> {
    let name = HeaderName::from_bytes(bytes).ok()?;
    let role = Role::of(&name);
    Some((name, role))
}

/// Spreads names over the table: the halves of the name, folded, multiplied and cut (Fibonacci hashing).
fn place_of(padded: &[u8; LONGEST], length: usize) -> usize {
    let folded = padded.chunks_exact(8).fold(length as u64, |folded, eight| {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        (folded.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (folded >> (u64::BITS - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_the_first_and_the_second_time() {
        let long = "x".repeat(LONGEST + 1);
        for text in ["Host", "hOST", "Sec-Fetch-Mode", "X-A", &long] {
            for _ in 0..2 {
                let (found, role) = name(text.as_bytes()).unwrap();
                assert_eq!(found.as_str(), text.to_lowercase());
                assert_eq!(role == Role::HOST, text.len() == 4);
            }
        }
    }

    #[test]
    fn what_is_no_name_is_none_however_often_it_is_asked_for() {
        for bytes in [
            &b""[..],
            b"a b",
            b"a\0",
            b"\0",
            b"a:",
            &[0xff],
            &[0; LONGEST],
        ] {
            assert!(name(bytes).is_none() && name(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn names_that_share_a_place_do_not_pass_for_each_other() {
        for round in 0..2 {
            for number in 0..4 * PLACES {
                let text = format!("x-{number}");
                assert_eq!(name(text.as_bytes()).unwrap().0.as_str(), text, "{round}");
            }
        }
    }

    #[test]
    fn repetition_is_noticed() {
        let mut roles = Roles::default();
        roles.add(Role::HOST);
        assert!(roles.has(Role::HOST) && !roles.has_many(Role::HOST));
        roles.add(Role::default());
        roles.add(Role::HOST);
        assert!(roles.has_many(Role::HOST) && !roles.has(Role::UPGRADE));
    }
}
