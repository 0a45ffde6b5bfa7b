//! Tiers behind the memory: a folder on disk, and a Redis that several gateways share.
//!
//! A tier is asked when memory has nothing, by the one request of many that goes for all, within a bound of time; what it
//! has is taken into memory. What is stored is written behind: the cache tells of it ([`Notices`]), and a task of the
//! control plane writes it. Either tier may fail or be away: then it is as if it had nothing.
//!
//! ```text
//! notices.rs   what the cache tells, in queues
//! disk.rs      the folder
//! journal.rs   purges, for after a restart
//! shared.rs    Redis
//! log.rs       purges, for other gateways
//! pending.rs   how many questions may wait
//! counts.rs    what tiers have done, for metrics
//! ```

mod counts;
#[cfg(feature = "disk-cache")]
mod disk;
mod journal;
mod log;
#[cfg(not(feature = "disk-cache"))]
mod no_disk;
mod notices;
mod pending;
mod shared;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cache::{
    Cache, Decoded, Encoded, Epochs, Key, Manner, Policy, Purge, RecordName, Stored, Timestamp,
    record_name,
};
use http::HeaderMap;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

pub(crate) use counts::{Answer, Tier, TierCounts, Write};
#[cfg(feature = "disk-cache")]
use disk::Disk;
use journal::Journal;
#[cfg(not(feature = "disk-cache"))]
use no_disk::Disk;
use notices::{Backlog, Notice, Notices};
use shared::Shared;

use crate::config::CacheTierSettings;

/// How long whoever purges waits until Redis knows.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(1);
/// How long writing may go on when the gateway ends.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// What is of use for longer is kept for so long.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a tier cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    /// The folder cannot be used.
    #[error("CACHE_DISK_PATH: {path}: {error}; it has to be a folder that the gateway may write to", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another gateway uses it.
    #[error("CACHE_DISK_PATH: {path} is in use by another gateway; give each a folder of its own", path = _0.display())]
    Locked(PathBuf),
}

/// What is behind the memory.
#[derive(Debug)]
pub(crate) struct Tiers {
    disk: Option<Disk>,
    shared: Option<Shared>,
    notices: Arc<Notices>,
    /// What the cache has told of: of one task, that writes it.
    told: Mutex<Receiver<Notice>>,
    backlog: Arc<Backlog>,
    pub(crate) counts: Arc<TierCounts>,
}

/// Which tiers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All.
    All,
    /// Those in which others may have put something newer.
    Shared,
}

/// What has become of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Other gateways share nothing with this one.
    Nobody,
    /// It is in Redis, where they hear of it.
    Everybody,
    /// Redis cannot be asked; they will hear of it when it can.
    Later,
}

impl Tiers {
    /// A cache with the tiers that the settings name; without any it is only in memory.
    ///
    /// # Errors
    /// The folder cannot be used. Redis need not be there.
    pub(crate) async fn open(
        memory: cache::Settings,
        settings: &CacheTierSettings,
    ) -> Result<(Cache, Option<Arc<Self>>), TierError> {
        let shared = settings.redis.clone();
        let shared = shared.map(|server| Shared::new(server, settings));
        let disk = match &settings.disk_path {
            Some(path) => Some(Disk::open(path, settings.disk_size).await?),
            None => None,
        };
        if disk.is_none() && shared.is_none() {
            return Ok((Cache::new(memory), None));
        }
        let (disk, journal) = disk.unzip();
        let (queue, to_journal) = journal.as_ref().map(|_| Journal::queue()).unzip();
        let counts = Arc::new(TierCounts::default());
        let outbox = shared.as_ref().map(|it| Arc::clone(&it.outbox));
        let (notices, receiver, backlog) =
            Notices::new(memory.capacity / 4, queue, outbox, Arc::clone(&counts));
        let notices = Arc::new(notices);
        let cache = Cache::with_tiers(memory, notices.clone());
        if let (Some(journal), Some(receiver), Some(path)) =
            (journal, to_journal, &settings.disk_path)
        {
            let started = journal.start(&cache, receiver);
            started.map_err(|error| TierError::Folder {
                path: path.clone(),
                error,
            })?;
        }
        let tiers = Self {
            disk,
            shared,
            notices,
            told: Mutex::new(receiver),
            backlog,
            counts,
        };
        Ok((cache, Some(Arc::new(tiers))))
    }

    /// Writes what the cache tells of, one after the other, for as long as it is polled.
    pub(crate) async fn write_behind(&self, cache: &Cache) {
        let mut told = self.told.lock().await;
        while let Some(notice) = told.recv().await {
            if self.backlog.has_lost_removal() {
                // It is not known which is wrong: all are validated before they are used again.
                cache.purge(&Purge::Everything, Manner::Soft);
            }
            match notice {
                Notice::Stored(stored) => {
                    self.backlog.give_back(&stored);
                    self.write(cache, &stored).await;
                }
                Notice::Removed(stored) => self.remove(&stored).await,
            }
        }
    }

    /// Keeps the connection to Redis, for as long as it is polled.
    pub(crate) async fn keep_connected(&self, cache: &Cache) {
        match &self.shared {
            Some(shared) => shared.keep(cache).await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is a Redis, and whether it can be asked.
    pub(crate) fn is_connected(&self) -> Option<bool> {
        self.shared.as_ref().map(Shared::is_connected)
    }

    /// Waits until what has been purged holds: after a restart, and at other gateways.
    pub(crate) async fn settle(&self) -> Told {
        if let Some(journal) = &self.notices.journal {
            journal.flush().await;
        }
        match &self.shared {
            None => Told::Nobody,
            Some(shared) if shared.outbox.is_published(PUBLISH_PATIENCE).await => Told::Everybody,
            Some(_) => Told::Later,
        }
    }

    /// Writes what is still to be written to disk.
    pub(crate) async fn close(&self) {
        if let Some(disk) = &self.disk {
            let _in_time = tokio::time::timeout(CLOSE_PATIENCE, disk.close()).await;
        }
    }

    /// What a tier has for a request with these fields, the nearest first. `fits` says whether it is of use.
    pub(super) async fn recall<T>(
        &self,
        cache: &Cache,
        key: &Key,
        request: (&HeaderMap, &Policy),
        reach: Reach,
        fits: impl Fn(Stored) -> Option<T>,
    ) -> Option<(T, Tier)> {
        for tier in Tier::ALL {
            let is_asked = match tier {
                Tier::Disk => self.disk.is_some() && reach == Reach::All,
                Tier::Redis => self.shared.is_some(),
            };
            if !is_asked {
                continue;
            }
            let found = self.ask(tier, cache, key, request).await;
            let found = found.map(|found| found.map(&fits));
            self.counts.answered(
                tier,
                match &found {
                    Ok(Some(Some(_))) => Answer::Hit,
                    Ok(Some(None)) => Answer::Unfit,
                    Ok(None) => Answer::Miss,
                    Err(answer) => *answer,
                },
            );
            if let Ok(Some(Some(found))) = found {
                return Some((found, tier));
            }
        }
        None
    }

    async fn ask(
        &self,
        tier: Tier,
        cache: &Cache,
        key: &Key,
        (headers, policy): (&HeaderMap, &Policy),
    ) -> Result<Option<Stored>, Answer> {
        let mut name = record_name(key.as_bytes());
        // The response, or the fields by which it was selected and then the response.
        for _ in 0..2 {
            let Some(record) = self.get(tier, name).await? else {
                return Ok(None);
            };
            match cache.decode(key, headers, policy, &record, tier.epochs()) {
                Ok(Decoded::Response(stored)) => return Ok(Some(stored)),
                Ok(Decoded::At(other)) => name = other,
                Err(why) => {
                    tracing::debug!(tier = tier.name(), %why, "record is not used");
                    return Err(Answer::Unfit);
                }
            }
        }
        Err(Answer::Unfit)
    }

    async fn get(&self, tier: Tier, name: RecordName) -> Result<Option<Vec<u8>>, Answer> {
        match (tier, &self.disk, &self.shared) {
            (Tier::Disk, Some(disk), _) => disk.get(name).await,
            (Tier::Redis, _, Some(shared)) => shared.get(name).await,
            _ => Ok(None),
        }
    }

    async fn write(&self, cache: &Cache, stored: &Stored) {
        let now = Timestamp::from(SystemTime::now());
        let keep = stored.use_left(now).min(LONGEST);
        if keep.is_zero() {
            return;
        }
        if let Some(disk) = &self.disk
            && let Some(encoded) = cache.encode(stored, Epochs::Own)
        {
            let written = write_to_disk(disk, encoded);
            self.counts.wrote(Tier::Disk, written);
        }
        if let Some(shared) = &self.shared {
            let written = match cache.encode(stored, Epochs::Log) {
                Some(encoded) => share(shared, encoded, keep).await,
                None => Write::Failed,
            };
            self.counts.wrote(Tier::Redis, written);
        }
    }

    async fn remove(&self, stored: &Stored) {
        // Either is found by the name of what leads to it: without that it is not found.
        let name = record_name(stored.key());
        if let Some(disk) = &self.disk {
            disk.remove(name);
        }
        if let Some(shared) = &self.shared {
            shared.remove(name).await;
        }
    }
}

impl Tier {
    const fn epochs(self) -> Epochs {
        match self {
            Self::Disk => Epochs::Own,
            Self::Redis => Epochs::Log,
        }
    }
}

fn write_to_disk(disk: &Disk, encoded: Encoded) -> Write {
    let (name, record) = encoded.response;
    if !disk.takes(record.len()) {
        return Write::TooLarge;
    }
    let fields = encoded.fields;
    let all = fields.into_iter().chain([(name, record)]);
    let is_written = all.fold(true, |all, (name, record)| disk.put(name, record) && all);
    if is_written {
        Write::Written
    } else {
        Write::Dropped
    }
}

async fn share(shared: &Shared, encoded: Encoded, keep: Duration) -> Write {
    let (name, record) = encoded.response;
    if !shared.takes(record.len()) {
        return Write::TooLarge;
    }
    if let Some((name, record)) = encoded.fields {
        shared.put(name, &record, keep).await;
    }
    shared.put(name, &record, keep).await
}
