//! Whether a stored response may be used for a request (RFC 9111 §4.2.4, §5.2.1).

use std::time::Duration;

use crate::directives::RequestDirectives;
use crate::freshness::Freshness;
use crate::time::Timestamp;

/// What may be done with a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers the request.
    Usable,
    /// The backend has to be asked first.
    Validate {
        why: Why,
        /// It may be served meanwhile.
        meanwhile: bool,
        /// It may be served if the backend fails.
        on_error: bool,
        /// It may be served if there is no way to the backend.
        when_disconnected: bool,
    },
}

/// Why the backend has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is stale, or says itself that it has to be validated each time.
    Stale,
    /// It would do, but the client does not want it.
    Request,
}

/// `softened`: a purge has made it stale.
pub(crate) fn judge(
    freshness: &Freshness,
    softened: bool,
    request: &RequestDirectives,
    now: Timestamp,
) -> Verdict {
    let remaining = freshness.remaining(now);
    let is_fresh = !softened && !freshness.no_cache && !remaining.is_zero();
    if is_fresh && suffices(freshness, request, remaining, now) {
        return Verdict::Usable;
    }
    let why = if is_fresh { Why::Request } else { Why::Stale };
    // How long it has been stale: not at all yet, if it is the client that does not want it, or a purge.
    let staleness = freshness.staleness(now);
    let stale_allowed = !freshness.no_cache && !freshness.forbids_stale;
    let within = |seconds: u32| seconds > 0 && staleness <= Duration::from_secs(seconds.into());
    if !is_fresh
        && !softened
        && stale_allowed
        && !request.no_cache
        && request.max_stale.is_some_and(within)
        && request
            .max_age
            .is_none_or(|it| freshness.age_in_seconds(now) <= it)
        && request.min_fresh.is_none()
    {
        return Verdict::Usable;
    }
    let wishes_new = request.no_cache || request.max_age.is_some() || request.min_fresh.is_some();
    let on_error = freshness
        .stale_if_error
        .max(request.stale_if_error.unwrap_or(0));
    let on_error = stale_allowed && within(on_error);
    Verdict::Validate {
        why,
        meanwhile: stale_allowed && !wishes_new && within(freshness.stale_while_revalidate),
        on_error,
        when_disconnected: on_error
            || (stale_allowed && !wishes_new && within(freshness.stale_if_disconnected)),
    }
}

/// Whether what is fresh is fresh enough for the client.
fn suffices(
    freshness: &Freshness,
    request: &RequestDirectives,
    remaining: Duration,
    now: Timestamp,
) -> bool {
    let age = freshness.age_in_seconds(now);
    // A reload asks for `max-age=0`; what does not change need not be asked after (RFC 8246 §2).
    let young = freshness.immutable || request.max_age.is_none_or(|it| age < it);
    let lasting = request
        .min_fresh
        .is_none_or(|it| remaining >= Duration::from_secs(it.into()));
    !request.no_cache && young && lasting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directives::ResponseDirectives;
    use crate::freshness::{Lifetime, Times};
    use crate::policy::Policy;
    use http::{HeaderMap, HeaderValue, header::CACHE_CONTROL};

    const START: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
        headers
    }

    /// What is done after so many seconds with a response to a request.
    fn after(seconds: u64, response: &str, request: &str, softened: bool) -> Verdict {
        under(&Policy::default(), seconds, response, request, softened)
    }

    fn under(
        policy: &Policy,
        seconds: u64,
        response: &str,
        request: &str,
        softened: bool,
    ) -> Verdict {
        let headers_of_response = headers(response);
        let directives = ResponseDirectives::read(&headers_of_response, &[]);
        let times = Times {
            requested: START,
            received: START,
        };
        let lifetime = Lifetime::Explicit(directives.seconds_fresh().unwrap_or(0));
        let freshness = Freshness::new(&directives, &headers_of_response, lifetime, policy, times);
        let request = RequestDirectives::read(&headers(request));
        let now = START.after(Duration::from_secs(seconds));
        judge(&freshness, softened, &request, now)
    }

    fn validate(why: Why, meanwhile: bool, on_error: bool) -> Verdict {
        Verdict::Validate {
            why,
            meanwhile,
            on_error,
            when_disconnected: on_error,
        }
    }

    #[test]
    fn clients_may_want_it_fresher() {
        for (request, seconds, expected) in [
            ("x", 9, true),
            ("x", 10, false),
            ("no-cache", 1, false),
            ("max-age=0", 0, false),
            ("max-age=5", 4, true),
            ("max-age=5", 5, false),
            ("min-fresh=5", 5, true),
            ("min-fresh=5", 6, false),
        ] {
            let verdict = after(seconds, "max-age=10", request, false);
            assert_eq!(verdict == Verdict::Usable, expected, "{request} {seconds}");
            if !expected && seconds < 10 {
                assert_eq!(verdict, validate(Why::Request, false, false));
            }
        }
    }

    #[test]
    fn clients_may_take_it_stale_unless_that_is_forbidden() {
        for (response, request, expected) in [
            ("max-age=10", "max-stale=5", true),
            ("max-age=10", "max-stale", true),
            ("max-age=10", "max-stale=4", false),
            ("max-age=10", "max-stale=5, no-cache", false),
            ("max-age=10", "max-stale=5, max-age=14", false),
            ("max-age=10", "max-stale=5, max-age=15", true),
            ("max-age=10, must-revalidate", "max-stale", false),
            ("max-age=10, proxy-revalidate", "max-stale", false),
            ("s-maxage=10", "max-stale", false),
            ("max-age=10, no-cache", "max-stale", false),
        ] {
            let verdict = after(15, response, request, false);
            assert_eq!(
                verdict == Verdict::Usable,
                expected,
                "{response}; {request}"
            );
        }
        assert_ne!(
            after(1, "max-age=10", "max-stale", true),
            Verdict::Usable,
            "purged"
        );
    }

    #[test]
    fn stale_windows_end() {
        let response = "max-age=10, stale-while-revalidate=5, stale-if-error=20";
        assert_eq!(
            after(15, response, "x", false),
            validate(Why::Stale, true, true)
        );
        assert_eq!(
            after(16, response, "x", false),
            validate(Why::Stale, false, true)
        );
        assert_eq!(
            after(31, response, "x", false),
            validate(Why::Stale, false, false)
        );
        assert_eq!(
            after(31, response, "stale-if-error=60", false),
            validate(Why::Stale, false, true)
        );
        assert_eq!(
            after(12, response, "max-age=5", false),
            validate(Why::Stale, false, true),
            "the client wants it new"
        );
        assert_eq!(
            after(1, response, "x", true),
            validate(Why::Stale, true, true),
            "purged softly"
        );
    }

    #[test]
    fn a_cache_that_is_disconnected_has_a_window_of_its_own() {
        let policy = Policy {
            stale_if_disconnected: Duration::from_secs(60),
            ..Policy::default()
        };
        for (seconds, response, request, expected) in [
            (70, "max-age=10", "x", (false, true)),
            (71, "max-age=10", "x", (false, false)),
            (11, "max-age=10", "no-cache", (false, false)),
            (11, "max-age=10", "max-age=0", (false, false)),
            (70, "max-age=10, must-revalidate", "x", (false, false)),
            (70, "max-age=10, proxy-revalidate", "x", (false, false)),
            (70, "s-maxage=10", "x", (false, false)),
            (70, "max-age=10, no-cache", "x", (false, false)),
            (11, "max-age=10, stale-if-error=0", "x", (false, false)),
            (15, "max-age=10, stale-if-error=5", "x", (true, true)),
            (16, "max-age=10, stale-if-error=5", "x", (false, false)),
            (90, "max-age=10", "stale-if-error=80", (true, true)),
        ] {
            let Verdict::Validate {
                on_error,
                when_disconnected,
                ..
            } = under(&policy, seconds, response, request, false)
            else {
                panic!("{response}; {request}");
            };
            assert_eq!(
                (on_error, when_disconnected),
                expected,
                "{response}; {request}; {seconds}"
            );
        }
    }

    #[test]
    fn what_does_not_change_is_not_asked_after_while_it_is_fresh() {
        let response = "max-age=10, immutable";
        assert_eq!(after(5, response, "max-age=0", false), Verdict::Usable);
        assert_ne!(after(5, response, "no-cache", false), Verdict::Usable);
        assert_ne!(after(10, response, "max-age=0", false), Verdict::Usable);
    }
}
