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
/// For bodies that are known to be long: fewer system calls per byte.
const LARGE: usize = 64 * 1024;
/// Below this much room a read is not worth its system call.
const LEAST_ROOM: usize = 1024;
/// Free buffers kept per thread: 2 MiB.
const KEPT: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
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
        io.poll_read(context, &mut self.bytes)
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
        if bytes.capacity() <= 2 * SMALL {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(bytes);
                }
            });
        }
    }

    fn make_room(&mut self, expected: u64) {
        if self.bytes.capacity() == 0 {
            self.bytes = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        let wanted = if expected > LARGE as u64 {
            LARGE
        } else {
            SMALL
        };
        let room = self.bytes.capacity() - self.bytes.len();
        if room < LEAST_ROOM || (self.bytes.is_empty() && room < wanted) {
            self.bytes.reserve(wanted);
        }
    }
}
