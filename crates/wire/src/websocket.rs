//! How many messages pass through a tunnel: the headers of frames are looked at, and what is in them is skipped
//! (RFC 6455 §5.2).

/// The longest header of a frame without its mask: two bytes, and a length of eight.
const LONGEST: usize = 10;

/// Counts the messages in one direction of a WebSocket, however their bytes are cut up.
#[derive(Debug, Default)]
pub struct MessageCounter {
    /// What is there of the header of the frame that comes.
    header: [u8; LONGEST],
    have: usize,
    /// What is still to come of the present frame; its mask counts as part of it.
    left: u64,
}

impl MessageCounter {
    /// The messages whose last frame begins in `bytes`, which follow those of the call before. Control frames are no
    /// messages. What is no WebSocket is counted as if it were one, and does no harm.
    pub fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        loop {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX);
            let Some(rest) = bytes.get(skipped..) else {
                self.left -= bytes.len() as u64;
                return messages;
            };
            self.left = 0;
            let Some((&first, rest)) = rest.split_first() else {
                return messages;
            };
            bytes = rest;
            if let Some(place) = self.header.get_mut(self.have) {
                *place = first;
                self.have += 1;
            }
            if let Some(left) = self.frame() {
                self.have = 0;
                self.left = left;
                messages += u64::from(ends_a_message(self.header[0]));
            }
        }
    }

    /// What follows the header, once that is whole.
    fn frame(&self) -> Option<u64> {
        let [_, second, extended @ ..] = &self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let length = match (second & 0x7f, self.have) {
            (length @ 0..126, 2..) => u64::from(length),
            (126, 4..) => u64::from(u16::from_be_bytes([extended[0], extended[1]])),
            (127, LONGEST..) => u64::from_be_bytes(*extended),
            _ => return None,
        };
        Some(length.saturating_add(mask))
    }
}

/// Whether a frame with this first byte is the last of a message: FIN, and an opcode of data (0 to 2).
const fn ends_a_message(first: u8) -> bool {
    first & 0x80 != 0 && first & 0x0f <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Bytes that would be taken for frames, were they not skipped.
        frame.extend(std::iter::repeat_n(
            0x81,
            length + if masked { 4 } else { 0 },
        ));
        frame
    }

    #[test]
    fn messages_are_counted_however_their_bytes_are_cut_up() {
        let mut bytes = Vec::new();
        for (first, length, masked) in [
            (0x81, 0, false),
            (0x82, 125, true),
            // A message in three frames, with a ping between them.
            (0x01, 126, true),
            (0x89, 5, true),
            (0x00, 65_535, false),
            (0x80, 65_536, true),
            // Compressed.
            (0xc2, 70_000, false),
            (0x88, 2, true),
        ] {
            bytes.extend(frame(first, length, masked));
        }
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut counter = MessageCounter::default();
            let messages: u64 = bytes.chunks(size).map(|part| counter.count(part)).sum();
            assert_eq!(messages, 4, "in parts of {size}");
            assert_eq!((counter.have, counter.left), (0, 0));
        }
    }

    #[test]
    fn lengths_that_are_lies_do_no_harm() {
        let mut counter = MessageCounter::default();
        assert_eq!(counter.count(&[0x81, 0xff]), 0);
        assert_eq!(counter.count(&[0xff; 8]), 1);
        assert_eq!(counter.count(&[0x81; 100_000]), 0);
        assert_eq!(counter.left, u64::MAX - 100_000);
    }
}
