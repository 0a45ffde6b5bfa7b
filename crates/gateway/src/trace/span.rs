//! The spans of a request: the gateway's own, and one for each request that it sends on behalf of it.

use std::rc::Rc;

use http::HeaderValue;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;

use super::attributes::{Attempt, Served};
use super::context::TraceContext;
use super::tracer::{Recording, Trace};

/// A request that is under way to somebody else; recorded when it has been answered, or has failed, or is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    /// What it tells of its trace.
    told: Option<TraceContext>,
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    recording: Rc<Recording>,
    context: TraceContext,
    parent: u64,
    began: Instant,
    name: String,
    attributes: Vec<KeyValue>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// Nobody waits for its end.
    Abandoned,
    Answered(u16),
    Failed(&'static str),
}

impl Trace {
    /// A request that is about to be sent on behalf of this one.
    pub(crate) fn call<'a>(&self, describe: impl FnOnce() -> Attempt<'a>) -> Call {
        let open = self.recording.as_ref().map(|recording| {
            let attempt = describe();
            let (name, attributes) = attempt.describe();
            Box::new(Open {
                recording: Rc::clone(recording),
                context: self.context.child(),
                parent: self.context.span_id,
                began: Instant::now(),
                name,
                attributes,
                outcome: Outcome::Abandoned,
            })
        });
        Call {
            told: open
                .as_ref()
                .map(|open| open.context)
                .or_else(|| self.told()),
            open,
        }
    }

    /// The request is over.
    pub(crate) fn finish<'a>(&self, describe: impl FnOnce() -> Served<'a>) {
        let Some(recording) = &self.recording else {
            return;
        };
        let served = describe();
        let (name, attributes) = served.describe();
        let status = if served.status >= 500 {
            Status::error("")
        } else {
            Status::Unset
        };
        let parent = recording.parent.map(|parent| parent.span_id);
        let mut links = SpanLinks::default();
        links.links.extend(recording.link.map(link));
        let end = Instant::now();
        recording.tracer.push(SpanData {
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Server,
            links,
            status,
            ..span(
                recording,
                self.context,
                parent.unwrap_or(0),
                (recording.started, end),
                name,
                attributes,
            )
        });
    }
}

impl Call {
    /// Of a request that is in no trace.
    pub(crate) fn untraced() -> Self {
        Self {
            told: None,
            open: None,
        }
    }

    /// What it tells of its trace.
    pub(crate) fn told(&self) -> Option<TraceContext> {
        self.told
    }

    /// The same, for a list of fields.
    pub(crate) fn field(&self) -> Option<HeaderValue> {
        self.told?.to_value()
    }

    /// The head of an answer has come.
    pub(crate) fn answered(mut self, status: u16) {
        self.end(Outcome::Answered(status));
    }

    /// There is no answer, by the name of an error.
    pub(crate) fn failed(mut self, error: &'static str) {
        self.end(Outcome::Failed(error));
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(open) = &mut self.open {
            open.outcome = outcome;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut attributes = std::mem::take(&mut self.attributes);
        let status = match self.outcome {
            Outcome::Abandoned => {
                attributes.push(KeyValue::new("error.type", "abandoned"));
                Status::Unset
            }
            Outcome::Failed(error) => {
                attributes.push(KeyValue::new("error.type", error));
                Status::error("")
            }
            Outcome::Answered(status) => {
                attributes.push(KeyValue::new(
                    "http.response.status_code",
                    i64::from(status),
                ));
                if status >= 400 {
                    attributes.push(KeyValue::new("error.type", status.to_string()));
                    Status::error("")
                } else {
                    Status::Unset
                }
            }
        };
        self.recording.tracer.push(SpanData {
            status,
            ..span(
                &self.recording,
                self.context,
                self.parent,
                (self.began, Instant::now()),
                std::mem::take(&mut self.name),
                attributes,
            )
        });
    }
}

fn span(
    recording: &Recording,
    context: TraceContext,
    parent: u64,
    (began, ended): (Instant, Instant),
    name: String,
    attributes: Vec<KeyValue>,
) -> SpanData {
    SpanData {
        span_context: span_context(context, false),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Client,
        name: name.into(),
        start_time: recording.time_of(began),
        end_time: recording.time_of(ended),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("api-gateway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn span_context(context: TraceContext, is_remote: bool) -> SpanContext {
    SpanContext::new(
        context.trace_id.into(),
        context.span_id.into(),
        TraceFlags::new(context.flags()),
        is_remote,
        TraceState::NONE,
    )
}

fn link(context: TraceContext) -> Link {
    Link::new(span_context(context, true), Vec::new(), 0)
}

/// A span that tells of nothing.
#[cfg(test)]
pub(super) fn empty() -> SpanData {
    SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}
