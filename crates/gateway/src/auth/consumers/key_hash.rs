//! Hashes of API keys.
//!
//! Keys are 256 random bits: nobody finds one by trying, so that a fast hash is enough, and one is computed for each
//! request. It is keyed (HMAC-SHA256) all the same: who has the file and not API_KEY_SECRET cannot even check a key that
//! was found elsewhere.

use std::str::FromStr;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a hash starts with in the file.
const PREFIX: &str = "hmac-sha256:";
/// What a key starts with, so that people and scanners know one when they see it.
const KEY_PREFIX: &str = "gwk_";

/// The hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash([u8; 32]);

/// Hashes keys.
pub(crate) struct KeyHasher(hmac::Key);

impl std::fmt::Debug for KeyHasher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its secret.
        formatter.write_str("KeyHasher")
    }
}

impl KeyHasher {
    /// With this secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The hash of a key.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(digest(&self.0, key))
    }

    /// A new key, and its hash as it stands in the file. None when the system has no randomness.
    pub(crate) fn new_key(&self) -> Option<(String, String)> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).ok()?;
        let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let KeyHash(hash) = self.hash(key.as_bytes());
        Some((key, format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(hash))))
    }
}

/// HMAC-SHA256.
pub(super) fn digest(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(hmac::sign(key, message).as_ref());
    digest
}

impl FromStr for KeyHash {
    type Err = &'static str;

    /// As it stands in the file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
        text.strip_prefix(PREFIX)
            .and_then(decode)
            .map(Self)
            .ok_or("must be \"hmac-sha256:\" and 43 letters, as \"api-gateway key new\" prints it")
    }
}
