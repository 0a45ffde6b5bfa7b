//! Tokens whose signature has been checked already.
//!
//! To check a signature costs some microseconds, more than all else that is done for a request, and clients send the
//! same token with each of theirs. A worker remembers the tokens it has accepted lately, whole, in a table of fixed
//! size: a token that wants a taken place takes it over. Only tokens that bear a good signature come in, so nobody
//! else can push them out. What depends on the time is judged for each request, and a token whose time is over is
//! forgotten.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use super::claims::Claims;

const PLACES: usize = 1024;
/// Longer tokens are checked each time. With [`PLACES`] this bounds the table to 4 MiB.
const LONGEST: usize = 4096;

/// The tokens that one key has been found to have signed.
pub(super) struct KnownTokens {
    /// Unknown to clients: they cannot choose tokens that share a place.
    hasher: RandomState,
    places: RefCell<Box<[Option<Known>]>>,
}

struct Known {
    token: Box<[u8]>,
    claims: Claims,
}

impl Default for KnownTokens {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            places: RefCell::new((0..PLACES).map(|_| None).collect()),
        }
    }
}

impl KnownTokens {
    /// Has `judge` decide on the claims of `token`, which `check` finds where the token is not known. What is refused
    /// is not remembered.
    pub(super) fn accept<E>(
        &self,
        token: &[u8],
        check: impl FnOnce() -> Result<Claims, E>,
        judge: impl FnOnce(&Claims) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut places = self.places.borrow_mut();
        let place = &mut places[self.place_of(token)];
        if let Some(known) = place
            && *known.token == *token
        {
            let judgement = judge(&known.claims);
            if judgement.is_err() {
                *place = None;
            }
            return judgement;
        }
        let claims = check()?;
        judge(&claims)?;
        if token.len() <= LONGEST {
            *place = Some(Known {
                token: token.into(),
                claims,
            });
        }
        Ok(())
    }

    fn place_of(&self, token: &[u8]) -> usize {
        // The cast keeps the low bits, which are all that is needed.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.hasher.hash_one(token) as usize;
        hash % PLACES
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A table, and how often a signature had to be checked.
    #[derive(Default)]
    struct Checked {
        known: KnownTokens,
        checks: Cell<usize>,
    }

    impl Checked {
        fn accept(&self, token: &str, signed: bool, valid: bool) -> bool {
            let check = || {
                self.checks.set(self.checks.get() + 1);
                let claims = Claims {
                    iss: Some(token.to_owned()),
                    exp: None,
                    nbf: None,
                };
                if signed { Ok(claims) } else { Err(()) }
            };
            let judge = |claims: &Claims| {
                assert_eq!(claims.iss.as_deref(), Some(token));
                if valid { Ok(()) } else { Err(()) }
            };
            self.known.accept(token.as_bytes(), check, judge).is_ok()
        }
    }

    #[test]
    fn an_accepted_token_is_checked_once() {
        let checked = Checked::default();
        assert!(checked.accept("a", true, true));
        assert!(checked.accept("a", false, true));
        assert_eq!(checked.checks.get(), 1);
    }

    #[test]
    fn a_token_that_is_not_valid_any_more_is_forgotten() {
        let checked = Checked::default();
        assert!(checked.accept("a", true, true));
        assert!(!checked.accept("a", true, false));
        assert!(checked.known.places.borrow().iter().all(Option::is_none));
    }

    #[test]
    fn nothing_but_accepted_tokens_takes_a_place() {
        let checked = Checked::default();
        assert!(!checked.accept("forged", false, true));
        assert!(!checked.accept("expired", true, false));
        assert!(checked.accept(&"long".repeat(LONGEST), true, true));
        assert!(checked.known.places.borrow().iter().all(Option::is_none));
    }

    #[test]
    fn tokens_that_share_a_place_do_not_pass_for_each_other() {
        let checked = Checked::default();
        for token in 0..4 * PLACES {
            assert!(checked.accept(&token.to_string(), true, true));
        }
        for token in 0..4 * PLACES {
            assert!(!checked.accept(&format!("forged {token}"), false, true));
        }
        assert_eq!(checked.checks.get(), 8 * PLACES);
    }
}
