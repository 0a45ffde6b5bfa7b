//! A body that is encoded as it streams.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cache::Forms;
use http::HeaderMap;
use http_body::Frame;
use wire::{Body, BodyError};

use super::coding::{Coding, Encoder};
use super::remove_digests;

/// So much is gathered before it is handed on, unless the backend pauses.
const ENOUGH: usize = 16 * 1024;
/// So much is taken in at a time: then others have their turn.
const TURN: usize = 256 * 1024;
/// Bodies that a worker encodes at a time; what comes on top stays as it is. At most they take 128 MiB.
const MOST: usize = 128;

thread_local! {
    /// Bodies that are being encoded.
    static ENCODED: Cell<usize> = const { Cell::new(0) };
}

/// One of the bodies that are encoded at a time.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let taken = ENCODED.get();
        (taken < MOST).then(|| {
            ENCODED.set(taken + 1);
            Self
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        ENCODED.set(ENCODED.get() - 1);
    }
}

struct Compressed {
    body: Body,
    /// None once the end has been encoded.
    encoder: Option<Encoder>,
    /// Something has been taken in that the client cannot decode yet.
    unflushed: bool,
    trailers: Option<HeaderMap>,
    /// Where the whole is to be kept.
    copy: Option<Copy>,
    _place: Place,
}

/// What has been encoded of a body that is cached.
struct Copy {
    forms: Forms,
    coding: Coding,
    pieces: Vec<Bytes>,
    length: u64,
}

impl Copy {
    /// Adds what has been encoded; none any more where the whole is not worth to be kept.
    fn add(mut self, piece: &Bytes) -> Option<Self> {
        self.length += piece.len() as u64;
        self.pieces.push(piece.clone());
        (self.length <= self.forms.largest()).then_some(self)
    }

    fn keep(&self) {
        self.forms.keep(self.coding.name(), &self.pieces);
    }
}

/// `body`, encoded. If it is one that is cached, so is its encoded form.
///
/// # Errors
/// The body as it was, where there is no memory for it.
pub(super) fn compressed(body: Body, coding: Coding, forms: Option<Forms>) -> Result<Body, Body> {
    let Some(place) = Place::take() else {
        return Err(body);
    };
    match Encoder::new(coding) {
        Ok(encoder) => Ok(Body::boxed(Compressed {
            body,
            encoder: Some(encoder),
            unflushed: false,
            trailers: None,
            copy: forms.map(|forms| Copy {
                forms,
                coding,
                pieces: Vec::new(),
                length: 0,
            }),
            _place: place,
        })),
        Err(_) => Err(body),
    }
}

type Next = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Compressed {
    /// Hands on what has been encoded; none where that is nothing.
    fn encoded(&mut self) -> Option<Next> {
        let encoded = self.encoder.as_mut()?.take();
        (!encoded.is_empty()).then(|| self.hand_on(encoded))
    }

    fn hand_on(&mut self, encoded: Vec<u8>) -> Next {
        let encoded = Bytes::from(encoded);
        self.copy = self.copy.take().and_then(|it| it.add(&encoded));
        Poll::Ready(Some(Ok(Frame::data(encoded))))
    }

    /// The backend has paused: what has come so far is not held back.
    fn pause(&mut self) -> Next {
        if std::mem::take(&mut self.unflushed)
            && let Some(encoder) = &mut self.encoder
            && let Err(error) = encoder.flush()
        {
            return failed(&error);
        }
        self.encoded().unwrap_or(Poll::Pending)
    }

    fn end(&mut self) -> Next {
        let Some(encoder) = self.encoder.take() else {
            return Poll::Ready(None);
        };
        match encoder.finish() {
            Ok(rest) => {
                let next = if rest.is_empty() {
                    Poll::Ready(self.trailers.take().map(|it| Ok(Frame::trailers(it))))
                } else {
                    self.hand_on(rest)
                };
                if let Some(copy) = self.copy.take() {
                    copy.keep();
                }
                next
            }
            Err(error) => failed(&error),
        }
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        let this = self.get_mut();
        let mut taken = 0;
        while let Some(encoder) = &mut this.encoder {
            if encoder.encoded() >= ENOUGH
                && let Some(encoded) = this.encoded()
            {
                return encoded;
            }
            let Some(encoder) = &mut this.encoder else {
                break;
            };
            if taken >= TURN {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match this.body.poll_next(context) {
                Poll::Pending => return this.pause(),
                Poll::Ready(None) => return this.end(),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(error) = encoder.write(&data) {
                            return failed(&error);
                        }
                        this.unflushed = true;
                        taken += data.len();
                    }
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.trailers.iter_mut().for_each(remove_digests);
                        return this.end();
                    }
                },
            }
        }
        Poll::Ready(this.trailers.take().map(|it| Ok(Frame::trailers(it))))
    }
}

/// Encoders write to memory: they fail for want of it only.
fn failed(error: &io::Error) -> Next {
    Poll::Ready(Some(Err(BodyError::Io(error.kind()))))
}
