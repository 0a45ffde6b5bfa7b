//! Stored responses by their keys, within a bound of bytes.
//!
//! What is evicted is `quick_cache`'s choice, by a policy close to S3-FIFO: what is asked for once passes through, what
//! is asked for again stays. It was taken over `moka`, which needs three to five times as long for a hit (61 to 186 ns
//! for one key, 199 to 1,003 ns for ten thousand in turn) and 200 bytes more for an entry (624 to 824, of which 492 are
//! the entry's own), with fewer hits (54.5 to 50.7 % of requests by Zipf's law of which a fifth never comes again); and
//! over `foyer`, which brings 79 crates, some of them in C, for a tier on disk that is not used here.

mod purge;
mod resource;

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::key::Parts;
use crate::stored::Stored;

pub(crate) use purge::{Purges, Standing};
pub(crate) use resource::Resource;

/// Writers of one key take turns; those of different keys seldom meet.
const STRIPES: usize = 64;

/// What an entry takes besides its key and its responses: its places in the table and in the queue, with the room that
/// is kept to grow, and what an allocator adds to a key.
const PER_KEY: u64 = 112;

pub(crate) struct Store {
    cache: Cache<Box<[u8]>, Resource, Weight, RandomState>,
    writers: [Mutex<()>; STRIPES],
    hasher: RandomState,
    pub(crate) purges: Purges,
    /// The most that the responses of one key take together.
    largest_resource: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Resource> for Weight {
    fn weight(&self, key: &Box<[u8]>, resource: &Resource) -> u64 {
        PER_KEY + key.len() as u64 + resource.size()
    }
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
}

/// How a purge treats what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is stale: to be validated, or served meanwhile where that is allowed.
    Soft,
    /// It is gone.
    Hard,
}

impl Store {
    pub(crate) fn new(capacity: u64, largest_body: u64) -> Self {
        // A shard has to have room for some of the largest bodies, and there are enough when writers seldom meet.
        let shards = (capacity / largest_body.max(1) / 4).clamp(1, 64);
        let shards = usize::try_from(shards).unwrap_or(1);
        // `ilog2` so that the number is not rounded up.
        let shards = 1 << shards.ilog2();
        // Some thousand bytes are an answer of usual size. This bounds how many keys are remembered after eviction.
        let items = usize::try_from(capacity / 4096).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        options
            .shards(shards)
            .estimated_items_capacity(items.max(32 * shards))
            .weight_capacity(capacity);
        let hasher = RandomState::default();
        let cache = match options.build() {
            Ok(options) => Cache::with_options(options, Weight, hasher.clone(), Default::default()),
            // Both things that it asks for have been set.
            Err(_) => Cache::with(items, capacity, Weight, hasher.clone(), Default::default()),
        };
        let largest_resource = cache.shard_capacity() / 2;
        Self {
            cache,
            writers: std::array::from_fn(|_| Mutex::default()),
            hasher,
            purges: Purges::new(),
            largest_resource,
        }
    }

    /// The most bytes that a body may have to be stored.
    pub(crate) fn largest_body(&self) -> u64 {
        // An eighth for its head and the rest.
        self.largest_resource - self.largest_resource / 8
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Resource> {
        self.cache.get(key)
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
        key: &[u8],
        new: &Arc<Stored>,
        old: Option<&Arc<Stored>>,
        most: usize,
    ) -> bool {
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
        let others = self.cache.peek(key);
        let mut all = vec![Arc::clone(new)];
        let kept = others.iter().flat_map(Resource::variants).filter(|it| {
            it.selector != new.selector
                && old.is_none_or(|old| !Arc::ptr_eq(it, old))
                && self.purges.standing(key, it) != Standing::Gone
        });
        all.extend(kept.cloned());
        resource::bound(&mut all, most, self.largest_resource);
        self.cache.insert(key.into(), Resource::new(all));
        true
    }

    /// Takes one response out.
    pub(crate) fn take_out(&self, key: &[u8], old: &Arc<Stored>) {
        let _writer = self.writer(key);
        let Some(resource) = self.cache.peek(key) else {
            return;
        };
        let left: Vec<_> = resource
            .variants()
            .iter()
            .filter(|it| !Arc::ptr_eq(it, old))
            .cloned()
            .collect();
        if left.is_empty() {
            self.cache.remove(key);
        } else if left.len() < resource.variants().len() {
            self.cache.insert(key.into(), Resource::new(left));
        }
    }

    /// Takes everything out that is stored for a URL: at once for a key that is the URL and nothing else, at the next
    /// use for others. Responses to requests that are under way are not stored.
    pub(crate) fn remove_url(&self, url: &[u8], manner: Manner) {
        let label = self.hash(url);
        let _writer = self.writer(url);
        self.purges.note_url(label);
        match manner {
            Manner::Hard => {
                self.cache.remove(url);
            }
            Manner::Soft => {
                if let Some(resource) = self.cache.peek(url) {
                    for it in resource.variants() {
                        it.marks
                            .softened
                            .store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            }
        }
        self.purges.purge_extra(label, manner);
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        self.cache.remove(key);
    }

    pub(crate) fn purge_all(&self, manner: Manner) {
        self.purges.purge_all(manner);
        if manner == Manner::Hard {
            self.cache.clear();
        }
    }

    /// Gives back the memory of what has been purged. Nothing of it is served, with or without this.
    pub(crate) fn sweep(&self) {
        self.cache.retain(|key, resource| {
            resource
                .variants()
                .iter()
                .any(|it| self.purges.standing(key, it) != Standing::Gone)
        });
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            keys: self.cache.len(),
            bytes: self.cache.weight(),
            capacity: self.cache.capacity(),
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
