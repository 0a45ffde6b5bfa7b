//! What has been read from a connection and not been used yet.
//!
//! Buffers come from a free list of the worker's thread and go back when a connection is idle, so that ten
//! thousand idle connections hold no buffers at all. Heads and body frames are handed out as slices that share
//! the buffer's memory; it is used again in place as soon as the last of them is gone.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use crate::io::Io;

/// Enough for nearly every head together with a small body.
const SMALL: usize = 8 * 1024;
/// The most for bodies that are known to be long: fewer system calls per byte.
const LARGE: usize = 128 * 1024;
/// Below this much room a read is not worth its system call.
const LEAST_ROOM: usize = 1024;
/// What an answer is read into: most answers whole, by one system call.
pub(crate) const ANSWER: u64 = 32 * 1024;
/// Bytes of free buffers kept per thread: of small ones, and of those for answers.
const KEPT: usize = 2 * 1024 * 1024;

/// Buffers of at least `size` that nobody uses at present.
struct FreeList {
    size: usize,
    buffers: Vec<BytesMut>,
}

thread_local! {
    static FREE: RefCell<[FreeList; 2]> = const {
        RefCell::new([FreeList::new(ANSWER as usize), FreeList::new(SMALL)])
    };
}

impl FreeList {
    const fn new(size: usize) -> Self {
        Self {
            size,
            buffers: Vec::new(),
        }
    }

    /// Whether a buffer of `capacity` belongs here: others would hold more memory than they are counted for.
    fn takes(&self, capacity: usize) -> bool {
        (self.size..=2 * self.size).contains(&capacity) && self.buffers.len() < KEPT / self.size
    }
}

/// Bytes read and not yet used.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
}

impl ReadBuffer {
    /// Starts with bytes that somebody else has read.
    pub(crate) fn with(bytes: BytesMut) -> Self {
        Self { bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    pub(crate) fn into_bytes(self) -> BytesMut {
        self.bytes
    }

    /// Takes up to `most` bytes off the front.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let length = most.min(self.bytes.len());
        self.bytes.split_to(length).freeze()
    }

    /// Reads once, and returns how many bytes came: 0 at the end of the stream. `expected` is how many bytes are
    /// known to be on their way; it decides the size of the buffer.
    pub(crate) fn poll_fill(
        &mut self,
        io: &mut Io,
        expected: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            // Without this an idle connection would hold a buffer while it waits.
            match io.poll_read_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.release();
                    return Poll::Pending;
                }
            }
        }
        self.make_room(expected);
        let read = io.poll_read(context, &mut self.bytes);
        if read.is_pending() {
            // The runtime takes a socket that has just been accepted for ready, and may be wrong at other times.
            self.release();
        }
        read
    }

    /// Gives the memory back when nothing is in it.
    pub(crate) fn release(&mut self) {
        if !self.bytes.is_empty() || self.bytes.capacity() == 0 {
            return;
        }
        // Slices that are still in use hold the memory; there is nothing to give back before they are gone.
        if !self.bytes.try_reclaim(SMALL) {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        FREE.with_borrow_mut(|free| {
            if let Some(list) = free.iter_mut().find(|list| list.takes(bytes.capacity())) {
                list.buffers.push(bytes);
            }
        });
    }

    fn make_room(&mut self, expected: u64) {
        let wanted = usize::try_from(expected).map_or(LARGE, |bytes| bytes.clamp(SMALL, LARGE));
        if self.bytes.capacity() == 0 {
            self.bytes = FREE.with_borrow_mut(|free| {
                let list = free.iter_mut().find(|list| list.size <= wanted);
                list.and_then(|list| list.buffers.pop()).unwrap_or_default()
            });
        }
        let room = self.bytes.capacity() - self.bytes.len();
        if room < LEAST_ROOM || (self.bytes.is_empty() && room < wanted) {
            self.bytes.reserve(wanted);
        }
    }
}
