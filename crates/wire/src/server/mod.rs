//! The side towards clients.

mod connection;
mod drain;
mod response;
mod stream;

pub use connection::{Ended, serve};
pub use drain::Drain;
pub use stream::{Client, RequestBody};

use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};

use crate::body::{Body, BodyError};
use crate::head::{HeadError, RequestLimits};
use crate::tunnel::{Passed, TunnelSide};

/// Answers requests.
pub trait Service {
    /// What is kept of a request until its answer has left.
    type Exchange: Exchange;

    /// Answers `request`. Dropped when the client goes away before there is an answer.
    fn call(
        &self,
        request: Request<Body>,
        client: Client,
    ) -> impl Future<Output = (Response<Body>, Self::Exchange)>;

    /// Answers bytes that are no acceptable request. The connection is closed after it.
    fn refuse(&self, error: HeadError) -> (Response<Body>, Self::Exchange);
}

/// Learns how the exchange of a request and its answer ended.
pub trait Exchange {
    /// Something has passed through the tunnel that the connection has become.
    fn passed(&mut self, from: TunnelSide, passed: Passed);

    /// Ready when the exchange is to end although its answer has not. Asked while nothing of that can be sent; has the
    /// task of `context` woken.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Pending
    }

    /// The answer has been handed to the kernel, or never will be.
    fn finish(self, outcome: Outcome);
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of the answer's body that were sent.
    pub sent: u64,
    /// Whether the client has got all of it.
    pub end: End,
}

/// Whether the client has got all of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It has.
    Complete,
    /// It went away, or stopped reading for too long.
    ClientGone,
    /// The answer's body did not arrive whole.
    BodyFailed(BodyError),
    /// [`Exchange::poll_ended`] has said that it was to end.
    Ended,
}

/// Limits of a client connection.
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig {
    /// Of each request head.
    pub head: RequestLimits,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// Between two requests, and before the first.
    pub keep_alive: Duration,
    /// Between two reads of a request's body.
    pub request_body_idle: Duration,
    /// Between two writes of an answer that the client is slow to take.
    pub write_idle: Duration,
    /// Between two movements, in either direction, of a tunnel.
    pub tunnel_idle: Duration,
}
