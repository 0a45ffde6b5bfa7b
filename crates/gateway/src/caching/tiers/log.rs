//! The log of purges that several gateways share: a stream in Redis.
//!
//! Each gateway writes its own purges to it, in their order, and follows it. An entry's id is its position, which tells a
//! gateway that was away what it has missed; one that finds that the log does not go on where it was knows that it has
//! missed something, and purges everything.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache::{Cache, PurgeRecord};
use redis::{Cmd, RedisResult, cmd, pipe};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::redis_connection::Connection;

/// Purges that wait to be written. Of more, one of everything stands for all.
const MOST_WAITING: usize = 65_536;
/// What is written at once.
const BATCH: usize = 256;
/// Purges that the log has, or a few more.
const LENGTH: usize = 100_000;
/// What is read at once.
const PAGE: usize = 1_000;
/// How long Redis may take to say that there is nothing new, and how long that is waited for.
const BLOCK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);
/// A position is a time in milliseconds and a number in it.
const NUMBER_BITS: u32 = 20;

/// An entry of the stream: id, and fields with their values.
type Item = (String, Vec<Vec<u8>>);
/// What follows the name of the stream that was asked for.
type Found = Vec<(Vec<u8>, Vec<Item>)>;

/// Own purges on their way to the log.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<(u64, PurgeRecord)>>,
    /// There is something.
    filled: Notify,
    /// The last that is in the log.
    published: watch::Sender<u64>,
    /// The last that was put in here.
    last: watch::Sender<u64>,
}

/// Follows the log, and writes to it.
#[derive(Debug)]
pub(super) struct Log {
    key: String,
    /// Who this gateway is in the log, as long as it runs.
    identity: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    position: u64,
    identity: Option<u64>,
    number: Option<u64>,
    /// None where it says nothing: the log begins with such an entry.
    purge: Option<PurgeRecord>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Notify::new(),
            published: watch::Sender::new(0),
            last: watch::Sender::new(0),
        }
    }

    pub(super) fn push(&self, number: u64, purge: &PurgeRecord) {
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MOST_WAITING {
                waiting.clear();
                waiting.push_back((number, PurgeRecord::everything()));
            } else {
                waiting.push_back((number, purge.clone()));
            }
        }
        self.last.send_replace(number);
        self.filled.notify_one();
    }

    /// Whether all that has been purged so far gets into the log within `patience`.
    pub(super) async fn is_published(&self, patience: Duration) -> bool {
        let last = *self.last.borrow();
        let mut published = self.published.subscribe();
        let done = published.wait_for(|number| *number >= last);
        matches!(timeout(patience, done).await, Ok(Ok(_)))
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(u64, PurgeRecord)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(&self) -> Vec<(u64, PurgeRecord)> {
        self.waiting().iter().take(BATCH).cloned().collect()
    }

    fn done(&self, number: u64) {
        {
            let mut waiting = self.waiting();
            while waiting.front().is_some_and(|(first, _)| *first <= number) {
                waiting.pop_front();
            }
        }
        self.published.send_replace(number);
    }
}

impl Log {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            key: format!("{prefix}:purges"),
            identity: fastrand::u64(..),
        }
    }

    /// Writes what is put into the outbox, for as long as that works.
    pub(super) async fn publish(&self, connection: &Connection, outbox: &Outbox) -> String {
        loop {
            let batch = outbox.batch();
            if batch.is_empty() {
                outbox.filled.notified().await;
                continue;
            }
            // All or none: a purge that is in the log says that those before it are.
            let mut all = pipe();
            all.atomic();
            for (number, purge) in &batch {
                all.add_command(self.add(*number, purge));
            }
            let written = answer(connection.query_all::<redis::Value>(&all)).await;
            if let Err(reason) = written {
                return reason;
            }
            if let Some((last, _)) = batch.last() {
                outbox.done(*last);
            }
        }
    }

    fn add(&self, number: u64, purge: &PurgeRecord) -> Cmd {
        let mut add = cmd("XADD");
        add.arg(&self.key)
            .arg("MAXLEN")
            .arg("~")
            .arg(LENGTH)
            .arg("*");
        add.arg("o").arg(format!("{:016x}", self.identity));
        add.arg("n").arg(number).arg("p").arg(purge.encode());
        add
    }

    /// Reads what this gateway has missed.
    pub(super) async fn catch_up(
        &self,
        connection: &Connection,
        cache: &Cache,
    ) -> Result<(), String> {
        let mut next = match cache.log_position() {
            None => None,
            Some(position) => {
                let page = self.page(connection, position, 1).await?;
                let goes_on = page.first().is_some_and(|it| it.position == position);
                goes_on.then_some(position + 1)
            }
        };
        if next.is_none() {
            let first = self.first(connection).await?;
            if cache.log_position().is_some() {
                tracing::warn!(
                    "the log of purges in Redis does not go on where this gateway had followed it; everything is purged"
                );
            }
            cache.follow_log_from(first);
            next = Some(first + 1);
        }
        let mut next = next.unwrap_or_default();
        loop {
            let page = self.page(connection, next, PAGE).await?;
            let is_last = page.len() < PAGE;
            for entry in page {
                next = entry.position + 1;
                self.apply(cache, entry);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The position of the first entry; there is one after this.
    async fn first(&self, connection: &Connection) -> Result<u64, String> {
        if let [first, ..] = &self.page(connection, 0, 1).await?[..] {
            return Ok(first.position);
        }
        let mut begin = cmd("XADD");
        begin.arg(&self.key).arg("*").arg("o").arg("begin");
        let id: String = answer(connection.query(begin)).await?;
        position(&id).ok_or_else(|| format!("{id} is no position"))
    }

    async fn page(
        &self,
        connection: &Connection,
        from: u64,
        count: usize,
    ) -> Result<Vec<Entry>, String> {
        let mut range = cmd("XRANGE");
        range
            .arg(&self.key)
            .arg(id(from))
            .arg("+")
            .arg("COUNT")
            .arg(count);
        let items: Vec<Item> = answer(connection.query(range)).await?;
        items.into_iter().map(Entry::read).collect()
    }

    /// Follows it for as long as that works.
    pub(super) async fn follow(&self, connection: &Connection, cache: &Cache) -> String {
        loop {
            let Some(position) = cache.log_position() else {
                return "the log of purges has no beginning".to_owned();
            };
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(PAGE);
            read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
            read.arg("STREAMS").arg(&self.key).arg(id(position));
            let found = match answer(connection.query::<Option<Found>>(read)).await {
                Ok(found) => found.unwrap_or_default(),
                Err(reason) => return reason,
            };
            for item in found.into_iter().flat_map(|(_, items)| items) {
                match Entry::read(item) {
                    Ok(entry) => self.apply(cache, entry),
                    Err(reason) => return reason,
                }
            }
        }
    }

    fn apply(&self, cache: &Cache, entry: Entry) {
        let own = entry
            .number
            .filter(|_| entry.identity == Some(self.identity));
        // What a later version has written may be about anything.
        let purge = entry.purge.unwrap_or(PurgeRecord::everything());
        cache.follow_log(entry.position, own, &purge);
    }
}

async fn answer<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

impl Entry {
    fn read((id, fields): Item) -> Result<Self, String> {
        let position = position(&id).ok_or_else(|| format!("{id} is no position"))?;
        let field = |name: &[u8]| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| match pair {
                [field, value] if field == name => Some(value.as_slice()),
                _ => None,
            })
        };
        let text = |name: &[u8]| std::str::from_utf8(field(name)?).ok();
        Ok(Self {
            position,
            identity: text(b"o").and_then(|it| u64::from_str_radix(it, 16).ok()),
            number: text(b"n").and_then(|it| it.parse().ok()),
            purge: field(b"p").and_then(PurgeRecord::decode),
        })
    }
}

/// The position that an id is.
fn position(id: &str) -> Option<u64> {
    let (time, number) = id.split_once('-')?;
    let (time, number): (u64, u64) = (time.parse().ok()?, number.parse().ok()?);
    let is_small = time < 1 << (63 - NUMBER_BITS) && number < 1 << NUMBER_BITS;
    is_small.then_some(time << NUMBER_BITS | number)
}

fn id(position: u64) -> String {
    let number = position & ((1 << NUMBER_BITS) - 1);
    format!("{}-{number}", position >> NUMBER_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ids_and_keep_their_order() {
        let ids = [
            "0-0",
            "0-1",
            "1790000000000-0",
            "1790000000000-7",
            "1790000000001-0",
        ];
        let positions: Vec<u64> = ids.iter().map(|it| position(it).unwrap()).collect();
        assert!(positions.is_sorted());
        for (text, position) in ids.iter().zip(&positions) {
            assert_eq!(id(*position), *text);
        }
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "a-b",
            "1-1048576",
            "18446744073709551615-0",
        ] {
            assert_eq!(position(text), None, "{text}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_a_purge_of_everything() {
        let item = |fields: &[&[u8]]| {
            let fields = fields.iter().map(|it| it.to_vec()).collect();
            Entry::read(("5-0".to_owned(), fields)).unwrap()
        };
        let purge = PurgeRecord::everything().encode();
        let read = item(&[b"o", b"00ff", b"n", b"12", b"p", &purge]);
        assert_eq!((read.identity, read.number), (Some(255), Some(12)));
        assert_eq!(read.purge, Some(PurgeRecord::everything()));
        for fields in [
            &[&b"p"[..], b"\x09later"][..],
            &[b"p"],
            &[],
            &[b"o", b"begin"],
        ] {
            assert_eq!(item(fields).purge, None);
        }
    }

    #[test]
    fn what_has_no_room_becomes_a_purge_of_everything() {
        let outbox = Outbox::new();
        let purge = PurgeRecord::everything();
        for number in 1..=MOST_WAITING as u64 + 1 {
            outbox.push(number, &purge);
        }
        assert_eq!(
            outbox.batch(),
            [(MOST_WAITING as u64 + 1, PurgeRecord::everything())]
        );
        outbox.done(MOST_WAITING as u64 + 1);
        assert!(outbox.batch().is_empty());
    }
}
