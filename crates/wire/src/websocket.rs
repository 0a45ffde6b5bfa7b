//! Where one direction of a WebSocket is, and how many messages have passed: the headers of frames are looked at, and what
//! is in them is skipped (RFC 6455 §5.2).

/// The longest header of a frame without its mask: two bytes, and a length of eight.
const LONGEST: usize = 10;

/// The frames in one direction of a WebSocket, however their bytes are cut up. What is no WebSocket is taken as if it were one,
/// and does no harm.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    /// What is there of the header of the frame that comes.
    header: [u8; LONGEST],
    have: u8,
    /// What is still to come of the present frame; its mask counts as part of it.
    left: u64,
}

/// What came of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// So many of them belong to the frame that was on its way, or are the first of another one's header.
    length: usize,
    /// A message has begun its last frame.
    ends_a_message: bool,
}

impl Frames {
    /// The messages whose last frame begins in `bytes`, which follow those of the call before. Control frames are no
    /// messages.
    pub fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while !bytes.is_empty() {
            let step = self.step(bytes);
            messages += u64::from(step.ends_a_message);
            bytes = bytes.get(step.length..).unwrap_or_default();
        }
        messages
    }

    /// Whether the next byte begins a frame.
    #[must_use]
    pub const fn are_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// How much of `bytes` belongs to the frame that is on its way.
    #[must_use]
    pub fn rest_in(&self, bytes: &[u8]) -> usize {
        let (mut ahead, mut passed) = (self.clone(), 0);
        while !ahead.are_between()
            && let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty())
        {
            passed += ahead.step(rest).length;
        }
        passed
    }

    /// Passes as much as there is of what is behind a header, or a byte of one: at least one, where there is one.
    fn step(&mut self, bytes: &[u8]) -> Step {
        if self.left > 0 {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let length = bytes.len().min(left);
            self.left -= length as u64;
            return Step {
                length,
                ends_a_message: false,
            };
        }
        if let (Some(place), Some(byte)) =
            (self.header.get_mut(usize::from(self.have)), bytes.first())
        {
            *place = *byte;
            self.have += 1;
        }
        let left = self.behind_header();
        if let Some(left) = left {
            self.have = 0;
            self.left = left;
        }
        Step {
            length: 1,
            ends_a_message: left.is_some() && ends_a_message(self.header[0]),
        }
    }

    /// What follows the header, once that is whole.
    fn behind_header(&self) -> Option<u64> {
        let [_, second, extended @ ..] = &self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let length = match (second & 0x7f, usize::from(self.have)) {
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
            let mut frames = Frames::default();
            let messages: u64 = bytes.chunks(size).map(|part| frames.pass(part)).sum();
            assert_eq!(messages, 4, "in parts of {size}");
            assert_eq!((frames.have, frames.left), (0, 0));
        }
    }

    #[test]
    fn lengths_that_are_lies_do_no_harm() {
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&[0x81, 0xff]), 0);
        assert_eq!(frames.pass(&[0xff; 8]), 1);
        assert_eq!(frames.pass(&[0x81; 100_000]), 0);
        assert_eq!(frames.left, u64::MAX - 100_000);
    }

    #[test]
    fn the_end_of_a_frame_is_known_however_its_bytes_are_cut_up() {
        for (length, masked) in [
            (0, false),
            (0, true),
            (125, true),
            (126, false),
            (65_536, true),
        ] {
            let whole = frame(0x81, length, masked);
            for size in [1, 2, 3, 7, whole.len()] {
                let mut frames = Frames::default();
                let mut passed = 0;
                for part in whole.chunks(size) {
                    assert!(passed == 0 || !frames.are_between(), "{length} {size}");
                    frames.pass(part);
                    passed += part.len();
                }
                assert!(frames.are_between(), "{length} {size}");
            }
        }
    }

    #[test]
    fn what_is_left_of_a_frame_does_not_reach_into_the_next() {
        let bytes = [frame(0x81, 300, false), frame(0x81, 2, false)].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.rest_in(&bytes), 0);
        frames.pass(&bytes[..3]);
        // One byte of its header, and what is behind it.
        assert_eq!(frames.rest_in(&bytes[3..10]), 7);
        assert_eq!(frames.rest_in(&bytes[3..]), 301);
        frames.pass(&bytes[3..304]);
        assert!(frames.are_between());
    }
}
