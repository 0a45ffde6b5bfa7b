//! Hashes of passwords.
//!
//! Argon2 takes some ten milliseconds and some megabytes on purpose. Checks are done by other threads than the workers',
//! on half of the CPUs at most, so that who guesses cannot take all of them from requests; a bounded number waits, and more
//! are refused.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;

use super::key_hash::digest;
use crate::auth::AuthError;

/// Passwords that may wait to be checked.
const MOST_WAITING: usize = 64;

/// What is checked where there is no such user: it takes as long.
static NOBODYS: LazyLock<Option<PasswordHash>> =
    LazyLock::new(|| hash_password(b"nobody's").ok()?.parse().ok());

/// The hash of a password, by Argon2id.
#[derive(Clone)]
pub(crate) struct PasswordHash(phc::PasswordHash);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the hash, which can be tried against.
        formatter.write_str("PasswordHash")
    }
}

/// Checks passwords.
pub(super) struct Passwords {
    threads: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Drawn at the start.
    fingerprints: hmac::Key,
}

/// A password cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub(crate) struct PasswordError(argon2::password_hash::Error);

impl std::fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut key = [0; 32];
        // Without randomness fingerprints are those of a known key, which only who reads our memory could use.
        let _ = SystemRandom::new().fill(&mut key);
        Self {
            threads: Arc::new(Semaphore::new((cpus / 2).max(1))),
            waiting: Arc::default(),
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }
}

impl Passwords {
    /// Whether `hash` is that of `password`. Without one it is not, which takes as long to find out.
    ///
    /// # Errors
    /// When too many wait.
    pub(super) async fn verify(
        &self,
        hash: Option<&PasswordHash>,
        password: &[u8],
    ) -> Result<bool, AuthError> {
        let Some(PasswordHash(checked)) = hash.or(NOBODYS.as_ref()).cloned() else {
            return Ok(false);
        };
        let waiting = Waiting::one_more(&self.waiting).ok_or(AuthError::Unavailable)?;
        let thread = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|_| AuthError::Unavailable)?;
        let password = password.to_vec();
        let right = tokio::task::spawn_blocking(move || {
            // The work goes on when the client has gone: it counts until it is done, not until nobody waits for it.
            let _counted = (waiting, thread);
            Argon2::default()
                .verify_password(&password, &checked)
                .is_ok()
        });
        Ok(right.await.unwrap_or(false) && hash.is_some())
    }

    pub(super) fn fingerprint(&self, credentials: &[u8]) -> [u8; 32] {
        digest(&self.fingerprints, credentials)
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn one_more(count: &Arc<AtomicUsize>) -> Option<Self> {
        let waiting = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The hash of `password` as it stands in the file: Argon2id with the library's parameters, which are OWASP's.
///
/// # Errors
/// When the system has no randomness, or the password is too long to be hashed.
pub(crate) fn hash_password(password: &[u8]) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(password)
        .map(|hash: phc::PasswordHash| hash.to_string())
        .map_err(PasswordError)
}

impl FromStr for PasswordHash {
    type Err = &'static str;

    /// As it stands in the file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = phc::PasswordHash::new(text).map_err(
            |_| "must be a hash such as \"$argon2id$v=19$...\", as \"api-gateway hash\" prints it",
        )?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() {
            return Err("must be a hash by argon2id, as \"api-gateway hash\" prints it");
        }
        // Each check takes that much memory, in KiB.
        if hash
            .params
            .get_decimal("m")
            .is_none_or(|memory| memory > 256 * 1024)
        {
            return Err("needs more than 256 MiB to be checked; use a smaller \"m\"");
        }
        Ok(Self(hash))
    }
}
