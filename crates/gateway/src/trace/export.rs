//! The way out: spans in batches to a collector, by OTLP over HTTP.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout, timeout_at};

use super::counts::Counts;
use super::tracer::{SpanQueue, Waiting};

/// Spans that are sent together.
const BATCH: usize = 512;
/// Fewer are sent after this long.
const DELAY: Duration = Duration::from_secs(1);
/// How long sending a batch may take, with what is repeated.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the program waits for the last spans.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Where spans go, and what is said of who sends them.
#[derive(Clone)]
pub(crate) struct Collector {
    /// The whole URL, without credentials.
    pub(crate) endpoint: String,
    /// May hold credentials.
    pub(crate) headers: HashMap<String, String>,
    /// `service.name` and others.
    pub(crate) resource: Vec<(String, String)>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Collector")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The exporter cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
pub struct CollectorError(String);

/// Exports spans for as long as the program runs.
pub(crate) struct Export {
    exporter: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    waiting: Mutex<Waiting>,
    counts: Arc<Counts>,
    is_failing: AtomicBool,
    /// All have been sent, and no more will come.
    done: Notify,
}

impl fmt::Debug for Export {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Export")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Export {
    /// To `collector`, with the way there for those who have spans.
    ///
    /// # Errors
    /// When the exporter does not like its settings.
    pub(crate) fn new(
        collector: Collector,
        client: reqwest::Client,
        counts: &Arc<Counts>,
    ) -> Result<(Self, SpanQueue), CollectorError> {
        let (queue, waiting) = SpanQueue::new(Arc::clone(counts));
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&collector.endpoint)
            .with_timeout(TIMEOUT)
            .with_headers(collector.headers)
            .build()
            .map_err(|error| CollectorError(error.to_string()))?;
        let resource = collector.resource.into_iter();
        let resource = resource.map(|(name, value)| KeyValue::new(name, value));
        exporter.set_resource(&Resource::builder_empty().with_attributes(resource).build());
        let export = Self {
            exporter,
            endpoint: collector.endpoint,
            waiting: Mutex::new(waiting),
            counts: Arc::clone(counts),
            is_failing: AtomicBool::new(false),
            done: Notify::new(),
        };
        Ok((export, queue))
    }

    /// Sends what comes; does not end.
    pub(crate) async fn run(&self) {
        let mut waiting = self.waiting.lock().await;
        while let Some(mut batch) = waiting.next().await {
            let due = Instant::now() + DELAY;
            while batch.len() < BATCH {
                match timeout_at(due, waiting.next()).await {
                    Ok(Some(more)) => batch.extend(more),
                    Ok(None) | Err(_) => break,
                }
            }
            self.send(batch).await;
        }
        self.done.notify_one();
        std::future::pending().await
    }

    /// Waits for the last spans, but not long. All who have spans must be gone.
    pub(crate) async fn finish(&self) {
        let _ = timeout(LAST_WAIT, self.done.notified()).await;
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let count = batch.len();
        let result = match timeout(TIMEOUT, self.exporter.export(batch)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match result {
            Ok(()) => {
                self.counts.export(count);
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(endpoint = self.endpoint, "spans are exported again");
                }
            }
            Err(error) => {
                self.counts.fail(count);
                // Once, not for every batch.
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(endpoint = self.endpoint, error, "spans are not exported");
                }
            }
        }
    }
}
