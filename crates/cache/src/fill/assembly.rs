//! A body while it arrives.

use bytes::Bytes;

/// Pieces have this size but for the last, so that where a byte is can be worked out, and none keeps a larger piece of
/// memory alive than its own.
pub(super) const PIECE: usize = 64 * 1024;

/// The bytes that have come, in memory of their own: a chunk as it arrives is often a small part of a large buffer.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Full pieces, without those that were let go.
    pieces: std::collections::VecDeque<Bytes>,
    /// What comes after them.
    tail: Vec<u8>,
    /// How many pieces were let go.
    dropped: u64,
    /// How many bytes have come.
    length: u64,
}

impl Assembly {
    /// How many bytes have come.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes are kept.
    pub(super) fn kept(&self) -> u64 {
        self.length - self.dropped * PIECE as u64
    }

    fn tail_start(&self) -> u64 {
        (self.dropped + self.pieces.len() as u64) * PIECE as u64
    }

    /// Adds a chunk. `expected` says how long the whole is to be, if that is known: no more memory is taken than that
    /// needs.
    pub(super) fn push(&mut self, mut chunk: &[u8], expected: Option<u64>) {
        self.length += chunk.len() as u64;
        while !chunk.is_empty() {
            if self.tail.capacity() == 0 {
                let rest = expected.map(|it| it.saturating_sub(self.tail_start()));
                let room = rest.and_then(|it| usize::try_from(it).ok());
                self.tail = Vec::with_capacity(room.unwrap_or(chunk.len()).clamp(1, PIECE));
            }
            let (now, later) = chunk.split_at(chunk.len().min(PIECE - self.tail.len()));
            self.tail.extend_from_slice(now);
            chunk = later;
            if self.tail.len() == PIECE {
                self.pieces.push_back(std::mem::take(&mut self.tail).into());
            }
        }
    }

    /// What there is from `position` on, as far as it is in one piece; `None` if that was let go.
    pub(super) fn read(&self, position: u64) -> Option<Bytes> {
        let piece = (position / PIECE as u64).checked_sub(self.dropped)?;
        let start = usize::try_from(position % PIECE as u64).ok()?;
        match self.pieces.get(usize::try_from(piece).ok()?) {
            Some(piece) => (start < piece.len()).then(|| piece.slice(start..)),
            // What is still written to is copied: it is short.
            None => Some(Bytes::copy_from_slice(self.tail.get(start..)?)),
        }
    }

    /// Lets go of what lies before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        while (self.dropped + 1) * PIECE as u64 <= position && self.pieces.pop_front().is_some() {
            self.dropped += 1;
        }
    }

    /// All of it, which can still be read after.
    pub(super) fn finish(&mut self) -> Vec<Bytes> {
        let mut pieces: Vec<Bytes> = self.pieces.iter().cloned().collect();
        if !self.tail.is_empty() {
            let tail: Bytes = std::mem::take(&mut self.tail).into_boxed_slice().into();
            self.pieces.push_back(tail.clone());
            pieces.push(tail);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_read_from_anywhere() {
        let whole: Vec<u8> = (0..3 * PIECE + 17).map(|it| (it % 251) as u8).collect();
        for chunk in [1, 1_000, PIECE, 2 * PIECE + 1] {
            let mut assembly = Assembly::default();
            for chunk in whole.chunks(chunk) {
                assembly.push(chunk, None);
            }
            let length = assembly.length();
            assert_eq!(length, whole.len() as u64);
            for finished in [false, true] {
                let start = 5;
                let mut read = Vec::new();
                while start + (read.len() as u64) < length {
                    read.extend_from_slice(&assembly.read(start + read.len() as u64).unwrap());
                }
                assert_eq!(read, whole[5..], "{chunk} {finished}");
                assert_eq!(assembly.finish().concat().len(), whole.len());
                assert_eq!(assembly.length(), length);
            }
        }
    }

    #[test]
    fn what_was_let_go_is_gone_and_the_rest_is_where_it_was() {
        let mut assembly = Assembly::default();
        assembly.push(&vec![1; PIECE], None);
        assembly.push(&vec![2; PIECE], None);
        assembly.push(&[3], None);
        assembly.forget_before(PIECE as u64 + 1);
        assert_eq!(assembly.kept(), PIECE as u64 + 1);
        assert!(assembly.read(0).is_none());
        assert_eq!(assembly.read(PIECE as u64).unwrap()[0], 2);
        assert_eq!(assembly.read(2 * PIECE as u64).unwrap(), [3][..]);
    }

    #[test]
    fn no_more_memory_is_taken_than_the_whole_needs() {
        let mut assembly = Assembly::default();
        assembly.push(&[1], Some(10));
        assert_eq!(assembly.tail.capacity(), 10);
    }
}
