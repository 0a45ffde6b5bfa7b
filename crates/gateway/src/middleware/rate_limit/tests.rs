use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use rate_limiter::Policy;
use tokio::time::Instant;

use super::*;
use crate::auth::{Claims, Identity, Subject};
use crate::router::PathPattern;

fn limit(name: &str, limit: u32) -> RateLimit {
    RateLimit {
        name: name.into(),
        identity: load_balancer::identity(name),
        policy: Policy::new(limit, Duration::from_secs(60)).unwrap(),
        by: [Part::Address].into(),
        cost: 1,
        exempt: [].into(),
        shadow: false,
        shared: None,
    }
}

const PATTERN: &str = "/tenants/:tenant/*rest";

/// Limits that all hold for one route, and the present time.
struct Route {
    limits: RateLimits,
    route: RouteLimits,
    now: Instant,
}

impl Route {
    fn new(limits: Vec<RateLimit>, fields: RateLimitFields) -> Self {
        let route = RouteLimits {
            limits: (0..limits.len())
                .map(|limit| RouteLimit {
                    limit,
                    parameters: PathPattern::parse(PATTERN)
                        .unwrap()
                        .parameter("tenant")
                        .into_iter()
                        .collect(),
                })
                .collect(),
            need_redis: false,
            policy_field: Some(HeaderValue::from_static("policy")),
        };
        Self {
            limits: RateLimits::new(limits, fields, 1_000, None),
            route,
            now: Instant::now(),
        }
    }

    fn verdict(&self, address: &str, fields: &[(&str, &str)]) -> Verdict {
        self.verdict_at("/tenants/acme", address, fields)
    }

    /// Whether somebody who is known passes.
    fn passes_as(&self, address: &str, identity: Option<&Identity>) -> bool {
        let (head, ()) = http::Request::new(()).into_parts();
        let subject = Subject {
            head: &head,
            path: "/tenants/acme",
            client: address.parse().unwrap(),
            identity,
        };
        let verdict = self.limits.count(&self.route, &subject, self.now);
        verdict.result().is_ok()
    }

    fn verdict_at(&self, path: &str, address: &str, fields: &[(&str, &str)]) -> Verdict {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let subject = Subject {
            head: &head,
            path,
            client: address.parse().unwrap(),
            identity: None,
        };
        self.limits.count(&self.route, &subject, self.now)
    }

    fn passes(&self, address: &str, fields: &[(&str, &str)]) -> bool {
        self.verdict(address, fields).result().is_ok()
    }

    fn told(&self, address: &str) -> Vec<String> {
        written(self.verdict(address, &[]))
    }
}

/// The fields of an answer, sorted.
fn written(verdict: Verdict) -> Vec<String> {
    let mut answer = HeaderMap::new();
    verdict.decorate(&mut answer);
    let mut lines: Vec<String> = answer
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
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
fn clients_are_told_apart_by_who_they_are_and_by_address_where_nobody_is_known() {
    let identity = |authority: &str, subject: &str, key: Option<&str>, tenant: u32| {
        let claims = serde_json::json!({ "sub": subject, "tenant": tenant });
        let claims = Claims::new(claims.as_object().cloned().unwrap());
        let mut identity = Identity::new(authority, claims, &"roles".into());
        identity.key = key.map(Into::into);
        identity
    };
    let anna = identity("a", "anna", Some("1"), 7);
    let other_key = identity("a", "anna", Some("2"), 7);
    let other_subject = identity("a", "bert", Some("1"), 7);
    let other_authority = identity("b", "anna", Some("1"), 7);
    let other_tenant = identity("a", "anna", Some("1"), 8);
    let by = |part: Part| {
        let limit = RateLimit {
            by: [part].into(),
            ..limit("a", 1)
        };
        let route = Route::new(vec![limit], RateLimitFields::Standard);
        assert!(route.passes_as("192.0.2.1", Some(&anna)));
        assert!(!route.passes_as("192.0.2.2", Some(&anna)));
        // Nobody, and somebody else with the first address.
        assert!(route.passes_as("192.0.2.1", None));
        assert!(!route.passes_as("192.0.2.1", None));
        [&other_key, &other_subject, &other_authority, &other_tenant]
            .map(|other| route.passes_as("192.0.2.1", Some(other)))
    };
    assert_eq!(by(Part::Consumer), [false, true, true, false]);
    assert_eq!(by(Part::ApiKey), [true, true, true, false]);
    assert_eq!(by(Part::Claim("tenant".into())), [false, false, true, true]);
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
fn clients_are_told_apart_by_a_path_parameter() {
    let by_tenant = RateLimit {
        by: [Part::Parameter("tenant".into()), Part::Address].into(),
        ..limit("a", 1)
    };
    let route = Route::new(vec![by_tenant], RateLimitFields::Standard);
    let passes = |path, address| route.verdict_at(path, address, &[]).result().is_ok();
    assert!(passes("/tenants/acme/a", "192.0.2.1"));
    assert!(!passes("/tenants/acme/b", "192.0.2.1"));
    assert!(!passes("/tenants/acme;b=1/c", "192.0.2.1"));
    assert!(passes("/tenants/acme/a", "192.0.2.2"));
    assert!(passes("/tenants/other", "192.0.2.1"));
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
    assert_eq!(verdict.shadowed.as_deref(), Some("shadow"));
    assert!(verdict.result().is_ok());
    assert_eq!(written(verdict), [""; 0]);
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

#[test]
fn verdicts_of_two_stages_make_one() {
    let first = Route::new(vec![limit("a", 10)], RateLimitFields::All);
    let second = Route::new(vec![limit("b", 1)], RateLimitFields::All);
    let both = || {
        let mut verdict = Verdict::default();
        verdict.add(first.verdict("192.0.2.1", &[]));
        verdict.add(second.verdict("192.0.2.1", &[]));
        verdict
    };
    let passed = both();
    assert!(passed.result().is_ok());
    assert_eq!(
        written(passed),
        [
            "ratelimit-policy: policy, policy",
            "ratelimit: \"a\";r=9;t=64, \"b\";r=0;t=64",
            "x-ratelimit-limit: 1",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 64"
        ]
    );
    assert!(both().result().is_err());
}
