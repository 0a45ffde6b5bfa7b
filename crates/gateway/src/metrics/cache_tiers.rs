//! What is behind the cache's memory.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::caching::{Answer, Tier, Tiers, Write};

/// What tiers were asked and given, and whether Redis can be asked.
#[derive(Debug)]
pub(super) struct CacheTiers(pub(super) Arc<Tiers>);

impl Collector for CacheTiers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0.counts;
        let help = "Questions to a tier behind the cache's memory, by what came of them";
        let kind = MetricType::Counter;
        let mut lookups = encoder.encode_descriptor("cache_tier_lookups", help, None, kind)?;
        for tier in Tier::ALL {
            for answer in Answer::ALL {
                let labels = [("tier", tier.name()), ("result", answer.name())];
                let count = ConstCounter::new(counts.answers(tier, answer));
                count.encode(lookups.encode_family(&labels)?)?;
            }
        }
        let help = "Responses that a tier was to keep, by what came of them";
        let mut writes = encoder.encode_descriptor("cache_tier_writes", help, None, kind)?;
        for tier in Tier::ALL {
            for write in Write::ALL {
                let labels = [("tier", tier.name()), ("result", write.name())];
                let count = ConstCounter::new(counts.writes(tier, write));
                count.encode(writes.encode_family(&labels)?)?;
            }
        }
        if let Some(is_connected) = self.0.is_connected() {
            let (name, help) = (
                "cache_redis_connected",
                "Whether the cache is shared in Redis now, and hears of purges",
            );
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::from(is_connected)).encode(gauge)?;
        }
        Ok(())
    }
}
