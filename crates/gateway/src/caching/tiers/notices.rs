//! What the cache tells of, on its way to those who keep it: queues with bounds, which no thread that serves requests waits
//! for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cache::{Beyond, PurgeOrigin, PurgeRecord, Stored};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::counts::{Tier, TierCounts, Write};
use super::journal::JournalQueue;
use super::log::Outbox;

/// Responses that may wait to be written.
const MOST: usize = 4096;

/// Something to be written to the tiers, or taken out.
#[derive(Debug)]
pub(super) enum Notice {
    Stored(Stored),
    Removed(Stored),
}

/// Takes what the cache tells.
#[derive(Debug)]
pub(super) struct Notices {
    queue: Sender<Notice>,
    backlog: Arc<Backlog>,
    pub(super) journal: Option<JournalQueue>,
    pub(super) outbox: Option<Arc<Outbox>>,
    tiers: Vec<Tier>,
    counts: Arc<TierCounts>,
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Backlog {
    bytes: AtomicU64,
    most_bytes: u64,
    /// Something that is not right any more could not be told of.
    lost_removal: AtomicBool,
}

impl Notices {
    /// What waits may hold `most_bytes` of responses in memory.
    pub(super) fn new(
        most_bytes: u64,
        journal: Option<JournalQueue>,
        outbox: Option<Arc<Outbox>>,
        counts: Arc<TierCounts>,
    ) -> (Self, Receiver<Notice>, Arc<Backlog>) {
        let (queue, receiver) = channel(MOST);
        let backlog = Arc::new(Backlog {
            bytes: AtomicU64::new(0),
            most_bytes,
            lost_removal: AtomicBool::new(false),
        });
        let disk = journal.is_some().then_some(Tier::Disk);
        let redis = outbox.is_some().then_some(Tier::Redis);
        let notices = Self {
            queue,
            backlog: Arc::clone(&backlog),
            journal,
            outbox,
            tiers: disk.into_iter().chain(redis).collect(),
            counts,
        };
        (notices, receiver, backlog)
    }

    fn dropped(&self) {
        for tier in &self.tiers {
            self.counts.wrote(*tier, Write::Dropped);
        }
    }
}

impl Beyond for Notices {
    fn stored(&self, stored: &Stored) {
        if !self.backlog.take(stored) {
            return self.dropped();
        }
        if self.queue.try_send(Notice::Stored(stored.clone())).is_err() {
            self.backlog.give_back(stored);
            self.dropped();
        }
    }

    fn removed(&self, stored: &Stored) {
        let sent = self.queue.try_send(Notice::Removed(stored.clone()));
        if let Err(TrySendError::Full(_)) = sent {
            self.backlog.lost_removal.store(true, Ordering::Release);
        }
    }

    fn purged(&self, number: u64, origin: PurgeOrigin, purge: &PurgeRecord) {
        if let Some(journal) = &self.journal {
            journal.push(number, origin, purge);
        }
        if let (Some(outbox), PurgeOrigin::Here) = (&self.outbox, origin) {
            outbox.push(number, purge);
        }
    }
}

impl Backlog {
    fn take(&self, stored: &Stored) -> bool {
        let length = stored.body_length();
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = before + length <= self.most_bytes;
        if !fits {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, stored: &Stored) {
        self.bytes
            .fetch_sub(stored.body_length(), Ordering::Relaxed);
    }

    /// Whether something that was to be taken out has not been told of since this was asked.
    pub(super) fn has_lost_removal(&self) -> bool {
        self.lost_removal.swap(false, Ordering::AcqRel)
    }
}
