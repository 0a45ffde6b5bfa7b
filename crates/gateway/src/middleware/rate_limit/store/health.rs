//! How Redis is: counted for metrics, and told in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::RedisServer;

/// Between two complaints.
const REPORT_PAUSE: Duration = Duration::from_secs(10);

/// Why a question has got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Redis has refused it, or the connection broke.
    Error,
    /// The answer has not come in time.
    TimedOut,
    /// There is no connection.
    Disconnected,
}

/// What was done about a limit for want of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// It was counted in this gateway.
    Local,
    /// The request passed it.
    Open,
    /// The request was refused.
    Closed,
}

/// How Redis is, for all workers together.
#[derive(Debug)]
pub(crate) struct StoreHealth {
    failures: [AtomicU64; Failure::ALL.len()],
    fallbacks: [AtomicU64; Fallback::ALL.len()],
    /// As the log calls the server, where there is one.
    server: Option<String>,
    reports: Mutex<Reports>,
}

/// What the log has been told.
#[derive(Debug)]
struct Reports {
    /// Workers without a connection.
    missing: usize,
    /// The last complaint.
    complained: Option<Instant>,
    /// It is to be told when all workers have a connection.
    awaited: bool,
}

impl Failure {
    /// All of them, in the order of their counters.
    pub(crate) const ALL: [Self; 3] = [Self::Error, Self::TimedOut, Self::Disconnected];

    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::TimedOut => "timeout",
            Self::Disconnected => "disconnected",
        }
    }
}

impl Fallback {
    /// All of them, in the order of their counters.
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Open, Self::Closed];

    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl StoreHealth {
    /// Of the server that none of so many workers is connected to yet.
    pub(crate) fn new(server: Option<&RedisServer>, workers: usize) -> Self {
        Self {
            failures: Default::default(),
            fallbacks: Default::default(),
            server: server.map(ToString::to_string),
            reports: Mutex::new(Reports {
                missing: workers,
                complained: None,
                awaited: true,
            }),
        }
    }

    pub(crate) fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn fallbacks(&self, fallback: Fallback) -> u64 {
        self.fallbacks[fallback as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(in super::super) fn count_fallback(&self, fallback: Fallback) {
        self.fallbacks[fallback as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has got a connection.
    pub(super) fn found(&self) {
        let mut reports = self.reports();
        reports.missing = reports.missing.saturating_sub(1);
        if reports.missing == 0 && reports.awaited {
            reports.awaited = false;
            tracing::info!(server = self.server, "rate limits are counted in Redis");
        }
    }

    /// A worker has lost its connection.
    pub(super) fn lost(&self, reason: &str) {
        let mut reports = self.reports();
        reports.missing += 1;
        self.complain(&mut reports, reason);
    }

    /// A worker has not got a connection.
    pub(super) fn not_found(&self, reason: &str) {
        self.complain(&mut self.reports(), reason);
    }

    /// Says so once in a while, not for every worker and attempt.
    fn complain(&self, reports: &mut Reports, reason: &str) {
        if reports
            .complained
            .is_none_or(|last| last.elapsed() >= REPORT_PAUSE)
        {
            reports.complained = Some(Instant::now());
            reports.awaited = true;
            tracing::warn!(
                server = self.server,
                reason,
                "Redis cannot be asked; rate limits go by their onError"
            );
        }
    }

    fn reports(&self) -> std::sync::MutexGuard<'_, Reports> {
        // What a panicked thread has left is still right enough for a log.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
