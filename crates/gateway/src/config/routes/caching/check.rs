//! Whether `cache` makes sense, and what it means.

use std::time::Duration;

use cache::{KeyRecipe, Policy, QueryParameters};
use http::{HeaderName, StatusCode};

use super::written::{Cache, CacheKey, CacheQuery};
use crate::caching::{LastTold, RouteCache};
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::config::routes::written::{Period, Route, Size};
use crate::config::{Settings, size};

const CACHE: Step<'static> = Step::Key("cache");
const KEY: Step<'static> = Step::Key("key");
/// With less, hardly anything could be stored.
const LEAST_SHARE: u64 = 256 * 1024;
/// As for CACHE_TTL.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// A query that somebody has written, with room to spare; it is kept while it is asked.
const LARGEST_QUERY: u64 = 64 * 1024;
/// How long what is stale stands in for a backend that is not there, where the route says nothing: as long as a restart
/// takes, so that nothing old comes as a surprise.
const WHEN_DISCONNECTED: Duration = Duration::from_secs(60);

impl Check<'_> {
    /// How a route's responses are cached; none where they are not.
    pub(in crate::config::routes) fn cache(
        &mut self,
        written: &Route,
        knows_clients: bool,
        settings: &Settings,
        shares: &mut Vec<u64>,
    ) -> Option<RouteCache> {
        if written.cacheable == Some(false) && written.cache.is_some() {
            let message = "\"cacheable\": false and \"cache\" stand together; use one of the two";
            self.say(&[CACHE], message);
        }
        let usual = Cache::default();
        let cache = written.cache.as_ref().unwrap_or(&usual);
        let recipe = self.recipe(&cache.key);
        if !knows_clients && (cache.key.consumer || !cache.key.claims.is_empty()) {
            let message = "\"consumer\" and \"claims\" tell apart clients that are known, which needs \"requireAuth\": true";
            self.say(&[CACHE, KEY], message);
        }
        let policy = Policy {
            share: self.share(cache, settings, shares),
            ..self.policy(cache, settings)
        };
        let largest_query = cache.max_query_size.as_ref();
        let largest_query =
            largest_query.map_or(LARGEST_QUERY, |size| self.size("maxQuerySize", size));
        if !written.is_cached() || !settings.enable_caching {
            return None;
        }
        Some(RouteCache {
            failures: LastTold::default(),
            recipe,
            isolated: cache.key.consumer.then(|| Policy {
                isolated: true,
                ..policy.clone()
            }),
            policy,
            claims: cache
                .key
                .claims
                .iter()
                .map(|name| (name.as_str().into(), name.as_str().into()))
                .collect(),
            largest_query,
            x_cache: cache.x_cache,
        })
    }

    fn recipe(&mut self, key: &CacheKey) -> KeyRecipe {
        let mut headers = Vec::new();
        for (index, name) in key.headers.iter().enumerate() {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => headers.push(name),
                Err(_) => {
                    let message = format!("\"{name}\" is not the name of a header field");
                    let at = [CACHE, KEY, Step::Key("headers"), Step::Index(index)];
                    self.say(&at, &message);
                }
            }
        }
        KeyRecipe {
            query: self.query_parameters(key.query.as_ref()),
            sort_query: key.sort_query,
            headers,
        }
    }

    fn query_parameters(&mut self, written: Option<&CacheQuery>) -> QueryParameters {
        match written {
            None | Some(CacheQuery::Switch(true)) => QueryParameters::All,
            Some(CacheQuery::Switch(false)) => QueryParameters::None,
            Some(CacheQuery::Some(names)) => match (&names.only, &names.except) {
                (Some(only), None) => QueryParameters::Only(only.clone()),
                (None, Some(except)) => QueryParameters::Except(except.clone()),
                _ => {
                    let message = "must have either \"only\" or \"except\"";
                    self.say(&[CACHE, KEY, Step::Key("query")], message);
                    QueryParameters::All
                }
            },
        }
    }

    fn policy(&mut self, cache: &Cache, settings: &Settings) -> Policy {
        let mut time = |key, period: Option<&Period>, usual| {
            period.map_or(usual, |period| {
                self.time(&[CACHE, Step::Key(key)], period)
                    .unwrap_or_default()
            })
        };
        let none = Duration::ZERO;
        Policy {
            default_lifetime: time("ttl", cache.ttl.as_ref(), settings.cache_ttl),
            stale_while_revalidate: time(
                "staleWhileRevalidate",
                cache.stale_while_revalidate.as_ref(),
                none,
            ),
            stale_if_error: time("staleIfError", cache.stale_if_error.as_ref(), none),
            stale_if_disconnected: match cache.stale_if_error {
                None => WHEN_DISCONNECTED,
                Some(_) => none,
            },
            status_lifetimes: self.status_lifetimes(cache),
            store_set_cookie: cache.set_cookie,
            honour_requests: cache.client_directives.unwrap_or(true),
            largest_body: self.largest_body(cache, settings),
            ..Policy::default()
        }
    }

    fn status_lifetimes(&mut self, cache: &Cache) -> Vec<(StatusCode, Duration)> {
        let mut lifetimes = Vec::new();
        for (written, period) in &cache.negative {
            let at = [CACHE, Step::Key("negative"), Step::Key(written)];
            let status = written.parse().ok().filter(|status| *status >= 300);
            match status.and_then(|status| StatusCode::from_u16(status).ok()) {
                Some(status) if status.as_u16() < 600 => {
                    lifetimes.extend(self.time(&at, period).map(|time| (status, time)));
                }
                _ => self.say(
                    &at,
                    &format!("\"{written}\" must be a status from 300 to 599"),
                ),
            }
        }
        lifetimes
    }

    fn time(&mut self, at: &[Step<'_>], period: &Period) -> Option<Duration> {
        let time = period.time().filter(|time| *time <= LONGEST);
        if time.is_none() {
            let message = "must be a time from 0 to 3650d: seconds such as 300, or a text such as \"5m\", \"1h\" or \"7d\"";
            self.say(at, message);
        }
        time
    }

    /// Which share of the memory the route has; 0 is that of all that have none of their own.
    fn share(&mut self, cache: &Cache, settings: &Settings, shares: &mut Vec<u64>) -> usize {
        let whole = settings.cache_size;
        let bytes = match &cache.max_memory {
            None => return 0,
            Some(Size::Bytes(bytes)) => Some(*bytes),
            Some(Size::Text(text)) => size::percent(text, whole).or_else(|| size::parse(text)),
        };
        let at = [CACHE, Step::Key("maxMemory")];
        let Some(bytes) = bytes.filter(|bytes| *bytes >= LEAST_SHARE) else {
            let message = "must be a size of at least 256KiB such as \"16MiB\", or a share of CACHE_SIZE such as \"25%\"";
            self.say(&at, message);
            return 0;
        };
        let others: u64 = shares.iter().sum();
        let left = whole.saturating_sub(LEAST_SHARE).saturating_sub(others);
        if bytes > left {
            let message = format!(
                "takes {bytes} bytes, and of CACHE_SIZE ({whole} bytes) there are {left} for it: the routes before it take {others}, and \
                 {LEAST_SHARE} stay for those without a \"maxMemory\"; give it less, or make CACHE_SIZE larger"
            );
            self.say(&at, &message);
            return 0;
        }
        shares.push(bytes);
        shares.len()
    }

    fn largest_body(&mut self, cache: &Cache, settings: &Settings) -> u64 {
        let largest = settings.cache_max_object_size;
        let own = cache.max_object_size.as_ref();
        own.map_or(largest, |size| {
            largest.min(self.size("maxObjectSize", size))
        })
    }

    fn size(&mut self, key: &str, written: &Size) -> u64 {
        let text = match written {
            Size::Bytes(bytes) => return *bytes,
            Size::Text(text) => text,
        };
        size::parse(text).unwrap_or_else(|| {
            let message = format!("\"{text}\" must be a size such as 65536, 64KiB or 1MiB");
            self.say(&[CACHE, Step::Key(key)], &message);
            0
        })
    }
}
