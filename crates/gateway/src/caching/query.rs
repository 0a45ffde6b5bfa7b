//! `QUERY` (RFC 10008): what it asks for is in its content, which has to be here before the cache can be asked.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{self, SHA256};
use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::{Frame, SizeHint};
use wire::{Body, BodyError};

/// The content of a request, as far as the cache knows it. Most have none.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    content: Bytes,
    digest: Option<digest::Digest>,
}

impl Question {
    /// Of a whole content.
    pub(super) fn of(content: Bytes) -> Self {
        Self {
            digest: Some(digest::digest(&SHA256, &content)),
            content,
        }
    }

    /// What the key has of it.
    pub(super) fn digest(&self) -> Option<&[u8]> {
        self.digest.as_ref().map(AsRef::as_ref)
    }

    /// Whether the whole content is known, so that it can be sent for others and again.
    pub(super) fn is_known(&self) -> bool {
        self.digest.is_some()
    }

    /// The content for one more request.
    pub(super) fn body(&self) -> Body {
        Body::full(self.content.clone())
    }
}

pub(super) fn is_query(method: &Method) -> bool {
    method.as_str() == "QUERY"
}

/// Reads a body that has at most `most` bytes.
///
/// # Errors
/// It is larger, has trailers, or breaks off: the body from its start, for a request that the cache has nothing to do
/// with.
pub(super) async fn read(mut body: Body, most: u64) -> Result<Question, Body> {
    let length = body.exact_length();
    if length.is_some_and(|length| length > most) {
        return Err(body);
    }
    let mut content = BytesMut::new();
    while !body.is_finished() {
        let next = poll_fn(|context| body.poll_next(context)).await;
        let last = match next {
            None => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    content.extend_from_slice(&data);
                    if content.len() as u64 <= most {
                        continue;
                    }
                    None
                }
                Err(trailers) => Some(Ok(trailers)),
            },
            Some(Err(error)) => Some(Err(error)),
        };
        return Err(Body::boxed(Resumed {
            read: Some(content.freeze()),
            last,
            rest: body,
            left: length,
        }));
    }
    Ok(Question::of(content.freeze()))
}

/// A body of which some has been read.
struct Resumed {
    /// What has been.
    read: Option<Bytes>,
    /// What came then, if that was no data.
    last: Option<Result<Frame<Bytes>, BodyError>>,
    rest: Body,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = if let Some(read) = self.read.take().filter(|read| !read.is_empty()) {
            Some(Ok(Frame::data(read)))
        } else if let Some(last) = self.last.take() {
            Some(last)
        } else {
            ready!(self.rest.poll_next(context))
        };
        if let Some(Ok(frame)) = &next
            && let Some(data) = frame.data_ref()
        {
            let size = data.len() as u64;
            self.left = self.left.map(|left| left.saturating_sub(size));
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.last.is_none() && self.rest.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut body: Body) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|context| body.poll_next(context)).await {
            bytes.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
        Ok(bytes)
    }

    /// `ab`, `cd`, and then what is given.
    struct Frames(u8, Option<Result<Frame<Bytes>, BodyError>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0 += 1;
            Poll::Ready(match self.0 {
                1 => Some(Ok(Frame::data("ab".into()))),
                2 => Some(Ok(Frame::data("cd".into()))),
                _ => self.1.take(),
            })
        }
    }

    fn frames(last: Option<Result<Frame<Bytes>, BodyError>>) -> Body {
        Body::boxed(Frames(0, last))
    }

    #[tokio::test]
    async fn what_is_small_enough_is_known_by_its_digest() {
        let question = read(frames(None), 4).await.unwrap();
        let same = read(Body::full("abcd"), 4).await.unwrap();
        let other = read(Body::full("abce"), 4).await.unwrap();
        let none = read(Body::empty(), 0).await.unwrap();
        assert_eq!(question.digest(), same.digest());
        assert_ne!(question.digest(), other.digest());
        assert_ne!(none.digest(), Question::default().digest());
        assert_eq!(all(question.body()).await.unwrap(), b"abcd");
        assert_eq!(all(question.body()).await.unwrap(), b"abcd", "again");
    }

    #[tokio::test]
    async fn anything_else_passes_as_it_came() {
        for most in 0..4 {
            let body = read(frames(None), most).await.unwrap_err();
            assert_eq!(all(body).await.unwrap(), b"abcd", "{most}");
            let body = read(Body::full("abcd"), most).await.unwrap_err();
            assert_eq!(body.exact_length(), Some(4));
            assert_eq!(all(body).await.unwrap(), b"abcd", "{most}");
        }
        let broken = frames(Some(Err(BodyError::Truncated)));
        let body = read(broken, 9).await.unwrap_err();
        assert_eq!(all(body).await, Err(BodyError::Truncated));
        let trailers = Frame::trailers(http::HeaderMap::new());
        let mut body = read(frames(Some(Ok(trailers))), 9).await.unwrap_err();
        let mut kinds = Vec::new();
        while let Some(frame) = poll_fn(|context| body.poll_next(context)).await {
            kinds.push(frame.unwrap().is_trailers());
        }
        assert_eq!(kinds, [false, true]);
    }
}
