//! A limit, compiled.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use rate_limiter::Policy;

use super::told::seconds;
use crate::auth::ClaimPath;
use crate::router::ParameterPlace;

/// One limit.
#[derive(Debug)]
pub struct RateLimit {
    /// As it stands in answers and logs: letters, digits, `-`, `_` and `.`.
    pub name: Arc<str>,
    /// What its counts are kept by: the same for as long as its owner, its name, its policy and what it tells clients apart
    /// by are the same.
    pub identity: u64,
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
    /// How it is counted in Redis, for several gateways together; none where each counts for itself.
    pub shared: Option<Shared>,
}

/// How a limit is counted in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What its counts are called, up to the client: a `counter_name`.
    pub name: Box<str>,
    /// [`RateLimit::by`] as text: what is the same for two things is not the same client.
    pub by: Box<str>,
    /// What is done when Redis does not decide in time.
    pub on_error: OnError,
}

/// What is done when Redis does not decide in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The gateway counts for itself.
    Local,
    /// The request passes.
    Open,
    /// The request is refused.
    Closed,
}

/// A part of what tells clients apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The client's address; of IPv6 the first 64 bits, all of which one subscriber has.
    Address,
    /// The value of a header field; the address where there is none.
    Header(HeaderName),
    /// The value of a path parameter of the route's.
    Parameter(Box<str>),
    /// Who the client has shown to be; the address where nobody is known.
    Consumer,
    /// The API key that the client has shown; the address where it has shown none.
    ApiKey,
    /// A claim of the client's; the address where there is none.
    Claim(ClaimPath),
}

/// All limits of a route.
#[derive(Debug, Default)]
pub struct StagedLimits {
    /// Those that are counted when a request has come.
    pub on_arrival: Option<RouteLimits>,
    /// Those that tell clients apart by who they are: counted once that is known.
    pub once_known: Option<RouteLimits>,
}

impl StagedLimits {
    /// Whenever they are counted.
    pub(crate) fn all(&self) -> impl Iterator<Item = &RouteLimit> {
        let stages = self.on_arrival.iter().chain(&self.once_known);
        stages.flat_map(|stage| &stage.limits)
    }
}

/// The limits of one route.
#[derive(Debug)]
pub struct RouteLimits {
    /// All of them hold.
    pub limits: Box<[RouteLimit]>,
    /// Some of them are counted in Redis.
    pub need_redis: bool,
    /// `RateLimit-Policy`; none when no limit of the route is enforced.
    pub policy_field: Option<HeaderValue>,
}

/// A limit as one route has it.
#[derive(Debug)]
pub struct RouteLimit {
    /// Index into those of [`RateLimits`](super::RateLimits).
    pub limit: usize,
    /// Where the path parameters stand that the limit's parts name, in the order of those parts.
    pub parameters: Box<[ParameterPlace]>,
}

/// As in a routes file.
impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => formatter.write_str("ip"),
            Self::Header(name) => write!(formatter, "header:{name}"),
            Self::Parameter(name) => write!(formatter, "param:{name}"),
            Self::Consumer => formatter.write_str("consumer"),
            Self::ApiKey => formatter.write_str("apiKey"),
            Self::Claim(claim) => write!(formatter, "claim:{claim}"),
        }
    }
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

    /// The path parameters that clients are told apart by.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.by.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether clients are told apart by who they are.
    pub fn needs_identity(&self) -> bool {
        let of_identity =
            |part: &Part| matches!(part, Part::Consumer | Part::ApiKey | Part::Claim(_));
        self.by.iter().any(of_identity)
    }

    pub(super) fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&address))
    }
}
