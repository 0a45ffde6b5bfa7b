//! What is counted of the process as a whole: it outlives every configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::by::By;
use super::failures::Failures;
use super::reload::ReloadStatus;
use super::shards::{Level, Shards};

/// What is counted whatever the configuration is.
#[derive(Debug)]
pub(crate) struct ProcessCounts {
    pub(crate) workers: Shards<WorkerShard>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) reload: ReloadStatus,
    /// Kept whether or not anything is counted.
    pub(crate) failures: Arc<Failures>,
}

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct WorkerShard {
    /// Client connections, by [`Protocol`].
    pub(crate) open: [Level; 2],
    pub(crate) accepted: By<2>,
}

/// What a client connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Also before it has said anything.
    Http1,
    Http2,
}

/// Look-ups in the DNS. Few, in the control plane: threads share them.
#[derive(Debug, Default)]
pub(crate) struct Lookups([AtomicU64; 3]);

/// What a look-up has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookedUp {
    Found,
    Absent,
    Failed,
}

/// Counts a client connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Connected<'a> {
    shard: Option<&'a WorkerShard>,
    protocol: Protocol,
}

impl Protocol {
    pub(crate) const NAMES: [&str; 2] = ["http/1.1", "h2"];
}

impl LookedUp {
    pub(crate) const NAMES: [&str; 3] = ["found", "absent", "failed"];
}

impl ProcessCounts {
    /// For so many workers; 0 where nothing is counted.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: Shards::new(workers),
            lookups: Arc::default(),
            reload: ReloadStatus::default(),
            failures: Arc::default(),
        }
    }

    /// A client has connected.
    pub(crate) fn connected(&self) -> Connected<'_> {
        let shard = self.workers.own();
        let connected = Connected {
            shard,
            protocol: Protocol::Http1,
        };
        connected.enter();
        connected
    }
}

impl Connected<'_> {
    /// It speaks HTTP/2.
    pub(crate) fn speaks_http2(&mut self) {
        self.leave();
        self.protocol = Protocol::Http2;
        self.enter();
    }

    fn enter(&self) {
        if let Some(shard) = self.shard {
            shard.open[self.protocol as usize].rise();
            shard.accepted.increment(self.protocol as usize);
        }
    }

    fn leave(&self) {
        if let Some(shard) = self.shard {
            shard.open[self.protocol as usize].fall();
        }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Lookups {
    pub(crate) fn count(&self, looked_up: LookedUp) {
        self.0[looked_up as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, looked_up: usize) -> u64 {
        let Self(counts) = self;
        counts
            .get(looked_up)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
