//! Who signs tokens, and what must be true of them.

use std::sync::Arc;

use super::AuthError;
use super::claims::{ClaimPath, Claims, Validity};
use super::identity::{CONSUMERS, GATEWAY, Identity};
use super::jose::{Compact, KeySet};
use super::remote_keys::RemoteKeys;

/// Somebody whose tokens are believed.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// What routes and logs call it.
    pub(crate) name: Box<str>,
    /// `iss` of its tokens.
    pub(crate) issuer: Box<str>,
    pub(crate) keys: Keys,
    /// A token must be for one of these; for anybody where there are none.
    pub(crate) audiences: Box<[Box<str>]>,
    /// How far clocks may be apart, in seconds.
    pub(crate) leeway: f64,
    /// Where its tokens say what roles somebody has.
    pub(crate) roles: ClaimPath,
    /// A digest of all that it was made of.
    pub(crate) made_of: [u8; 32],
}

/// The keys of an issuer.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Known from the start.
    Fixed(KeySet),
    /// Published by the issuer, and changing.
    Remote(Arc<RemoteKeys>),
}

/// A token that somebody we believe has signed.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) identity: Arc<Identity>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) validity: Validity,
    /// [`Issuer::generation`] of the keys that it was checked with.
    pub(crate) generation: u64,
}

/// Why a token is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unverified {
    /// It may be signed with a key that has not been seen yet.
    UnknownKey,
    /// It is not to be believed.
    Refused(AuthError),
}

impl Issuer {
    /// Grows when keys are withdrawn or come: what was checked with older ones is to be checked again.
    pub(crate) fn generation(&self) -> u64 {
        match &self.keys {
            Keys::Fixed(_) => 0,
            Keys::Remote(keys) => keys.current().generation,
        }
    }

    /// Checks the signature of a token that says it is this issuer's, and what does not depend on the time.
    pub(crate) fn verify(
        self: &Arc<Self>,
        token: &Compact<'_>,
        claims: Claims,
    ) -> Result<Verified, Unverified> {
        let (signed, known, generation) = match &self.keys {
            Keys::Fixed(keys) => (keys.has_signed(token), true, 0),
            Keys::Remote(remote) => {
                let current = remote.current();
                let known = current.keys.may_have_signed(token);
                (current.keys.has_signed(token), known, current.generation)
            }
        };
        if !known {
            return Err(Unverified::UnknownKey);
        }
        let because = |reason, error: AuthError| Unverified::Refused(error.because(reason));
        if !signed {
            let reason = "no key of its issuer has signed it by its alg";
            return Err(because(reason, AuthError::Invalid));
        }
        let validity = claims.validity().ok_or_else(|| {
            let reason = "it has no exp, or a time that is no number";
            because(reason, AuthError::Invalid)
        })?;
        if !claims.are_for(&self.audiences) {
            let reason = "its aud is none of its issuer's audiences";
            return Err(because(reason, AuthError::Audience));
        }
        // Who has got a token of ours with its password is the same to limits as with the password itself.
        let authority = match claims.text("client_id") {
            Some(_) if *self.name == *GATEWAY => CONSUMERS,
            _ => &self.name,
        };
        Ok(Verified {
            identity: Arc::new(Identity::new(authority, claims, &self.roles)),
            issuer: Arc::clone(self),
            validity,
            generation,
        })
    }
}

impl Verified {
    /// Whether the token is valid at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When its time is over, or has not come.
    pub(crate) fn judge(&self, now: f64) -> Result<(), AuthError> {
        if now >= self.validity.until + self.issuer.leeway {
            return Err(AuthError::Expired);
        }
        if now + self.issuer.leeway < self.validity.from {
            return Err(AuthError::Premature);
        }
        Ok(())
    }
}
