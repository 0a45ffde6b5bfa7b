//! The routes file as users write it. The JSON Schema and the reference come from these comments.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::auth::{Auth, ForwardClaims, Issuer};
use super::caching::Cache;
use super::upstreams::{Breaker, Fallback, Hedge, Mirror, Retry, Split, Upstream};
use crate::config::duration;

/// Where requests go. The most specific route that fits a request gets it, whatever the order in this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[schemars(title = "Routes file of api-gateway")]
pub(super) struct RoutesFile {
    /// The JSON Schema of this file, for editors.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "it is for editors")]
    pub(super) schema: Option<String>,
    /// Rate limits that several routes share, by name.
    #[serde(default)]
    #[allow(dead_code, reason = "they are read one by one, as routes are")]
    pub(super) rate_limits: BTreeMap<String, RateLimit>,
    /// Groups of endpoints that routes send requests to, by name.
    #[serde(default)]
    #[allow(dead_code, reason = "they are read one by one, as routes are")]
    pub(super) upstreams: BTreeMap<String, Upstream>,
    /// Those whose tokens are believed, by name. "gateway" is the gateway itself.
    #[serde(default)]
    #[allow(dead_code, reason = "they are read one by one, as routes are")]
    pub(super) issuers: BTreeMap<String, Issuer>,
    /// The routes.
    #[allow(
        dead_code,
        reason = "routes are read one by one, so that each can have errors of its own"
    )]
    pub(super) routes: Vec<Route>,
}

/// Which requests go where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// The paths that match: "/users/:id" or "/users/{id}" for one segment, "/files/*path" or "/files/{*path}" for the
    /// rest, the bare "/files" included.
    pub(super) path: String,
    /// The route's name in logs; its path where none is given.
    #[schemars(length(min = 1))]
    pub(super) name: Option<String>,
    /// The hosts that match: "api.example.com", or "*.example.com" for all names below; any host where none is given.
    pub(super) hosts: Option<Vec<String>>,
    /// The methods that match, in capitals; any where none is given. GET stands for HEAD too.
    #[schemars(length(min = 1))]
    pub(super) methods: Option<Vec<String>>,
    /// Header fields that must be there: the name, and the exact value, or true for any.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Matcher>,
    /// Query parameters that must be there: the name, and the exact value as it stands in the query, or true for any.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Matcher>,
    /// Where matching requests go: "http://host:port" or "https://host:port", or "http+srv://service" or "https+srv://service" for
    /// what SRV records lead to, perhaps with a base path. BACKEND_URL or BACKEND_URLS where neither this nor "targets" is
    /// given.
    #[serde(rename = "targetURL")]
    pub(super) target_url: Option<String>,
    /// Several targets, which requests are spread over.
    #[schemars(length(min = 1))]
    pub(super) targets: Option<Vec<WrittenTarget>>,
    /// The name of one in "upstreams", in place of targets.
    pub(super) upstream: Option<String>,
    /// The upstreams that requests are split over, in place of one.
    pub(super) split: Option<Split>,
    /// When a request is sent again; never where it is not given.
    pub(super) retry: Option<Retry>,
    /// When a second request is sent beside one that takes long.
    pub(super) hedge: Option<Hedge>,
    /// Stops asking its upstream for this route while that fails for it, whatever it does for others.
    pub(super) breaker: Option<Breaker>,
    /// Another upstream that gets copies of its requests.
    pub(super) mirror: Option<Mirror>,
    /// What stands in for an upstream that cannot be asked.
    pub(super) fallback: Option<Fallback>,
    /// How important its requests are where an "adaptive" upstream cannot take all: "low", "normal", "high" or
    /// "critical"; "normal" where none is given.
    pub(super) priority: Option<String>,
    /// Removed from the start of the path before forwarding. Must be a literal start of "path".
    pub(super) strip_prefix: Option<String>,
    /// The client's Host goes to the backend, instead of the target's.
    #[serde(default)]
    pub(super) preserve_host: bool,
    /// What the gateway answers itself, in place of a backend: "token" (the token endpoint), "jwks" (the keys of our own
    /// tokens) or "metadata" (of both).
    pub(super) service: Option<String>,
    /// A valid JWT is needed, or what "auth" says; true where "auth" is given.
    pub(super) require_auth: Option<bool>,
    /// What exactly a client must show, and what must be true of it.
    pub(super) auth: Option<Auth>,
    /// Fields for the backend, each with the claim that it holds. A client's own fields of these names are dropped.
    #[serde(default)]
    pub(super) forward_claims: ForwardClaims,
    /// The addresses that may use the route.
    pub(super) ip: Option<IpRules>,
    /// Responses may be cached, as far as they allow it; true where "cache" is given.
    pub(super) cacheable: Option<bool>,
    /// How responses are cached.
    pub(super) cache: Option<Cache>,
    /// What web pages of other origins may do: false to leave CORS to the backend, or what differs from the general
    /// policy, which allows the origins of ALLOWED_ORIGINS whatever the route takes.
    pub(super) cors: Option<Cors>,
    /// How much each client may ask for: a limit, the name of one in "rateLimits", or a list of both, all of which hold.
    pub(super) rate_limit: Option<RateLimits>,
    /// The largest request body: bytes, a text such as "10MiB", or "off" for any; MAX_REQUEST_BODY_SIZE where none is
    /// given.
    pub(super) max_body_size: Option<Size>,
    /// Seconds from the request's head to the response's; REQUEST_TIMEOUT where none is given. Time in which the
    /// request's body arrives does not count.
    #[schemars(range(min = 0.001, max = 86400.0))]
    pub(super) timeout: Option<f64>,
    /// Answers tell browsers to be careful; SECURITY_HEADERS where it is not given.
    pub(super) security_headers: Option<bool>,
    /// Answers are compressed where their clients understand that; ENABLE_COMPRESSION where it is not given.
    pub(super) compress: Option<bool>,
    /// What is tried out, and refuses nobody: a list of "ip", "cors", "rateLimit", "maxBodySize" and "auth", or true for
    /// all of them. What would have been refused stands in the access log.
    pub(super) shadow: Option<Shadow>,
}

/// Addresses and networks, such as "192.0.2.1" or "10.0.0.0/8".
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct IpRules {
    /// Only these may use the route; all where it is not given.
    #[schemars(length(min = 1))]
    pub(super) allow: Option<Vec<String>>,
    /// These may not, even if they are allowed.
    #[serde(default)]
    pub(super) deny: Vec<String>,
}

/// What is tried out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Shadow {
    /// All policies, or none.
    Switch(bool),
    /// These.
    Some(Vec<String>),
}

/// A target URL, or an object with its weight.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum WrittenTarget {
    /// A URL of weight 1.
    Url(String),
    /// A URL and its weight.
    Weighted(WeightedTarget),
}

/// A target URL and its share of the requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct WeightedTarget {
    /// "http://host:port" or "https://host:port", or "http+srv://service" or "https+srv://service" for what SRV records lead to,
    /// perhaps with a base path.
    pub(super) url: String,
    /// Its share of the requests, in proportion to the other weights; 0 for none.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub(super) weight: u32,
}

const fn one() -> u32 {
    1
}

/// A CORS policy, or whether there is one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Cors {
    /// True for the general policy; false for none.
    Switch(bool),
    /// A policy of the route's own.
    Policy(CorsPolicy),
}

/// What web pages of other origins may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CorsPolicy {
    /// Where they may come from: "https://app.example.com", "https://*.example.com" for all names below, "null", or "*"
    /// for anywhere; ALLOWED_ORIGINS where none is given.
    #[schemars(length(min = 1))]
    pub(super) origins: Option<Vec<String>>,
    /// The methods they may use; whatever the route takes where none is given.
    #[schemars(length(min = 1))]
    pub(super) methods: Option<Vec<String>>,
    /// The header fields they may send; any where none is given.
    #[schemars(length(min = 1))]
    pub(super) headers: Option<Vec<String>>,
    /// The header fields of an answer they may read, besides the few that the Fetch standard always allows.
    #[schemars(length(min = 1))]
    pub(super) exposed_headers: Option<Vec<String>>,
    /// Cookies and other credentials go with their requests. Not together with the origin "*".
    #[serde(default)]
    pub(super) credentials: bool,
    /// Seconds for which browsers may remember the answer to a preflight; 5 in most browsers where none is given.
    #[schemars(range(min = 0, max = 86400))]
    pub(super) max_age: Option<u32>,
    /// Pages from a public network may use the route in a private one.
    #[serde(default)]
    pub(super) private_network: bool,
}

/// A rate limit, the name of a shared one, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RateLimits {
    /// The name of a shared limit.
    Name(String),
    /// A limit.
    Limit(Box<RateLimit>),
    /// All of them hold.
    Several(Vec<RateLimitItem>),
}

/// A rate limit, or the name of a shared one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RateLimitItem {
    /// The name of a shared limit.
    Name(String),
    /// A limit.
    Limit(Box<RateLimit>),
}

/// So many units in any window of time, for each client.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RateLimit {
    /// Its name in answers and logs: "default" where none is given.
    #[schemars(length(min = 1))]
    pub(super) name: Option<String>,
    /// Units in a window; a request takes one, or what "cost" says.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(super) limit: u32,
    /// The window: seconds, or a text such as "1m", "1h" or "1d".
    pub(super) window: Period,
    /// What tells clients apart: "ip" (of IPv6 the first 64 bits), "header:Name", "param:name" for the value of a path
    /// parameter, "consumer", "apiKey" or "claim:name" on routes that ask who somebody is, a list of these, or "all" for
    /// nothing; "ip" where none is given. Where something is not there the address takes its place.
    pub(super) by: Option<By>,
    /// Units that a request takes.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(super) cost: u32,
    /// Addresses and networks that it does not hold for.
    #[serde(default)]
    pub(super) exempt: Vec<String>,
    /// Counted and logged; nobody is refused.
    #[serde(default)]
    pub(super) shadow: bool,
    /// Where it is counted; "redis" where none is given and REDIS_URL is, else "local".
    pub(super) store: Option<Store>,
    /// What is done when Redis does not answer in time; "local" where none is given.
    pub(super) on_error: Option<OnError>,
}

/// Where a limit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Store {
    /// In each gateway by itself.
    Local,
    /// In Redis, for all gateways together.
    Redis,
}

/// What is done when Redis does not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OnError {
    /// The gateway counts by itself.
    Local,
    /// The request passes.
    Open,
    /// The request is refused.
    Closed,
}

/// A time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Period {
    /// Seconds.
    Seconds(f64),
    /// With a unit.
    Text(String),
}

impl Period {
    /// The time that is meant; none where it is no time.
    pub(super) fn time(&self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            Self::Text(text) => duration::parse(text),
        }
    }
}

/// What tells clients apart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum By {
    /// One thing.
    One(String),
    /// Several together.
    Several(Vec<String>),
}

/// A number of bytes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Size {
    /// Bytes.
    Bytes(u64),
    /// A number with KiB, MiB or GiB, or "off" for any.
    Text(String),
}

/// An exact value, or true for any.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Matcher {
    /// Exactly this value.
    Exact(String),
    /// True: any value.
    Present(bool),
}

impl Route {
    /// Whether its responses may be cached.
    pub(super) fn is_cached(&self) -> bool {
        self.cacheable.unwrap_or(self.cache.is_some())
    }
}

impl WrittenTarget {
    pub(super) fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Weighted(target) => &target.url,
        }
    }

    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Url(_) => one(),
            Self::Weighted(target) => target.weight,
        }
    }
}
