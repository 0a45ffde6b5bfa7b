//! Sending a request's body while its answer may already be on the way.

use std::task::{Context, Poll, ready};

use http_body::Frame;

use crate::body::{Body, BodyError};
use crate::io::Io;
use crate::write_queue::WriteQueue;

/// What is left to be sent of a request.
#[derive(Debug)]
pub(super) struct Upload {
    /// Its body, as far as it has not been queued.
    body: Body,
    chunked: bool,
    /// All of the body is in the write queue.
    queued: bool,
    /// Frames that have been taken from the body: tells progress, and whether the body is still whole.
    pub(super) frames: u64,
}

/// Why a request could not be sent whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadError {
    /// Its body did not arrive.
    Body(BodyError),
    /// The backend does not take it.
    Write,
}

impl Upload {
    pub(super) fn new(body: Body, chunked: bool) -> Self {
        let queued = body.is_finished() && !chunked;
        Self {
            body,
            chunked,
            queued,
            frames: 0,
        }
    }

    /// Gives the body back, for another try; sensible while no frame has been taken.
    pub(super) fn into_body(self) -> Body {
        self.body
    }

    /// Whether there is a body that has not been queued whole.
    pub(super) fn has_body(&self) -> bool {
        !self.queued
    }

    /// Ready when all has been written.
    pub(super) fn poll(
        &mut self,
        io: &mut Io,
        write: &mut WriteQueue,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            let filled = self.fill(write, context).map_err(UploadError::Body)?;
            ready!(write.poll_flush(io, context)).map_err(|_| UploadError::Write)?;
            if self.queued {
                return Poll::Ready(Ok(()));
            }
            ready!(filled);
        }
    }

    fn fill(
        &mut self,
        write: &mut WriteQueue,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        while !self.queued && write.has_room() {
            let frame = ready!(self.body.poll_next(context)).transpose()?;
            self.frames += 1;
            match frame.map(Frame::into_data) {
                Some(Ok(data)) if self.chunked => write.push_chunk(data),
                Some(Ok(data)) => write.push_data(data),
                Some(Err(frame)) => {
                    self.queued = true;
                    if self.chunked {
                        write.push_last_chunk(frame.into_trailers().ok().as_ref());
                    }
                }
                None => {
                    self.queued = true;
                    if self.chunked {
                        write.push_last_chunk(None);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
