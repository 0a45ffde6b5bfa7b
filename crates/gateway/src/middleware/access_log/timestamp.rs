//! The time of a line, its date formatted once a second per thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-23T08:49:37.`, with room for neither thousandths nor zone.
const LENGTH: usize = 20;

thread_local! {
    /// The second that is formatted, and its text.
    static SECOND: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [b' '; LENGTH])) };
}

/// Appends the present time in UTC, to the millisecond (RFC 3339 §5.6).
pub(super) fn push_now(out: &mut Vec<u8>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    push(out, now);
}

/// Appends the time that is `since` after the first of January 1970.
fn push(out: &mut Vec<u8>, since: Duration) {
    let (formatted, mut text) = SECOND.get();
    if formatted != since.as_secs() {
        let whole = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        let long = humantime::format_rfc3339_millis(whole).to_string();
        if let Some(start) = long.as_bytes().first_chunk() {
            text = *start;
            SECOND.set((since.as_secs(), text));
        }
    }
    out.extend_from_slice(&text);
    push_thousandths(out, since.subsec_millis());
    out.push(b'Z');
}

/// Appends a number below 1,000 with all of its three digits.
pub(super) fn push_thousandths(out: &mut Vec<u8>, number: u32) {
    for place in [100, 10, 1] {
        out.push(b'0' + (number / place % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_library() {
        for milliseconds in [
            0,
            1,
            999,
            1_000,
            951_782_399_042,
            951_782_400_420,
            4_102_444_800_000,
        ] {
            let since = Duration::from_millis(milliseconds);
            let mut out = Vec::new();
            push(&mut out, since);
            let expected = humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
