//! What is to be written to a connection.
//!
//! Small things (heads, chunk sizes, short bodies) are gathered in one buffer; one larger body frame at a time is
//! written from where it lies. Head and first frame leave in one system call. The buffers come from a free list of the
//! worker's thread and go back when a connection is idle.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;

use crate::head::push_field;
use crate::io::Io;

/// Frames up to this size are copied: cheaper than one more slice to gather.
const COPIED: usize = 2 * 1024;
/// No more is gathered than this before it is written.
const GATHERED: usize = 16 * 1024;

/// What a buffer has room for at first: most heads, and a small body.
const USUAL: usize = 4 * 1024;
/// Free buffers kept per thread.
const KEPT: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes on their way out, in order: `before`, `frame`, `after`.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    before: Vec<u8>,
    /// How much of `before` is written.
    written: usize,
    frame: Bytes,
    after: Vec<u8>,
}

impl WriteQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.frame.is_empty() && self.after.is_empty()
    }

    /// Whether another frame may be pushed before what is here has been written.
    pub(crate) fn has_room(&self) -> bool {
        self.frame.is_empty() && self.before.len() < GATHERED
    }

    /// Where small things are appended.
    pub(crate) fn small(&mut self) -> &mut Vec<u8> {
        if self.before.capacity() == 0 {
            self.before = FREE
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(USUAL));
        }
        if self.frame.is_empty() {
            &mut self.before
        } else {
            &mut self.after
        }
    }

    /// Appends body bytes. There must be room.
    pub(crate) fn push_data(&mut self, data: Bytes) {
        debug_assert!(self.has_room());
        if data.len() <= COPIED {
            self.small().extend_from_slice(&data);
        } else {
            self.frame = data;
        }
    }

    /// Appends body bytes as one chunk (RFC 9112 §7.1). There must be room.
    pub(crate) fn push_chunk(&mut self, data: Bytes) {
        // A chunk of size 0 would end the body.
        if data.is_empty() {
            return;
        }
        push_hex(self.small(), data.len());
        self.push_data(data);
        self.small().extend_from_slice(b"\r\n");
    }

    /// Appends the last chunk, with trailers where there are any.
    pub(crate) fn push_last_chunk(&mut self, trailers: Option<&HeaderMap>) {
        let out = self.small();
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            push_field(out, name, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes everything.
    pub(crate) fn poll_flush(
        &mut self,
        io: &mut Io,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let slices = [
                IoSlice::new(&self.before[self.written..]),
                IoSlice::new(&self.frame),
                IoSlice::new(&self.after),
            ];
            let first = usize::from(self.written == self.before.len());
            let last = if self.frame.is_empty() {
                1
            } else {
                2 + usize::from(!self.after.is_empty())
            };
            let written = ready!(io.poll_write_vectored(context, &slices[first..last]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        io.poll_flush(context)
    }

    /// Bytes still to be written.
    pub(crate) fn len(&self) -> usize {
        self.before.len() - self.written + self.frame.len() + self.after.len()
    }

    /// Gives memory back while the connection is idle.
    pub(crate) fn release(&mut self) {
        if !self.is_empty() {
            return;
        }
        let Self { before, after, .. } = std::mem::take(self);
        for buffer in [before, after] {
            if (1..=GATHERED).contains(&buffer.capacity()) {
                FREE.with_borrow_mut(|free| {
                    if free.len() < KEPT {
                        free.push(buffer);
                    }
                });
            }
        }
    }

    fn advance(&mut self, written: usize) {
        let of_before = written.min(self.before.len() - self.written);
        self.written += of_before;
        let of_frame = (written - of_before).min(self.frame.len());
        self.frame.advance(of_frame);
        let of_after = written - of_before - of_frame;
        self.after.drain(..of_after);
        if self.written == self.before.len() && self.frame.is_empty() {
            self.before.clear();
            self.written = 0;
            if !self.after.is_empty() {
                // What came after the frame is now what comes first.
                std::mem::swap(&mut self.before, &mut self.after);
            }
        }
    }
}

/// `chunk-size CRLF`.
fn push_hex(out: &mut Vec<u8>, number: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend(
        (0..digits)
            .rev()
            .map(|digit| DIGITS[number >> (4 * digit) & 0xf]),
    );
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything out of the queue in steps, the way a socket would.
    fn drain(queue: &mut WriteQueue, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let all = [&queue.before[queue.written..], &queue.frame, &queue.after].concat();
            let taken = step.min(all.len());
            out.extend_from_slice(&all[..taken]);
            queue.advance(taken);
        }
        out
    }

    #[test]
    fn everything_leaves_in_order_however_little_the_socket_takes() {
        let large = vec![b'x'; COPIED + 1];
        for step in [1, 2, 3, 7, COPIED, usize::MAX] {
            let mut queue = WriteQueue::default();
            queue.small().extend_from_slice(b"head\r\n");
            queue.push_chunk(Bytes::from_static(b"small"));
            queue.push_chunk(Bytes::from(large.clone()));
            assert!(!queue.has_room());
            queue.push_last_chunk(None);
            let expected = [
                b"head\r\n5\r\nsmall\r\n801\r\n".as_slice(),
                &large,
                b"\r\n0\r\n\r\n",
            ]
            .concat();
            assert_eq!(queue.len(), expected.len());
            assert_eq!(drain(&mut queue, step), expected);
            assert!(queue.has_room());
        }
    }

    #[test]
    fn a_buffer_that_was_given_back_is_used_again() {
        FREE.take();
        let mut queue = WriteQueue::default();
        queue.small().extend_from_slice(b"head");
        drain(&mut queue, usize::MAX);
        queue.release();
        assert_eq!((queue.before.capacity(), queue.after.capacity()), (0, 0));
        let kept = FREE.with_borrow(|free| free.iter().map(Vec::capacity).collect::<Vec<_>>());
        assert_eq!(kept, [USUAL]);
        queue.small();
        assert!(FREE.with_borrow(Vec::is_empty));
    }

    #[test]
    fn an_empty_frame_does_not_end_a_chunked_body() {
        let mut queue = WriteQueue::default();
        queue.push_chunk(Bytes::new());
        assert!(queue.is_empty());
    }

    #[test]
    fn trailers_follow_the_last_chunk() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let mut queue = WriteQueue::default();
        queue.push_last_chunk(Some(&trailers));
        assert_eq!(
            drain(&mut queue, usize::MAX),
            b"0\r\ngrpc-status: 0\r\n\r\n"
        );
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for number in [1, 9, 10, 15, 16, 255, 256, 65_536, 0xdead_beef] {
            let mut out = Vec::new();
            push_hex(&mut out, number);
            assert_eq!(out, format!("{number:x}\r\n").as_bytes());
        }
    }
}
