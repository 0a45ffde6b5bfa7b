//! What there is of a route besides its configuration.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::counters::RouteCounts;

/// What is known of a route for as long as one of its name is served, whatever its configuration says meanwhile.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// Empty for requests without a route.
    pub(crate) name: Box<str>,
    /// What is counted of its requests.
    pub(crate) counts: RouteCounts,
}

impl RouteState {
    /// Of a route that is new, of which so many workers count.
    pub(crate) fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.into(),
            counts: RouteCounts::new(workers),
        }
    }
}

/// The exchanges of one route that are under way on one worker: all that an answer which streams, or a WebSocket, has to
/// do with its route.
#[derive(Debug)]
pub(crate) struct Ongoing {
    pub(crate) state: Arc<RouteState>,
    /// They are to end.
    ended: Cell<bool>,
    next: Cell<u64>,
    /// Of those that wait for something else.
    wakers: RefCell<HashMap<u64, Waker>>,
}

/// The place of one exchange among those that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    ongoing: Rc<Ongoing>,
    /// None before the first wait.
    key: Option<u64>,
}

impl Ongoing {
    pub(super) fn new(state: Arc<RouteState>) -> Self {
        Self {
            state,
            ended: Cell::new(false),
            next: Cell::new(0),
            wakers: RefCell::default(),
        }
    }

    /// Ends all of them.
    pub(super) fn end(&self) {
        self.ended.set(true);
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_values().for_each(Waker::wake);
    }
}

impl Waiting {
    pub(crate) fn new(ongoing: &Rc<Ongoing>) -> Self {
        Self {
            ongoing: Rc::clone(ongoing),
            key: None,
        }
    }

    /// Ready when the exchange is to end.
    pub(crate) fn poll_ended(&mut self, context: &Context<'_>) -> Poll<()> {
        let ongoing = &self.ongoing;
        if ongoing.ended.get() {
            return Poll::Ready(());
        }
        let key = *self
            .key
            .get_or_insert_with(|| ongoing.next.replace(ongoing.next.get() + 1));
        let mut wakers = ongoing.wakers.borrow_mut();
        match wakers.get_mut(&key) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                wakers.insert(key, context.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.ongoing.wakers.borrow_mut().remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(waiting: &mut Waiting) -> Poll<()> {
        waiting.poll_ended(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_waits_is_ended_and_whoever_has_gone_takes_no_room() {
        let ongoing = Rc::new(Ongoing::new(Arc::new(RouteState::new("a", 0))));
        let (mut one, mut other) = (Waiting::new(&ongoing), Waiting::new(&ongoing));
        assert!(poll(&mut one).is_pending() && poll(&mut other).is_pending());
        assert!(poll(&mut one).is_pending());
        assert_eq!(ongoing.wakers.borrow().len(), 2);
        drop(one);
        assert_eq!(ongoing.wakers.borrow().len(), 1);
        ongoing.end();
        assert!(poll(&mut other).is_ready());
        // Also for those who come too late.
        assert!(poll(&mut Waiting::new(&ongoing)).is_ready());
    }
}
