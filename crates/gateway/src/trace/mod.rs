//! Tracing: which trace a request belongs to, and the spans that tell of it.
//!
//! A request has a span for the gateway, and one below it for each request that the gateway sends on its behalf: to
//! backends, mirrors, and services that decide who may pass. Their names travel in `traceparent` (W3C Trace Context).
//! Whether anything is recorded is decided once, when the request's head has come; a request that is not recorded costs
//! reading one field and writing one. Spans that have ended wait in the worker's own buffer, which is handed in bulk to a
//! bounded queue; the control plane sends them on by OTLP. What the queue has no room for is dropped and counted: requests
//! do not wait for a collector.
//!
//! `context` is the field's form, `state` that of `tracestate`, `sampler` the decision, `tracer` what a worker does, `span`
//! and `attributes` what is told, `export` the way out.

mod attributes;
mod context;
mod counts;
mod export;
mod sampler;
mod span;
mod state;
mod tracer;

pub(crate) use attributes::{Attempt, Purpose, Served};
pub(crate) use context::{TRACEPARENT, TraceContext};
pub(crate) use counts::Counts;
pub(crate) use export::{Collector, CollectorError, Export};
pub use sampler::Sampler;
pub(crate) use span::Call;
pub(crate) use tracer::{SpanQueue, Trace, Tracer};
pub use tracer::{Trust, begin_bench};
