//! `traceparent`: the name of a span, as it travels (W3C Trace Context, level 2).

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The length of the field in version 00.
const LENGTH: usize = 55;
/// The caller may have recorded its span.
const SAMPLED: u8 = 1;
/// The last seven bytes of the trace's id are random.
const RANDOM: u8 = 2;

/// What names a span everywhere. Neither id is ever zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// Those that are known; others are not passed on.
    flags: u8,
}

impl TraceContext {
    /// The first span of a new trace, which is not sampled.
    pub(super) fn root() -> Self {
        Self {
            // A zero is as good as impossible, and would be no id.
            trace_id: fastrand::u128(1..),
            span_id: span_id(),
            flags: RANDOM,
        }
    }

    /// Another span of the same trace.
    pub(super) fn child(self) -> Self {
        Self {
            span_id: span_id(),
            ..self
        }
    }

    pub(crate) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(super) fn sampled(self, sampled: bool) -> Self {
        let flags = if sampled {
            self.flags | SAMPLED
        } else {
            self.flags & !SAMPLED
        };
        Self { flags, ..self }
    }

    pub(super) fn flags(self) -> u8 {
        self.flags
    }

    /// The span that a request comes from. None where the field is missing, repeated or malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) => Self::parse(field.as_bytes()),
            _ => None,
        }
    }

    /// Reads `00-trace-parent-flags`. What a later version appends is ignored (§3.2.4); upper case is malformed.
    fn parse(field: &[u8]) -> Option<Self> {
        let (known, more) = field.split_at_checked(LENGTH)?;
        let [v1, v2, b'-', rest @ ..] = known else {
            return None;
        };
        let (trace_id, rest) = rest.split_at_checked(32)?;
        let [b'-', rest @ ..] = rest else {
            return None;
        };
        let (span_id, rest) = rest.split_at_checked(16)?;
        let [b'-', flags @ ..] = rest else {
            return None;
        };
        match (hex(&[*v1, *v2])?, more) {
            (0, []) => {}
            (1..0xff, [] | [b'-', ..]) => {}
            _ => return None,
        }
        let (high, low) = trace_id.split_at(16);
        let trace_id = u128::from(hex(high)?) << 64 | u128::from(hex(low)?);
        let span_id = hex(span_id)?;
        let flags = u8::try_from(hex(flags)?).ok()? & (SAMPLED | RANDOM);
        (trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id,
            flags,
        })
    }

    /// The field's value.
    pub(crate) fn to_bytes(self) -> [u8; LENGTH] {
        let mut field = *b"00-................................-................-..";
        let (high, low) = ((self.trace_id >> 64) as u64, self.trace_id as u64);
        for (at, number) in [(3, high), (19, low), (36, self.span_id)] {
            if let Some(place) = field.get_mut(at..at + 16) {
                place.copy_from_slice(&hex_digits(number));
            }
        }
        if let Some(place) = field.last_chunk_mut::<2>() {
            *place = digits_of(self.flags);
        }
        field
    }

    /// The same, for header lists.
    pub(super) fn to_value(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.to_bytes()).ok()
    }

    /// The trace's id, as logs have it.
    pub(crate) fn trace_digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        let (high, low) = digits.split_at_mut(16);
        high.copy_from_slice(&hex_digits((self.trace_id >> 64) as u64));
        low.copy_from_slice(&hex_digits(self.trace_id as u64));
        digits
    }

    /// The span's id, as logs have it.
    pub(crate) fn span_digits(self) -> [u8; 16] {
        hex_digits(self.span_id)
    }
}

fn span_id() -> u64 {
    fastrand::u64(1..)
}

/// Up to 16 lower-case digits.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    // Whether all were digits is looked at once, in the end.
    let mut wrong = 0;
    for &digit in digits {
        let value = VALUES[usize::from(digit)];
        wrong |= value;
        number = number << 4 | u64::from(value & 0xf);
    }
    (wrong <= 0xf).then_some(number)
}

fn hex_digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&digits_of(byte));
    }
    digits
}

fn digits_of(byte: u8) -> [u8; 2] {
    DIGITS[usize::from(byte)]
}

/// What each byte stands for as a digit; `0xff` where it is none.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// The digits of each byte.
const DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        let all = b"0123456789abcdef";
        digits[byte] = [all[byte >> 4], all[byte & 0xf]];
        byte += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(field: &str) -> Option<TraceContext> {
        TraceContext::parse(field.as_bytes())
    }

    #[test]
    fn a_valid_field_is_read_and_written() {
        let context = parse(FIELD).unwrap();
        assert_eq!(context.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span_id, 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled());
        assert_eq!(context.to_bytes(), FIELD.as_bytes());
        assert_eq!(context.trace_digits(), FIELD.as_bytes()[3..35]);
        assert_eq!(context.span_digits(), FIELD.as_bytes()[36..52]);
    }

    #[test]
    fn a_malformed_field_is_none() {
        for field in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            " 0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(field), None, "{field}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known_and_written_as_ours() {
        for field in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
        ] {
            assert_eq!(parse(field).unwrap().to_bytes(), FIELD.as_bytes());
        }
    }

    #[test]
    fn only_flags_that_are_known_are_passed_on() {
        let context = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe").unwrap();
        assert!(!context.is_sampled());
        assert!(context.to_bytes().ends_with(b"-02"));
        assert!(context.sampled(true).to_bytes().ends_with(b"-03"));
    }

    #[test]
    fn a_new_trace_is_random_and_says_so() {
        let (one, other) = (TraceContext::root(), TraceContext::root());
        assert_ne!(one.trace_id, other.trace_id);
        assert!(one.to_bytes().ends_with(b"-02"));
    }

    #[test]
    fn a_repeated_field_is_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(FIELD));
        assert!(TraceContext::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(FIELD));
        assert_eq!(TraceContext::of(&headers), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace_id in 1u128.., span_id in 1u64.., flags in 0u8..4) {
            let context = TraceContext { trace_id, span_id, flags };
            prop_assert_eq!(TraceContext::parse(&context.to_bytes()), Some(context));
        }

        #[test]
        fn no_bytes_are_too_strange(field in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceContext::parse(&field);
        }
    }
}
