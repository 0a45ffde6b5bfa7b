//! How a stored response lies in memory.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use http::StatusCode;
use triomphe::ThinArc;

use super::marks::coarse;
use super::{Stored, allocated};
use crate::body::Body;
use crate::forms::Form;
use crate::freshness::Freshness;
use crate::head::HeadRef;
use crate::time::Timestamp;
use crate::vary::SelectorRef;

/// Bodies up to this length lie beside their heads. Of longer ones the copy costs more than a piece of their own.
const INLINE: u64 = 16 * 1024;

/// What a record takes besides its bytes: itself, the count of those who hold it, and the number of its bytes.
pub(super) const OVERHEAD: usize = size_of::<Fixed>() + 2 * size_of::<usize>();

/// Longer keys and selectors have no room in a record.
pub(crate) const LONGEST: usize = u16::MAX as usize;

/// What a stored response is made of.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// At most [`LONGEST`], as is the selector.
    pub(crate) key: &'a [u8],
    pub(crate) head: HeadRef<'a>,
    pub(crate) selector: SelectorRef<'a>,
    pub(crate) labels: &'a [u64],
    pub(crate) freshness: Freshness,
    /// Before which purge it was asked for.
    pub(crate) epoch: u64,
    pub(crate) used: Timestamp,
    pub(crate) body: &'a Body,
    pub(crate) forms: &'a [Form],
}

/// What all have. After it come, without anything between them: key, head, selector; the times for which it may be
/// served stale, if there are any; the number of its labels and these, if there are any; the body, if it is short.
///
/// The order of fields is the compiler's; with them as small as they can be, there is no room between them.
pub(super) struct Fixed {
    pub(super) received: Timestamp,
    pub(super) checked: AtomicU64,
    pub(super) apart: Option<Box<Apart>>,
    pub(super) initial_age: u32,
    pub(super) lifetime: u32,
    pub(super) used: AtomicU32,
    head: u32,
    key: u16,
    selector: u16,
    pub(super) status: StatusCode,
    pub(super) softened: AtomicBool,
    flags: u8,
}

/// What most have not.
pub(super) struct Apart {
    /// A body that is not short.
    pub(super) body: Option<Body>,
    pub(super) forms: Box<[Form]>,
}

const NO_CACHE: u8 = 1;
const FORBIDS_STALE: u8 = 2;
const IMMUTABLE: u8 = 4;
const HAS_WINDOWS: u8 = 8;
const HAS_LABELS: u8 = 16;
/// The times for which it may be served stale.
const WINDOWS: usize = 3 * size_of::<u32>();

impl Record<'_> {
    /// Puts it together.
    pub(crate) fn store(self) -> Stored {
        let freshness = &self.freshness;
        let is_inline = self.body.length() <= INLINE;
        let windows = [
            freshness.stale_while_revalidate,
            freshness.stale_if_error,
            freshness.stale_if_disconnected,
        ];
        let flags = [
            (NO_CACHE, freshness.no_cache),
            (FORBIDS_STALE, freshness.forbids_stale),
            (IMMUTABLE, freshness.immutable),
            (HAS_WINDOWS, windows != [0; 3]),
            (HAS_LABELS, !self.labels.is_empty()),
        ];
        let flags = flags.iter().filter(|(_, is_set)| *is_set);
        let fixed = Fixed {
            received: freshness.received,
            checked: AtomicU64::new(self.epoch),
            apart: (!is_inline || !self.forms.is_empty()).then(|| {
                Box::new(Apart {
                    body: (!is_inline).then(|| self.body.clone()),
                    forms: self.forms.into(),
                })
            }),
            initial_age: freshness.initial_age,
            lifetime: freshness.lifetime,
            used: AtomicU32::new(coarse(self.used)),
            // What is longer is not stored. Were it, what comes after it would be taken to lie outside of the bytes.
            head: u32::try_from(self.head.lines().len()).unwrap_or(u32::MAX),
            key: u16::try_from(self.key.len()).unwrap_or(u16::MAX),
            selector: u16::try_from(self.selector.as_bytes().len()).unwrap_or(u16::MAX),
            status: self.head.status(),
            softened: AtomicBool::new(false),
            flags: flags.fold(0, |all, (flag, _)| all | flag),
        };
        Stored(ThinArc::from_header_and_slice(
            fixed,
            &self.bytes(windows, is_inline),
        ))
    }

    fn bytes(&self, windows: [u32; 3], is_inline: bool) -> Vec<u8> {
        let body = self.body.read(0..self.body.length());
        let inline = if is_inline { body.remaining() } else { 0 };
        let length = self.key.len()
            + self.head.lines().len()
            + self.selector.as_bytes().len()
            + WINDOWS
            + 1
            + size_of_val(self.labels)
            + usize::try_from(inline).unwrap_or(0);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(self.key);
        bytes.extend_from_slice(self.head.lines());
        bytes.extend_from_slice(self.selector.as_bytes());
        if windows != [0; 3] {
            bytes.extend(windows.into_iter().flat_map(u32::to_le_bytes));
        }
        if !self.labels.is_empty() {
            // There are not more, see `MOST_TAGS`.
            bytes.push(u8::try_from(self.labels.len()).unwrap_or(u8::MAX));
            bytes.extend(self.labels.iter().flat_map(|label| label.to_le_bytes()));
        }
        if is_inline {
            body.for_each(|piece| bytes.extend_from_slice(&piece));
        }
        bytes
    }
}

impl Apart {
    /// The memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let forms = self.forms.iter().map(|it| it.body.size());
        allocated(size_of::<Self>())
            + allocated(size_of_val(&*self.forms))
            + self.body.as_ref().map_or(0, Body::size)
            + forms.sum::<usize>()
    }
}

impl Fixed {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn key(&self) -> Range<usize> {
        0..usize::from(self.key)
    }

    pub(super) fn head(&self) -> Range<usize> {
        let start = self.key().end;
        start..start + self.head as usize
    }

    pub(super) fn selector(&self) -> Range<usize> {
        let start = self.head().end;
        start..start + usize::from(self.selector)
    }

    fn windows(&self) -> Range<usize> {
        let start = self.selector().end;
        start..start + if self.has(HAS_WINDOWS) { WINDOWS } else { 0 }
    }

    /// `bytes` are those of the record, which know how many labels there are.
    pub(super) fn labels(&self, bytes: &[u8]) -> Range<usize> {
        let start = self.windows().end;
        if !self.has(HAS_LABELS) {
            return start..start;
        }
        let count = bytes.get(start).copied().unwrap_or_default();
        start + 1..start + 1 + usize::from(count) * size_of::<u64>()
    }

    pub(super) fn freshness(&self, bytes: &[u8]) -> Freshness {
        let windows = bytes.get(self.windows()).unwrap_or_default();
        let window = |nth: usize| {
            let bytes = windows.get(4 * nth..4 * nth + 4);
            bytes.map_or(0, |it| {
                u32::from_le_bytes(it.try_into().unwrap_or_default())
            })
        };
        Freshness {
            received: self.received,
            initial_age: self.initial_age,
            lifetime: self.lifetime,
            stale_while_revalidate: window(0),
            stale_if_error: window(1),
            stale_if_disconnected: window(2),
            no_cache: self.has(NO_CACHE),
            forbids_stale: self.has(FORBIDS_STALE),
            immutable: self.has(IMMUTABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vary::Selector;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_together_is_found_again(
            key in prop::collection::vec(any::<u8>(), 0..100),
            labels in prop::collection::vec(any::<u64>(), 0..130),
            times in any::<[u32; 4]>(),
            is in any::<[bool; 3]>(),
            varies in any::<bool>(),
            length in prop_oneof![0_usize..100, 16_300_usize..16_500],
        ) {
            let mut headers = HeaderMap::new();
            if varies {
                headers.insert("vary", HeaderValue::from_static("foo"));
            }
            let selector = Selector::new(&headers, &headers, &crate::Policy::default()).unwrap();
            let freshness = Freshness {
                received: Timestamp::from_millis(1_790_000_000_123),
                initial_age: times[0],
                lifetime: times[1],
                stale_while_revalidate: times[2] % 2,
                stale_if_error: times[3] % 2,
                stale_if_disconnected: times[3] % 3,
                no_cache: is[0],
                forbids_stale: is[1],
                immutable: is[2],
            };
            let body = vec![7; length];
            let lines = b"a: 1\r\nb: 2\r\n";
            let record = Record {
                key: &key,
                head: HeadRef::new(StatusCode::NOT_FOUND, lines),
                selector: selector.view(),
                labels: &labels,
                freshness,
                epoch: 9,
                used: Timestamp::from_secs(5),
                body: &Body::new(vec![Bytes::from(body.clone())]),
                forms: &[],
            };
            let stored = record.store();
            prop_assert_eq!(stored.key(), &*key);
            prop_assert_eq!(stored.head().lines(), lines);
            prop_assert_eq!(stored.head().status(), StatusCode::NOT_FOUND);
            prop_assert_eq!(stored.selector(), selector.view());
            prop_assert_eq!(stored.labels().collect::<Vec<_>>(), labels);
            prop_assert_eq!(format!("{:?}", stored.freshness()), format!("{freshness:?}"));
            prop_assert_eq!((stored.checked(), stored.last_used()), (9, 5));
            prop_assert_eq!(stored.body_length(), length as u64);
            let (head, content) = stored.share();
            prop_assert_eq!(&head.lines()[..], lines);
            prop_assert_eq!(content.read(0..length as u64).collect::<Vec<_>>().concat(), body);
        }
    }

    #[test]
    fn a_record_has_no_room_that_is_not_used() {
        assert_eq!(OVERHEAD, 64);
        assert_eq!(size_of::<Stored>(), size_of::<usize>());
    }
}
