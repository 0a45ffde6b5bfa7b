//! Bodies that are stored as they pass, and bodies that others fetch.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cache::{Chunk, Content, Fill, Follower, Hit};
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use wire::{Body, BodyError};

use crate::proxy::Holds;

type Next = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// The answer that a hit is.
pub(super) fn from_hit(hit: &Hit) -> Response<Body> {
    hit.response().map(stored_body)
}

/// A body that is stored.
pub(crate) fn stored_body(mut content: Content) -> Body {
    let Some(first) = content.next() else {
        return Body::empty();
    };
    if content.remaining() == 0 {
        return Body::full(first);
    }
    Body::boxed(Pieces {
        first: Some(first),
        rest: content,
    })
}

/// A stored body in several pieces.
struct Pieces {
    first: Option<Bytes>,
    rest: Content,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Next {
        let next = self.first.take().or_else(|| self.rest.next());
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        SizeHint::with_exact(first + self.rest.remaining())
    }
}

/// A body on its way to a client, which is stored as it passes.
pub(super) struct Filling {
    pub(super) body: Body,
    /// None once it is stored, or is not to be.
    pub(super) fill: Option<Fill>,
    /// What has come already.
    pub(super) pending: Option<Bytes>,
    /// What it takes up at its upstream.
    pub(super) holds: Option<Holds>,
}

impl Filling {
    fn poll(&mut self, context: &mut Context<'_>) -> Next {
        let next = match self.pending.take() {
            Some(data) => Some(Ok(Frame::data(data))),
            None => std::task::ready!(self.body.poll_next(context)),
        };
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.push(data);
                } else if let (Some(fill), Some(trailers)) = (&mut self.fill, frame.trailers_ref())
                {
                    fill.trailers(trailers.clone());
                }
                // Nobody asks for more of a body whose length is known.
                if self.body.is_finished() {
                    self.end();
                }
            }
            Some(Err(_)) => self.fill = None,
            None => self.end(),
        }
        Poll::Ready(next)
    }

    fn push(&mut self, data: &[u8]) {
        if let Some(fill) = &mut self.fill
            && fill.push(data).is_err()
            && !fill.is_needed()
        {
            self.fill = None;
        }
    }

    fn end(&mut self) {
        if let Some(fill) = self.fill.take()
            && let Err(why) = fill.finish()
        {
            tracing::debug!(%why, "response is not cached");
        }
        self.holds = None;
    }
}

impl http_body::Body for Filling {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        self.get_mut().poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_none() && self.body.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        if self.pending.is_some() {
            return SizeHint::default();
        }
        http_body::Body::size_hint(&self.body)
    }
}

/// What a client goes on with by itself, because it has turned out to be too large to be stored.
pub(super) struct Rest {
    pub(super) filling: Filling,
    /// How much others have of it already.
    pub(super) position: u64,
}

/// A body that another task fetches.
pub(super) struct Following {
    follower: Option<Follower>,
    handed_over: HandedOver,
    /// How much has been read.
    position: u64,
    /// How long the whole is, where that is known.
    length: Option<u64>,
}

enum HandedOver {
    /// It never will be.
    No,
    /// It may be.
    NotYet(oneshot::Receiver<Rest>),
    Yes(Box<Rest>),
}

impl Following {
    /// Of a response with these fields. `rest` is what the task hands over that fetches it for this client.
    pub(super) fn new(
        follower: Follower,
        headers: &HeaderMap,
        rest: Option<oneshot::Receiver<Rest>>,
    ) -> Self {
        let length = headers.get(http::header::CONTENT_LENGTH);
        Self {
            follower: Some(follower),
            handed_over: rest.map_or(HandedOver::No, HandedOver::NotYet),
            position: 0,
            length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Next {
        if let HandedOver::NotYet(receiver) = &mut self.handed_over
            && let Poll::Ready(received) = Pin::new(receiver).poll(context)
        {
            self.handed_over = match received {
                Ok(rest) => HandedOver::Yes(Box::new(rest)),
                Err(_) => HandedOver::No,
            };
        }
        if let HandedOver::Yes(rest) = &mut self.handed_over
            && self.position >= rest.position
        {
            self.follower = None;
            return rest.filling.poll(context);
        }
        let Some(follower) = &mut self.follower else {
            return Poll::Ready(None);
        };
        Poll::Ready(match std::task::ready!(follower.poll_chunk(context)) {
            Chunk::Data(data) => {
                self.position += data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            Chunk::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Chunk::End => {
                self.follower = None;
                None
            }
            Chunk::Broken => {
                self.follower = None;
                Some(Err(BodyError::Truncated))
            }
        })
    }
}

impl http_body::Body for Following {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        self.get_mut().poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.length.is_some_and(|length| self.position >= length)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length.saturating_sub(self.position))
        })
    }
}
