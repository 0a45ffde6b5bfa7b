//! How much each client may ask for.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use rate_limiter::{Decision, Limiter, Policy};
use tokio::time::Instant;

use crate::error::Refusal;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which fields tell clients of their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitFields {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    Standard,
    /// Those, and the older `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the policy that is nearest to its end.
    All,
    /// None; `Retry-After` on refusals stays.
    Off,
}

/// One limit.
#[derive(Debug)]
pub struct RateLimit {
    /// As it stands in answers and logs: letters, digits, `-`, `_` and `.`.
    pub name: Box<str>,
    /// How many units in which time.
    pub policy: Policy,
    /// What tells clients apart; nothing for all together.
    pub by: Box<[Part]>,
    /// Units that a request takes.
    pub cost: u32,
    /// Clients that it does not hold for.
    pub exempt: Box<[IpNet]>,
    /// It is counted and logged, and nobody is refused.
    pub shadow: bool,
}

/// A part of what tells clients apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The client's address; of IPv6 the first 64 bits, all of which one subscriber has.
    Address,
    /// The value of a header field; the address where there is none.
    Header(HeaderName),
}

/// The limits of one route.
#[derive(Debug)]
pub struct RouteLimits {
    /// Indices into those of [`RateLimits`].
    pub limits: Box<[usize]>,
    /// `RateLimit-Policy`; none when no limit of the route is enforced.
    pub policy_field: Option<HeaderValue>,
}

/// All limits, and what has been counted.
#[derive(Debug)]
pub struct RateLimits {
    limits: Box<[RateLimit]>,
    fields: RateLimitFields,
    limiter: Limiter,
    epoch: Instant,
}

/// Whom a request is from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) address: IpAddr,
    pub(crate) headers: &'a HeaderMap,
}

/// What came of counting a request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// For the answer, whatever it is.
    fields: Vec<(HeaderName, HeaderValue)>,
    /// When there is room for the request again, where it has met a limit.
    refused: Option<Duration>,
    /// A limit that would have refused it, were it enforced: an index.
    pub(crate) shadowed: Option<usize>,
}

impl RateLimit {
    /// `"name";q=10;w=60` of `RateLimit-Policy`.
    #[must_use]
    pub fn policy_item(&self) -> String {
        format!(
            "\"{}\";q={};w={}",
            self.name,
            self.policy.limit(),
            seconds(self.policy.window())
        )
    }

    fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&address))
    }
}

impl RateLimits {
    /// Counts for about `keys` clients at once.
    #[must_use]
    pub fn new(limits: Vec<RateLimit>, fields: RateLimitFields, keys: usize) -> Self {
        let keys = if limits.is_empty() { 0 } else { keys };
        Self {
            limits: limits.into(),
            fields,
            limiter: Limiter::new(keys),
            epoch: Instant::now(),
        }
    }

    /// The name of a limit.
    pub(crate) fn name(&self, limit: usize) -> Option<&str> {
        self.limits.get(limit).map(|limit| &*limit.name)
    }

    /// Counts a request of `subject` at `now`. One that meets a limit takes nothing from the others.
    pub(crate) fn count(
        &self,
        route: &RouteLimits,
        subject: &Subject<'_>,
        now: Instant,
    ) -> Verdict {
        let now = now.saturating_duration_since(self.epoch);
        let holding = route
            .limits
            .iter()
            .map(|&index| Key {
                index,
                limit: &self.limits[index],
                subject,
            })
            .filter(|key| !key.limit.exempts(subject.address));
        // Another worker may take what has been seen here. Then the request costs some units, and still meets its limit.
        let will_be_refused = route.limits.len() > 1
            && holding
                .clone()
                .any(|key| !key.limit.shadow && !self.has_room(&key, now));
        let (mut verdict, mut told) = (Verdict::default(), Told::default());
        for key in holding {
            let limit = key.limit;
            let spared = will_be_refused && !limit.shadow && self.has_room(&key, now);
            let units = if spared { 0 } else { limit.cost };
            let decision = self.limiter.take(&limit.policy, &key, now, units);
            if limit.shadow {
                if !decision.allowed {
                    verdict.shadowed = Some(key.index);
                }
                continue;
            }
            if !decision.allowed {
                verdict.refused = verdict.refused.max(Some(decision.retry_after));
            }
            told.add(limit, &decision);
        }
        if self.fields != RateLimitFields::Off {
            told.write(route, self.fields, &mut verdict.fields);
        }
        verdict
    }

    fn has_room(&self, key: &Key<'_>, now: Duration) -> bool {
        self.limiter
            .has(&key.limit.policy, key, now, key.limit.cost)
    }
}

impl Verdict {
    /// Lets the request pass, or not.
    ///
    /// # Errors
    /// When it has met a limit.
    pub(crate) fn result(&self) -> Result<(), Refusal> {
        self.refused.map_or(Ok(()), |after| {
            Err(Refusal::rate_limited(HeaderValue::from(
                seconds(after).max(1),
            )))
        })
    }

    /// Says on an answer what is left.
    pub(crate) fn decorate(self, answer: &mut HeaderMap) {
        for (name, value) in self.fields {
            answer.insert(name, value);
        }
    }
}

/// What a client is known by.
struct Key<'a> {
    index: usize,
    limit: &'a RateLimit,
    subject: &'a Subject<'a>,
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
        for part in &self.limit.by {
            let value = match part {
                Part::Address => None,
                Part::Header(name) => self.subject.headers.get(name),
            };
            match value {
                Some(value) => value.as_bytes().hash(state),
                None => subscriber(self.subject.address).hash(state),
            }
        }
    }
}

/// The address, less what an IPv6 subscriber may choose (RFC 6177). An IPv4 address stays itself in either notation.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// What answers tell.
#[derive(Default)]
struct Told {
    items: BytesMut,
    /// Limit, remaining and reset of the one with the least left.
    least: Option<(u32, u32, u64)>,
}

impl Told {
    /// `"name";r=5;t=30` of `RateLimit`.
    fn add(&mut self, limit: &RateLimit, decision: &Decision) {
        let reset = seconds(decision.reset.max(decision.retry_after));
        let mut digits = itoa::Buffer::new();
        self.items.put_slice(if self.items.is_empty() {
            b"\""
        } else {
            b", \""
        });
        self.items.put_slice(limit.name.as_bytes());
        self.items.put_slice(b"\";r=");
        self.items
            .put_slice(digits.format(decision.remaining).as_bytes());
        self.items.put_slice(b";t=");
        self.items.put_slice(digits.format(reset).as_bytes());
        if self
            .least
            .is_none_or(|(_, remaining, _)| decision.remaining < remaining)
        {
            self.least = Some((limit.policy.limit(), decision.remaining, reset));
        }
    }

    fn write(
        self,
        route: &RouteLimits,
        fields: RateLimitFields,
        out: &mut Vec<(HeaderName, HeaderValue)>,
    ) {
        let Some((limit, remaining, reset)) = self.least else {
            return;
        };
        if let Some(policy) = &route.policy_field {
            out.push((RATE_LIMIT_POLICY, policy.clone()));
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(self.items.freeze()) {
            out.push((RATE_LIMIT, value));
        }
        if fields == RateLimitFields::All {
            out.push((X_RATE_LIMIT_LIMIT, limit.into()));
            out.push((X_RATE_LIMIT_REMAINING, remaining.into()));
            out.push((X_RATE_LIMIT_RESET, reset.into()));
        }
    }
}

/// Whole seconds, rounded up: who comes back then is not too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, limit: u32) -> RateLimit {
        RateLimit {
            name: name.into(),
            policy: Policy::new(limit, Duration::from_secs(60)).unwrap(),
            by: [Part::Address].into(),
            cost: 1,
            exempt: [].into(),
            shadow: false,
        }
    }

    /// Limits that all hold for one route, and the present time.
    struct Route {
        limits: RateLimits,
        route: RouteLimits,
        now: Instant,
    }

    impl Route {
        fn new(limits: Vec<RateLimit>, fields: RateLimitFields) -> Self {
            let route = RouteLimits {
                limits: (0..limits.len()).collect(),
                policy_field: Some(HeaderValue::from_static("policy")),
            };
            Self {
                limits: RateLimits::new(limits, fields, 1_000),
                route,
                now: Instant::now(),
            }
        }

        fn verdict(&self, address: &str, fields: &[(&str, &str)]) -> Verdict {
            let headers = fields
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let subject = Subject {
                address: address.parse().unwrap(),
                headers: &headers,
            };
            self.limits.count(&self.route, &subject, self.now)
        }

        fn passes(&self, address: &str, fields: &[(&str, &str)]) -> bool {
            self.verdict(address, fields).result().is_ok()
        }

        fn told(&self, address: &str) -> Vec<String> {
            let mut answer = HeaderMap::new();
            self.verdict(address, &[]).decorate(&mut answer);
            let mut lines: Vec<String> = answer
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            lines.sort();
            lines
        }
    }

    #[test]
    fn clients_are_told_apart_by_address_and_subscribers_of_ipv6_by_network() {
        let route = Route::new(vec![limit("a", 1)], RateLimitFields::Standard);
        assert!(route.passes("192.0.2.1", &[]));
        assert!(!route.passes("192.0.2.1", &[]));
        assert!(!route.passes("::ffff:192.0.2.1", &[]));
        assert!(route.passes("192.0.2.2", &[]));
        assert!(route.passes("2001:db8:0:1::1", &[]));
        assert!(!route.passes("2001:db8:0:1:ffff::2", &[]));
        assert!(route.passes("2001:db8:0:2::1", &[]));
    }

    #[test]
    fn clients_are_told_apart_by_fields_and_by_address_where_there_is_none() {
        let by_tenant = RateLimit {
            by: [Part::Header(HeaderName::from_static("x-tenant"))].into(),
            ..limit("a", 1)
        };
        let route = Route::new(vec![by_tenant], RateLimitFields::Standard);
        assert!(route.passes("192.0.2.1", &[("x-tenant", "one")]));
        assert!(!route.passes("192.0.2.2", &[("x-tenant", "one")]));
        assert!(route.passes("192.0.2.2", &[("x-tenant", "two")]));
        assert!(route.passes("192.0.2.1", &[]));
        assert!(!route.passes("192.0.2.1", &[]));
        assert!(route.passes("192.0.2.2", &[]));
    }

    #[test]
    fn all_clients_together_have_one_limit() {
        let all = RateLimit {
            by: [].into(),
            ..limit("a", 2)
        };
        let route = Route::new(vec![all], RateLimitFields::Standard);
        assert!(route.passes("192.0.2.1", &[]));
        assert!(route.passes("192.0.2.2", &[]));
        assert!(!route.passes("192.0.2.3", &[]));
    }

    #[test]
    fn a_refused_request_takes_nothing_from_other_limits() {
        let narrow = RateLimit {
            cost: 3,
            ..limit("narrow", 4)
        };
        for limits in [
            vec![limit("wide", 100), narrow],
            vec![
                RateLimit {
                    cost: 3,
                    ..limit("narrow", 4)
                },
                limit("wide", 100),
            ],
        ] {
            let route = Route::new(limits, RateLimitFields::Standard);
            assert!(route.passes("192.0.2.1", &[]));
            for _ in 0..5 {
                assert!(!route.passes("192.0.2.1", &[]));
            }
            let told = route.told("192.0.2.1").join("\n");
            assert!(told.contains("\"wide\";r=99;"), "{told}");
            assert!(told.contains("\"narrow\";r=1;"), "{told}");
        }
    }

    #[test]
    fn a_limit_in_the_shadow_refuses_nobody_and_says_nothing() {
        let shadow = RateLimit {
            shadow: true,
            ..limit("shadow", 1)
        };
        let route = Route::new(vec![shadow], RateLimitFields::All);
        assert_eq!(route.verdict("192.0.2.1", &[]).shadowed, None);
        let verdict = route.verdict("192.0.2.1", &[]);
        assert_eq!(verdict.shadowed, Some(0));
        assert!(verdict.result().is_ok() && verdict.fields.is_empty());
        assert_eq!(route.limits.name(0), Some("shadow"));
    }

    #[test]
    fn exempt_clients_are_not_counted() {
        let limit = RateLimit {
            exempt: ["10.0.0.0/8".parse().unwrap()].into(),
            ..limit("a", 1)
        };
        let route = Route::new(vec![limit], RateLimitFields::Standard);
        for _ in 0..5 {
            assert_eq!(route.told("10.1.2.3"), [""; 0]);
            assert!(route.passes("10.1.2.3", &[]));
        }
        assert!(route.passes("192.0.2.1", &[]));
        assert!(!route.passes("192.0.2.1", &[]));
    }

    #[test]
    fn answers_tell_what_is_left() {
        let limits = || vec![limit("a", 10), limit("b", 5)];
        let standard = [
            "ratelimit-policy: policy",
            "ratelimit: \"a\";r=9;t=64, \"b\";r=4;t=64",
        ];
        let route = Route::new(limits(), RateLimitFields::Standard);
        assert_eq!(route.told("192.0.2.1"), standard);
        let route = Route::new(limits(), RateLimitFields::All);
        assert_eq!(
            route.told("192.0.2.1")[2..],
            [
                "x-ratelimit-limit: 5",
                "x-ratelimit-remaining: 4",
                "x-ratelimit-reset: 64"
            ]
        );
        let route = Route::new(limits(), RateLimitFields::Off);
        assert_eq!(route.told("192.0.2.1"), [""; 0]);
    }
}
