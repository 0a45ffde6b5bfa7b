//! How large a request's body may be.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use wire::{Body, BodyError};

use crate::error::ErrorCode;

/// `body`, which does not yield more than `most` bytes: refused at once where its length says that it is larger,
/// counted as it streams where it has none.
///
/// # Errors
/// When the length is larger.
pub(crate) fn limited(body: Body, most: u64) -> Result<Body, ErrorCode> {
    match body.exact_length() {
        Some(length) if length > most => Err(ErrorCode::BodyTooLarge),
        Some(_) => Ok(body),
        None => Ok(Body::boxed(Limited {
            body,
            left: most,
            watcher: None,
        })),
    }
}

/// Whether a body has turned out larger than a limit that is tried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oversized(Rc<Cell<bool>>);

impl Oversized {
    pub(crate) fn is_so(&self) -> bool {
        self.0.get()
    }
}

/// `body` as it is, and whether it is larger than `most`: at once where its length says so, later where it has none.
pub(crate) fn watched(body: Body, most: u64) -> (Body, Oversized) {
    let oversized = Oversized::default();
    match body.exact_length() {
        Some(length) => {
            oversized.0.set(length > most);
            (body, oversized)
        }
        None => {
            let watched = Limited {
                body,
                left: most,
                watcher: Some(oversized.clone()),
            };
            (Body::boxed(watched), oversized)
        }
    }
}

/// A body of unknown length.
struct Limited {
    body: Body,
    left: u64,
    /// Where there is one, it is told and the body goes on.
    watcher: Option<Oversized>,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.body.poll_next(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => match &self.watcher {
                    None => return Poll::Ready(Some(Err(BodyError::TooLarge))),
                    Some(oversized) => oversized.0.set(true),
                },
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
