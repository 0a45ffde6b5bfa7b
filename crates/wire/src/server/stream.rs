//! What a client connection shares with the body that is being read from it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use http_body::Frame;

use crate::body::BodyError;
use crate::deadline::Deadline;
use crate::decoder::{BodyFrame, Decoder};
use crate::head::{RequestHead, push_informational};
use crate::io::Io;
use crate::read_buffer::ReadBuffer;
use crate::write_queue::WriteQueue;

/// How much of further requests is read ahead while one is being answered: reading is the only way to learn that
/// the client has gone.
const READ_AHEAD: usize = 16 * 1024;
/// Interim answers that the client does not read are dropped beyond this many bytes.
const MOST_INTERIM: usize = 64 * 1024;

/// A client connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) io: Io,
    pub(super) read: ReadBuffer,
    pub(super) write: WriteQueue,
    /// Of the head, of the pause between requests, of the request's body.
    pub(super) read_deadline: Deadline,
    /// Of an answer that the client is slow to take.
    pub(super) write_deadline: Deadline,
    /// The present request's body.
    pub(super) body: Decoder,
    /// Bytes of it that have been read.
    pub(super) received: u64,
    /// It did not arrive whole, and never will.
    pub(super) body_failed: bool,
    /// The client waits for `100 Continue`, and has not been told.
    pub(super) owes_continue: bool,
    /// Counts requests: a body kept longer than its request must not read another one's.
    turn: u32,
}

impl Stream {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            read: ReadBuffer::default(),
            write: WriteQueue::default(),
            read_deadline: Deadline::default(),
            write_deadline: Deadline::default(),
            body: Decoder::Fixed(0),
            received: 0,
            body_failed: false,
            owes_continue: false,
            turn: 0,
        }
    }

    /// Prepares for the body behind `head`.
    pub(super) fn begin(&mut self, head: &RequestHead) {
        self.turn = self.turn.wrapping_add(1);
        self.body = Decoder::new(head.body);
        self.received = 0;
        self.body_failed = false;
        self.owes_continue = head.expects_continue;
        self.read_deadline.clear();
    }

    /// Ready when the client is gone. Bytes of its next requests are kept.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.read.len() < READ_AHEAD {
            match ready!(self.read.poll_fill(&mut self.io, 0, context)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.poll_flush(&mut self.io, context)
    }

    /// Bytes that the kernel has not taken yet: tells progress from none.
    pub(super) fn unsent(&self) -> usize {
        self.write.len() + self.io.unsent()
    }

    /// The next part of the request's body. The client may pause for as long as `idle`.
    pub(super) fn poll_body(
        &mut self,
        idle: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame, BodyError>>> {
        if self.owes_continue {
            self.owes_continue = false;
            // Not needed once the body has begun to arrive (RFC 9110 §10.1.1).
            if self.read.is_empty() {
                self.write
                    .small()
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        // What a broken connection means for the request is told by reading from it.
        let _ = self.poll_flush(context);
        match self.body.poll_frame(&mut self.io, &mut self.read, context) {
            Poll::Ready(Ok(frame)) => {
                self.read_deadline.clear();
                if let Some(BodyFrame::Data(data)) = &frame {
                    self.received += data.len() as u64;
                }
                Poll::Ready(frame.map(Ok))
            }
            Poll::Ready(Err(error)) => {
                self.body_failed = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                if !self.read_deadline.is_set() {
                    self.read_deadline.set(idle);
                }
                ready!(self.read_deadline.poll_passed(context));
                self.body_failed = true;
                Poll::Ready(Some(Err(BodyError::TimedOut)))
            }
        }
    }
}

/// The body of a request from an HTTP/1.1 client.
#[derive(Debug)]
pub struct RequestBody {
    stream: Rc<RefCell<Stream>>,
    turn: u32,
    idle: Duration,
}

impl RequestBody {
    pub(super) fn new(stream: &Rc<RefCell<Stream>>, idle: Duration) -> Self {
        let turn = stream.borrow().turn;
        Self {
            stream: Rc::clone(stream),
            turn,
            idle,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut stream = self.stream.borrow_mut();
        if stream.turn != self.turn {
            return Poll::Ready(Some(Err(BodyError::Truncated)));
        }
        stream.poll_body(self.idle, context).map_ok(Frame::from)
    }

    pub(crate) fn is_done(&self) -> bool {
        let stream = self.stream.borrow();
        stream.turn == self.turn && stream.body.is_done()
    }

    pub(crate) fn remaining(&self) -> Option<u64> {
        self.stream.borrow().body.remaining()
    }
}

impl From<BodyFrame> for Frame<Bytes> {
    fn from(frame: BodyFrame) -> Self {
        match frame {
            BodyFrame::Data(data) => Self::data(data),
            BodyFrame::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// The client of a request that has not been answered yet.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// None where interim answers cannot be sent.
    stream: Option<Rc<RefCell<Stream>>>,
    upgrades: bool,
    expects_continue: bool,
}

impl Client {
    pub(super) fn new(stream: &Rc<RefCell<Stream>>, head: &RequestHead) -> Self {
        Self {
            // RFC 9110 §15.2: no 1xx to an HTTP/1.0 client.
            stream: (head.version == Version::HTTP_11).then(|| Rc::clone(stream)),
            upgrades: head.upgrades,
            expects_continue: head.expects_continue,
        }
    }

    /// One that asks to switch to another protocol, and is told nothing before the final answer.
    #[must_use]
    pub fn upgrading() -> Self {
        Self {
            upgrades: true,
            ..Self::default()
        }
    }

    /// Whether the client asks to switch to another protocol, and its own protocol allows it.
    #[must_use]
    pub fn upgrades(&self) -> bool {
        self.upgrades
    }

    /// Whether the client waits for `100 Continue` before it sends the body. It is told when the body is first
    /// polled.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The same client, once all of its body has come: it waits for nothing any more.
    #[must_use]
    pub fn has_sent_all(mut self) -> Self {
        self.expects_continue = false;
        self
    }

    /// Sends an interim answer, such as `103 Early Hints`, where the client's protocol allows. Must not be called
    /// once the final answer has been returned.
    pub fn inform(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(stream) = &self.stream {
            let mut stream = stream.borrow_mut();
            let out = stream.write.small();
            if out.len() < MOST_INTERIM {
                push_informational(out, status, headers);
            }
        }
    }
}
