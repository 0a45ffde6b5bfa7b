//! The tier on disk: `foyer`'s storage engine in a folder that one gateway has for itself.
//!
//! ```text
//! lock      held by the gateway that uses the folder
//! purges    the journal
//! data/     blocks of 16 MiB, which are written one after the other, the oldest being given up for new ones
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache::RecordName;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCachePolicy, PsyncIoEngineConfig, RecoverMode,
};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::TierError;
use super::counts::Answer;
use super::journal::Journal;
use super::pending::Pending;

/// A block, in which an entry has to fit.
const BLOCK: usize = 16 << 20;
/// What is larger is not written: a block has room for its head as well.
const LARGEST: usize = BLOCK - (1 << 20);
/// What was read last, so that many who ask for it read it once.
const MEMORY: usize = 1 << 20;
/// How long a request waits for the disk.
const PATIENCE: Duration = Duration::from_millis(100);
/// Requests that may wait for it at once.
const MOST_PENDING: usize = 256;
/// What is left free of the file system.
const SPARE: u64 = 64 << 20;
/// How often it is asked.
const LOOK: Duration = Duration::from_secs(1);

/// The folder, and what is in it.
pub(super) struct Disk {
    records: HybridCache<RecordName, Vec<u8>>,
    pending: Pending,
    space: Space,
    runtime: Handle,
    /// Held for as long as this lives.
    _lock: File,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Whether the file system has room.
#[derive(Debug)]
struct Space {
    folder: PathBuf,
    started: Instant,
    /// When it was last asked, in milliseconds after the start, and 1.
    asked: AtomicU64,
    is_full: AtomicBool,
}

impl Disk {
    /// Takes a folder for this gateway, and reads what is in it. What is damaged is left out.
    pub(super) async fn open(path: &Path, size: u64) -> Result<(Self, Journal), TierError> {
        let failed = |error: io::Error| TierError::Folder {
            path: path.to_owned(),
            error,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = lock(path)?;
        let data = path.join("data");
        let journal = Journal::read(path.join("purges")).map_err(failed)?;
        if journal.is_lost {
            clear(&data).map_err(failed)?;
        }
        std::fs::create_dir_all(&data).map_err(failed)?;
        let other = |error: foyer::Error| failed(io::Error::other(error.to_string()));
        let device = FsDeviceBuilder::new(&data)
            .with_capacity(usize::try_from(size).unwrap_or(usize::MAX))
            .build()
            .map_err(other)?;
        let records = HybridCacheBuilder::new()
            .with_name("cache")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .with_flush_on_close(false)
            .memory(MEMORY)
            .with_shards(1)
            .with_weighter(|_, record: &Vec<u8>| record.len() + 64)
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(BlockEngineConfig::new(device).with_block_size(BLOCK))
            .with_recover_mode(RecoverMode::Quiet)
            .build()
            .await
            .map_err(other)?;
        let disk = Self {
            records,
            pending: Pending::at_most(MOST_PENDING),
            space: Space::new(path),
            runtime: Handle::current(),
            _lock: lock,
        };
        Ok((disk, journal))
    }

    /// The record of this name; an error is what is counted of it.
    pub(super) async fn get(&self, name: RecordName) -> Result<Option<Vec<u8>>, Answer> {
        let _pending = self.pending.begin().ok_or(Answer::TimedOut)?;
        let records = self.records.clone();
        // On the control plane's threads: a worker never waits for the disk.
        let read = self.runtime.spawn(async move { records.get(&name).await });
        match timeout(PATIENCE, read).await {
            // An empty one stands for one that was taken out.
            Ok(Ok(Ok(found))) => Ok(found
                .map(|entry| entry.value().clone())
                .filter(|record| !record.is_empty())),
            Ok(_) => Err(Answer::Failed),
            Err(_) => Err(Answer::TimedOut),
        }
    }

    pub(super) fn takes(&self, length: usize) -> bool {
        length <= LARGEST
    }

    /// Writes a record, some time soon. Whether there is room for it.
    pub(super) fn put(&self, name: RecordName, record: Vec<u8>) -> bool {
        if !self.space.has_room() {
            return false;
        }
        self.records.storage_writer(name).force().insert(record);
        true
    }

    /// Takes a record out, also for after a restart.
    pub(super) fn remove(&self, name: RecordName) {
        self.records.storage_writer(name).force().insert(Vec::new());
    }

    /// Waits until all is written.
    pub(super) async fn close(&self) {
        if let Err(error) = self.records.close().await {
            tracing::warn!(%error, "cache on disk is not closed");
        }
    }
}

impl Space {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            started: Instant::now(),
            asked: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    /// Whether there is, by an answer that is a second old at most.
    fn has_room(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX) + 1;
        let asked = self.asked.load(Ordering::Relaxed);
        let pause = u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
        if asked == 0 || now.saturating_sub(asked) >= pause {
            self.asked.store(now, Ordering::Relaxed);
            self.note(free(&self.folder));
        }
        !self.is_full.load(Ordering::Relaxed)
    }

    /// Tells the log when it changes.
    fn note(&self, free: Option<u64>) {
        let is_full = free.is_some_and(|free| free < SPARE);
        let was_full = self.is_full.swap(is_full, Ordering::Relaxed);
        let path = self.folder.display();
        match (was_full, is_full) {
            (false, true) => {
                tracing::warn!(%path, free, "disk is full; nothing more is cached there");
            }
            (true, false) => tracing::info!(%path, free, "disk has room again for what is cached"),
            _ => {}
        }
    }
}

/// What is free where `folder` is, for those who have no privileges.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let system = rustix::fs::statvfs(folder).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _unknown = folder;
        None
    }
}

fn lock(path: &Path) -> Result<File, TierError> {
    let failed = |error: io::Error| TierError::Folder {
        path: path.to_owned(),
        error,
    };
    let file = File::create(path.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TierError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Takes out what may have been purged without a trace.
fn clear(data: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(data) {
        Ok(()) => {
            tracing::warn!(path = %data.display(), "the journal of purges is missing, damaged or of another version; what was cached on disk is not used");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_while_little_is_free() {
        let space = Space::new(Path::new("/"));
        for (free, expected) in [
            (Some(SPARE), true),
            (Some(SPARE - 1), false),
            (Some(0), false),
            (Some(SPARE), true),
            (None, true),
        ] {
            space.note(free);
            assert_eq!(!space.is_full.load(Ordering::Relaxed), expected, "{free:?}");
        }
        assert!(free(Path::new("/")).is_some());
    }
}
