//! What the model check replaces: the atomics of this crate, and how many there are.
//!
//! `tests/model.rs` compiles the sources of the state machines a second time, with loom's atomics under this name and
//! fewer of them: what is checked there under every order of events is what runs here, line by line.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Into how many buckets a window is cut. Fixed, as in Hystrix and its descendants: a finer cut makes the window's
/// length more exact and sums dearer, and 10 % is more exact than any ratio that people set.
pub(crate) const BUCKETS: usize = 10;

/// A number of the calling thread: the first thread that asks gets 0, the next 1, and so on. Threads that record side
/// by side use it to stay out of each other's cache lines.
#[inline]
pub(crate) fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
