//! Bytes both ways, once a connection speaks another protocol (RFC 9110 §7.8).

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::client::Held;
use crate::deadline::Deadline;
use crate::farewell::Farewell;
use crate::io::Io;
use crate::read_buffer::ReadBuffer;
use crate::server::Exchange;
use crate::websocket::Frames;

/// A backend connection that has switched protocols.
#[derive(Debug)]
pub struct Upgraded {
    pub(crate) io: Io,
    /// What came behind the backend's `101`.
    pub(crate) read: ReadBuffer,
    /// What the connection holds until it is closed.
    _held: [Option<Held>; 2],
}

/// How a tunnel ended, and what went through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnelled {
    /// Bytes from the client to the backend.
    pub received: u64,
    /// Bytes from the backend to the client.
    pub sent: u64,
    /// Why it is over.
    pub end: TunnelEnd,
}

/// Why a tunnel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides have said all they had to say.
    Closed,
    /// The way from the client to the backend broke.
    BrokenUp,
    /// The way from the backend to the client broke.
    BrokenDown,
    /// Nothing went either way for too long.
    Idle,
    /// Its exchange was to end.
    Ended,
}

/// One end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelSide {
    /// Whoever has asked for it.
    Client,
    /// Whoever it leads to.
    Backend,
}

/// What has passed through a tunnel in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// As many bytes.
    pub bytes: u64,
    /// As many messages have begun their last frame.
    pub messages: u64,
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Direction {
    state: State,
    moved: u64,
    /// Where its WebSocket is.
    frames: Frames,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The sender has ended its side; what is buffered and then the end are to be passed on.
    Ending,
    Ended,
}

impl Direction {
    /// Moves what can be moved now. Ready when the direction has ended.
    fn poll(
        &mut self,
        from: &mut Io,
        buffer: &mut ReadBuffer,
        to: &mut Io,
        mut passed: impl FnMut(Passed),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !buffer.is_empty() {
                let slices = [io::IoSlice::new(buffer.bytes())];
                let written = ready!(to.poll_write_vectored(context, &slices))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                let moved = buffer.bytes().get(..written).unwrap_or_default();
                passed(Passed {
                    bytes: written as u64,
                    messages: self.frames.pass(moved),
                });
                buffer.bytes().advance(written);
                self.moved += written as u64;
            }
            ready!(to.poll_flush(context))?;
            match self.state {
                State::Open => {
                    if ready!(buffer.poll_fill(from, 0, context))? == 0 {
                        self.state = State::Ending;
                    }
                }
                State::Ending => {
                    buffer.release();
                    // The receiver may be gone already; its own direction tells.
                    let _ = ready!(to.poll_shutdown(context));
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A tunnel between a client and an upgraded backend connection.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upgraded: Box<Upgraded>,
    up: Direction,
    down: Direction,
    idle: Duration,
    deadline: Deadline,
    /// Bytes moved when the deadline was set last.
    moved: u64,
}

impl Tunnel {
    pub(crate) fn new(upgraded: Box<Upgraded>, idle: Duration) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(idle);
        Self {
            upgraded,
            up: Direction::default(),
            down: Direction::default(),
            idle,
            deadline,
            moved: 0,
        }
    }

    /// Ready when the tunnel is over. `read` holds what the client sent before the switch; `record` hears of what passes.
    pub(crate) fn poll(
        &mut self,
        client: &mut Io,
        read: &mut ReadBuffer,
        record: &mut impl Exchange,
        context: &mut Context<'_>,
    ) -> Poll<Tunnelled> {
        let backend = &mut *self.upgraded;
        let up = self.up.poll(
            client,
            read,
            &mut backend.io,
            |passed| record.passed(TunnelSide::Client, passed),
            context,
        );
        let down = self.down.poll(
            &mut backend.io,
            &mut backend.read,
            client,
            |passed| record.passed(TunnelSide::Backend, passed),
            context,
        );
        match (up, down) {
            (Poll::Ready(Err(_)), _) => self.over(TunnelEnd::BrokenUp),
            (_, Poll::Ready(Err(_))) => self.over(TunnelEnd::BrokenDown),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => self.over(TunnelEnd::Closed),
            _ => {
                let moved = self.up.moved + self.down.moved;
                if moved != self.moved {
                    self.moved = moved;
                    self.deadline.set(self.idle);
                }
                ready!(self.deadline.poll_passed(context));
                self.over(TunnelEnd::Idle)
            }
        }
    }

    /// What has become of it when its exchange was to end.
    pub(crate) fn ended(&self) -> Tunnelled {
        Tunnelled {
            received: self.up.moved,
            sent: self.down.moved,
            end: TunnelEnd::Ended,
        }
    }

    /// Takes leave of both sides.
    pub(crate) fn into_farewell(self) -> Farewell {
        Farewell::new(self.upgraded, self.up.frames, self.down.frames)
    }

    fn over(&self, end: TunnelEnd) -> Poll<Tunnelled> {
        Poll::Ready(Tunnelled {
            received: self.up.moved,
            sent: self.down.moved,
            end,
        })
    }
}

impl Upgraded {
    /// What comes next from the backend, at most `most` bytes; nothing at the end.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_read(&mut self, most: usize, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.read.is_empty() {
            ready!(self.read.poll_fill(&mut self.io, 0, context))?;
        }
        Poll::Ready(Ok(self.read.take(most)))
    }

    /// Sends some of `bytes` to the backend, and says how many.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let slices = [io::IoSlice::new(bytes)];
        match ready!(self.io.poll_write_vectored(context, &slices))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    /// Ready when what has been sent has been handed to the kernel.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(context)
    }

    /// Tells the backend that nothing more comes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_shutdown(context)
    }

    pub(crate) fn new(io: Io, read: BytesMut, held: [Option<Held>; 2]) -> Self {
        Self {
            io,
            read: ReadBuffer::with(read),
            _held: held,
        }
    }
}
