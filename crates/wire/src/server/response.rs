//! Sending an answer.

use std::cell::RefCell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Frame;

use super::End;
use super::stream::Stream;
use crate::body::{Body, BodyError};
use crate::head::{ResponseFraming, push_response_head};
use crate::write_queue::WriteQueue;

/// An answer on its way to the client.
#[derive(Debug)]
pub(super) struct Sending {
    body: Body,
    framing: ResponseFraming,
    /// All of the body is in the write queue.
    queued: bool,
    /// Bytes of the body that have been queued.
    pub(super) sent: u64,
    write_idle: Duration,
}

impl Sending {
    /// Queues the head of `response`, the answer to a request of `method`, and returns what sends the rest.
    pub(super) fn begin(
        stream: &RefCell<Stream>,
        response: Response<Body>,
        method: &Method,
        version: Version,
        closes: bool,
        write_idle: Duration,
    ) -> Self {
        let (mut head, body) = response.into_parts();
        let framing = framing(&body, head.status, method, version);
        if let (ResponseFraming::Described, Some(length @ 1..)) = (framing, body.exact_length()) {
            head.headers
                .entry(CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        let closes = closes || framing == ResponseFraming::UntilClose;
        let stream = &mut *stream.borrow_mut();
        stream.owes_continue = false;
        push_response_head(
            stream.write.small(),
            version,
            head.status,
            &head.headers,
            framing,
            closes,
        );
        let queued = matches!(
            framing,
            ResponseFraming::Bodiless | ResponseFraming::Described
        );
        Self {
            body,
            framing,
            queued,
            sent: 0,
            write_idle,
        }
    }

    /// Ready when the answer has left, or cannot.
    pub(super) fn poll(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<End> {
        loop {
            let filled = match self.fill(stream, context) {
                Poll::Ready(Err(error)) => {
                    // What came before the failure is the client's all the same.
                    let _ = stream.borrow_mut().poll_flush(context);
                    return Poll::Ready(End::BodyFailed(error));
                }
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            let stream = &mut *stream.borrow_mut();
            let before = stream.unsent();
            match stream.poll_flush(context) {
                Poll::Ready(Err(_)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Ok(())) => {
                    stream.write_deadline.clear();
                    if self.queued {
                        return Poll::Ready(End::Complete);
                    }
                    if !filled {
                        return poll_client(stream, context);
                    }
                }
                Poll::Pending => {
                    if stream.unsent() < before || !stream.write_deadline.is_set() {
                        stream.write_deadline.set(self.write_idle);
                    }
                    return stream
                        .write_deadline
                        .poll_passed(context)
                        .map(|()| End::ClientGone);
                }
            }
        }
    }

    /// Moves frames into the write queue. Ready when it is full or the body over, pending when the body is.
    /// The stream is not borrowed while the body is polled: the body may come from the very client that is being
    /// answered.
    fn fill(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        while !self.queued && stream.borrow().write.has_room() {
            let frame = ready!(self.body.poll_next(context)).transpose()?;
            let write = &mut stream.borrow_mut().write;
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => self.push(write, data)?,
                Some(Err(frame)) => self.end(write, frame.into_trailers().ok().as_ref())?,
                None => self.end(write, None)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A body that is not as long as announced must neither pass for whole nor run into the next answer.
    fn push(&mut self, write: &mut WriteQueue, data: Bytes) -> Result<(), BodyError> {
        self.sent += data.len() as u64;
        match self.framing {
            ResponseFraming::Fixed(length) if self.sent > length => {
                return Err(BodyError::Malformed("the body is longer than announced"));
            }
            ResponseFraming::Chunked => write.push_chunk(data),
            _ => write.push_data(data),
        }
        Ok(())
    }

    fn end(
        &mut self,
        write: &mut WriteQueue,
        trailers: Option<&HeaderMap>,
    ) -> Result<(), BodyError> {
        self.queued = true;
        match self.framing {
            ResponseFraming::Fixed(length) if self.sent < length => {
                return Err(BodyError::Truncated);
            }
            ResponseFraming::Chunked => write.push_last_chunk(trailers),
            _ => {}
        }
        Ok(())
    }

    /// Whether a cut-off body of this framing would look whole.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.framing == ResponseFraming::UntilClose
    }
}

/// Nothing to send at present: is the client still there?
fn poll_client(stream: &mut Stream, context: &mut Context<'_>) -> Poll<End> {
    if stream.body.is_done() {
        stream.poll_gone(context).map(|()| End::ClientGone)
    } else {
        Poll::Pending
    }
}

/// RFC 9112 §6.3, from the sender's side.
fn framing(body: &Body, status: StatusCode, method: &Method, version: Version) -> ResponseFraming {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        ResponseFraming::Bodiless
    } else if method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        ResponseFraming::Described
    } else if let Some(length) = body.exact_length() {
        ResponseFraming::Fixed(length)
    } else if version == Version::HTTP_11 {
        ResponseFraming::Chunked
    } else {
        ResponseFraming::UntilClose
    }
}
