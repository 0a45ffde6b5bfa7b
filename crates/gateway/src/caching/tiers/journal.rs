//! The journal of purges in the folder on disk: what was purged does not come back after a restart.
//!
//! ```text
//! "agcj" version
//! length, checksum     four and eight bytes, of what follows
//! number, position     eight bytes each; the position in the shared log and 1, or 0
//! the purge            none where only the number counts
//! ```
//!
//! A thread of its own writes it, in the order in which the cache purges. A journal that cannot be read to its end may have
//! lost purges: then nothing that is on disk is used.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use cache::{Cache, PurgeOrigin, PurgeRecord};
use tokio::sync::oneshot;
use twox_hash::XxHash3_64;

const MAGIC: [u8; 5] = *b"agcj\x01";
/// Length and checksum.
const PREFIX: usize = 12;
/// Number and position.
const FIXED: usize = 16;
/// Purges that may wait to be written; then all of them become one of everything.
const MOST_WAITING: usize = 65_536;
/// The journal is written anew with half of them when it has so many.
const MOST_ENTRIES: usize = 100_000;
/// No purge is longer.
const LONGEST: usize = 1 << 20;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    number: u64,
    position: Option<u64>,
    purge: Option<PurgeRecord>,
}

#[derive(Debug)]
enum Message {
    Entry(Entry),
    /// Answered when all that came before it is on disk.
    Flush(oneshot::Sender<()>),
}

/// The way to the thread that writes.
#[derive(Debug, Clone)]
pub(super) struct JournalQueue {
    queue: SyncSender<Message>,
    /// The last purge for which the queue had no room.
    lost: Arc<AtomicU64>,
}

/// A journal as it was found.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    entries: VecDeque<Entry>,
    /// What lies on disk may have been purged.
    pub(super) is_lost: bool,
}

impl JournalQueue {
    pub(super) fn push(&self, number: u64, origin: PurgeOrigin, purge: &PurgeRecord) {
        let entry = Entry {
            number,
            position: match origin {
                PurgeOrigin::Here => None,
                PurgeOrigin::Log(position) => Some(position),
            },
            purge: Some(purge.clone()),
        };
        if self.queue.try_send(Message::Entry(entry)).is_err() {
            self.lost.fetch_max(number, Ordering::AcqRel);
        }
    }

    /// Waits until what was purged so far is on disk.
    pub(super) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        let queue = self.queue.clone();
        let sent = tokio::task::spawn_blocking(move || queue.send(Message::Flush(sender)));
        if matches!(sent.await, Ok(Ok(()))) {
            let _written = done.await;
        }
    }
}

impl Journal {
    /// Reads it, if there is one.
    pub(super) fn read(path: PathBuf) -> io::Result<Self> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let entries = bytes.as_deref().and_then(parse);
        Ok(Self {
            path,
            is_lost: entries.is_none(),
            entries: entries.unwrap_or_default(),
        })
    }

    /// A queue for what is purged from now on. Nothing is taken from it until [`start`](Self::start).
    pub(super) fn queue() -> (JournalQueue, JournalReceiver) {
        let (queue, receiver) = sync_channel(MOST_WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let sender = JournalQueue {
            queue,
            lost: Arc::clone(&lost),
        };
        (sender, JournalReceiver { receiver, lost })
    }

    /// Purges what was purged before, and writes what is from now on.
    pub(super) fn start(mut self, cache: &Cache, receiver: JournalReceiver) -> io::Result<()> {
        let mut last = 0;
        for entry in &self.entries {
            last = last.max(entry.number);
            if let Some(purge) = &entry.purge {
                cache.replay(entry.number, entry.position, purge);
            }
        }
        self.entries.push_back(Entry {
            number: cache.resume(last),
            position: None,
            purge: None,
        });
        let file = self.rewrite()?;
        thread::Builder::new()
            .name("cache-journal".to_owned())
            .spawn(move || self.run(file, &receiver))?;
        Ok(())
    }

    fn run(mut self, mut file: File, receiver: &JournalReceiver) {
        let mut failed = false;
        while let Ok(message) = receiver.receiver.recv() {
            let result = match message {
                Message::Entry(entry) => self.append(&mut file, entry, receiver),
                Message::Flush(done) => {
                    let synced = file.sync_data();
                    let _gone = done.send(());
                    synced
                }
            };
            match result {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    tracing::error!(%error, path = %self.path.display(), "purges cannot be written to disk; what is cached there will not be used after a restart");
                    // A journal that ends before its time is worse than none.
                    let _gone = std::fs::remove_file(&self.path);
                }
                Err(_) => {}
            }
        }
    }

    fn append(
        &mut self,
        file: &mut File,
        mut entry: Entry,
        receiver: &JournalReceiver,
    ) -> io::Result<()> {
        let lost = receiver.lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            // Everything stands for this one, those that still wait, and those that are not known.
            entry = Entry {
                number: lost.max(entry.number),
                position: None,
                purge: Some(PurgeRecord::everything()),
            };
        }
        let bytes = encode(&entry);
        self.entries.push_back(entry);
        if self.entries.len() > MOST_ENTRIES {
            *file = self.rewrite()?;
            return Ok(());
        }
        file.write_all(&bytes)
    }

    /// Writes it anew: without the oldest, for which everything before them stands.
    fn rewrite(&mut self) -> io::Result<File> {
        if self.entries.len() > MOST_ENTRIES / 2 {
            let surplus = self.entries.len() - MOST_ENTRIES / 2;
            let dropped = self.entries.drain(..surplus).map(|it| it.number).max();
            self.entries.push_front(Entry {
                number: dropped.unwrap_or(0),
                position: None,
                purge: Some(PurgeRecord::everything()),
            });
        }
        let mut bytes = MAGIC.to_vec();
        for entry in &self.entries {
            bytes.extend(encode(entry));
        }
        replace(&self.path, &bytes)?;
        OpenOptions::new().append(true).open(&self.path)
    }
}

/// The other end of a [`JournalQueue`].
#[derive(Debug)]
pub(super) struct JournalReceiver {
    receiver: Receiver<Message>,
    lost: Arc<AtomicU64>,
}

/// All of a file at once: whoever reads it finds the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&new, path)
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut payload = Vec::with_capacity(FIXED + 64);
    payload.extend_from_slice(&entry.number.to_le_bytes());
    let position = entry.position.map_or(0, |it| it.saturating_add(1));
    payload.extend_from_slice(&position.to_le_bytes());
    if let Some(purge) = &entry.purge {
        payload.extend(purge.encode());
    }
    let mut bytes = Vec::with_capacity(PREFIX + payload.len());
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&XxHash3_64::oneshot(&payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// None unless all of it is as it was written.
fn parse(bytes: &[u8]) -> Option<VecDeque<Entry>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let mut entries = VecDeque::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk()?;
        let (sum, after) = after.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if length > LONGEST {
            return None;
        }
        let (payload, after) = after.split_at_checked(length)?;
        if u64::from_le_bytes(*sum) != XxHash3_64::oneshot(payload) {
            return None;
        }
        let (number, purge) = payload.split_first_chunk()?;
        let (position, purge) = purge.split_first_chunk()?;
        entries.push_back(Entry {
            number: u64::from_le_bytes(*number),
            position: u64::from_le_bytes(*position).checked_sub(1),
            purge: match purge {
                [] => None,
                purge => Some(PurgeRecord::decode(purge)?),
            },
        });
        rest = after;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> VecDeque<Entry> {
        let everything = Some(PurgeRecord::everything());
        [
            (1, None, None),
            (2, Some(0), everything.clone()),
            (7, Some(9), everything),
        ]
        .map(|(number, position, purge)| Entry {
            number,
            position,
            purge,
        })
        .into()
    }

    fn written() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(entries().iter().flat_map(encode));
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_not() {
        let good = written();
        assert_eq!(parse(&good), Some(entries()));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad), None, "{at}");
        }
        // Cut off between two entries it is a journal; which is why entries are whole before they count.
        let whole: Vec<usize> = (0..good.len())
            .filter(|at| parse(&good[..*at]).is_some())
            .collect();
        assert_eq!(whole, [5, 33, 68]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), magic: bool) {
            let bytes = if magic { [&MAGIC[..], &bytes].concat() } else { bytes };
            let _entries = parse(&bytes);
        }
    }
}
