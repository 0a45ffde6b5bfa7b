//! Requests that have failed, and those that would have.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::config::Snapshot;
use crate::error::Failed;

/// The failures that a snapshot's requests have met.
#[derive(Debug)]
pub(super) struct Failures(pub(super) Arc<Snapshot>);

impl Collector for Failures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = &self.0;
        for (failed, name, help) in [
            (Failed::Indeed, "errors", "Requests that have failed"),
            (
                Failed::InShadow,
                "shadow_refusals",
                "Requests that a policy which is tried out would have refused",
            ),
        ] {
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (route, code, count) in snapshot.tally.counts(failed) {
                let route = route.and_then(|route| snapshot.routes.get(route));
                let labels = [
                    ("route", route.map_or("", |route| &*route.name)),
                    ("code", code.code()),
                ];
                ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
