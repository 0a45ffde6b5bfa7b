//! WebSocket over a stream (RFC 8441): asked for by an extended CONNECT, and of the backend by HTTP/1.1's upgrade.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use wire::farewell::{PATIENCE, TO_BACKEND, TO_CLIENT};
use wire::server::{End, Exchange as _};
use wire::tunnel::{Passed, TunnelSide, Upgraded};
use wire::websocket::Frames;
use wire::{Body, BodyError, Deadline};

use super::answer::{Ongoing, poll_room};
use super::conduct::Conduct;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How much is read from the backend at once.
const PART: usize = 16 * 1024;

/// What a backend has made of the question.
pub(super) enum Answered {
    /// The connection to it is a WebSocket; this is to be said of it.
    Opened(Response<()>, Box<Upgraded>),
    /// It is not, and this is why.
    Refused(Response<Body>),
    /// It claims what is not so.
    Wrong,
}

/// Judges the answer to the question that was asked with `key`.
pub(super) fn judge(answer: Response<Body>, key: Option<&HeaderValue>) -> Answered {
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        // Over HTTP/2 a success would mean that the stream is a WebSocket now.
        return if status.is_success() {
            Answered::Wrong
        } else {
            Answered::Refused(answer)
        };
    }
    let (mut head, body) = answer.into_parts();
    let switched = head.headers.remove(UPGRADE);
    let switched = switched.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let accepted = head.headers.remove(SEC_WEBSOCKET_ACCEPT);
    let accepted = accepted.filter(|it| key.is_some_and(|key| *it == accept(key)));
    match body.into_upgraded() {
        Ok(upgraded) if switched && accepted.is_some() => {
            head.status = StatusCode::OK;
            head.headers.remove(CONTENT_LENGTH);
            Answered::Opened(Response::from_parts(head, ()), upgraded)
        }
        _ => Answered::Wrong,
    }
}

/// What a backend that has understood says to `key` (RFC 6455 §4.2.2).
fn accept(key: &HeaderValue) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    BASE64_STANDARD.encode(hash)
}

/// A WebSocket between a stream and a backend's connection.
pub(super) struct Tunnel {
    up: Up,
    down: Down,
    upgraded: Box<Upgraded>,
    idle: Duration,
    /// For the next byte, or for all that is left to be said once leave is taken.
    deadline: Deadline,
    /// Bytes moved when the deadline was set last.
    moved: u64,
    /// Its exchange was to end, and both sides are told so.
    is_leaving: bool,
}

/// From the client to the backend.
struct Up {
    stream: RecvStream,
    /// What the backend has not taken yet. The client is given room for more when it has.
    waiting: Bytes,
    moved: u64,
    frames: Frames,
    state: State,
}

/// From the backend to the client.
struct Down {
    stream: SendStream<Bytes>,
    /// What the client has no room for yet. More is read from the backend when it has been sent.
    waiting: Bytes,
    moved: u64,
    frames: Frames,
    state: State,
    conduct: Rc<Conduct>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What is left of a frame is passed on, and then a close frame (RFC 6455 §7.1).
    Leaving,
    /// The sender has said all, or we have in its place; that is to be passed on.
    Ending,
    /// The receiver knows. What the sender still says is dropped, until it ends too.
    Discarding,
    Ended,
}

impl State {
    /// What comes when the receiver has been told of the end.
    fn after_end(is_leaving: bool) -> Self {
        if is_leaving {
            Self::Discarding
        } else {
            Self::Ended
        }
    }
}

impl Tunnel {
    pub(super) fn new(
        client: (RecvStream, SendStream<Bytes>),
        upgraded: Box<Upgraded>,
        conduct: Rc<Conduct>,
        idle: Duration,
    ) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(idle);
        Self {
            up: Up {
                stream: client.0,
                waiting: Bytes::new(),
                moved: 0,
                frames: Frames::default(),
                state: State::Open,
            },
            down: Down {
                stream: client.1,
                waiting: Bytes::new(),
                moved: 0,
                frames: Frames::default(),
                state: State::Open,
                conduct,
            },
            upgraded,
            idle,
            deadline,
            moved: 0,
            is_leaving: false,
        }
    }

    /// Passes bytes both ways until both sides have ended, one breaks off, or the exchange is to end.
    pub(super) async fn run(mut self, ongoing: &mut Ongoing) -> End {
        let end = poll_fn(|context| self.poll(ongoing, context)).await;
        let (up, down) = (self.up.state, self.down.state);
        if (up, down) != (State::Ended, State::Ended) {
            // RFC 8441 §5: what breaks one connection breaks the other.
            self.down.stream.send_reset(Reason::CANCEL);
        }
        end
    }

    fn poll(&mut self, ongoing: &mut Ongoing, context: &mut Context<'_>) -> Poll<End> {
        if self.is_leaving {
            return self.poll_leave(ongoing, context);
        }
        let [up, down] = self.poll_directions(ongoing, context);
        match (up, down) {
            (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => Poll::Ready(end),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Complete),
            _ => {
                if ongoing.poll_ended(context).is_ready() {
                    self.leave();
                    return self.poll_leave(ongoing, context);
                }
                let moved = self.up.moved + self.down.moved;
                if moved != self.moved {
                    self.moved = moved;
                    self.deadline.set(self.idle);
                }
                ready!(self.deadline.poll_passed(context));
                Poll::Ready(End::BodyFailed(BodyError::TimedOut))
            }
        }
    }

    fn poll_directions(
        &mut self,
        ongoing: &mut Ongoing,
        context: &mut Context<'_>,
    ) -> [Poll<Result<(), End>>; 2] {
        let (backend, is_leaving) = (&mut *self.upgraded, self.is_leaving);
        [
            self.up.poll(backend, ongoing, is_leaving, context),
            self.down.poll(backend, ongoing, is_leaving, context),
        ]
    }

    /// Takes leave of both sides, as soon as no frame is on its way there.
    fn leave(&mut self) {
        self.is_leaving = true;
        self.deadline.set(PATIENCE);
        self.up.leave();
        self.down.leave();
    }

    /// Ready when both sides have ended, or have had the time for it; what breaks off one way is no matter to the other.
    fn poll_leave(&mut self, ongoing: &mut Ongoing, context: &mut Context<'_>) -> Poll<End> {
        let [up, down] = self.poll_directions(ongoing, context);
        if up.is_pending() || down.is_pending() {
            ready!(self.deadline.poll_passed(context));
        }
        Poll::Ready(End::Ended)
    }
}

impl Up {
    fn leave(&mut self) {
        if self.state == State::Open {
            self.state = State::Leaving;
            let waiting = std::mem::take(&mut self.waiting);
            self.waiting = self.rest_of_frame(waiting);
        }
    }

    /// Ready when the direction has ended.
    fn poll(
        &mut self,
        backend: &mut Upgraded,
        ongoing: &mut Ongoing,
        is_leaving: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            while !self.waiting.is_empty() {
                let written = ready!(backend.poll_write(&self.waiting, context));
                let written = written.map_err(|_| broken_backend())?;
                let passed = self.waiting.split_to(written.min(self.waiting.len()));
                if self.state != State::Ending {
                    self.passed(&passed, ongoing)?;
                }
            }
            let flushed = ready!(backend.poll_flush(context));
            flushed.map_err(|_| broken_backend())?;
            match self.state {
                State::Leaving if self.frames.are_between() => {
                    self.waiting = Bytes::from_static(TO_BACKEND);
                    self.state = State::Ending;
                }
                State::Open | State::Leaving => match ready!(self.stream.poll_data(context)) {
                    Some(Ok(data)) if self.state == State::Leaving => {
                        self.waiting = self.rest_of_frame(data);
                    }
                    Some(Ok(data)) => self.waiting = data,
                    Some(Err(_)) => return Poll::Ready(Err(End::ClientGone)),
                    None => self.state = State::Ending,
                },
                State::Ending => {
                    // The backend may be gone already; its own direction tells.
                    let _ = ready!(backend.poll_shutdown(context));
                    self.state = State::after_end(is_leaving);
                }
                State::Discarding => match ready!(self.stream.poll_data(context)) {
                    Some(Ok(data)) => self.make_room(data.len())?,
                    Some(Err(_)) => return Poll::Ready(Err(End::ClientGone)),
                    None => self.state = State::Ended,
                },
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The backend has taken these bytes of the client's.
    fn passed(&mut self, bytes: &[u8], ongoing: &mut Ongoing) -> Result<(), End> {
        let passed = Passed {
            bytes: bytes.len() as u64,
            messages: self.frames.pass(bytes),
        };
        if let Some(exchange) = ongoing.exchange() {
            exchange.passed(TunnelSide::Client, passed);
        }
        self.moved += passed.bytes;
        ongoing.set_received(self.moved);
        self.make_room(bytes.len())
    }

    /// What belongs to the frame that is on its way. The rest is dropped.
    fn rest_of_frame(&mut self, mut data: Bytes) -> Bytes {
        let dropped = data.split_off(self.frames.rest_in(&data));
        // Whether the client has gone meanwhile, the next read tells.
        let _ = self.make_room(dropped.len());
        data
    }

    /// Lets the client send as much again.
    fn make_room(&mut self, bytes: usize) -> Result<(), End> {
        let released = self.stream.flow_control().release_capacity(bytes);
        released.map_err(|_| End::ClientGone)
    }
}

impl Down {
    fn leave(&mut self) {
        if self.state == State::Open {
            self.state = State::Leaving;
            self.waiting.truncate(self.frames.rest_in(&self.waiting));
        }
    }

    /// Ready when the direction has ended.
    fn poll(
        &mut self,
        backend: &mut Upgraded,
        ongoing: &mut Ongoing,
        is_leaving: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            while !self.waiting.is_empty() {
                // Reserved only for what is there: a silent backend must not hold the room that other streams need.
                self.stream.reserve_capacity(self.waiting.len());
                let room = ready!(poll_room(&mut self.stream, context))?;
                let data = self.waiting.split_to(room.min(self.waiting.len()));
                if self.state != State::Ending {
                    self.passed(&data, ongoing);
                }
                let sent = self.stream.send_data(data, false);
                sent.map_err(|_| End::ClientGone)?;
            }
            match self.state {
                State::Leaving if self.frames.are_between() => {
                    self.waiting = Bytes::from_static(TO_CLIENT);
                    self.state = State::Ending;
                }
                State::Open | State::Leaving => {
                    let data = ready!(backend.poll_read(PART, context));
                    let mut data = data.map_err(|_| broken_backend())?;
                    if data.is_empty() {
                        self.state = State::Ending;
                    } else if self.state == State::Leaving {
                        data.truncate(self.frames.rest_in(&data));
                    }
                    self.waiting = data;
                }
                State::Ending => {
                    let sent = self.stream.send_data(Bytes::new(), true);
                    sent.map_err(|_| End::ClientGone)?;
                    self.state = State::after_end(is_leaving);
                }
                State::Discarding => {
                    let data = ready!(backend.poll_read(PART, context));
                    if data.map_err(|_| broken_backend())?.is_empty() {
                        self.state = State::Ended;
                    }
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// These bytes of the backend's are on their way to the client.
    fn passed(&mut self, bytes: &[u8], ongoing: &mut Ongoing) {
        let passed = Passed {
            bytes: bytes.len() as u64,
            messages: self.frames.pass(bytes),
        };
        self.moved += passed.bytes;
        ongoing.sent = self.moved;
        if let Some(exchange) = ongoing.exchange() {
            exchange.passed(TunnelSide::Backend, passed);
        }
        self.conduct.sent_data(bytes.len());
    }
}

fn broken_backend() -> End {
    End::BodyFailed(BodyError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_in_the_example_of_rfc_6455() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
