//! Bodies that can be sent again.
//!
//! What an attempt has read of the request's body is kept, up to a limit; the next one gets that first and then the
//! rest. A body that turns out larger is not kept any more: it streams on, and can be sent only once.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use wire::{Body, BodyError};

/// A request's body, and what has been read of it.
#[derive(Debug)]
pub(super) struct Replay(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    rest: Body,
    /// What has been read; nothing once it is too large.
    frames: Vec<Bytes>,
    size: u64,
    most: u64,
    /// It is larger than is kept, or has ended in an error or with trailers: the next reader would not get the same.
    spent: bool,
}

/// The body for one attempt.
struct Attempt {
    kept: Rc<RefCell<Kept>>,
    /// Frames that it has had.
    had: usize,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl Replay {
    /// Keeps up to `most` bytes of `body`.
    pub(super) fn new(body: Body, most: u64) -> Self {
        Self(Rc::new(RefCell::new(Kept {
            rest: body,
            frames: Vec::new(),
            size: 0,
            most,
            spent: false,
        })))
    }

    /// The body from its start, for an attempt.
    pub(super) fn body(&self) -> Body {
        let kept = self.0.borrow();
        if kept.frames.is_empty() && kept.rest.is_finished() {
            return Body::empty();
        }
        let left = kept.rest.exact_length().map(|rest| rest + kept.size);
        Body::boxed(Attempt {
            kept: Rc::clone(&self.0),
            had: 0,
            left,
        })
    }

    /// Whether all of the body has been read, and kept.
    pub(super) fn is_complete(&self) -> bool {
        let kept = self.0.borrow();
        !kept.spent && kept.rest.is_finished()
    }

    /// Whether [`body`](Self::body) would give the same body once more.
    pub(super) fn is_whole(&self) -> bool {
        !self.0.borrow().spent
    }
}

impl Kept {
    fn keep(&mut self, data: &Bytes) {
        self.size += data.len() as u64;
        if self.spent || self.size > self.most {
            self.spent = true;
            self.frames = Vec::new();
        } else {
            self.frames.push(data.clone());
        }
    }
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut kept = this.kept.borrow_mut();
        let frame = match kept.frames.get(this.had) {
            Some(data) => Some(Ok(Frame::data(data.clone()))),
            None => {
                let frame = ready!(kept.rest.poll_next(context));
                match &frame {
                    Some(Ok(frame)) => match frame.data_ref() {
                        Some(data) => kept.keep(data),
                        None => kept.spent = true,
                    },
                    Some(Err(_)) => kept.spent = true,
                    None => {}
                }
                frame
            }
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.had += 1;
            let size = data.len() as u64;
            this.left = this.left.map(|left| left.saturating_sub(size));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.borrow();
        self.had >= kept.frames.len() && kept.rest.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn read(body: &mut Body, frames: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..frames {
            let Some(frame) = poll_fn(|context| body.poll_next(context)).await else {
                break;
            };
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        bytes
    }

    /// Three frames of three bytes.
    struct Frames(u8);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let next = self.0;
            self.0 += 1;
            Poll::Ready((next < 3).then(|| Ok(Frame::data(Bytes::from(vec![b'a' + next; 3])))))
        }

        fn is_end_stream(&self) -> bool {
            self.0 >= 3
        }
    }

    #[tokio::test]
    async fn each_attempt_gets_the_whole_body() {
        let replay = Replay::new(Body::boxed(Frames(0)), 9);
        assert_eq!(read(&mut replay.body(), 2).await, b"aaabbb");
        assert!(replay.is_whole());
        for _ in 0..2 {
            assert_eq!(read(&mut replay.body(), 9).await, b"aaabbbccc");
        }
        assert!(replay.is_whole());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_passes_once() {
        let replay = Replay::new(Body::boxed(Frames(0)), 5);
        let mut body = replay.body();
        assert_eq!(read(&mut body, 1).await, b"aaa");
        assert!(replay.is_whole());
        assert_eq!(read(&mut body, 9).await, b"bbbccc");
        assert!(!replay.is_whole());
    }

    #[tokio::test]
    async fn the_length_is_that_of_the_whole_body_each_time() {
        let replay = Replay::new(Body::full("abc"), 9);
        let mut body = replay.body();
        assert_eq!(body.exact_length(), Some(3));
        read(&mut body, 9).await;
        assert_eq!(body.exact_length(), Some(0));
        assert_eq!(replay.body().exact_length(), Some(3));
        assert!(Replay::new(Body::empty(), 9).body().is_finished());
    }
}
