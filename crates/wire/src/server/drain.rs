//! Ending connections without losing a request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::task::Waker;

/// Tells the connections of one worker to end when they have answered what they have begun.
#[derive(Debug, Default)]
pub struct Drain {
    begun: Cell<bool>,
    next: Cell<u64>,
    wakers: RefCell<HashMap<u64, Waker>>,
}

impl Drain {
    /// From now on no connection takes another request; those that wait for one close.
    pub fn begin(&self) {
        self.begun.set(true);
        for waker in self.wakers.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Has `waker` woken when draining begins, for as long as the result lives.
    pub fn register(&self, waker: &Waker) -> Registration<'_> {
        let key = self.next.get();
        self.next.set(key + 1);
        self.wakers.borrow_mut().insert(key, waker.clone());
        Registration { drain: self, key }
    }
}

/// A connection's entry in its worker's [`Drain`].
#[derive(Debug)]
pub struct Registration<'a> {
    drain: &'a Drain,
    key: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.drain.wakers.borrow_mut().remove(&self.key);
    }
}
