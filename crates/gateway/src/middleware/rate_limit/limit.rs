//! A limit, compiled.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use rate_limiter::Policy;

use super::told::seconds;

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
    /// Indices into those of [`RateLimits`](super::RateLimits).
    pub limits: Box<[usize]>,
    /// `RateLimit-Policy`; none when no limit of the route is enforced.
    pub policy_field: Option<HeaderValue>,
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

    pub(super) fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&address))
    }
}
