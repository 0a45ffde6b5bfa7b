//! Which configuration is served, and what came of the last attempt to replace it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
        }
    }
}

impl ReloadStatus {
    /// Another configuration is served from now on: the one of this number.
    #[allow(dead_code, reason = "called by what loads configurations anew")]
    pub(crate) fn succeeded(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.tell(true);
    }

    /// A configuration could not be used; the one before it is still served.
    #[allow(dead_code, reason = "called by what loads configurations anew")]
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.tell(false);
    }

    fn tell(&self, success: bool) {
        self.last_success.store(success, Ordering::Relaxed);
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

    /// How often it has succeeded, and failed.
    pub(crate) fn attempts(&self) -> [u64; 2] {
        [&self.succeeded, &self.failed].map(|count| count.load(Ordering::Relaxed))
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
        status.failed();
        assert_eq!((status.generation(), status.last_success()), (2, false));
        assert_eq!(status.attempts(), [1, 1]);
        assert!(status.last_time() > Duration::ZERO);
    }
}
