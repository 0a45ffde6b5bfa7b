//! What the gateway counts about itself, for Prometheus.
//!
//! Whoever counts keeps plain atomics; here they get their names. They are read when somebody asks.

mod cache_tiers;
mod caching;
mod failures;
mod rate_limits;
mod spans;

use std::sync::Arc;

use cache::Cache;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::caching::{Counts, Tiers};
use crate::config::Snapshot;
use crate::middleware::rate_limit::StoreHealth;
use crate::trace;
use cache_tiers::CacheTiers;
use caching::Caching;
use failures::Failures;
use rate_limits::RateLimitStore;
use spans::Spans;

/// The type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
}

/// What there is to be told of the cache.
#[derive(Debug)]
pub(crate) struct CacheParts {
    pub(crate) cache: Cache,
    /// What is behind its memory.
    pub(crate) tiers: Option<Arc<Tiers>>,
    /// What each worker counts of it.
    pub(crate) counts: Vec<Arc<Counts>>,
}

impl Metrics {
    /// `cache` is none where nothing is cached, `spans` where nothing is traced.
    pub(crate) fn new(
        snapshot: &Arc<Snapshot>,
        store: Arc<StoreHealth>,
        cache: Option<CacheParts>,
        spans: Option<Arc<trace::Counts>>,
    ) -> Self {
        let mut registry = Registry::with_prefix("api_gateway");
        registry.register_collector(Box::new(Failures(Arc::clone(snapshot))));
        registry.register_collector(Box::new(RateLimitStore(store)));
        if let Some(CacheParts {
            cache,
            tiers,
            counts,
        }) = cache
        {
            if let Some(tiers) = tiers {
                registry.register_collector(Box::new(CacheTiers(tiers)));
            }
            registry.register_collector(Box::new(Caching {
                cache,
                counts,
                snapshot: Arc::clone(snapshot),
            }));
        }
        if let Some(spans) = spans {
            registry.register_collector(Box::new(Spans(spans)));
        }
        Self { registry }
    }

    /// All of them as they are now, in the text form of OpenMetrics, which Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _written = text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Sources, load};

    #[test]
    fn every_series_is_there_from_the_start() {
        let settings = Settings::read(&Sources::default()).unwrap();
        let snapshot = Arc::new(load(&settings).unwrap().snapshot);
        let health = Arc::new(StoreHealth::new(None, 1));
        let text = Metrics::new(&snapshot, health, None, Some(Arc::default())).text();
        for line in [
            "# TYPE api_gateway_rate_limit_store_failures counter",
            "api_gateway_rate_limit_store_failures_total{reason=\"error\"} 0",
            "api_gateway_rate_limit_store_failures_total{reason=\"timeout\"} 0",
            "api_gateway_rate_limit_store_failures_total{reason=\"disconnected\"} 0",
            "# TYPE api_gateway_rate_limit_fallback counter",
            "api_gateway_rate_limit_fallback_total{mode=\"local\"} 0",
            "api_gateway_rate_limit_fallback_total{mode=\"open\"} 0",
            "api_gateway_rate_limit_fallback_total{mode=\"closed\"} 0",
            "api_gateway_spans_total{outcome=\"exported\"} 0",
            "api_gateway_spans_total{outcome=\"queue_full\"} 0",
            "api_gateway_spans_total{outcome=\"export_failed\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
