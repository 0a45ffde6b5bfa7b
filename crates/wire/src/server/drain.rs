//! Ending connections without losing a request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Tells the connections of one worker to end when they have answered what they have begun.
///
/// It may come in two stages, for those who are in no hurry: a connection that merely has no request at the moment may be
/// about to get one, which its closing would lose.
#[derive(Debug, Default)]
pub struct Drain {
    stage: Cell<Stage>,
    next: Cell<u64>,
    wakers: RefCell<HashMap<u64, Waker>>,
}

impl Drain {
    /// From now on each connection ends with the next answer that it gives; those that wait for a request may still get one.
    pub fn announce(&self) {
        self.enter(Stage::Announced);
    }

    /// From now on no connection takes another request; those that wait for one close.
    pub fn begin(&self) {
        self.enter(Stage::Begun);
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        for waker in self.wakers.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// Whether answers are the last ones of their connections.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.stage.get() != Stage::Not
    }

    /// Whether connections that wait for a request are to close.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.stage.get() == Stage::Begun
    }

    /// Resolves when draining has begun.
    pub async fn begun(&self) {
        let mut _registration = None;
        poll_fn(|context| {
            if self.has_begun() {
                return Poll::Ready(());
            }
            _registration = Some(self.register(context.waker()));
            Poll::Pending
        })
        .await;
    }

    /// Has `waker` woken when draining begins, for as long as the result lives.
    pub fn register(&self, waker: &Waker) -> Registration<'_> {
        let key = self.next.get();
        self.next.set(key + 1);
        self.wakers.borrow_mut().insert(key, waker.clone());
        Registration { drain: self, key }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Not,
    Announced,
    Begun,
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
