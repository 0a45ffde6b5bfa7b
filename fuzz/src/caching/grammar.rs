//! Lists, directives, entity tags, ranges and dates, by the ABNF of RFC 9110 and RFC 9111.

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// RFC 9110 §5.6.3: what may stand around a member.
pub(super) fn without_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// RFC 9110 §5.6.1.2: members, without those that are empty. A comma in a quoted string separates nothing; none if
/// a string is not closed. `escapes` says whether a backslash means anything in a string.
pub(super) fn list(value: &[u8], escapes: bool) -> Option<Vec<&[u8]>> {
    let (mut members, mut start, mut at, mut quoted) = (Vec::new(), 0, 0, false);
    while at < value.len() {
        match value[at] {
            b'\\' if quoted && escapes => at += 1,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                members.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if quoted || at > value.len() {
        return None;
    }
    members.push(&value[start..]);
    let members = members.into_iter().map(without_ows);
    Some(members.filter(|member| !member.is_empty()).collect())
}

/// A directive's name, in lower case, and what it says.
pub(super) type Directive = (String, Option<Vec<u8>>);

/// RFC 9111 §5.2: `token [ "=" ( token / quoted-string ) ]`.
pub(super) fn directive(member: &[u8]) -> Option<Directive> {
    let end = member.iter().position(|byte| *byte == b'=');
    let name = &member[..end.unwrap_or(member.len())];
    if !is_token(name) {
        return None;
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    let argument = match end.map(|end| &member[end + 1..]) {
        None => None,
        Some(argument) if is_token(argument) => Some(argument.to_vec()),
        Some(argument) => Some(quoted_string(argument)?),
    };
    Some((name, argument))
}

/// RFC 9110 §5.6.4.
fn quoted_string(text: &[u8]) -> Option<Vec<u8>> {
    let [b'"', inner @ .., b'"'] = text else {
        return None;
    };
    let (mut out, mut at) = (Vec::new(), 0);
    while at < inner.len() {
        match inner[at] {
            b'"' => return None,
            b'\\' => {
                at += 1;
                out.push(*inner.get(at)?);
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

/// RFC 9111 §1.2.2. What is too large is as large as need be.
pub(super) fn delta_seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    Some(text.parse::<u64>().unwrap_or(u64::MAX).min(1 << 31))
}

/// RFC 9110 §8.8.3: whether it is weak, and what it holds.
pub(super) fn entity_tag(text: &[u8]) -> Option<(bool, &[u8])> {
    let (weak, rest) = match text {
        [b'W', b'/', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let [b'"', opaque @ .., b'"'] = rest else {
        return None;
    };
    let is_etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff);
    opaque.iter().all(is_etagc).then_some((weak, opaque))
}

/// What a range means for a body: its first byte and the one behind its last, or that there is no such part.
pub(super) enum Part {
    Bytes(u64, u64),
    Unsatisfiable,
}

/// RFC 9110 §14.1.2, of one range.
pub(super) fn range(value: &[u8], length: u64) -> Option<Part> {
    let (unit, set) = (value.get(..6)?, value.get(6..)?);
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    // Anything with a comma may be ignored, and is.
    let members = list(set, true)?;
    let [member] = members[..] else { return None };
    if set.contains(&b',') {
        return None;
    }
    let dash = member.iter().position(|byte| *byte == b'-')?;
    let position = |digits: &[u8]| -> Option<u64> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(
            std::str::from_utf8(digits)
                .ok()?
                .parse()
                .unwrap_or(u64::MAX),
        )
    };
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    let (start, end) = if first.is_empty() {
        let suffix = position(last)?;
        (length.saturating_sub(suffix), length)
    } else if last.is_empty() {
        (position(first)?, length)
    } else {
        let (first, last) = (position(first)?, position(last)?);
        if last < first {
            return None;
        }
        (first, length.min(last.saturating_add(1)))
    };
    Some(if start < end {
        Part::Bytes(start, end)
    } else {
        Part::Unsatisfiable
    })
}

const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// RFC 9110 §5.6.7, in any of its formats: seconds since the epoch. Letters may be of either case, and whether the day
/// of the week fits is not looked at; `this_year` says which century is meant.
pub(super) fn date(value: &[u8], this_year: u64) -> Option<u64> {
    let text = std::str::from_utf8(without_ows(value))
        .ok()?
        .to_ascii_lowercase();
    let words: Vec<&str> = text.split(' ').collect();
    let (day_name, day, month, year, time) = match words[..] {
        [name, day, month, year, time, "gmt"] if year.len() == 4 && day.len() == 2 => {
            let name = name.strip_suffix(',').filter(|name| is_short(name))?;
            (name, day, month, number(year)?, time)
        }
        [name, date, time, "gmt"] => {
            let name = name.strip_suffix(',').filter(|name| DAYS.contains(name))?;
            let parts: Vec<&str> = date.split('-').collect();
            let [day, month, year] = parts[..] else {
                return None;
            };
            if day.len() != 2 || year.len() != 2 {
                return None;
            }
            let year = this_year - this_year % 100 + number(year)?;
            let year = if year > this_year + 50 {
                year - 100
            } else {
                year
            };
            (name, day, month, year, time)
        }
        // A day of one digit has a space before it.
        [name, month, "", day, time, year]
            if day.len() == 1 && year.len() == 4 && is_short(name) =>
        {
            (name, day, month, number(year)?, time)
        }
        [name, month, day, time, year] if day.len() == 2 && year.len() == 4 && is_short(name) => {
            (name, day, month, number(year)?, time)
        }
        _ => return None,
    };
    debug_assert!(!day_name.is_empty());
    let month = (month.len() == 3).then(|| MONTHS.find(month)).flatten()?;
    if month % 3 != 0 {
        return None;
    }
    seconds(year, month as u64 / 3, number(day)?, time)
}

fn is_short(name: &str) -> bool {
    DAYS.iter().any(|day| &day[..3] == name)
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// `month` counts from 0. Year by year and month by month: slow, and hard to get wrong.
fn seconds(year: u64, month: u64, day: u64, time: &str) -> Option<u64> {
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return None;
    };
    if parts.iter().any(|part| part.len() != 2) {
        return None;
    }
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let is_leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    let days_of = |year: u64, month: u64| match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    let fits = day >= 1 && day <= days_of(year, month) && hour < 24 && minute < 60 && second <= 60;
    if !fits || year < 1970 {
        // Before the epoch is as long ago as can be.
        return fits.then_some(0);
    }
    let years: u64 = (1970..year)
        .map(|year| if is_leap(year) { 366 } else { 365 })
        .sum();
    let months: u64 = (0..month).map(|month| days_of(year, month)).sum();
    Some((years + months + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second)
}
