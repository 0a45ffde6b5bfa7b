//! The cache.

use std::fmt;
use std::sync::Arc;

use cache::Cache;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::caching::{Counts, Outcome};
use crate::config::Snapshot;

/// What the cache has done, by route, and how much it holds.
#[derive(Debug)]
pub(super) struct Caching {
    pub(super) cache: Cache,
    /// Of each worker.
    pub(super) counts: Vec<Arc<Counts>>,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Collector for Caching {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_failed_validations(&mut encoder)?;
        let usage = self.cache.usage();
        let keys = i64::try_from(usage.keys).unwrap_or(i64::MAX);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (name, help, value) in [
            ("cache_entries", "URLs of which something is cached", keys),
            (
                "cache_bytes",
                "Memory that what is cached takes",
                bytes(usage.bytes),
            ),
            (
                "cache_capacity_bytes",
                "Memory that it may take",
                bytes(usage.capacity),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in [
            (
                "cache_evicted_entries",
                "URLs of which what was cached has gone for want of room",
                usage.evicted_keys,
            ),
            (
                "cache_evicted_bytes",
                "Memory that they took",
                usage.evicted_bytes,
            ),
            (
                "cache_too_large",
                "Responses that were not cached because they were too large",
                usage.too_large,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

impl Caching {
    fn encode_failed_validations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "cache_failed_validations";
        let help = "Validations in the background, of what was served stale, that have failed";
        let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (index, route) in self.snapshot.routes.iter().enumerate() {
            if route.cache.is_none() {
                continue;
            }
            let count: u64 = self
                .counts
                .iter()
                .map(|counts| counts.failed_validations(index))
                .sum();
            let labels = [("route", &*route.name)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests of routes that are cached, by what the cache has done";
        let kind = MetricType::Counter;
        let mut encoder = encoder.encode_descriptor("cache_requests", help, None, kind)?;
        for (index, route) in self.snapshot.routes.iter().enumerate() {
            if route.cache.is_none() {
                continue;
            }
            for outcome in Outcome::ALL {
                let counts = self.counts.iter();
                let count: u64 = counts.map(|counts| counts.of(index, outcome)).sum();
                let labels = [("route", &*route.name), ("outcome", outcome.name())];
                ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
