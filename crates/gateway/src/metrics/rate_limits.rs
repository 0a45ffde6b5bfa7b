//! Rate limits that are counted in Redis.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::middleware::rate_limit::{Failure, Fallback, StoreHealth};

/// What has gone wrong with Redis, and what was done about it.
#[derive(Debug)]
pub(super) struct RateLimitStore(pub(super) Arc<StoreHealth>);

/// A name and a meaning for several counters that differ in one label.
struct Family {
    /// Without the program's name before it and `_total` after it.
    name: &'static str,
    help: &'static str,
    label: &'static str,
}

const FAILURES: Family = Family {
    name: "rate_limit_store_failures",
    help: "Questions to Redis that got no answer",
    label: "reason",
};

const FALLBACK: Family = Family {
    name: "rate_limit_fallback",
    help: "Decisions about limits that were made without Redis",
    label: "mode",
};

impl Collector for RateLimitStore {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let health = &self.0;
        let failures = Failure::ALL.map(|failure| (failure.name(), health.failures(failure)));
        FAILURES.encode(&mut encoder, &failures)?;
        let fallbacks = Fallback::ALL.map(|mode| (mode.name(), health.fallbacks(mode)));
        FALLBACK.encode(&mut encoder, &fallbacks)
    }
}

impl Family {
    fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        counters: &[(&'static str, u64)],
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for &(value, count) in counters {
            let labels = [(self.label, value)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
