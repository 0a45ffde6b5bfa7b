//! The body of a request, as it comes in on its stream.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use wire::{BodyError, Deadline};

/// The body of a request, with a limit to the pauses in it.
pub(super) struct Received {
    body: RecvStream,
    /// Bytes still to come, where the head has said how many there are.
    remaining: Option<u64>,
    idle: Duration,
    deadline: Deadline,
    received: Rc<Cell<u64>>,
    /// All data has come; trailers may follow.
    data_ended: bool,
}

impl Received {
    pub(super) fn new(
        body: RecvStream,
        length: Option<u64>,
        idle: Duration,
        received: Rc<Cell<u64>>,
    ) -> Self {
        Self {
            body,
            remaining: length,
            idle,
            deadline: Deadline::default(),
            received,
            data_ended: false,
        }
    }

    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.data_ended {
            match ready!(self.body.poll_data(context)) {
                // A frame may be empty, or nothing but padding.
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    // Whoever reads it asks for more only when it is on its way.
                    self.body.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.body.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = this.poll_body(context) else {
            if !this.deadline.is_set() {
                this.deadline.set(this.idle);
            }
            ready!(this.deadline.poll_passed(context));
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        };
        this.deadline.clear();
        if let Some(Ok(data)) = frame
            .as_ref()
            .map(|frame| frame.as_ref().map(Frame::data_ref))
        {
            let length = data.map_or(0, |data| data.len() as u64);
            this.received.set(this.received.get() + length);
            this.remaining = this.remaining.map(|left| left.saturating_sub(length));
        }
        // A reset stream or a broken connection: either way the client has gone. A reset with NO_ERROR is no exception: what
        // has not ended must not be taken for the whole.
        Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Truncated)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
