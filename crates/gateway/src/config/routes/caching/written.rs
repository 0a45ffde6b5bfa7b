//! `cache` as users write it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::routes::written::{Period, Size};

/// How responses are cached.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Cache {
    /// How long a response is fresh that does not say so itself: seconds, or a text such as "5m"; 0 caches only those
    /// that do; CACHE_TTL where none is given.
    pub(super) ttl: Option<Period>,
    /// What tells requests apart besides scheme, host and path.
    #[serde(default)]
    pub(super) key: CacheKey,
    /// Responses that set cookies are cached, cookies and all.
    #[serde(default)]
    pub(super) set_cookie: bool,
    /// How long responses with these statuses are fresh that do not say so themselves, such as {"404": 10}.
    #[serde(default)]
    pub(super) negative: BTreeMap<String, Period>,
    /// How long a stale response is served while the backend is asked anew, where the response does not say so; 0 where
    /// none is given.
    pub(super) stale_while_revalidate: Option<Period>,
    /// How long a stale response is served when the backend fails, where the response does not say so. Where none is
    /// given: 60 seconds, and only when there is no way to the backend; with 0 never.
    pub(super) stale_if_error: Option<Period>,
    /// The largest body that is cached: bytes, or a text such as "1MiB"; CACHE_MAX_OBJECT_SIZE where none is given.
    pub(super) max_object_size: Option<Size>,
    /// Memory that is set aside for the responses of the route, of that of CACHE_SIZE: bytes, or a text such as "16MiB" or
    /// "25%". They take no more, and nothing else takes it from them.
    pub(super) max_memory: Option<Size>,
    /// The largest content of a QUERY whose answer is cached: bytes, or a text such as "64KiB", which is the default; with
    /// 0 none is.
    pub(super) max_query_size: Option<Size>,
    /// Whether Cache-Control and Pragma of clients count; true where it is not given.
    pub(super) client_directives: Option<bool>,
    /// Answers have X-Cache: HIT or MISS.
    #[serde(default)]
    pub(super) x_cache: bool,
}

/// What tells requests apart besides scheme, host and path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CacheKey {
    /// The query parameters that count: false for none, {"only": [...]} or {"except": [...]}; all where it is not given.
    pub(super) query: Option<CacheQuery>,
    /// Parameters in another order are the same query.
    #[serde(default)]
    pub(super) sort_query: bool,
    /// Fields of the request that count, whatever Vary says.
    #[serde(default)]
    pub(super) headers: Vec<String>,
    /// Claims that count: of a token, or of a consumer.
    #[serde(default)]
    pub(super) claims: Vec<String>,
    /// Each consumer has responses of its own, and responses to requests with credentials are cached as others are.
    #[serde(default)]
    pub(super) consumer: bool,
}

/// The query parameters that count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum CacheQuery {
    /// True for all; false for none.
    Switch(bool),
    /// Some of them.
    Some(CacheParameters),
}

/// Some query parameters, by their names.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct CacheParameters {
    /// Only these.
    #[schemars(length(min = 1))]
    pub(super) only: Option<Vec<String>>,
    /// All but these.
    #[schemars(length(min = 1))]
    pub(super) except: Option<Vec<String>>,
}
