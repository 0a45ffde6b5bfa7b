//! Purges: what was stored before them is not served after.
//!
//! Nothing says which responses have a tag: such an index grows with what is stored. Instead purges are counted, a
//! response remembers how many there had been when it was asked for, and a purge leaves its number where every response
//! that it is about will look: at four places of a table, by the tag's hash. A response is purged if all four places
//! of one of its tags have a number that is greater than its own. The table has a fixed size; where many tags are
//! purged in the lifetime of a response, it may share all four places with others and be purged with them, which costs
//! a request to the backend: with 100 purges a second of a response that is 60 seconds old, one in 1,200 times.
//!
//! A response is looked at once after each purge; until the next it is one comparison.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::Manner;
use super::ledger::Ledger;
use crate::beyond::{Beyond, PurgeOrigin};
use crate::key::Parts;
use crate::purge_record::{PurgeRecord, Subject};
use crate::stored::Stored;

/// A power of two. Eight bytes each, in two tables.
const PLACES: usize = 1 << 17;
/// The same where responses outlive the memory, and each unsafe request leaves its number.
const PLACES_BEYOND: usize = 1 << 20;
const PLACES_PER_LABEL: u64 = 4;
/// Bits that say which URLs have keys with more than the URL in them.
const EXTRA_BITS: usize = 1 << 20;
/// Places for the URLs that were made invalid last.
const RECENT: usize = 1 << 12;
/// Prefixes that are remembered one by one.
const PREFIXES: usize = 256;

/// What purges say about a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// It is stale.
    Soft,
    Gone,
}

pub(crate) struct Purges {
    /// Counts purges, and what unsafe requests make invalid.
    clock: AtomicU64,
    /// The last purge that is in the tables.
    last: AtomicU64,
    /// Purges follow each other, so that `last` is never ahead of one that is still being written.
    writer: Mutex<Ledger>,
    /// Who is told of purges; none where nothing outlives the memory.
    beyond: Option<Arc<dyn Beyond>>,
    hard: Table,
    soft: Table,
    all_hard: AtomicU64,
    all_soft: AtomicU64,
    prefixes: RwLock<Vec<Prefix>>,
    recent: Box<[AtomicU64]>,
    extra: Box<[AtomicU64]>,
}

/// Made by the first purge: most never see one of either manner.
struct Table {
    places: OnceLock<Box<[AtomicU64]>>,
    size: usize,
}

/// A purge of all URLs that begin so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    origin: Vec<u8>,
    path_and_query: Vec<u8>,
    manner_is_hard: bool,
    number: u64,
}

impl Table {
    fn new(size: usize) -> Self {
        Self {
            places: OnceLock::new(),
            size,
        }
    }

    fn mark(&self, label: u64, number: u64) {
        let table = self.places.get_or_init(|| zeros(self.size));
        for place in places(table, label) {
            place.fetch_max(number, Ordering::Relaxed);
        }
    }

    fn is_after(&self, label: u64, number: u64) -> bool {
        self.places
            .get()
            .is_some_and(|table| places(table, label).all(|it| it.load(Ordering::Relaxed) > number))
    }
}

fn places(table: &[AtomicU64], label: u64) -> impl Iterator<Item = &AtomicU64> {
    let step = (label >> 32) | 1;
    (0..PLACES_PER_LABEL).filter_map(move |nth| {
        let at = label.wrapping_add(nth.wrapping_mul(step));
        #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
        table.get(at as usize % table.len())
    })
}

fn zeros(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

impl Purges {
    pub(super) fn new(beyond: Option<Arc<dyn Beyond>>) -> Self {
        let size = if beyond.is_some() {
            PLACES_BEYOND
        } else {
            PLACES
        };
        Self {
            clock: AtomicU64::new(0),
            last: AtomicU64::new(0),
            writer: Mutex::default(),
            beyond,
            hard: Table::new(size),
            soft: Table::new(size),
            all_hard: AtomicU64::new(0),
            all_soft: AtomicU64::new(0),
            prefixes: RwLock::default(),
            recent: zeros(RECENT),
            extra: zeros(EXTRA_BITS / 64),
        }
    }

    /// What a request that is sent now is to be remembered by.
    pub(crate) fn epoch(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    /// Whether responses outlive the memory.
    pub(crate) fn reach_beyond(&self) -> bool {
        self.beyond.is_some()
    }

    /// Purges, and tells those of it who keep responses as well. `label` is that of the URL, tag or group.
    pub(super) fn purge(&self, purge: &PurgeRecord, label: Option<u64>) {
        let mut ledger = self.lock();
        let number = self.next_number();
        self.write(number, purge, label);
        if let Some(beyond) = &self.beyond {
            ledger.begun(number);
            beyond.purged(number, PurgeOrigin::Here, purge);
        }
        self.last.store(number, Ordering::Release);
    }

    /// Purges what the log says at `position`.
    pub(super) fn purge_from_log(&self, position: u64, purge: &PurgeRecord, label: Option<u64>) {
        let mut ledger = self.lock();
        let number = self.next_number();
        self.write(number, purge, label);
        ledger.logged(position, None, number);
        if let Some(beyond) = &self.beyond {
            beyond.purged(number, PurgeOrigin::Log(position), purge);
        }
        self.last.store(number, Ordering::Release);
    }

    /// Purges what was purged by this number before a restart.
    pub(super) fn replay(
        &self,
        number: u64,
        position: Option<u64>,
        purge: &PurgeRecord,
        label: Option<u64>,
    ) {
        let mut ledger = self.lock();
        self.clock.fetch_max(number, Ordering::AcqRel);
        self.write(number, purge, label);
        match position {
            // What was before is purged, or not known.
            Some(position) if *purge == PurgeRecord::everything() => {
                ledger.begin_at(position, number);
            }
            Some(position) => ledger.logged(position, None, number),
            None => {}
        }
        self.last.fetch_max(number, Ordering::AcqRel);
    }

    /// Goes on so many numbers after `last` and all that there have been.
    pub(crate) fn resume(&self, last: u64, margin: u64) -> u64 {
        let _ledger = self.lock();
        let number = self.epoch().max(last).saturating_add(margin);
        self.clock.store(number, Ordering::Release);
        number
    }

    /// The log has an own purge at `position`.
    pub(crate) fn logged(&self, position: u64, own: u64) {
        let mut ledger = self.lock();
        ledger.logged(position, Some(own), self.epoch());
    }

    /// What the log had before `position` is not known, and everything has been purged for that.
    pub(super) fn begin_log(&self, position: u64) {
        let mut ledger = self.lock();
        ledger.begin_at(position, self.epoch());
    }

    pub(crate) fn log_position(&self) -> Option<u64> {
        self.lock().position()
    }

    pub(crate) fn position_for(&self, epoch: u64) -> Option<u64> {
        self.lock().position_for(epoch)
    }

    pub(crate) fn epoch_for(&self, position: u64) -> Option<u64> {
        self.lock().epoch_for(position)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_number(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Leaves the number of a purge where what it is about will look.
    fn write(&self, number: u64, purge: &PurgeRecord, label: Option<u64>) {
        let manner = purge.manner;
        match &purge.subject {
            Subject::Everything => {
                let all = match manner {
                    Manner::Hard => &self.all_hard,
                    Manner::Soft => &self.all_soft,
                };
                all.fetch_max(number, Ordering::Relaxed);
            }
            Subject::Prefix {
                origin,
                path_and_query,
            } => self.add_prefix(Prefix {
                origin: origin.to_vec(),
                path_and_query: path_and_query.to_vec(),
                manner_is_hard: manner == Manner::Hard,
                number,
            }),
            Subject::Url(_) | Subject::Label(_) => {
                if let Some(label) = label {
                    self.table(manner).mark(label, number);
                }
            }
        }
    }

    fn add_prefix(&self, new: Prefix) {
        let mut prefixes = self
            .prefixes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        prefixes.retain(|it| {
            it.origin != new.origin
                || it.path_and_query != new.path_and_query
                || it.manner_is_hard != new.manner_is_hard
        });
        prefixes.push(new);
        if prefixes.len() > PREFIXES {
            merge_closest(&mut prefixes);
        }
    }

    fn table(&self, manner: Manner) -> &Table {
        match manner {
            Manner::Hard => &self.hard,
            Manner::Soft => &self.soft,
        }
    }

    /// Remembers that what is stored for a URL, and what is under way, is not right any more.
    pub(super) fn note_url(&self, url: u64) {
        let number = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        if let Some(place) = self.recent_place(url) {
            place.fetch_max(number, Ordering::AcqRel);
        }
    }

    fn recent_place(&self, url: u64) -> Option<&AtomicU64> {
        #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
        self.recent.get(url as usize % RECENT)
    }

    /// Remembers that a URL has keys with more than the URL in them.
    pub(super) fn note_extra(&self, url: u64) {
        if let Some((word, bit)) = self.extra_bit(url) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn extra_bit(&self, url: u64) -> Option<(&AtomicU64, u64)> {
        #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
        let at = (url >> 20) as usize % EXTRA_BITS;
        Some((self.extra.get(at / 64)?, 1 << (at % 64)))
    }

    /// Whether a purge of a URL has to leave its number, because something may look for it there: what is stored under
    /// keys that have more in them, and what outlives the memory. Unsafe requests for other URLs leave no traces in the
    /// table: there may be thousands a second.
    pub(super) fn needs_label(&self, url: u64) -> bool {
        self.reach_beyond()
            || self
                .extra_bit(url)
                .is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Whether nothing has happened since `epoch` that a response for this URL could be wrong by.
    pub(crate) fn is_current(&self, url: u64, epoch: u64) -> bool {
        self.last.load(Ordering::Acquire) <= epoch
            && self
                .recent_place(url)
                .is_none_or(|it| it.load(Ordering::Acquire) <= epoch)
    }

    /// Whether a response to a request that was sent some time ago is not to be stored any more.
    pub(super) fn forbids(&self, url: u64, key: &[u8], stored: &Stored) -> bool {
        let invalidated = self
            .recent_place(url)
            .is_some_and(|it| it.load(Ordering::Acquire) > stored.checked());
        invalidated || self.standing(key, stored) == Standing::Gone
    }

    pub(crate) fn standing(&self, key: &[u8], stored: &Stored) -> Standing {
        let last = self.last.load(Ordering::Acquire);
        if stored.checked() < last {
            if self.is_gone(key, stored) {
                return Standing::Gone;
            }
            stored.note_checked(last);
        }
        if stored.is_softened() {
            Standing::Soft
        } else {
            Standing::Good
        }
    }

    /// Looks for purges that are about a response; notes it if it is to be stale.
    fn is_gone(&self, key: &[u8], stored: &Stored) -> bool {
        let epoch = stored.checked();
        if self.all_hard.load(Ordering::Relaxed) > epoch {
            return true;
        }
        let mut soft = self.all_soft.load(Ordering::Relaxed) > epoch;
        for label in stored.labels() {
            if self.hard.is_after(label, epoch) {
                return true;
            }
            soft |= self.soft.is_after(label, epoch);
        }
        let Some(parts) = Parts::of(key) else {
            return true;
        };
        let prefixes = self.prefixes.read().unwrap_or_else(PoisonError::into_inner);
        for prefix in prefixes.iter().filter(|it| it.number > epoch) {
            if prefix.is_of(&parts) {
                if prefix.manner_is_hard {
                    return true;
                }
                soft = true;
            }
        }
        if soft {
            stored.soften();
        }
        false
    }
}

impl Prefix {
    fn is_of(&self, parts: &Parts<'_>) -> bool {
        // One that was merged over several origins is of all.
        (self.origin.is_empty() || self.origin == parts.origin)
            && parts.path_and_query.starts_with(&self.path_and_query)
    }

    /// How many bytes two prefixes have in common, origin and all.
    fn in_common(&self, other: &Self) -> usize {
        if self.manner_is_hard != other.manner_is_hard || self.origin != other.origin {
            return 0;
        }
        1 + common(&self.path_and_query, &other.path_and_query)
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

/// Makes one of the two that have most in common, so that it is about both and about as little else as can be.
fn merge_closest(prefixes: &mut Vec<Prefix>) {
    // Neighbours in order are those with most in common.
    prefixes.sort_unstable_by(|one, other| {
        (one.manner_is_hard, one).cmp(&(other.manner_is_hard, other))
    });
    let closest =
        (1..prefixes.len()).max_by_key(|at| match (prefixes.get(at - 1), prefixes.get(*at)) {
            (Some(one), Some(other)) => one.in_common(other),
            _ => 0,
        });
    let Some(at) = closest else {
        return;
    };
    let other = prefixes.remove(at);
    if let Some(one) = prefixes.get_mut(at - 1) {
        if one.origin == other.origin {
            let length = common(&one.path_and_query, &other.path_and_query);
            one.path_and_query.truncate(length);
        } else {
            one.origin.clear();
            one.path_and_query.clear();
        }
        one.manner_is_hard |= other.manner_is_hard;
        one.number = one.number.max(other.number);
    }
}
