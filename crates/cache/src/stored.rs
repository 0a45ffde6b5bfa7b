//! A stored response.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::body::Body;
use crate::conditional::Validators;
use crate::freshness::Freshness;
use crate::head::Head;
use crate::time::Timestamp;
use crate::vary::Selector;

/// A response that is stored, whole and never changed: what a revalidation changes is stored anew.
#[derive(Debug)]
pub struct Stored {
    pub(crate) head: Head,
    pub(crate) body: Body,
    pub(crate) freshness: Freshness,
    pub(crate) selector: Selector,
    /// What it can be purged by, hashed.
    pub(crate) labels: Box<[u64]>,
    pub(crate) marks: Marks,
}

/// What purges have to do with a stored response.
#[derive(Debug)]
pub(crate) struct Marks {
    /// The purge before which it was asked for: later ones are about it.
    pub(crate) epoch: u64,
    /// The last purge that is known not to be about it.
    pub(crate) checked: AtomicU64,
    /// A purge has made it stale.
    pub(crate) softened: AtomicBool,
    /// When it was last used, in seconds since the epoch modulo 2³².
    used: AtomicU32,
}

impl Marks {
    pub(crate) fn new(epoch: u64, now: Timestamp) -> Self {
        Self {
            epoch,
            checked: AtomicU64::new(epoch),
            softened: AtomicBool::new(false),
            used: AtomicU32::new(coarse(now)),
        }
    }

    /// Notes a use, at most once a second: all threads would write the same line of memory at each hit.
    pub(crate) fn touch(&self, now: Timestamp) {
        let now = coarse(now);
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "modulo 2³²")]
fn coarse(now: Timestamp) -> u32 {
    now.as_secs() as u32
}

impl Stored {
    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How long its body is.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        self.body.length()
    }

    /// What it can be validated by.
    #[must_use]
    pub fn validators(&self) -> Validators {
        Validators::of(&self.head)
    }

    /// How old it is, in seconds.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> u32 {
        self.freshness.age_in_seconds(now)
    }

    /// For how many seconds more it is fresh; less than zero if it is stale (`ttl` of RFC 9211).
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let left = self.freshness.remaining(now).as_secs();
        let over = self.freshness.staleness(now).as_secs();
        i64::try_from(left).unwrap_or(i64::MAX) - i64::try_from(over).unwrap_or(i64::MAX)
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        /// The counts of the `Arc` and of the head's `Bytes`, and what an allocator adds to some five blocks.
        const OVERHEAD: usize = 112;
        size_of::<Self>()
            + OVERHEAD
            + self.head.size()
            + self.body.size()
            + self.selector.size()
            + size_of_val(&*self.labels)
    }
}
