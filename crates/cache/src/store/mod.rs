//! Stored responses by their keys, within a bound of bytes.

mod ledger;
mod purge;
mod resource;
mod share;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;

use crate::beyond::Beyond;
use crate::key::Parts;
use crate::purge_record::{PurgeRecord, Subject};
use crate::stored::Stored;

pub(crate) use purge::{Purges, Standing};
pub(crate) use resource::Resource;
use share::{Evicted, Share};

/// Writers of one key take turns; those of different keys seldom meet.
const STRIPES: usize = 64;

pub(crate) struct Store {
    /// The first is of all that have none of their own.
    shares: ArcSwap<Vec<Arc<Share>>>,
    /// Changes of the shares follow each other.
    resizing: Mutex<()>,
    writers: [Mutex<()>; STRIPES],
    hasher: RandomState,
    pub(crate) purges: Purges,
    /// The largest body that there is to be room for.
    largest_body: u64,
    evicted: Arc<Evicted>,
    too_large: AtomicU64,
}

/// What the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Keys, each with at least one response.
    pub keys: usize,
    /// The memory that they take, in bytes.
    pub bytes: u64,
    /// The most that they may take.
    pub capacity: u64,
    /// How many keys have gone since the start because others needed the room.
    pub evicted_keys: u64,
    /// The memory that they took, in bytes.
    pub evicted_bytes: u64,
    /// How many responses have not been stored since the start because they were too large.
    pub too_large: u64,
}

/// How a purge treats what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is stale: to be validated, or served meanwhile where that is allowed.
    Soft,
    /// It is gone.
    Hard,
}

/// By which numbers it is told which purges a response comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// Those of this gateway, which a journal keeps.
    Own,
    /// Positions of the log that several gateways share.
    Log,
}

impl Store {
    pub(crate) fn new(capacity: u64, largest_body: u64, beyond: Option<Arc<dyn Beyond>>) -> Self {
        let evicted = Arc::<Evicted>::default();
        let all = Share::new(capacity, largest_body, Arc::clone(&evicted));
        Self {
            shares: ArcSwap::from_pointee(vec![Arc::new(all)]),
            resizing: Mutex::default(),
            writers: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            purges: Purges::new(beyond),
            largest_body,
            evicted,
            too_large: AtomicU64::new(0),
        }
    }

    /// Divides `capacity` anew: what `shares` leave of it is for all others. What does not fit any more goes at once.
    pub(crate) fn set_capacity(&self, capacity: u64, shares: &[u64]) {
        let _resizing = self.resizing.lock().unwrap_or_else(PoisonError::into_inner);
        let left = capacity.saturating_sub(shares.iter().sum());
        let old = self.shares.load_full();
        let shares = std::iter::once(&left).chain(shares);
        let new = shares.enumerate().map(|(index, &capacity)| {
            let Some(share) = old.get(index) else {
                let evicted = Arc::clone(&self.evicted);
                return Arc::new(Share::new(capacity, self.largest_body, evicted));
            };
            if share.capacity() != capacity {
                share.set_capacity(capacity);
            }
            Arc::clone(share)
        });
        self.shares.store(Arc::new(new.collect()));
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.shares.load().iter().map(|it| it.capacity()).sum()
    }

    /// What a share has; of one that is not there any more, what the common one has.
    fn of<T: Default>(&self, share: usize, ask: impl FnOnce(&Share) -> T) -> T {
        let shares = self.shares.load();
        let share = shares.get(share).or_else(|| shares.first());
        share.map_or_else(T::default, |it| ask(it))
    }

    /// The most bytes that a body may have to be stored in a share.
    pub(crate) fn largest_body(&self, share: usize) -> u64 {
        let largest = self.of(share, Share::largest_resource);
        // An eighth for its head and the rest.
        self.largest_body.min(largest - largest / 8)
    }

    pub(crate) fn note_too_large(&self) {
        self.too_large.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, share: usize, key: &[u8]) -> Option<Resource> {
        self.of(share, |it| it.get(self.hash(key), key))
    }

    fn peek(&self, share: usize, key: &[u8]) -> Option<Resource> {
        self.of(share, |it| it.peek(self.hash(key), key))
    }

    /// What key it is, in 64 bits that nobody outside can foresee.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    fn writer(&self, key: &[u8]) -> MutexGuard<'_, ()> {
        #[allow(clippy::cast_possible_truncation, reason = "a remainder")]
        let stripe = self.hash(key) as usize % STRIPES;
        self.writers[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a response next to the others of its key, instead of `old` and of the one that was selected by the same.
    /// Whether it was: not if a purge or an unsafe request has come between the request that it answers and now.
    pub(crate) fn put(
        &self,
        share: usize,
        new: &Stored,
        old: Option<&Stored>,
        most: usize,
    ) -> bool {
        let key = new.key();
        let Some(parts) = Parts::of(key) else {
            return false;
        };
        let _writer = self.writer(key);
        // Before the question, so that an unsafe request that comes after it sees that there is something to purge.
        if parts.has_extra {
            self.purges.note_extra(self.hash(parts.url));
        }
        if self.purges.forbids(self.hash(parts.url), key, new) {
            return false;
        }
        self.put_first(share, new, old, most);
        true
    }

    /// Puts a response before the others of its key.
    fn put_first(&self, share: usize, new: &Stored, old: Option<&Stored>, most: usize) {
        let key = new.key();
        let others = self.peek(share, key);
        let mut all = vec![new.clone()];
        let kept = others.iter().flat_map(Resource::variants).filter(|it| {
            it.selector() != new.selector()
                && old.is_none_or(|old| !it.is(old))
                && self.purges.standing(key, it) != Standing::Gone
        });
        all.extend(kept.cloned());
        resource::bound(&mut all, most, self.of(share, Share::largest_resource));
        self.insert(share, key, all);
    }

    /// Stores what a tier had, unless it has been purged, or something newer is here.
    pub(crate) fn put_back(&self, share: usize, old: &Stored, most: usize) -> Standing {
        let key = old.key();
        let Some(parts) = Parts::of(key) else {
            return Standing::Gone;
        };
        let _writer = self.writer(key);
        if parts.has_extra {
            self.purges.note_extra(self.hash(parts.url));
        }
        // Whatever it could be wrong by has left a label, so that the places of recent URLs need not be asked, which are
        // too few for what is old.
        let standing = self.purges.standing(key, old);
        let is_newer = |it: &Stored| {
            it.selector() == old.selector()
                && it.freshness().received >= old.freshness().received
                && self.purges.standing(key, it) != Standing::Gone
        };
        let here = self.peek(share, key);
        if standing != Standing::Gone && !here.iter().flat_map(Resource::variants).any(is_newer) {
            self.put_first(share, old, None, most);
        }
        standing
    }

    fn insert(&self, share: usize, key: &[u8], all: Vec<Stored>) {
        self.of(share, |it| it.insert(self.hash(key), Resource::new(all)));
    }

    /// Puts a response in the place of another that has the same head and body. Whether it did: not if that is not there
    /// any more, or if there is no room.
    pub(crate) fn replace(&self, share: usize, old: &Stored, new: &Stored) -> bool {
        let key = old.key();
        let _writer = self.writer(key);
        let Some(resource) = self.peek(share, key) else {
            return false;
        };
        let mut all = resource.variants().to_vec();
        let Some(place) = all.iter_mut().find(|it| it.is(old)) else {
            return false;
        };
        *place = new.clone();
        if resource::size(&all) > self.of(share, Share::largest_resource) {
            return false;
        }
        // What has come between the copy and the lock.
        if old.is_softened() {
            new.soften();
        }
        self.insert(share, key, all);
        true
    }

    /// Takes one response out.
    pub(crate) fn take_out(&self, share: usize, old: &Stored) {
        let key = old.key();
        let _writer = self.writer(key);
        let Some(resource) = self.peek(share, key) else {
            return;
        };
        let left: Vec<_> = resource
            .variants()
            .iter()
            .filter(|it| !it.is(old))
            .cloned()
            .collect();
        if left.is_empty() {
            self.remove(share, key);
        } else if left.len() < resource.variants().len() {
            self.insert(share, key, left);
        }
    }

    /// Takes everything out that is stored for a URL: at once for a key that is the URL and nothing else, at the next
    /// use for others. Responses to requests that are under way are not stored.
    pub(crate) fn remove_url(&self, url: &[u8], manner: Manner) {
        let label = self.hash(url);
        let _writer = self.writer(url);
        self.remove_key(url, label, manner);
        if self.purges.needs_label(label) {
            let purge = PurgeRecord {
                manner,
                subject: Subject::Url(url.into()),
            };
            self.purges.purge(&purge, Some(label));
        }
    }

    fn remove_key(&self, url: &[u8], label: u64, manner: Manner) {
        self.purges.note_url(label);
        for share in self.shares.load().iter() {
            match manner {
                Manner::Hard => share.remove(label, url),
                Manner::Soft => {
                    let resource = share.peek(label, url);
                    let variants = resource.iter().flat_map(Resource::variants);
                    variants.for_each(Stored::soften);
                }
            }
        }
    }

    pub(crate) fn remove(&self, share: usize, key: &[u8]) {
        self.of(share, |it| it.remove(self.hash(key), key));
    }

    /// Purges.
    pub(crate) fn purge(&self, purge: &PurgeRecord) {
        match &purge.subject {
            Subject::Url(url) => self.remove_url(url, purge.manner),
            _ => {
                self.purges.purge(purge, self.label(&purge.subject));
                self.clear_if_all(purge);
            }
        }
    }

    /// Purges what another gateway has purged.
    pub(crate) fn apply_from_log(&self, position: u64, purge: &PurgeRecord) {
        let label = self.label(&purge.subject);
        if let (Subject::Url(url), Some(label)) = (&purge.subject, label) {
            let _writer = self.writer(url);
            self.remove_key(url, label, purge.manner);
        }
        self.purges.purge_from_log(position, purge, label);
        self.clear_if_all(purge);
    }

    pub(crate) fn replay(&self, number: u64, position: Option<u64>, purge: &PurgeRecord) {
        let label = self.label(&purge.subject);
        self.purges.replay(number, position, purge, label);
    }

    pub(crate) fn follow_log_from(&self, position: u64) {
        let everything = PurgeRecord::everything();
        self.purges.begin_log(position);
        self.apply_from_log(position, &everything);
        self.purges.begin_log(position);
    }

    fn label(&self, subject: &Subject) -> Option<u64> {
        match subject {
            Subject::Everything | Subject::Prefix { .. } => None,
            Subject::Url(bytes) | Subject::Label(bytes) => Some(self.hash(bytes)),
        }
    }

    fn clear_if_all(&self, purge: &PurgeRecord) {
        if purge.manner == Manner::Hard && purge.subject == Subject::Everything {
            self.shares.load().iter().for_each(|it| it.clear());
        }
    }

    /// Gives back the memory of what has been purged. Nothing of it is served, with or without this.
    pub(crate) fn sweep(&self) {
        let is_left = |it: &Stored| self.purges.standing(it.key(), it) != Standing::Gone;
        for share in self.shares.load().iter() {
            share.retain(|resource| resource.variants().iter().any(is_left));
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let shares = self.shares.load();
        Usage {
            keys: shares.iter().map(|it| it.len()).sum(),
            bytes: shares.iter().map(|it| it.bytes()).sum(),
            capacity: self.capacity(),
            evicted_keys: self.evicted.keys.load(Ordering::Relaxed),
            evicted_bytes: self.evicted.bytes.load(Ordering::Relaxed),
            too_large: self.too_large.load(Ordering::Relaxed),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
