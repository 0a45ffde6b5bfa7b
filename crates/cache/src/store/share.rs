//! A share of the memory, of one route or of all that have none of their own: what is stored in it displaces nothing
//! else, and nothing else displaces it.
//!
//! What is evicted is `quick_cache`'s choice, by a policy close to S3-FIFO: what is asked for once passes through, what
//! is asked for again stays. It was taken over `moka`, which needs three to five times as long for a hit (61 to 186 ns
//! for one key, 199 to 1,003 ns for ten thousand in turn) and 200 bytes more for an entry, with fewer hits (54.5 to 50.7 %
//! of requests by Zipf's law of which a fifth never comes again); and over `foyer`, which brings 79 crates, some of them
//! in C: the gateway has it for its tier on disk, and this crate does without.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::Resource;

/// What an entry takes besides its responses: its places in the table (15 bytes with the room that is kept to grow) and in
/// the queue (40), and what the allocator keeps free between entries.
const PER_KEY: u64 = 80;

/// Keys lie in the responses only; here is what they are hashed to. Should two be the same in that, the later takes the
/// place of the earlier, and neither is ever taken for the other.
pub(super) struct Share(Cache<u64, Resource, Weight, BuildHasherDefault<Hashed>, Eviction>);

/// What had to go for the sake of others.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    pub(super) keys: AtomicU64,
    pub(super) bytes: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<u64, Resource> for Weight {
    fn weight(&self, _: &u64, resource: &Resource) -> u64 {
        PER_KEY + resource.size()
    }
}

/// Counts what is evicted.
#[derive(Clone)]
struct Eviction(Arc<Evicted>);

impl Lifecycle<u64, Resource> for Eviction {
    /// What is to be dropped when no lock is held any more; mostly it is one or two.
    type RequestState = [Option<Resource>; 2];

    /// Not what another takes the place of.
    fn before_evict(&self, _: &mut Self::RequestState, key: &u64, resource: &mut Resource) {
        self.0.keys.fetch_add(1, Ordering::Relaxed);
        let bytes = Weight.weight(key, resource);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn on_evict(&self, state: &mut Self::RequestState, _: u64, resource: Resource) {
        if let Some(free) = state.iter_mut().find(|it| it.is_none()) {
            *free = Some(resource);
        }
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

impl Share {
    pub(super) fn new(capacity: u64, largest_body: u64, evicted: Arc<Evicted>) -> Self {
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
        let (hasher, eviction) = (BuildHasherDefault::default(), Eviction(evicted));
        Self(match options.build() {
            Ok(options) => Cache::with_options(options, Weight, hasher, eviction),
            // Both things that it asks for have been set.
            Err(_) => Cache::with(items, capacity, Weight, hasher, eviction),
        })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    /// What does not fit any more goes at once.
    pub(super) fn set_capacity(&self, capacity: u64) {
        self.0.set_capacity(capacity);
    }

    /// The most that the responses of one key take together.
    pub(super) fn largest_resource(&self) -> u64 {
        self.0.shard_capacity() / 2
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Resource> {
        self.0.get(&hash).filter(|it| it.is_for(key))
    }

    /// The same, and that it was asked for does not count.
    pub(super) fn peek(&self, hash: u64, key: &[u8]) -> Option<Resource> {
        self.0.peek(&hash).filter(|it| it.is_for(key))
    }

    pub(super) fn insert(&self, hash: u64, resource: Resource) {
        self.0.insert(hash, resource);
    }

    pub(super) fn remove(&self, hash: u64, key: &[u8]) {
        self.0.remove_if(&hash, |resource| resource.is_for(key));
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    pub(super) fn retain(&self, is_kept: impl Fn(&Resource) -> bool) {
        self.0.retain(|_, resource| is_kept(resource));
    }
}
