//! One backend connection, and the sending of one request over it.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::time::Instant;

use super::response_body::ResponseBody;
use super::upload::{Upload, UploadError};
use crate::batch::after_the_others;
use crate::body::{Body, BodyError};
use crate::deadline::Deadline;
use crate::decoder::Decoder;
use crate::head::{BodyLength, HeadError, Progress, ResponseHead, ResponseLimits, parse_response};
use crate::io::{Idle, Io};
use crate::read_buffer::{ANSWER, ReadBuffer};
use crate::tunnel::Upgraded;
use crate::write_queue::WriteQueue;

/// Interim answers to one request, at most: more can only be meant to keep us busy.
const MOST_INTERIM: u32 = 32;

/// What a connection holds for as long as it is open, and for nothing but its end.
pub type Held = Arc<dyn Any + Send + Sync>;

/// A connection to a backend.
#[derive(Debug)]
pub struct Connection(pub(super) Box<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) io: Io,
    pub(super) read: ReadBuffer,
    pub(super) write: WriteQueue,
    pub(super) deadline: Deadline,
    /// How long the backend says it keeps the connection when idle.
    keep_alive: Option<Duration>,
    opened: Instant,
    /// Let go when the socket has been closed: fields are dropped in their order.
    held: Option<Held>,
    /// The same, of whoever counts connections.
    counted: Option<Held>,
}

/// Where a connection goes when it can be used again.
pub trait Home {
    /// Takes `connection` back, which has answered a request and is idle.
    fn take_back(&self, connection: Connection);
}

/// A request that is ready to be sent.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// Its method: decides whether the answer has a body.
    pub method: &'a Method,
    /// The head announces a chunked body, rather than a length.
    pub chunked: bool,
    /// The head expects `100 Continue`: the body is held back for it, or for [`ResponsePolicy::continue_wait`].
    pub expects_continue: bool,
    /// The head asks to switch protocols.
    pub upgrades: bool,
}

/// What is accepted as an answer.
#[derive(Debug, Clone, Copy)]
pub struct ResponsePolicy {
    /// Limits of its head.
    pub limits: ResponseLimits,
    /// When the answer's head is due. While the request's body is still arriving, `timeout` after its last part.
    pub due: Instant,
    /// See `due`.
    pub timeout: Duration,
    /// The longest pause between two reads of the answer's body.
    pub body_idle: Duration,
    /// The same for event streams, which are silent for long.
    pub event_stream_idle: Duration,
    /// How long a body is held back for `100 Continue` (RFC 9110 §10.1.1: not indefinitely).
    pub continue_wait: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// Not a byte of an answer came, and none of the request's body was taken: the request can be sent again if its
    /// method allows.
    pub repeatable: bool,
}

/// What kept a request from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// The backend closed or reset the connection.
    #[error("the backend closed the connection before it answered")]
    Closed,
    /// The backend would have liked another certificate, or one at all. With TLS 1.3 it says so when the handshake is over
    /// on our side (RFC 8446 §4.4.2.4); it has taken nothing of the request.
    #[error("the backend refused the TLS handshake")]
    HandshakeRefused,
    /// The answer's head is malformed, ambiguous or too large.
    #[error("the backend's answer is not acceptable: {0}")]
    Malformed(HeadError),
    /// The answer did not begin in time.
    #[error("the backend did not answer in time")]
    TimedOut,
    /// The request's body did not arrive from the client.
    #[error("the request's body did not arrive: {0}")]
    RequestBody(BodyError),
}

impl Connection {
    /// A connection that has just been made.
    #[must_use]
    pub fn new(io: Io) -> Self {
        Self(Box::new(Inner {
            io,
            read: ReadBuffer::default(),
            write: WriteQueue::default(),
            deadline: Deadline::default(),
            keep_alive: None,
            opened: Instant::now(),
            held: None,
            counted: None,
        }))
    }

    /// The same, which holds `held` until it is closed, also as a tunnel.
    #[must_use]
    pub fn holding(mut self, held: Option<Held>) -> Self {
        self.0.held = held;
        self
    }

    /// The same, which also holds `counted`: whatever counts it as open.
    #[must_use]
    pub fn counted(mut self, counted: Option<Held>) -> Self {
        self.0.counted = counted;
        self
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.0.held.as_ref()
    }

    /// When the connection was made.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.0.opened
    }

    /// How long the backend has said that it keeps the connection when idle.
    #[must_use]
    pub fn keep_alive(&self) -> Option<Duration> {
        self.0.keep_alive
    }

    /// Looks whether the idle connection is still usable; costs a system call.
    #[must_use]
    pub fn look(&self) -> Idle {
        self.0.io.look()
    }

    /// Whether, as far as the runtime has heard, something has happened to the idle connection: the backend's close,
    /// or bytes that nobody asked for. Costs a system call only after an answer at whose end a read has filled its buffer.
    #[must_use]
    pub fn has_stirred(&mut self) -> bool {
        self.0.io.has_stirred()
    }

    /// Gives memory back while the connection is idle: what it read last may have been in use when it became so.
    pub fn release_memory(&mut self) {
        self.0.read.release();
    }

    /// Sends a request and waits for the head of its answer. `write_head` appends the request's head as it goes over
    /// the wire, with its empty line. What is left of `body` is sent while the answer's body is read. Interim answers
    /// go to `inform`; the connection goes to `home` when the answer is complete and the connection fit for another
    /// request.
    ///
    /// # Errors
    /// When there is no acceptable answer; the connection is closed then. `body` is given back unless parts of it
    /// have been sent.
    pub async fn send(
        self,
        request: OutgoingRequest<'_>,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: &mut Body,
        policy: &ResponsePolicy,
        mut inform: impl FnMut(StatusCode, &HeaderMap),
        home: Rc<dyn Home>,
    ) -> Result<Response<Body>, Failure> {
        let mut inner = self.0;
        write_head(inner.write.small());
        after_the_others().await;
        inner.deadline.set_at(policy.due);
        let mut sending = Sending {
            upload: Upload::new(std::mem::take(body), request.chunked),
            state: UploadState::Head,
            answer_begun: false,
            interim: 0,
            progress: Progress::default(),
        };
        let head =
            poll_fn(|context| sending.poll(&mut inner, &request, policy, &mut inform, context))
                .await;
        match head {
            Ok(head) => Ok(sending.into_response(inner, head, policy, home)),
            Err(kind) => {
                let whole = sending.upload.frames == 0;
                if whole {
                    *body = sending.upload.into_body();
                }
                Err(Failure {
                    kind,
                    repeatable: whole && !sending.answer_begun,
                })
            }
        }
    }
}

/// How far the request has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadState {
    /// Its head is being written; the body is not asked for when it is to be held back.
    Head,
    /// The body waits for `100 Continue`.
    HeldBack,
    /// Head and body are being written.
    Running,
    /// All has been written.
    Done,
    /// The backend does not take any more. Its answer may have come all the same.
    Refused,
}

/// A request on its way, up to the head of its answer.
struct Sending {
    upload: Upload,
    state: UploadState,
    answer_begun: bool,
    interim: u32,
    progress: Progress,
}

impl Sending {
    fn poll(
        &mut self,
        inner: &mut Inner,
        request: &OutgoingRequest<'_>,
        policy: &ResponsePolicy,
        inform: &mut impl FnMut(StatusCode, &HeaderMap),
        context: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, FailureKind>> {
        let frames = self.upload.frames;
        loop {
            self.poll_upload(inner, request, policy, context)?;
            let head = match self.poll_head(inner, request, &policy.limits, context)? {
                Poll::Ready(head) => head,
                Poll::Pending => break,
            };
            if !head.status.is_informational() {
                return Poll::Ready(Ok(head));
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                // RFC 9110 §7.8: a server does not switch unasked.
                return Poll::Ready(if request.upgrades {
                    Ok(head)
                } else {
                    Err(FailureKind::Malformed(HeadError::Malformed(
                        "101 without a request to upgrade",
                    )))
                });
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(FailureKind::Malformed(HeadError::Malformed(
                    "too many interim answers",
                ))));
            }
            if head.status == StatusCode::CONTINUE {
                // The client is told when its body is asked for.
                if self.state == UploadState::HeldBack {
                    self.state = UploadState::Running;
                    inner.deadline.set_at(policy.due);
                }
            } else {
                inform(head.status, &head.headers);
            }
        }
        if self.upload.frames != frames {
            inner
                .deadline
                .set_at((Instant::now() + policy.timeout).max(policy.due));
        }
        ready!(inner.deadline.poll_passed(context));
        if self.state == UploadState::HeldBack {
            self.state = UploadState::Running;
            inner.deadline.set_at(policy.due);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(FailureKind::TimedOut))
    }

    fn poll_upload(
        &mut self,
        inner: &mut Inner,
        request: &OutgoingRequest<'_>,
        policy: &ResponsePolicy,
        context: &mut Context<'_>,
    ) -> Result<(), FailureKind> {
        if self.state == UploadState::Head {
            if !(request.expects_continue && self.upload.has_body()) {
                self.state = UploadState::Running;
            } else if let Poll::Ready(written) = inner.write.poll_flush(&mut inner.io, context) {
                self.state = if written.is_ok() {
                    UploadState::HeldBack
                } else {
                    UploadState::Refused
                };
                inner
                    .deadline
                    .set_at((Instant::now() + policy.continue_wait).min(policy.due));
            }
        }
        if self.state == UploadState::Running {
            match self.upload.poll(&mut inner.io, &mut inner.write, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.state = UploadState::Done,
                Poll::Ready(Err(UploadError::Write)) => self.state = UploadState::Refused,
                Poll::Ready(Err(UploadError::Body(error))) => {
                    return Err(FailureKind::RequestBody(error));
                }
            }
        }
        Ok(())
    }

    /// The next head that the backend sends.
    fn poll_head(
        &mut self,
        inner: &mut Inner,
        request: &OutgoingRequest<'_>,
        limits: &ResponseLimits,
        context: &mut Context<'_>,
    ) -> Result<Poll<ResponseHead>, FailureKind> {
        loop {
            if !inner.read.is_empty() {
                self.answer_begun = true;
                let head = parse_response(
                    inner.read.bytes(),
                    request.method,
                    limits,
                    &mut self.progress,
                )
                .map_err(FailureKind::Malformed)?;
                if let Some(head) = head {
                    return Ok(Poll::Ready(head));
                }
            }
            match inner.read.poll_fill(&mut inner.io, ANSWER, context) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Err(error)) if refuses_handshake(&error) => {
                    return Err(FailureKind::HandshakeRefused);
                }
                Poll::Ready(_) => return Err(FailureKind::Closed),
            }
        }
    }

    /// The answer, with a body that takes the rest of the exchange along.
    fn into_response(
        self,
        mut inner: Box<Inner>,
        head: ResponseHead,
        policy: &ResponsePolicy,
        home: Rc<dyn Home>,
    ) -> Response<Body> {
        inner.deadline.clear();
        inner.keep_alive = head.keep_alive.or(inner.keep_alive);
        let body = match head.body {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => Body::upgraded(Upgraded::new(
                inner.io,
                inner.read.into_bytes(),
                [inner.held, inner.counted],
            )),
            BodyLength::Fixed(length)
                if self.state == UploadState::Done && length <= inner.read.len() as u64 =>
            {
                // All of it is here: the connection is free before the client has read a byte.
                let bytes = inner
                    .read
                    .take(usize::try_from(length).unwrap_or(usize::MAX));
                if head.persists && inner.read.is_empty() {
                    inner.write.release();
                    home.take_back(Connection(inner));
                }
                Body::full(bytes)
            }
            length => {
                let done = self.state == UploadState::Done;
                let idle = if is_event_stream(&head.headers) {
                    policy.event_stream_idle
                } else {
                    policy.body_idle
                };
                Body::response(ResponseBody {
                    decoder: Decoder::new(length),
                    // A request whose body was held back for good is answered without it; the backend may still
                    // wait for the body, so the connection is not used again.
                    upload: (self.state == UploadState::Running).then_some(self.upload),
                    home: (head.persists && (done || self.state == UploadState::Running))
                        .then_some(home),
                    connection: Some(Connection(inner)),
                    idle,
                })
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.headers;
        response
    }
}

/// Whether the backend has told, by an alert, that it does not take our part of the handshake.
fn refuses_handshake(error: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        error,
        Some(rustls::Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::HandshakeFailure
        ))
    )
}

/// Server-sent events may be silent for as long as nothing happens.
fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()))
        .is_some_and(|value| value.eq_ignore_ascii_case(EVENT_STREAM))
}
