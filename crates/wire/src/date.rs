//! The `Date` field, formatted once a second per thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;

thread_local! {
    /// The second that is formatted, and its text.
    static NOW: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, [b' '; LENGTH])) };
}

/// The present time as a `Date` has it (RFC 9110 §5.6.7).
#[must_use]
pub fn date() -> HeaderValue {
    // Letters, digits and blanks: none is ever refused.
    HeaderValue::from_bytes(&present()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Appends a `date` field line with the present time.
pub(crate) fn push_field(out: &mut Vec<u8>) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(&present());
    out.extend_from_slice(b"\r\n");
}

fn present() -> [u8; LENGTH] {
    let second = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (formatted, mut text) = NOW.get();
    if formatted != second {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        // Always 29 characters up to the year 9999; anything else would be left as it was.
        if let Ok(date) = date.as_bytes().try_into() {
            text = date;
            NOW.set((second, text));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_field_reads_back_as_the_present_time() {
        let mut out = Vec::new();
        super::push_field(&mut out);
        let text = std::str::from_utf8(&out)
            .unwrap()
            .strip_prefix("date: ")
            .unwrap()
            .trim_end();
        let age = httpdate::parse_http_date(text).unwrap().elapsed().unwrap();
        assert!(age.as_secs() < 5);
    }
}
