//! Points in time, and the dates of HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch.
///
/// The caller reads the clock, once for a request. Ages are differences of such points and of dates that other hosts
/// have written, so this is the wall clock; should it be set back, an age is 0 until the clock has caught up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many seconds after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// So many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How much later this is than `earlier`, or nothing if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This point and so much more.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A duration in whole seconds, as freshness is counted in.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// `at` as a `Date` field has it.
pub(crate) fn format_date(at: Timestamp) -> String {
    // Beyond the year 9999 the format has no room, and `httpdate` panics.
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at.as_secs().min(LAST)))
}

/// Reads a date in any of the three formats (RFC 9110 §5.6.7). `now` says which century two digits of a year mean.
///
/// Letters may be of either case, as senders get that wrong and nothing else can be meant. Whether the day of the week
/// fits the date is not checked.
pub(crate) fn parse_date(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let value = value.trim_ascii();
    let (date, time) = match value.len() {
        29 => imf_fixdate(value)?,
        24 => asctime(value)?,
        _ => rfc_850(value, now)?,
    };
    seconds(date, time).map(Timestamp::from_secs)
}

/// Year, month (1 to 12) and day.
type Date = (u32, u32, u32);

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<(Date, &[u8])> {
    weekday(value.get(..3)?, 3)?;
    literal(value, 3, b", ")?;
    literal(value, 7, b" ")?;
    literal(value, 11, b" ")?;
    literal(value, 16, b" ")?;
    literal(value, 25, b" GMT")?;
    let date = (
        number(value.get(12..16)?)?,
        month(value.get(8..11)?)?,
        number(value.get(5..7)?)?,
    );
    Some((date, value.get(17..25)?))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc_850(value: &[u8], now: Timestamp) -> Option<(Date, &[u8])> {
    let comma = memchr::memchr(b',', value)?;
    weekday(value.get(..comma)?, usize::MAX)?;
    let value = value.get(comma..)?;
    if value.len() != 24 {
        return None;
    }
    literal(value, 0, b", ")?;
    literal(value, 4, b"-")?;
    literal(value, 8, b"-")?;
    literal(value, 11, b" ")?;
    literal(value, 20, b" GMT")?;
    let month = month(value.get(5..8)?)?;
    let day = number(value.get(2..4)?)?;
    let this_year = 1970 + u32::try_from(now.as_secs() / 31_556_952).ok()?;
    let mut year = this_year - this_year % 100 + number(value.get(9..11)?)?;
    // What appears to be more than 50 years in the future is the past.
    if year > this_year + 50 {
        year -= 100;
    }
    Some(((year, month, day), value.get(12..20)?))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<(Date, &[u8])> {
    weekday(value.get(..3)?, 3)?;
    literal(value, 3, b" ")?;
    literal(value, 7, b" ")?;
    literal(value, 10, b" ")?;
    literal(value, 19, b" ")?;
    let day = value.get(8..10)?;
    let date = (
        number(value.get(20..24)?)?,
        month(value.get(4..7)?)?,
        number(day.strip_prefix(b" ").unwrap_or(day))?,
    );
    Some((date, value.get(11..19)?))
}

fn literal(value: &[u8], at: usize, wanted: &[u8]) -> Option<()> {
    let found = value.get(at..at + wanted.len())?;
    found.eq_ignore_ascii_case(wanted).then_some(())
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

fn weekday(name: &[u8], letters: usize) -> Option<()> {
    const NAMES: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    NAMES
        .iter()
        .map(|it| it.as_bytes())
        .any(|it| it[..letters.min(it.len())].eq_ignore_ascii_case(name))
        .then_some(())
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let index = NAMES.iter().position(|it| it.eq_ignore_ascii_case(name))?;
    u32::try_from(index + 1).ok()
}

/// Seconds since the epoch, for what is a date, from 1970 on.
fn seconds((year, month, day): Date, time: &[u8]) -> Option<u64> {
    literal(time, 2, b":")?;
    literal(time, 5, b":")?;
    let hour = number(time.get(..2)?)?;
    let minute = number(time.get(3..5)?)?;
    let second = number(time.get(6..8)?)?;
    // A leap second is allowed (RFC 9110 §5.6.7).
    if hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day == 0 || day > days_of_month {
        return None;
    }
    let days = days_before_year(year) + days_before_month(month, leap) + day - 1;
    let of_day = hour * 3_600 + minute * 60 + second;
    Some(u64::from(days) * 86_400 + u64::from(of_day))
}

fn days_before_year(year: u32) -> u32 {
    let leap_years = |year: u32| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_years(year - 1) - leap_years(1969)
}

fn days_before_month(month: u32, leap: bool) -> u32 {
    const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let days = BEFORE.get(month as usize - 1).copied().unwrap_or(0);
    days + u32::from(leap && month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000); // 2026

    fn parse(value: &str) -> Option<u64> {
        parse_date(value.as_bytes(), NOW).map(Timestamp::as_secs)
    }

    #[test]
    fn the_three_formats_say_the_same() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 NOV 1994 08:49:37 gmt",
        ] {
            assert_eq!(parse(value), Some(784_111_777), "{value}");
        }
    }

    #[test]
    fn two_digits_of_a_year_lie_within_fifty_years_from_now() {
        assert_eq!(
            parse("Thursday, 18-Aug-50 02:01:18 GMT"),
            parse("Thu, 18 Aug 2050 02:01:18 GMT")
        );
        assert_eq!(
            parse("Friday, 18-Aug-78 02:01:18 GMT"),
            parse("Fri, 18 Aug 1978 02:01:18 GMT")
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for value in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 1969 02:01:18 GMT",
            "Xxx, 18 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_date_that_is_written_is_read(seconds in 0_u64..253_402_300_800) {
            let at = Timestamp::from_secs(seconds);
            prop_assert_eq!(parse_date(format_date(at).as_bytes(), NOW), Some(at));
        }

        #[test]
        fn any_bytes_are_read_without_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_date(&value, NOW);
        }
    }
}
