//! What is counted, with names, for Prometheus.
//!
//! Whoever counts keeps plain atomics (`counters`). They are read when somebody asks, by way of the configuration that is
//! served at that moment: what it does not have any more has no series.

mod catalogue;
mod exposition;
mod gateway;
mod machine;
mod routes;
mod tls;
mod upstreams;

pub use catalogue::reference;
pub(crate) use exposition::Format;
pub(crate) use machine::started;

use std::fmt;
use std::sync::Arc;

use crate::caching::SharedCache;
use crate::config::{ListenerTls, Live};
use crate::counters::ProcessCounts;
use crate::middleware::rate_limit::StoreHealth;
use crate::trace;
use exposition::Exposition;

/// Everything that is counted.
pub(crate) struct Metrics {
    /// The configuration that is served.
    pub(crate) live: Arc<Live>,
    pub(crate) process: Arc<ProcessCounts>,
    pub(crate) store: Arc<StoreHealth>,
    /// The cache, as soon as there is one.
    pub(crate) cache: SharedCache,
    /// None where nothing is traced.
    pub(crate) spans: Option<Arc<trace::Counts>>,
    /// What listeners with TLS share, where there are any.
    pub(crate) tls: Option<ListenerTls>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All of it as it is now.
    pub(crate) fn text(&self, format: Format) -> String {
        let snapshot = self.live.snapshot();
        let mut exposition = Exposition::new(format);
        routes::add(&mut exposition, &snapshot);
        upstreams::add(&mut exposition, &snapshot);
        gateway::add(&mut exposition, self);
        if let Some(tls) = &self.tls {
            tls::add(&mut exposition, tls);
        }
        machine::add(&mut exposition);
        exposition.finish()
    }
}
