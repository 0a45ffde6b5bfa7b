//! A connection from its preface to its end: what is waited for on it, and when it is told to go.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::task::spawn_local;
use wire::Deadline;
use wire::server::{Drain, ServerConfig};

use super::activity::{Activity, OpenStream};
use super::conduct::Conduct;
use super::stream::Stream;
use super::stream_io::{LINGER, StreamIo};
use crate::server::connection::ClientService;

/// Of a connection with open streams on which nothing has come for this long it is asked whether the client is still
/// there, and for as long an answer is waited for.
const QUIET: Duration = Duration::from_secs(20);
/// How long a client that has been told to go may stay without a request.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection, and what is waited for on it.
pub(super) struct Serving {
    connection: Connection<StreamIo, Bytes>,
    pings: Option<PingPong>,
    service: Rc<ClientService>,
    conduct: Rc<Conduct>,
    config: ServerConfig,
    activity: Rc<Activity>,
    phase: Phase,
    /// Without an open stream.
    idle: Deadline,
    /// What the client has begun and not ended, and until when it may.
    unfinished: Option<u32>,
    unfinished_deadline: Deadline,
    /// Without a byte from the client, while streams are open.
    quiet: Deadline,
    /// The client has been asked whether it is still there.
    has_asked: bool,
    /// Until the connection is closed, whatever the client does.
    farewell: Deadline,
}

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It takes requests.
    Serving,
    /// The client has been told to make no more, and open streams are finished (RFC 9113 §6.8).
    Finishing,
    /// It ends as soon as the client has been told why.
    Ending,
}

impl Serving {
    pub(super) fn new(
        mut connection: Connection<StreamIo, Bytes>,
        service: Rc<ClientService>,
        conduct: Rc<Conduct>,
        config: ServerConfig,
    ) -> Self {
        Self {
            pings: connection.ping_pong(),
            connection,
            service,
            conduct,
            config,
            activity: Rc::default(),
            phase: Phase::Serving,
            idle: Deadline::default(),
            unfinished: None,
            unfinished_deadline: Deadline::default(),
            quiet: Deadline::default(),
            has_asked: false,
            farewell: Deadline::default(),
        }
    }

    /// Ready when the connection is closed, or to be.
    pub(super) fn poll(&mut self, drain: &Drain, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let before = self.phase;
            while let Poll::Ready(accepted) = self.connection.poll_accept(context) {
                match accepted {
                    Some(Ok((request, respond))) => self.begin(request, respond),
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
            if self.phase == Phase::Ending {
                return self.farewell.poll_passed(context);
            }
            if self.conduct.is_exhausted() || self.poll_unfinished(context).is_ready() {
                self.end(Reason::ENHANCE_YOUR_CALM);
            } else if self.poll_lost(context).is_ready() {
                return Poll::Ready(());
            } else if self.phase == Phase::Finishing {
                if self.poll_finished(context).is_ready() {
                    self.end(Reason::NO_ERROR);
                }
            } else if drain.is_announced() || self.poll_idle(context).is_ready() {
                self.phase = Phase::Finishing;
                self.connection.graceful_shutdown();
            }
            if self.phase == before {
                return Poll::Pending;
            }
        }
    }

    /// Serves a stream in a task of its own.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let stream = Stream {
            service: Rc::clone(&self.service),
            config: self.config,
            conduct: Rc::clone(&self.conduct),
            respond,
        };
        let open = OpenStream::begin(&self.activity);
        spawn_local(stream.serve(request, open));
    }

    fn end(&mut self, reason: Reason) {
        self.phase = Phase::Ending;
        self.connection.abrupt_shutdown(reason);
        // It must hear of it, and is then waited for.
        self.farewell.set(2 * LINGER);
    }

    /// Ready when no stream has been open for long enough, and nothing is left to be written either.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.activity.is_busy(context) {
                self.idle.clear();
                return Poll::Pending;
            }
            if !self.idle.is_set() {
                self.idle.set(self.config.keep_alive);
                self.conduct.take_told();
            }
            if self.idle.poll_passed(context).is_pending() {
                return Poll::Pending;
            }
            // The last answer may still be on its way to a slow client.
            if !(self.connection.has_streams() && self.conduct.take_told()) {
                return Poll::Ready(());
            }
            self.idle.clear();
        }
    }

    /// Ready when the client has been told to make no more requests, has none, and has not gone.
    fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.activity.is_busy(context) {
            self.farewell.clear();
            return Poll::Pending;
        }
        if !self.farewell.is_set() {
            self.farewell.set(FAREWELL);
        }
        self.farewell.poll_passed(context)
    }

    /// Ready when the client has not ended in time what it has begun: a header block, or another frame.
    fn poll_unfinished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let unfinished = self.conduct.unfinished();
        if unfinished != self.unfinished {
            self.unfinished = unfinished;
            match unfinished {
                Some(_) => self.unfinished_deadline.set(self.config.head_timeout),
                None => self.unfinished_deadline.clear(),
            }
        }
        self.unfinished_deadline.poll_passed(context)
    }

    /// Ready when the client has streams and does not answer.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.activity.is_busy(context) {
            self.quiet.clear();
            self.has_asked = false;
            return Poll::Pending;
        }
        let Some(pings) = &mut self.pings else {
            return Poll::Pending;
        };
        // It must have been seen before another can be sent; what it says is said by the reading of it, too.
        let _ = pings.poll_pong(context);
        loop {
            if !self.quiet.is_set() {
                self.quiet.set(QUIET);
                self.conduct.take_heard();
            }
            if self.quiet.poll_passed(context).is_pending() {
                return Poll::Pending;
            }
            self.quiet.clear();
            if self.conduct.take_heard() {
                self.has_asked = false;
            } else if self.has_asked {
                return Poll::Ready(());
            } else {
                self.has_asked = true;
                // It fails when the connection has, of which there is better news soon.
                let _ = pings.send_ping(Ping::opaque());
            }
        }
    }
}
