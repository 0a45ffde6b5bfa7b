//! Whether a connection has open streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// The open streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    open: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Activity {
    /// Whether a stream is open; who hears of one is woken at the end of the last.
    pub(super) fn is_busy(&self, context: &mut Context<'_>) -> bool {
        let is_busy = self.open.get() > 0;
        if is_busy {
            *self.waker.borrow_mut() = Some(context.waker().clone());
        }
        is_busy
    }
}

/// An open stream; counts from the request's head to the end of its answer.
#[derive(Debug)]
pub(super) struct OpenStream(Rc<Activity>);

impl OpenStream {
    pub(super) fn begin(activity: &Rc<Activity>) -> Self {
        activity.open.set(activity.open.get() + 1);
        Self(Rc::clone(activity))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if let (0, Some(waker)) = (left, self.0.waker.take()) {
            waker.wake();
        }
    }
}
