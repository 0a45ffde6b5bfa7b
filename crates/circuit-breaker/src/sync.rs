//! The atomics of this crate, in one place, so that they can be replaced.
//!
//! `tests/model.rs` compiles the sources of the state machines a second time with loom's atomics under this name: what
//! is checked there under every order of events is what runs here, line by line.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

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
