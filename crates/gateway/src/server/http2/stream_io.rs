//! The byte stream under an HTTP/2 connection, and what is noticed there.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::{Deadline, Io};

use super::conduct::Conduct;
use super::frames::Frames;

/// How long a client may go on sending to a connection that has been closed towards it: an immediate close would reset
/// the connection and could destroy the GOAWAY on its way.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// What comes before the first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// A byte stream, some of which has been read already.
#[derive(Debug)]
pub(super) struct StreamIo {
    buffered: BytesMut,
    io: Io,
    frames: Frames,
    conduct: Rc<Conduct>,
    /// How long the client may take nothing of what there is for it.
    write_idle: Duration,
    write_deadline: Deadline,
    linger: Deadline,
}

impl StreamIo {
    pub(super) fn new(
        io: Io,
        buffered: BytesMut,
        conduct: &Rc<Conduct>,
        write_idle: Duration,
    ) -> Self {
        Self {
            buffered,
            io,
            frames: Frames::after(PREFACE),
            conduct: Rc::clone(conduct),
            write_idle,
            write_deadline: Deadline::default(),
            linger: Deadline::default(),
        }
    }

    fn read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffered.is_empty() {
            return AsyncRead::poll_read(Pin::new(&mut self.io), context, buffer);
        }
        let length = self.buffered.len().min(buffer.remaining());
        buffer.put_slice(&self.buffered[..length]);
        self.buffered.advance(length);
        if self.buffered.is_empty() {
            self.buffered = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what a write has come to.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.conduct.set_told();
        }
        self.in_time(written, context)
    }

    /// Fails when the client has taken nothing for too long.
    fn in_time<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_deadline.clear();
            return result;
        }
        if !self.write_deadline.is_set() {
            self.write_deadline.set(self.write_idle);
        }
        ready!(self.write_deadline.poll_passed(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.conduct.is_exhausted() {
            // Not a byte more: the connection's own loop ends it.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(this.read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            this.conduct.set_heard();
            this.frames.pass(new, &this.conduct);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.written(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = AsyncWrite::poll_write_vectored(Pin::new(&mut this.io), context, slices);
        this.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // With TLS it may be here that the client takes nothing.
        let flushed = this.io.poll_flush(context);
        this.in_time(flushed, context)
    }

    /// Ends the sending side, and waits for the client to end its own.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.linger.is_set() {
            ready!(AsyncWrite::poll_shutdown(Pin::new(&mut this.io), context))?;
            this.linger.set(LINGER);
        }
        let mut discarded = BytesMut::with_capacity(16 * 1024);
        loop {
            discarded.clear();
            match this.io.poll_read(context, &mut discarded) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.linger.poll_passed(context).map(Ok),
            }
        }
    }
}
