//! Which configuration is served, and what came of the last attempt to replace it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What attempts come to, in the order of [`ReloadStatus::attempts`].
pub(crate) const RESULTS: [&str; 3] = ["success", "failure", "rollback"];

/// Written by whoever loads configurations.
#[derive(Debug)]
pub(crate) struct ReloadStatus {
    /// The number of the configuration that is served; 1 is the one that the gateway has started with.
    generation: AtomicU64,
    last_success: AtomicBool,
    /// When that was, in seconds since 1970.
    last_time: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    taken_back: AtomicU64,
    /// Configurations that somebody still has.
    in_memory: AtomicU64,
    /// What was wrong the last time.
    errors: Mutex<Vec<String>>,
}

impl Default for ReloadStatus {
    /// The configuration of the start has just been loaded.
    fn default() -> Self {
        Self {
            generation: AtomicU64::new(1),
            last_success: AtomicBool::new(true),
            last_time: AtomicU64::new(now()),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            taken_back: AtomicU64::new(0),
            in_memory: AtomicU64::new(1),
            errors: Mutex::default(),
        }
    }
}

impl ReloadStatus {
    /// Another configuration is served from now on: the one of this number.
    pub(crate) fn succeeded(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.tell(Vec::new());
    }

    /// A configuration could not be used for this; the one before it is still served.
    pub(crate) fn failed(&self, errors: Vec<String>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.tell(errors);
    }

    /// One was used, and has been taken back for this.
    pub(crate) fn taken_back(&self, why: String) {
        self.taken_back.fetch_add(1, Ordering::Relaxed);
        self.tell(vec![why]);
    }

    /// So many configurations are in memory.
    pub(crate) fn set_in_memory(&self, configurations: usize) {
        self.in_memory
            .store(configurations as u64, Ordering::Relaxed);
    }

    fn tell(&self, errors: Vec<String>) {
        self.last_success
            .store(errors.is_empty(), Ordering::Relaxed);
        let known = self.errors.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = errors;
        self.last_time.store(now(), Ordering::Relaxed);
    }

    /// The number of the configuration that is served.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether the last attempt has succeeded.
    pub(crate) fn last_success(&self) -> bool {
        self.last_success.load(Ordering::Relaxed)
    }

    /// When that was, since 1970.
    pub(crate) fn last_time(&self) -> Duration {
        Duration::from_secs(self.last_time.load(Ordering::Relaxed))
    }

    /// What was wrong with it.
    pub(crate) fn errors(&self) -> Vec<String> {
        let errors = self.errors.lock();
        errors.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many configurations are in memory.
    pub(crate) fn in_memory(&self) -> u64 {
        self.in_memory.load(Ordering::Relaxed)
    }

    /// How often it has succeeded, failed, and been taken back.
    pub(crate) fn attempts(&self) -> [u64; 3] {
        [&self.succeeded, &self.failed, &self.taken_back].map(|count| count.load(Ordering::Relaxed))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_outlives_what_could_not_be_used() {
        let status = ReloadStatus::default();
        assert_eq!((status.generation(), status.last_success()), (1, true));
        status.succeeded(2);
        status.failed(vec!["wrong".to_owned()]);
        assert_eq!(status.errors(), ["wrong"]);
        assert_eq!((status.generation(), status.last_success()), (2, false));
        assert_eq!(status.attempts(), [1, 1, 0]);
        assert!(status.last_time() > Duration::ZERO);
    }
}
