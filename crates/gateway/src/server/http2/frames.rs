//! What frames a client sends, by their headers (RFC 9113 §4.1); what is in them is skipped over.

use super::conduct::Conduct;

/// Length, type, flags and stream.
const HEADER: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Looks at the frames of one connection, however their bytes are cut up.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How much of a frame's header there is.
    have: usize,
    /// How much of the frame's payload is still to come.
    payload: usize,
    /// A header block that has not ended.
    in_block: bool,
    /// Counts what may be unfinished, so that one is not taken for another.
    number: u32,
}

impl Frames {
    /// At the beginning of a connection; `preface` bytes come before its first frame.
    pub(super) fn after(preface: usize) -> Self {
        Self {
            header: [DATA; HEADER],
            have: HEADER,
            payload: preface,
            in_block: false,
            number: 0,
        }
    }

    /// These bytes have come.
    pub(super) fn pass(&mut self, mut bytes: &[u8], conduct: &Conduct) {
        while !bytes.is_empty() {
            if self.have < HEADER {
                let (now, rest) = bytes.split_at(bytes.len().min(HEADER - self.have));
                let missing = self.header[self.have..].iter_mut();
                missing.zip(now).for_each(|(byte, now)| *byte = *now);
                self.have += now.len();
                bytes = rest;
                if self.have == HEADER {
                    self.begin(conduct);
                }
            } else {
                let now = bytes.len().min(self.payload);
                self.payload -= now;
                bytes = &bytes[now..];
            }
            if self.have == HEADER && self.payload == 0 {
                self.have = 0;
                if !self.in_block {
                    self.number = self.number.wrapping_add(1);
                }
            }
        }
        conduct.set_unfinished(self.is_unfinished().then_some(self.number));
    }

    /// A frame's header has come.
    fn begin(&mut self, conduct: &Conduct) {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            // The last of a body may well be empty.
            DATA if self.payload > 0 || flags & END_STREAM != 0 => {}
            HEADERS => self.in_block = flags & END_HEADERS == 0,
            CONTINUATION => {
                self.in_block &= flags & END_HEADERS == 0;
                conduct.idle_frame();
            }
            _ => conduct.idle_frame(),
        }
    }

    /// Whether a part is missing of what the client is expected to send in one go. A body may take its time.
    fn is_unfinished(&self) -> bool {
        self.in_block || (self.have > 0 && self.header[3] != DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, kind: u8, flags: u8) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.resize(HEADER + length, 0xff);
        bytes
    }

    /// How many frames like this a connection may send, cut into parts of `part` bytes.
    fn most(bytes: &[u8], part: usize) -> Option<usize> {
        let (conduct, mut frames) = (Conduct::new(), Frames::after(0));
        (1..10_000).find(|_| {
            let parts = bytes.chunks(part);
            parts.for_each(|part| frames.pass(part, &conduct));
            conduct.is_exhausted()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_busies_us_is_counted_however_it_is_cut_up() {
        for part in [1, 2, 7, 100_000] {
            for kind in 2..=11 {
                assert_eq!(most(&frame(8, kind, 0), part), Some(5000), "{kind}");
            }
            assert_eq!(most(&frame(0, DATA, 0), part), Some(5000));
            assert_eq!(most(&frame(0, DATA, END_STREAM), part), None);
            assert_eq!(most(&frame(3, DATA, 0), part), None);
            assert_eq!(most(&frame(300, HEADERS, END_HEADERS), part), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_unfinished_until_its_end_and_a_body_never() {
        let (conduct, mut frames) = (Conduct::new(), Frames::after(24));
        let mut after = |bytes: &[u8]| {
            frames.pass(bytes, &conduct);
            conduct.unfinished()
        };
        assert_eq!(after(&[b'P'; 24]), None);
        let first = after(&frame(5, HEADERS, 0));
        assert!(first.is_some());
        assert_eq!(after(&frame(5, CONTINUATION, 0)), first);
        assert_eq!(after(&frame(5, CONTINUATION, END_HEADERS)), None);
        let second = after(&frame(5, HEADERS, END_HEADERS)[..8]);
        assert!(second.is_some() && second != first);
        assert_eq!(after(&frame(5, HEADERS, END_HEADERS)[8..]), None);
        assert_eq!(after(&frame(5, DATA, 0)[..12]), None);
    }
}
