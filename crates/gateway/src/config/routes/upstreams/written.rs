//! What routes files say of upstreams and retries.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::routes::written::{Period, Size};

/// A group of endpoints that serve the same requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Upstream {
    /// Where its requests may go.
    #[schemars(length(min = 1))]
    pub(super) endpoints: Vec<Endpoint>,
    /// How they are spread: "roundRobin", "random", "leastConnections", "twoChoices", "peakEwma", or an object for
    /// "consistentHash"; "roundRobin" where none is given.
    pub(super) balance: Option<Balance>,
    /// How long an endpoint that has become available takes to get to its share.
    pub(super) slow_start: Option<Period>,
    /// A client stays with its endpoint by a cookie.
    pub(super) sticky: Option<Sticky>,
    /// Percent of the endpoints; while fewer are available, health is ignored. 50 where none is given, 0 for never.
    #[schemars(range(min = 0, max = 100))]
    pub(super) panic_threshold: Option<u32>,
    /// Checks of the endpoints, apart from requests.
    pub(super) health: Option<HealthCheck>,
    /// Endpoints that fail requests are left alone for a while: false for never, or when exactly.
    pub(super) outliers: Option<Outliers>,
    /// Stops asking an upstream that fails.
    pub(super) breaker: Option<Breaker>,
    /// How its connections are kept, and how many there may be; none are shared with other upstreams then.
    pub(super) pool: Option<Pool>,
    /// How connections to endpoints that start with https:// are encrypted. Where none is given their certificates are
    /// verified by the system's authorities.
    pub(super) tls: Option<Tls>,
    /// Requests to it at once, of this gateway; more get 503. Any number where none is given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_requests: Option<u32>,
    /// Requests to it at once are as many as its latency bears, found by trial: true, or within which bounds. Requests of
    /// less important routes are refused first.
    pub(super) adaptive: Option<Adaptive>,
}

/// How connections to an upstream are encrypted. Relative paths start at the folder of the routes file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Tls {
    /// A file of the authorities that vouch for backends (PEM); those of the system where none is given.
    pub(super) ca: Option<String>,
    /// The name that backends' certificates must be for, which is asked for in the handshake (SNI); that of the endpoint's URL
    /// where none is given.
    pub(super) name: Option<String>,
    /// A file with the certificate that is shown to backends which ask for one, and behind it those that lead to its authority
    /// (PEM).
    pub(super) certificate: Option<String>,
    /// A file with its private key (PEM).
    pub(super) key: Option<String>,
    /// False: any certificate will do, whoever shows it. Never in production.
    #[serde(default = "yes")]
    pub(super) verify: bool,
}

/// How connections to an upstream are kept, and how many there may be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Pool {
    /// Connections to it that may be open, of all workers of this gateway and to all its endpoints, also those that are
    /// idle. Any number where none is given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_connections: Option<u32>,
    /// Requests that may wait for a connection while "maxConnections" are open, for CONNECT_TIMEOUT at most; more get 503.
    /// 1,024 where none is given, 0 for none.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) max_pending: Option<u32>,
    /// Idle connections that are kept to each endpoint by each worker; UPSTREAM_MAX_IDLE where none is given, 0 for none.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) max_idle: Option<u32>,
    /// How long an idle connection is kept; UPSTREAM_IDLE_TIMEOUT where none is given.
    pub(super) idle_timeout: Option<Period>,
    /// How old a connection may be when it is used again; UPSTREAM_MAX_LIFETIME where none is given.
    pub(super) max_lifetime: Option<Period>,
}

/// Whether there is a limit that finds itself, and within which bounds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Adaptive {
    /// Within the usual bounds, or not.
    Switch(bool),
    /// Within these.
    Rules(AdaptiveRules),
}

/// The bounds of a limit that finds itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct AdaptiveRules {
    /// Never less than this; 3 where none is given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) min: Option<u32>,
    /// Never more than this; 1,000 where none is given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max: Option<u32>,
}

/// A URL, or an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Endpoint {
    /// A URL of weight 1.
    Url(String),
    /// With more said about it.
    Described(DescribedEndpoint),
}

/// One place that requests can be sent to.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct DescribedEndpoint {
    /// "http://host:port" or "https://host:port", or "http+srv://service" or "https+srv://service" for what SRV records lead to,
    /// perhaps with a base path.
    pub(super) url: String,
    /// Its share of the requests, in proportion to the other weights; 0 for none.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub(super) weight: u32,
    /// Those with 0 are used first, and others as far as those are not available.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub(super) priority: u32,
    /// The zone it is in; endpoints in the gateway's own ZONE are preferred.
    pub(super) zone: Option<String>,
    /// The region it is in; endpoints in the gateway's own REGION are preferred.
    pub(super) region: Option<String>,
}

/// A policy's name, or an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Balance {
    /// A policy without settings.
    Name(String),
    /// The same endpoint for the same key.
    Hash(HashBalance),
}

/// The same endpoint for the same key.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HashBalance {
    /// "consistentHash".
    pub(super) policy: String,
    /// The key: "ip", "path", "header:Name", "cookie:name", "query:name", "claim:name". Requests without it go anywhere.
    pub(super) by: String,
    /// "maglev" or "ring"; "maglev" where none is given.
    pub(super) table: Option<String>,
    /// How many times its share of the requests in flight an endpoint may have before its keys go to others, such as
    /// 1.25; any number where none is given.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) bound: Option<f64>,
}

/// A cookie that a client stays with its endpoint by.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Sticky {
    /// Its name.
    #[schemars(length(min = 1))]
    pub(super) cookie: String,
    /// How long the client keeps it; as long as the browser runs where none is given.
    pub(super) ttl: Option<Period>,
}

/// Checks of endpoints.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct HealthCheck {
    /// A path to ask for: a GET that is answered by 2xx passes. Without it a connection that can be made passes.
    pub(super) path: Option<String>,
    /// Between two checks; 3 seconds where none is given.
    pub(super) interval: Option<Period>,
    /// How long a check may take; 1 second where none is given.
    pub(super) timeout: Option<Period>,
    /// Checks that must pass in a row before an unhealthy endpoint is used again; 1 where none is given.
    #[schemars(range(min = 1, max = 100))]
    pub(super) healthy: Option<u32>,
    /// Checks that must fail in a row before a healthy endpoint is left alone; 3 where none is given.
    #[schemars(range(min = 1, max = 100))]
    pub(super) unhealthy: Option<u32>,
}

/// When endpoints are left alone, or whether they ever are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Outliers {
    /// By the usual rules, or never.
    Switch(bool),
    /// When exactly.
    Rules(OutlierRules),
}

/// When an endpoint is left alone for a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct OutlierRules {
    /// Answers of 5xx, or none, in a row; 5 where none is given, 0 for never.
    pub(super) consecutive_errors: Option<u32>,
    /// Answers of 502, 503 or 504, or none, in a row; 5 where none is given, 0 for never.
    pub(super) consecutive_gateway_errors: Option<u32>,
    /// An endpoint whose share of successes is far below that of the others is left alone; true where none is given.
    pub(super) success_rate: Option<bool>,
    /// How long the first time takes, and each further one in a row so much longer; 30 seconds where none is given.
    pub(super) ejection_time: Option<Period>,
    /// Percent of the endpoints that may be left alone at once; 10 where none is given, and always one.
    #[schemars(range(min = 0, max = 100))]
    pub(super) max_ejected: Option<u32>,
}

/// When an upstream is not asked any more, by anybody or by one route, and when again. With neither "consecutiveFailures", "failureRatio" nor "slow",
/// 5 failures in a row open it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Breaker {
    /// What that of an upstream watches: "upstream", as a whole, or each "endpoint" by itself; "upstream" where none is
    /// given. That of a route watches the route.
    pub(super) scope: Option<String>,
    /// Failures in a row that open it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) consecutive_failures: Option<u32>,
    /// The share of failures in the window that opens it.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub(super) failure_ratio: Option<f64>,
    /// Answers that take too long, and the share of them that opens it.
    pub(super) slow: Option<Slow>,
    /// The window in which shares are taken; 10 seconds where none is given.
    pub(super) window: Option<Period>,
    /// Calls that there must be in the window; 20 where none is given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) minimum_calls: Option<u32>,
    /// How long it stays open; 10 seconds where none is given.
    pub(super) open: Option<Period>,
    /// Calls that may pass at once while it is half-open; 5 where none is given.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) half_open_calls: Option<u32>,
    /// Successes that close it again; 3 where none is given.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) successes: Option<u32>,
    /// The statuses that are failures, such as 500 or "5xx"; "5xx" where none is given. No answer always is one.
    #[schemars(length(min = 1))]
    pub(super) failure_statuses: Option<Vec<Status>>,
}

/// Answers that take too long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Slow {
    /// What is too long, to the answer's head.
    pub(super) longer_than: Period,
    /// The share of slow calls in the window that opens the breaker.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub(super) ratio: f64,
}

/// A status, or a class of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Status {
    /// One.
    Code(u16),
    /// All that start with the digit: "5xx".
    Class(String),
}

/// When a request is sent again, to another endpoint where there is one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Retry {
    /// How often at most; 2 where none is given.
    #[schemars(range(min = 1, max = 10))]
    pub(super) attempts: Option<u32>,
    /// After what: "connect" (no connection), "reset" (the connection ended without an answer), "timeout" (no answer
    /// within "tryTimeout"), statuses such as 503 or "5xx". "connect", "reset", 502, 503 and 504 where none is given.
    #[schemars(length(min = 1))]
    pub(super) on: Option<Vec<Condition>>,
    /// Seconds that one attempt may take to its answer's head; the route's "timeout" bounds all together.
    #[schemars(range(min = 0.001, max = 86400.0))]
    pub(super) try_timeout: Option<f64>,
    /// Requests by POST and PATCH are sent again too, though they may have been carried out already. Those with an
    /// Idempotency-Key are in any case.
    #[serde(default)]
    pub(super) non_idempotent: bool,
    /// The largest body that is kept to be sent again: bytes, or a text such as "64KiB"; 64 KiB where none is given.
    pub(super) max_body_size: Option<Size>,
}

/// A route's requests split over several upstreams.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Split {
    /// What keeps a client at one upstream: "ip", "header:Name", "cookie:name", "query:name" or "claim:name"; each request
    /// by lot where none is given.
    pub(super) by: Option<String>,
    /// The upstreams, and their shares.
    #[schemars(length(min = 1))]
    pub(super) upstreams: Vec<SplitShare>,
}

/// Another upstream that gets copies of requests. Its answers are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Mirror {
    /// The upstream's name.
    pub(in crate::config::routes) upstream: String,
    /// Percent of the requests; 100 where none is given.
    #[schemars(range(min = 0.001, max = 100.0))]
    pub(in crate::config::routes) percent: Option<f64>,
}

/// An upstream's share of a route's requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SplitShare {
    /// The upstream's name.
    pub(super) upstream: String,
    /// Its share of the requests, in proportion to the other weights.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) weight: u32,
    /// Requests that go there in any case, such as "header:X-Canary=always" or "cookie:canary".
    #[serde(default)]
    pub(super) when: Vec<String>,
}

/// When a second request is sent beside one that takes long. Only for those that are idempotent and have no body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Hedge {
    /// Seconds after the first; with "percentile", until there are enough answers to know that.
    #[schemars(range(min = 0.001, max = 3600.0))]
    pub(super) after: Option<f64>,
    /// When the first has taken longer than so many percent of the route's requests of the last half minute, such as 95.
    /// Never more than the rest of them are sent twice.
    #[schemars(range(min = 50.0, max = 99.9))]
    pub(super) percentile: Option<f64>,
    /// Seconds that "percentile" waits at least; 0.001 where none is given.
    #[schemars(range(min = 0.001, max = 3600.0))]
    pub(super) at_least: Option<f64>,
}

/// What stands in for an upstream that cannot be asked: because its breaker is open, because it is full, or because no
/// connection can be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Fallback {
    /// The name of another upstream.
    pub(super) upstream: Option<String>,
    /// True: what is cached of its responses, however old it is.
    pub(super) stale: Option<bool>,
    /// The status of an answer that is always the same.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// Its body.
    pub(super) body: Option<String>,
    /// The type of its body; "text/plain; charset=utf-8" where none is given.
    pub(super) content_type: Option<String>,
}

/// What a request is sent again after.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Condition {
    /// A status.
    Code(u16),
    /// A failure's name, or a class of statuses.
    Name(String),
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

impl Endpoint {
    pub(super) fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Described(endpoint) => &endpoint.url,
        }
    }
}
