//! The body of a request or a response, whichever connection it comes from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::client::ResponseBody;
use crate::server::RequestBody;
use crate::tunnel::Upgraded;

/// Why a body did not arrive whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It breaks the rules of its transfer coding.
    #[error("{0}")]
    Malformed(&'static str),
    /// The sender went away before its end.
    #[error("the body ended early")]
    Truncated,
    /// Nothing of it came for too long.
    #[error("the body stalled")]
    TimedOut,
    /// It is larger than is allowed here.
    #[error("the body is too large")]
    TooLarge,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
}

/// A body that arrives frame by frame; nothing of it is read before it is asked for.
#[derive(Debug, Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    /// One frame, already here.
    Full(Bytes),
    /// Read from an HTTP/1.1 client.
    Request(RequestBody),
    /// Read from an HTTP/1.1 backend.
    Response(Box<ResponseBody>),
    /// From another protocol.
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
    /// No body at all: the connection behind a `101 Switching Protocols`.
    Upgraded(Box<Upgraded>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Request(_) => "Request",
            Self::Response(_) => "Response",
            Self::Boxed(_) => "Boxed",
            Self::Upgraded(_) => "Upgraded",
        })
    }
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }

    /// A body that something else produces.
    #[must_use]
    pub fn boxed(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self(Kind::Boxed(Box::pin(body)))
    }

    pub(crate) fn request(body: RequestBody) -> Self {
        Self(Kind::Request(body))
    }

    pub(crate) fn response(body: ResponseBody) -> Self {
        Self(Kind::Response(Box::new(body)))
    }

    pub(crate) fn upgraded(upgraded: Upgraded) -> Self {
        Self(Kind::Upgraded(Box::new(upgraded)))
    }

    /// The connection behind a `101`, or the body as it was.
    ///
    /// # Errors
    /// The body, where it is one.
    pub fn into_upgraded(self) -> Result<Box<Upgraded>, Self> {
        match self.0 {
            Kind::Upgraded(upgraded) => Ok(upgraded),
            other => Err(Self(other)),
        }
    }

    /// The number of bytes still to come, where it is known.
    #[must_use]
    pub fn exact_length(&self) -> Option<u64> {
        http_body::Body::size_hint(self).exact()
    }

    /// Whether nothing is to come any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        http_body::Body::is_end_stream(self)
    }

    /// The next frame; for callers that are not generic over bodies.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty | Kind::Upgraded(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Request(body) => body.poll_frame(context),
            Kind::Response(body) => body.poll_frame(context),
            Kind::Boxed(body) => body.as_mut().poll_frame(context),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.get_mut().poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty | Kind::Upgraded(_) => true,
            Kind::Full(_) => false,
            Kind::Request(body) => body.is_done(),
            Kind::Response(body) => body.is_done(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let exact = match &self.0 {
            Kind::Empty | Kind::Upgraded(_) => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Request(body) => body.remaining(),
            Kind::Response(body) => body.remaining(),
            Kind::Boxed(body) => return body.size_hint(),
        };
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
