//! Stored responses by their keys, within a bound of bytes.
//!
//! What is evicted is `quick_cache`'s choice, by a policy close to S3-FIFO: what is asked for once passes through, what
//! is asked for again stays. It was taken over `moka`, which needs three to five times as long for a hit (61 to 186 ns
//! for one key, 199 to 1,003 ns for ten thousand in turn) and 200 bytes more for an entry (624 to 824, of which 492 are
//! the entry's own), with fewer hits (54.5 to 50.7 % of requests by Zipf's law of which a fifth never comes again); and
//! over `foyer`, which brings 79 crates, some of them in C, for a tier on disk that is not used here.

mod purge;
mod resource;

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::key::Parts;
use crate::stored::Stored;

pub(crate) use purge::{Purges, Standing};
pub(crate) use resource::Resource;

/// Writers of one key take turns; those of different keys seldom meet.
const STRIPES: usize = 64;

/// What an entry takes besides its responses: its places in the table (15 bytes with the room that is kept to grow) and in
/// the queue (40), and what the allocator keeps free between entries.
const PER_KEY: u64 = 80;

/// Keys lie in the responses only; here is what they are hashed to. Should two be the same in that, the later takes the
/// place of the earlier, and neither is ever taken for the other.
pub(crate) struct Store {
    cache: Cache<u64, Resource, Weight, BuildHasherDefault<Hashed>>,
    writers: [Mutex<()>; STRIPES],
    hasher: RandomState,
    pub(crate) purges: Purges,
    /// The most that the responses of one key take together.
    largest_resource: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<u64, Resource> for Weight {
    fn weight(&self, _: &u64, resource: &Resource) -> u64 {
        PER_KEY + resource.size()
    }
}

/// Takes a number that has been hashed already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
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
            Ok(options) => {
                Cache::with_options(options, Weight, Default::default(), Default::default())
            }
            // Both things that it asks for have been set.
            Err(_) => Cache::with(
                items,
                capacity,
                Weight,
                Default::default(),
                Default::default(),
            ),
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
        let resource = self.cache.get(&self.hash(key));
        resource.filter(|it| it.is_for(key))
    }

    /// The same, and that it was asked for does not count.
    fn peek(&self, key: &[u8]) -> Option<Resource> {
        let resource = self.cache.peek(&self.hash(key));
        resource.filter(|it| it.is_for(key))
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
    pub(crate) fn put(&self, new: &Stored, old: Option<&Stored>, most: usize) -> bool {
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
        let others = self.peek(key);
        let mut all = vec![new.clone()];
        let kept = others.iter().flat_map(Resource::variants).filter(|it| {
            it.selector() != new.selector()
                && old.is_none_or(|old| !it.is(old))
                && self.purges.standing(key, it) != Standing::Gone
        });
        all.extend(kept.cloned());
        resource::bound(&mut all, most, self.largest_resource);
        self.insert(key, all);
        true
    }

    fn insert(&self, key: &[u8], all: Vec<Stored>) {
        self.cache.insert(self.hash(key), Resource::new(all));
    }

    /// Takes one response out.
    pub(crate) fn take_out(&self, old: &Stored) {
        let key = old.key();
        let _writer = self.writer(key);
        let Some(resource) = self.peek(key) else {
            return;
        };
        let left: Vec<_> = resource
            .variants()
            .iter()
            .filter(|it| !it.is(old))
            .cloned()
            .collect();
        if left.is_empty() {
            self.remove(key);
        } else if left.len() < resource.variants().len() {
            self.insert(key, left);
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
                self.remove(url);
            }
            Manner::Soft => {
                if let Some(resource) = self.peek(url) {
                    resource.variants().iter().for_each(|it| it.soften());
                }
            }
        }
        self.purges.purge_extra(label, manner);
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        self.cache
            .remove_if(&self.hash(key), |resource| resource.is_for(key));
    }

    pub(crate) fn purge_all(&self, manner: Manner) {
        self.purges.purge_all(manner);
        if manner == Manner::Hard {
            self.cache.clear();
        }
    }

    /// Gives back the memory of what has been purged. Nothing of it is served, with or without this.
    pub(crate) fn sweep(&self) {
        self.cache.retain(|_, resource| {
            let is_left = |it: &Stored| self.purges.standing(it.key(), it) != Standing::Gone;
            resource.variants().iter().any(is_left)
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
