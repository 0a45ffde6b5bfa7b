//! What has become of spans.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::trace::Counts;

/// The spans that requests have left.
#[derive(Debug)]
pub(super) struct Spans(pub(super) Arc<Counts>);

impl Collector for Spans {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Spans of traced requests, by what has become of them";
        let mut encoder = encoder.encode_descriptor("spans", help, None, MetricType::Counter)?;
        let Self(counts) = self;
        for (outcome, count) in [
            ("exported", counts.exported()),
            ("queue_full", counts.overflowed()),
            ("export_failed", counts.failed()),
        ] {
            let labels = [("outcome", outcome)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
