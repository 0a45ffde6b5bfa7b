//! How old a stored response is, and how old it may be (RFC 9111 §4.2).

use std::time::Duration;

use http::header::{AGE, DATE, EXPIRES, HeaderName, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use crate::directives::{ResponseDirectives, Scope};
use crate::policy::Policy;
use crate::time::{Timestamp, parse_date, whole_seconds};

/// When a request was sent to the backend, and when the head of the answer came.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the request was sent.
    pub requested: Timestamp,
    /// When the response's head had come.
    pub received: Timestamp,
}

/// What is needed to say, at any time, whether a stored response is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    pub(crate) received: Timestamp,
    /// How old it was when it came, in seconds.
    pub(crate) initial_age: u32,
    pub(crate) lifetime: u32,
    /// For how many seconds, once stale, it may be served while it is revalidated, and if that fails.
    pub(crate) stale_while_revalidate: u32,
    pub(crate) stale_if_error: u32,
    /// The same if there is no way to the backend; never less.
    pub(crate) stale_if_disconnected: u32,
    /// It must be validated each time.
    pub(crate) no_cache: bool,
    /// It must never be served stale.
    pub(crate) forbids_stale: bool,
    /// It does not change while it is fresh (RFC 8246).
    pub(crate) immutable: bool,
}

/// How long a [`Freshness`] is in bytes.
pub(crate) const FRESHNESS_LENGTH: usize = 8 + 6 * 4;

/// A lifetime, and whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The response's.
    Explicit(u32),
    /// Ours: from the settings, or by when the response was last modified.
    Implicit(u32),
    /// Nobody says anything.
    Unknown,
}

impl Lifetime {
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Explicit(seconds) | Self::Implicit(seconds) => seconds,
            Self::Unknown => 0,
        }
    }
}

impl Freshness {
    pub(crate) fn new(
        directives: &ResponseDirectives,
        headers: &HeaderMap,
        lifetime: Lifetime,
        policy: &Policy,
        times: Times,
    ) -> Self {
        let forbids_stale = directives.forbids_stale();
        let window = |own: Option<u32>, usual: Duration| match own {
            _ if forbids_stale => 0,
            Some(own) => own,
            None => whole_seconds(usual),
        };
        Self {
            received: times.received,
            initial_age: initial_age(headers, times),
            lifetime: lifetime.seconds(),
            stale_while_revalidate: window(
                directives.stale_while_revalidate.map(|it| it.valid()),
                policy.stale_while_revalidate,
            ),
            stale_if_error: window(
                directives.stale_if_error.map(|it| it.valid()),
                policy.stale_if_error,
            ),
            stale_if_disconnected: window(
                directives.stale_if_error.map(|it| it.valid()),
                policy.stale_if_error.max(policy.stale_if_disconnected),
            ),
            no_cache: directives.no_cache == Scope::Everything,
            forbids_stale,
            immutable: directives.immutable,
        }
    }

    /// For how long it is still fresh, or may be served stale.
    pub(crate) fn use_left(&self, now: Timestamp) -> Duration {
        // The last is never less than what holds for errors.
        let stale = self.stale_while_revalidate.max(self.stale_if_disconnected);
        let whole = u64::from(self.lifetime) + u64::from(stale);
        Duration::from_secs(whole).saturating_sub(self.age(now))
    }

    /// All of it, in a form that stays the same.
    pub(crate) fn to_bytes(self) -> [u8; FRESHNESS_LENGTH] {
        let mut bytes = [0; FRESHNESS_LENGTH];
        let (received, rest) = bytes.split_at_mut(8);
        received.copy_from_slice(&self.received.as_millis().to_le_bytes());
        let numbers = [
            self.initial_age,
            self.lifetime,
            self.stale_while_revalidate,
            self.stale_if_error,
            self.stale_if_disconnected,
            u32::from(self.no_cache)
                | u32::from(self.forbids_stale) << 1
                | u32::from(self.immutable) << 2,
        ];
        for (place, number) in rest.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) has made; nothing if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8; FRESHNESS_LENGTH]) -> Option<Self> {
        let (received, rest) = bytes.split_first_chunk()?;
        let (rest, _) = rest.as_chunks::<4>();
        let numbers: [[u8; 4]; 6] = rest.try_into().ok()?;
        let [
            initial_age,
            lifetime,
            revalidate,
            on_error,
            disconnected,
            flags,
        ] = numbers.map(u32::from_le_bytes);
        (flags < 8).then_some(Self {
            received: Timestamp::from_millis(u64::from_le_bytes(*received)),
            initial_age,
            lifetime,
            stale_while_revalidate: revalidate,
            stale_if_error: on_error,
            stale_if_disconnected: disconnected,
            no_cache: flags & 1 != 0,
            forbids_stale: flags & 2 != 0,
            immutable: flags & 4 != 0,
        })
    }

    fn age(&self, now: Timestamp) -> Duration {
        Duration::from_secs(self.initial_age.into()) + now.since(self.received)
    }

    /// The age in whole seconds, as the field `Age` has it.
    pub(crate) fn age_in_seconds(&self, now: Timestamp) -> u32 {
        // A greater one is sent as this (RFC 9111 §1.2.2).
        whole_seconds(self.age(now)).min(1 << 31)
    }

    /// For how long it is still fresh: zero once it is stale.
    pub(crate) fn remaining(&self, now: Timestamp) -> Duration {
        Duration::from_secs(self.lifetime.into()).saturating_sub(self.age(now))
    }

    /// For how long it has been stale: zero while it is fresh.
    pub(crate) fn staleness(&self, now: Timestamp) -> Duration {
        self.age(now)
            .saturating_sub(Duration::from_secs(self.lifetime.into()))
    }
}

/// RFC 9111 §4.2.3, `corrected_initial_age`.
fn initial_age(headers: &HeaderMap, times: Times) -> u32 {
    let received = times.received.as_secs();
    let apparent = date(headers, times.received)
        .map_or(0, |date| received.saturating_sub(date.as_secs()))
        .min(u32::MAX.into());
    let delay = times.received.since(times.requested).as_secs();
    let told = u64::from(age_field(headers)).saturating_add(delay);
    u32::try_from(apparent.max(told)).unwrap_or(u32::MAX)
}

/// The `Age` that the response came with. Of several members the first counts; what is not a number is ignored
/// (RFC 9111 §5.1).
fn age_field(headers: &HeaderMap) -> u32 {
    let Some(first) = headers.get(AGE) else {
        return 0;
    };
    let bytes = first.as_bytes();
    let end = memchr::memchr(b',', bytes).unwrap_or(bytes.len());
    let digits = bytes.get(..end).unwrap_or(bytes).trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    digits.iter().fold(0_u32, |age, digit| {
        age.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    })
}

pub(crate) fn date(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    date_of(headers, &DATE, now)
}

fn date_of(headers: &HeaderMap, field: &HeaderName, now: Timestamp) -> Option<Timestamp> {
    parse_date(headers.get(field)?.as_bytes(), now)
}

/// How long a response is fresh, and by whose word. `implicit` says whether ours may be taken.
pub(crate) fn lifetime(
    directives: &ResponseDirectives,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy,
    received: Timestamp,
    implicit: bool,
) -> Lifetime {
    if let Some(seconds) = directives.seconds_fresh() {
        return Lifetime::Explicit(seconds);
    }
    if !directives.targeted
        && let Some(seconds) = until_expires(headers, received)
    {
        return Lifetime::Explicit(seconds);
    }
    if !implicit {
        return Lifetime::Unknown;
    }
    if let Some(lifetime) = policy.status_lifetime(status) {
        return Lifetime::Implicit(whole_seconds(lifetime));
    }
    if !is_heuristically_cacheable(status) && !directives.public {
        return Lifetime::Unknown;
    }
    if let Some(seconds) = heuristic(headers, policy, received) {
        return Lifetime::Implicit(seconds);
    }
    let is_success = status.is_success() || status.is_redirection();
    if is_success && !policy.default_lifetime.is_zero() {
        return Lifetime::Implicit(whole_seconds(policy.default_lifetime));
    }
    Lifetime::Unknown
}

/// `Expires` minus `Date`. A date that cannot be read, or is not the only one, is past (RFC 9111 §5.3, §4.2.1).
fn until_expires(headers: &HeaderMap, received: Timestamp) -> Option<u32> {
    let mut lines = headers.get_all(EXPIRES).iter();
    let first = lines.next()?;
    if lines.any(|other| other != first) {
        return Some(0);
    }
    let date = date(headers, received).unwrap_or(received);
    let until = parse_date(first.as_bytes(), received).map_or(0, |it| {
        // Both dates are in whole seconds, as `received` has to be.
        it.as_secs().saturating_sub(date.as_secs())
    });
    Some(u32::try_from(until).unwrap_or(u32::MAX))
}

fn heuristic(headers: &HeaderMap, policy: &Policy, received: Timestamp) -> Option<u32> {
    let modified = date_of(headers, &LAST_MODIFIED, received)?;
    let date = date(headers, received).unwrap_or(received);
    let share = date.since(modified).as_secs() * u64::from(policy.heuristic_percent) / 100;
    let share = u32::try_from(share).unwrap_or(u32::MAX);
    Some(share.min(whole_seconds(policy.heuristic_limit)))
}

/// RFC 9110 §15.1, but for 206, which is not stored.
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_date;
    use http::HeaderValue;
    use http::header::CACHE_CONTROL;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
    const TIMES: Times = Times {
        requested: NOW,
        received: NOW,
    };

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    /// A date so many seconds from now.
    fn at(offset: i64) -> String {
        format_date(Timestamp::from_secs(
            NOW.as_secs().checked_add_signed(offset).unwrap(),
        ))
    }

    fn lifetime_of(status: u16, fields: &[(HeaderName, &str)], policy: &Policy) -> Lifetime {
        let headers = headers(fields);
        let directives = ResponseDirectives::read(&headers, &policy.targeted);
        let status = StatusCode::from_u16(status).unwrap();
        lifetime(&directives, status, &headers, policy, NOW, true)
    }

    fn freshness(fields: &[(HeaderName, &str)], times: Times) -> Freshness {
        let headers = headers(fields);
        let policy = Policy::default();
        let directives = ResponseDirectives::read(&headers, &policy.targeted);
        let lifetime = Lifetime::Explicit(directives.seconds_fresh().unwrap_or(0));
        Freshness::new(&directives, &headers, lifetime, &policy, times)
    }

    #[test]
    fn s_maxage_goes_before_max_age_before_expires_before_guesses() {
        let policy = Policy::default();
        let later = at(70);
        let old = at(-1_000);
        let all = [
            (CACHE_CONTROL, "max-age=50, s-maxage=60"),
            (EXPIRES, later.as_str()),
            (LAST_MODIFIED, old.as_str()),
        ];
        assert_eq!(lifetime_of(200, &all, &policy), Lifetime::Explicit(60));
        let mut some = all.clone();
        some[0].1 = "max-age=50";
        assert_eq!(lifetime_of(200, &some, &policy), Lifetime::Explicit(50));
        assert_eq!(lifetime_of(200, &all[1..], &policy), Lifetime::Explicit(70));
        assert_eq!(
            lifetime_of(200, &all[2..], &policy),
            Lifetime::Implicit(100)
        );
        assert_eq!(lifetime_of(200, &[], &policy), Lifetime::Unknown);
    }

    #[test]
    fn expires_is_counted_from_date_and_past_if_it_cannot_be_read() {
        let policy = Policy::default();
        let (date, expires, other) = (at(10), at(20), at(21));
        for (fields, expected) in [
            (vec![(DATE, date.as_str()), (EXPIRES, &expires)], 10),
            (vec![(DATE, "foo"), (EXPIRES, &expires)], 20),
            (vec![(DATE, expires.as_str()), (EXPIRES, &date)], 0),
            (vec![(EXPIRES, "0")], 0),
        ] {
            assert_eq!(
                lifetime_of(200, &fields, &policy),
                Lifetime::Explicit(expected),
                "{fields:?}"
            );
        }
        let mut two = headers(&[(EXPIRES, &expires)]);
        two.append(EXPIRES, HeaderValue::from_str(&other).unwrap());
        assert_eq!(until_expires(&two, NOW), Some(0));
    }

    #[test]
    fn guesses_are_for_statuses_that_allow_them_and_have_a_limit() {
        let policy = Policy::default();
        let old = at(-1_000_000_000);
        let fields = [(LAST_MODIFIED, old.as_str())];
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert_eq!(
                lifetime_of(status, &fields, &policy),
                Lifetime::Implicit(86_400)
            );
        }
        for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
            assert_eq!(lifetime_of(status, &fields, &policy), Lifetime::Unknown);
        }
        let public = [fields[0].clone(), (CACHE_CONTROL, "public")];
        assert_eq!(
            lifetime_of(599, &public, &policy),
            Lifetime::Implicit(86_400)
        );
    }

    #[test]
    fn settings_speak_for_responses_that_say_nothing() {
        let policy = Policy {
            default_lifetime: Duration::from_secs(300),
            status_lifetimes: vec![(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(2))],
            ..Policy::default()
        };
        assert_eq!(lifetime_of(200, &[], &policy), Lifetime::Implicit(300));
        assert_eq!(lifetime_of(301, &[], &policy), Lifetime::Implicit(300));
        assert_eq!(lifetime_of(404, &[], &policy), Lifetime::Unknown);
        assert_eq!(lifetime_of(503, &[], &policy), Lifetime::Implicit(2));
        let own = [(CACHE_CONTROL, "max-age=7")];
        assert_eq!(lifetime_of(503, &own, &policy), Lifetime::Explicit(7));
    }

    #[test]
    fn age_is_the_greater_of_what_the_dates_and_what_the_caches_say() {
        let date = at(-100);
        for (fields, expected) in [
            (vec![(AGE, "30")], 34),
            (vec![(DATE, date.as_str()), (AGE, "30")], 104),
            (vec![(AGE, "200, 5")], 204),
            (vec![(AGE, "-200")], 4),
            (vec![(AGE, "200.0")], 4),
            (vec![(AGE, "abc")], 4),
            (vec![(AGE, "200;a=b")], 4),
        ] {
            let times = Times {
                requested: NOW,
                received: NOW.after(Duration::from_secs(4)),
            };
            assert_eq!(
                freshness(&fields, times).age_in_seconds(times.received),
                expected
            );
        }
        let huge = freshness(&[(AGE, "99999999999")], TIMES);
        assert_eq!(huge.age_in_seconds(NOW), 1 << 31);
    }

    #[test]
    fn a_response_is_fresh_to_the_millisecond() {
        let freshness = freshness(&[(CACHE_CONTROL, "max-age=1")], TIMES);
        let last = NOW.after(Duration::from_millis(999));
        assert_eq!(freshness.remaining(last), Duration::from_millis(1));
        assert_eq!(freshness.staleness(last), Duration::ZERO);
        let later = NOW.after(Duration::from_millis(1_500));
        assert_eq!(freshness.remaining(later), Duration::ZERO);
        assert_eq!(freshness.staleness(later), Duration::from_millis(500));
        assert_eq!(
            freshness.age_in_seconds(Timestamp::default()),
            0,
            "a clock that was set back"
        );
    }

    #[test]
    fn nothing_allows_stale_what_must_be_revalidated() {
        let window = "stale-while-revalidate=5, stale-if-error=6";
        let read = freshness(&[(CACHE_CONTROL, window)], TIMES);
        assert_eq!((read.stale_while_revalidate, read.stale_if_error), (5, 6));
        for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=2"] {
            let read = freshness(&[(CACHE_CONTROL, &format!("{window}, {directive}"))], TIMES);
            assert_eq!((read.stale_while_revalidate, read.stale_if_error), (0, 0));
        }
    }
}
