//! Stored bodies.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::stored::allocated;

/// A whole body in pieces that any number of answers share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    pieces: Pieces,
    length: u64,
}

#[derive(Debug, Clone, Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Body {
    pub(crate) fn new(mut pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|it| it.len() as u64).sum();
        let pieces = match (pieces.len(), pieces.pop()) {
            (1, Some(only)) => Pieces::One(only),
            (_, Some(last)) => {
                pieces.push(last);
                Pieces::Many(pieces.into())
            }
            (_, None) => Pieces::None,
        };
        Self { pieces, length }
    }

    /// A body in one piece.
    pub(crate) fn one(piece: Bytes) -> Self {
        Self {
            length: piece.len() as u64,
            pieces: Pieces::One(piece),
        }
    }

    /// Of bytes that are copied, in pieces such as bodies arrive in.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        const PIECE: usize = 64 * 1024;
        Self::new(bytes.chunks(PIECE).map(Bytes::copy_from_slice).collect())
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The memory that it takes: the bytes, and a handle and a count for each piece.
    pub(crate) fn size(&self) -> usize {
        let pieces = self.pieces();
        let handles = if pieces.len() > 1 { pieces.len() } else { 0 };
        pieces.iter().map(|it| allocated(it.len())).sum::<usize>()
            + pieces.len() * 32
            + allocated(handles * size_of::<Bytes>())
    }

    fn pieces(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::None => &[],
            Pieces::One(only) => std::slice::from_ref(only),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// The bytes of `range`.
    pub(crate) fn read(&self, range: Range<u64>) -> Content {
        let mut skip = range.start;
        let mut index = 0;
        while let Some(piece) = self.pieces().get(index)
            && piece.len() as u64 <= skip
        {
            skip -= piece.len() as u64;
            index += 1;
        }
        Content {
            body: self.clone(),
            index,
            skip,
            remaining: range.end.min(self.length).saturating_sub(range.start),
        }
    }
}

/// What is sent of a stored body, piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Content {
    body: Body,
    /// The piece that is next, and what is left out of it.
    index: usize,
    skip: u64,
    remaining: u64,
}

impl Content {
    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }
}

impl Iterator for Content {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let piece = self.body.pieces().get(self.index)?;
        let start = usize::try_from(self.skip).ok()?.min(piece.len());
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let end = start.saturating_add(wanted).min(piece.len());
        let piece = piece.slice(start..end);
        self.remaining -= piece.len() as u64;
        self.index += 1;
        self.skip = 0;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_range_is_the_bytes_of_that_range(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..6),
            start in 0_u64..40, length in 0_u64..40,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let body = Body::new(pieces.into_iter().map(Bytes::from).collect());
            prop_assert_eq!(body.length(), whole.len() as u64);
            let end = (start + length).min(whole.len() as u64);
            let content = body.read(start..end);
            let expected = whole.get(usize::try_from(start).unwrap()..usize::try_from(end).unwrap()).unwrap_or(&[]);
            prop_assert_eq!(content.remaining(), expected.len() as u64);
            prop_assert_eq!(content.collect::<Vec<_>>().concat(), expected);
        }
    }
}
