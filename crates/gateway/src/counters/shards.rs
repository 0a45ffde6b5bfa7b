//! Counters that each worker has to itself.
//!
//! A worker writes only to its own shard, which lies on cache lines of its own: counting is a load and a store, without a
//! locked instruction and without waiting for another worker's memory. Whoever reads adds the shards up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// The number of the worker whose thread this is.
    static WORKER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// From here on this thread is that worker: what it counts goes to the shard of that number.
pub(crate) fn enter_worker(number: usize) {
    WORKER.set(number);
}

/// A value for each worker; none where nothing is counted.
#[derive(Debug, Default)]
pub(crate) struct Shards<T>(Box<[Shard<T>]>);

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

/// What has happened so often. Only one thread writes to it.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// How many there are at present. Only one thread writes to it.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicU64);

impl<T: Default> Shards<T> {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Shard::default()).collect())
    }
}

impl<T> Shards<T> {
    /// That of this thread; none where it is no worker, or nothing is counted.
    #[inline]
    pub(crate) fn own(&self) -> Option<&T> {
        self.0.get(WORKER.get()).map(|Shard(value)| value)
    }

    /// Those of all workers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Shard(value)| value)
    }

    /// The sum of something of all workers.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.all().map(of).sum()
    }
}

impl Count {
    #[inline]
    pub(crate) fn add(&self, number: u64) {
        let Self(count) = self;
        count.store(
            count.load(Ordering::Relaxed).wrapping_add(number),
            Ordering::Relaxed,
        );
    }

    #[inline]
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Level {
    #[inline]
    pub(crate) fn rise(&self) {
        self.set(self.get().saturating_add(1));
    }

    #[inline]
    pub(crate) fn fall(&self) {
        self.set(self.get().saturating_sub(1));
    }

    #[inline]
    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_apart_and_other_threads_not_at_all() {
        let counts = Shards::<Count>::new(2);
        assert!(counts.own().is_none());
        std::thread::scope(|scope| {
            for number in 0..2 {
                let counts = &counts;
                scope.spawn(move || {
                    enter_worker(number);
                    for _ in 0..1000 {
                        counts.own().unwrap().increment();
                    }
                });
            }
        });
        assert_eq!(counts.sum(Count::get), 2000);
        assert!(counts.all().all(|count| count.get() == 1000));
        let nothing = Shards::<Count>::new(0);
        enter_worker(0);
        assert!(nothing.own().is_none());
    }
}
