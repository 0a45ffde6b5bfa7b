//! Ending a WebSocket from the middle: a close frame to either side, as soon as no frame is on its way there (RFC 6455
//! §5.5.1, §7.1).

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;

use crate::deadline::Deadline;
use crate::io::Io;
use crate::read_buffer::ReadBuffer;
use crate::tunnel::Upgraded;
use crate::websocket::Frames;

/// For the frames that are on their way, and for the sides to answer and close.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// 1001, "going away": what was there is served here no more. From a server, unmasked.
pub const TO_CLIENT: &[u8] = &[0x88, 2, 0x03, 0xe9];
/// The same from a client, whose frames are masked; this mask is as good as any, for the content is no secret and nobody
/// else's.
pub const TO_BACKEND: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Takes leave of both sides of a WebSocket.
#[derive(Debug)]
pub(crate) struct Farewell {
    backend: Box<Upgraded>,
    up: Leave,
    down: Leave,
    deadline: Deadline,
}

/// Takes leave of the side that one direction leads to.
#[derive(Debug)]
struct Leave {
    frames: Frames,
    /// What is left to be said.
    words: &'static [u8],
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// A frame is on its way.
    Finishing,
    /// The close frame is.
    Saying,
    /// All is said.
    Said,
}

impl Leave {
    fn new(frames: Frames, words: &'static [u8]) -> Self {
        Self {
            frames,
            words,
            state: State::Finishing,
        }
    }

    /// Ready when all is said.
    fn poll(
        &mut self,
        from: &mut Io,
        buffer: &mut ReadBuffer,
        to: &mut Io,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Finishing if self.frames.are_between() => self.state = State::Saying,
                State::Finishing if buffer.is_empty() => {
                    if ready!(buffer.poll_fill(from, 0, context))? == 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
                State::Finishing => {
                    let length = self.frames.rest_in(buffer.bytes());
                    let part = buffer.bytes().get(..length).unwrap_or_default();
                    let written =
                        ready!(to.poll_write_vectored(context, &[io::IoSlice::new(part)]))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.frames.pass(part.get(..written).unwrap_or_default());
                    buffer.bytes().advance(written);
                }
                State::Saying if self.words.is_empty() => {
                    ready!(to.poll_shutdown(context))?;
                    self.state = State::Said;
                }
                State::Saying => {
                    let words = [io::IoSlice::new(self.words)];
                    let written = ready!(to.poll_write_vectored(context, &words))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.words = self.words.get(written..).unwrap_or_default();
                }
                State::Said => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Farewell {
    /// `up` leads to the backend, `down` to the client.
    pub(crate) fn new(backend: Box<Upgraded>, up: Frames, down: Frames) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(PATIENCE);
        Self {
            backend,
            up: Leave::new(up, TO_BACKEND),
            down: Leave::new(down, TO_CLIENT),
            deadline,
        }
    }

    /// Ready when both sides have closed, or have had the time for it. What they still say is dropped.
    pub(crate) fn poll(
        &mut self,
        client: &mut Io,
        read: &mut ReadBuffer,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let backend = &mut *self.backend;
        let up = self.up.poll(client, read, &mut backend.io, context);
        let down = self
            .down
            .poll(&mut backend.io, &mut backend.read, client, context);
        if up.is_ready() && down.is_ready() {
            let client = poll_closed(client, read, context);
            let backend = poll_closed(&mut backend.io, &mut backend.read, context);
            if client.is_ready() && backend.is_ready() {
                return Poll::Ready(());
            }
        }
        self.deadline.poll_passed(context)
    }
}

/// Ready when a side has closed. Closed before it has, the connection would be reset, and the close frame perhaps lost.
fn poll_closed(io: &mut Io, buffer: &mut ReadBuffer, context: &mut Context<'_>) -> Poll<()> {
    loop {
        buffer.bytes().clear();
        match ready!(buffer.poll_fill(io, 0, context)) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::tls;

    #[tokio::test]
    async fn what_the_client_has_not_taken_is_not_said() {
        let (mut to, client) = tls::tests::full().await;
        let (mut from, other) = tls::tests::full().await;
        let mut leave = Leave::new(Frames::default(), TO_CLIENT);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let polled = leave.poll(&mut from, &mut ReadBuffer::default(), &mut to, &mut context);
            assert!(polled.is_pending(), "{polled:?}");
        }
        drop((client, other));
    }
}
