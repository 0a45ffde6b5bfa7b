//! Reads what may be anything.

use super::Unreadable;

/// What is left to be read.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Unreadable> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Unreadable::Damaged)?;
        self.0 = rest;
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array().map(|[byte]| *byte)
    }

    pub(super) fn long(&mut self) -> Result<u64, Unreadable> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Bytes with their length before them.
    pub(super) fn part(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = u32::from_le_bytes(*self.array()?);
        let length = usize::try_from(length).map_err(|_| Unreadable::Damaged)?;
        let (part, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Damaged)?;
        self.0 = rest;
        Ok(part)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), Unreadable> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Unreadable::Damaged)
        }
    }
}
