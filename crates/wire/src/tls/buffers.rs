//! Room for ciphertext.
//!
//! Records are read into, and written from, buffers that belong to the worker's thread; a connection takes one only for
//! what the other side has not sent, or not taken, yet.

use std::cell::RefCell;

/// Plaintext that is encrypted for one write at most: as many records as fill a system call.
pub(super) const MOST_ENCRYPTED: usize = 64 * 1024;
/// More than the largest handshake message that `rustls` takes, and a record.
pub(super) const INCOMING: usize = 96 * 1024;
/// Room for `MOST_ENCRYPTED` bytes in records, and for what may go before them: tickets, an update of keys.
const OUTGOING: usize = MOST_ENCRYPTED + 8 * 1024;
/// A rest of this size is copied out of its buffer, which is of more use to others.
const COPIED: usize = 16 * 1024;
/// Free buffers kept per thread.
const KEPT: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `read` with room for what is read from a socket, which is `INCOMING` bytes long.
pub(super) fn with_incoming<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            scratch.resize(INCOMING, 0);
        }
        read(scratch)
    })
}

/// Ciphertext on its way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// As long as there is room; empty while there is nothing to be sent.
    buffer: Vec<u8>,
    /// What has been sent.
    start: usize,
    end: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What is to be sent.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Room behind what is there, at least `least` bytes.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = FREE
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| vec![0; OUTGOING]);
        }
        if self.buffer.len() - self.end < least {
            self.buffer.resize(self.end + least, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes have been put into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// `count` bytes have been sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.give_back();
        }
    }

    /// The peer does not take the rest at present.
    pub(super) fn wait(&mut self) {
        let rest = self.bytes();
        if rest.len() <= COPIED && self.buffer.len() > rest.len() {
            let rest = rest.to_vec();
            self.give_back();
            (self.end, self.buffer) = (rest.len(), rest);
        }
    }

    fn give_back(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        (self.start, self.end) = (0, 0);
        if buffer.len() == OUTGOING {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_in_parts_leaves_in_order_and_the_buffer_is_given_back() {
        FREE.take();
        let mut outgoing = Outgoing::default();
        outgoing.room(5)[..5].copy_from_slice(b"hello");
        outgoing.filled(5);
        outgoing.sent(2);
        assert_eq!(outgoing.bytes(), b"llo");
        outgoing.wait();
        assert_eq!(
            outgoing.buffer.len(),
            3,
            "a small rest holds no large buffer"
        );
        assert_eq!(FREE.with_borrow(Vec::len), 1);
        outgoing.room(100)[..1].copy_from_slice(b"!");
        outgoing.filled(1);
        assert_eq!(outgoing.bytes(), b"llo!");
        outgoing.sent(4);
        assert!(outgoing.is_empty() && outgoing.buffer.is_empty());
    }

    #[test]
    fn a_large_rest_stays_where_it_is() {
        let mut outgoing = Outgoing::default();
        outgoing.room(COPIED + 2);
        outgoing.filled(COPIED + 2);
        outgoing.sent(1);
        outgoing.wait();
        assert_eq!(outgoing.buffer.len(), OUTGOING);
        assert_eq!(outgoing.bytes().len(), COPIED + 1);
    }
}
