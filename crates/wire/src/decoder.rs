//! From the bytes of a connection to the frames of one body.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use crate::body::BodyError;
use crate::chunked::{ChunkedDecoder, Piece};
use crate::head::BodyLength;
use crate::io::Io;
use crate::read_buffer::ReadBuffer;

/// What is left of a body that is being read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decoder {
    /// This many bytes.
    Fixed(u64),
    Chunked(ChunkedDecoder),
    /// Everything up to the end of the stream.
    UntilClose,
    /// The end of the stream has come.
    Closed,
}

/// One frame of a body.
#[derive(Debug)]
pub(crate) enum BodyFrame {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Decoder {
    pub(crate) fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::Fixed(length) => Self::Fixed(length),
            BodyLength::Chunked => Self::Chunked(ChunkedDecoder::Size),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether the whole body has been read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Fixed(0) | Self::Chunked(ChunkedDecoder::Done) | Self::Closed
        )
    }

    /// The bytes still to come, where the head told.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self {
            Self::Fixed(left) => Some(*left),
            Self::Closed | Self::Chunked(ChunkedDecoder::Done) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// The next frame; `None` at the end of the body.
    pub(crate) fn poll_frame(
        &mut self,
        io: &mut Io,
        buffer: &mut ReadBuffer,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<BodyFrame>, BodyError>> {
        loop {
            if let Some(frame) = self.decode(buffer)? {
                return Poll::Ready(Ok(frame));
            }
            let read = ready!(buffer.poll_fill(io, self.expected(), context))
                .map_err(|error| BodyError::Io(error.kind()))?;
            if read == 0 {
                if matches!(self, Self::UntilClose) {
                    *self = Self::Closed;
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(BodyError::Truncated));
            }
        }
    }

    /// What the buffer already holds: `None` when more bytes are needed, `Some(None)` at the end of the body.
    fn decode(&mut self, buffer: &mut ReadBuffer) -> Result<Option<Option<BodyFrame>>, BodyError> {
        Ok(match self {
            Self::Fixed(0) | Self::Closed => Some(None),
            Self::Fixed(_) | Self::UntilClose if buffer.is_empty() => None,
            Self::Fixed(left) => {
                let data = buffer.take(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                Some(Some(BodyFrame::Data(data)))
            }
            Self::UntilClose => Some(Some(BodyFrame::Data(buffer.take(usize::MAX)))),
            Self::Chunked(decoder) => decoder.decode(buffer.bytes())?.map(|piece| match piece {
                Piece::Data(data) => Some(BodyFrame::Data(data)),
                Piece::Trailers(trailers) => Some(BodyFrame::Trailers(trailers)),
                Piece::End => None,
            }),
        })
    }

    fn expected(&self) -> u64 {
        match self {
            Self::Fixed(left) => *left,
            Self::Chunked(decoder) => decoder.expected(),
            Self::UntilClose => u64::MAX,
            Self::Closed => 0,
        }
    }
}
