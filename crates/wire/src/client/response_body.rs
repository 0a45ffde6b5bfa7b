//! The body of a backend's answer, which takes the rest of the exchange along.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::connection::{Connection, Home};
use super::upload::Upload;
use crate::body::BodyError;
use crate::decoder::{BodyFrame, Decoder};

/// The body of an answer from an HTTP/1.1 backend.
pub struct ResponseBody {
    /// None once the answer is complete, or has failed.
    pub(super) connection: Option<Connection>,
    pub(super) decoder: Decoder,
    /// What is left to be sent of the request; moves whenever the answer is polled.
    pub(super) upload: Option<Upload>,
    /// Where the connection goes when it can be used again; none when it cannot.
    pub(super) home: Option<Rc<dyn Home>>,
    /// The longest pause between two reads.
    pub(super) idle: Duration,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ResponseBody")
            .field("decoder", &self.decoder)
            .finish_non_exhaustive()
    }
}

impl ResponseBody {
    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_decoder(context));
        match frame {
            // The end may be known as soon as the last byte is here: then the connection is free for others while
            // this frame is on its way to the client.
            Ok(Some(BodyFrame::Data(data))) => {
                if self.decoder.is_done() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(Some(BodyFrame::Trailers(trailers))) => {
                self.finish();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Ok(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Err(error) => {
                self.connection = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    pub(crate) fn remaining(&self) -> Option<u64> {
        self.decoder.remaining()
    }

    fn poll_decoder(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<BodyFrame>, BodyError>> {
        let Some(Connection(inner)) = &mut self.connection else {
            return Poll::Ready(if self.decoder.is_done() {
                Ok(None)
            } else {
                Err(BodyError::Truncated)
            });
        };
        if let Some(upload) = &mut self.upload {
            match upload.poll(&mut inner.io, &mut inner.write, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.upload = None,
                // The backend has had enough, or the client has broken off: the answer goes on as far as it goes.
                Poll::Ready(Err(_)) => {
                    self.upload = None;
                    self.home = None;
                }
            }
        }
        match self
            .decoder
            .poll_frame(&mut inner.io, &mut inner.read, context)
        {
            Poll::Ready(frame) => {
                inner.deadline.clear();
                Poll::Ready(frame)
            }
            Poll::Pending => {
                if !inner.deadline.is_set() {
                    inner.deadline.set(self.idle);
                }
                inner
                    .deadline
                    .poll_passed(context)
                    .map(|()| Err(BodyError::TimedOut))
            }
        }
    }

    /// The answer is complete: the connection goes home, unless something of the exchange is left on it.
    fn finish(&mut self) {
        let (Some(mut connection), home) = (self.connection.take(), self.home.take()) else {
            return;
        };
        let clean =
            self.upload.is_none() && connection.0.read.is_empty() && connection.0.write.is_empty();
        if let (Some(home), true) = (home, clean) {
            connection.0.deadline.clear();
            connection.0.read.release();
            connection.0.write.release();
            home.take_back(connection);
        }
    }
}
