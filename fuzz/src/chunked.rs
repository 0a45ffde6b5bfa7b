//! Chunked bodies.

use bytes::BytesMut;
use wire::BodyError;
use wire::chunked::{ChunkedDecoder, Piece};

use crate::reference;

/// A chunked body, in pieces whose size the first byte chooses: the reference finds the same data, and the same end.
pub fn chunked(data: &[u8]) {
    let Some((step, data)) = data.split_first() else {
        return;
    };
    let Ok(Some(decoded)) = decode(data, usize::from(*step).max(1)) else {
        return;
    };
    let (body, size) = reference::chunked(data).expect("the reference refuses what we accept");
    assert_eq!(decoded.body, body);
    assert_eq!(decoded.size, size, "the body ends elsewhere");
    // However the bytes come.
    assert_eq!(decode(data, usize::MAX), Ok(Some(decoded)));
}

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    /// Bytes that it takes up on the wire.
    size: usize,
}

/// The body at the start of `data`, which comes `step` bytes at a time; none when it is incomplete.
fn decode(data: &[u8], step: usize) -> Result<Option<Decoded>, BodyError> {
    let (mut decoder, mut buffer, mut body) = (ChunkedDecoder::Size, BytesMut::new(), Vec::new());
    let mut come = 0;
    for piece in data.chunks(step.min(data.len().max(1))) {
        buffer.extend_from_slice(piece);
        come += piece.len();
        while let Some(piece) = decoder.decode(&mut buffer)? {
            match piece {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Trailers(_) | Piece::End => {
                    let size = come - buffer.len();
                    return Ok(Some(Decoded { body, size }));
                }
            }
        }
    }
    Ok(None)
}
