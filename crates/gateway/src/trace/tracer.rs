//! What a worker does for tracing: which trace a request is of, and handing over the spans that have ended.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::context::{TRACEPARENT, TraceContext};
use super::counts::Counts;
use super::sampler::Sampler;
use super::state::{self, TRACESTATE};

/// So many spans of a worker are handed over at once.
const FULL: usize = 128;
/// A span is handed over after this long at the latest.
const DELAY: Duration = Duration::from_millis(100);
/// Spans of all workers that may wait to be exported.
const MOST_WAITING: usize = 8192;

/// Whose `traceparent` is believed: `TRUST_TRACE_CONTEXT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's.
    All,
    /// That of proxies that are trusted anyway.
    Proxies,
    /// Nobody's.
    None,
}

/// The tracing of one worker.
#[derive(Debug)]
pub(crate) struct Tracer {
    sampler: Sampler,
    trust: Trust,
    queue: SpanQueue,
    buffer: RefCell<Vec<SpanData>>,
    /// The buffer has got its first span.
    begun: Notify,
}

/// The trace that a request is of.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// The gateway's own span; the caller's, where the gateway adds none.
    pub(super) context: TraceContext,
    /// Whether backends are told. If not, they get what the client has sent.
    is_told: bool,
    pub(super) recording: Option<Rc<Recording>>,
}

/// A request that is recorded.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) tracer: Rc<Tracer>,
    /// The caller's span.
    pub(super) parent: Option<TraceContext>,
    /// A caller's span that is not believed.
    pub(super) link: Option<TraceContext>,
    pub(super) started: Instant,
    /// The time of day then.
    at: SystemTime,
}

impl Tracer {
    pub(crate) fn new(sampler: Sampler, trust: Trust, queue: SpanQueue) -> Self {
        Self {
            sampler,
            trust,
            queue,
            buffer: RefCell::default(),
            begun: Notify::new(),
        }
    }

    /// The trace of a request whose head has come at `started`. What it says of its trace is taken off its fields, and
    /// written anew for each backend; others' words on the trace go on where the trace does.
    pub(crate) fn begin(
        self: &Rc<Self>,
        headers: &mut HeaderMap,
        is_trusted_proxy: bool,
        started: Instant,
    ) -> Trace {
        let caller = TraceContext::of(headers);
        // Where it is malformed it has to go as well.
        if caller.is_some() || headers.contains_key(TRACEPARENT) {
            headers.remove(TRACEPARENT);
        }
        let believed = match self.trust {
            Trust::All => true,
            Trust::Proxies => is_trusted_proxy,
            Trust::None => false,
        };
        let parent = caller.filter(|_| believed);
        match parent {
            Some(_) => state::check(headers),
            None => drop(headers.remove(TRACESTATE)),
        }
        let base = parent.unwrap_or_else(TraceContext::root);
        let sampled = self.sampler.samples(base, parent.is_some());
        let recording = sampled.then(|| {
            Rc::new(Recording {
                tracer: Rc::clone(self),
                parent,
                link: caller.filter(|_| !believed),
                started,
                at: SystemTime::now() - started.elapsed(),
            })
        });
        // A caller that has not recorded its span stays the parent of what comes after one that does not either. A
        // change of the flag needs a new id (W3C Trace Context, §4.3).
        let has_own_span = parent.is_some_and(|parent| sampled || parent.is_sampled());
        let context = if has_own_span { base.child() } else { base };
        Trace {
            context: context.sampled(sampled),
            is_told: true,
            recording,
        }
    }

    pub(super) fn push(&self, span: SpanData) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            self.begun.notify_one();
        }
        buffer.push(span);
        if buffer.len() >= FULL {
            drop(buffer);
            self.flush();
        }
    }

    /// Hands spans over that would otherwise wait for more; runs as long as the worker.
    pub(crate) async fn flush_in_time(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(DELAY).await;
            self.flush();
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        let spans = self.buffer.take();
        if !spans.is_empty() {
            self.queue.send(spans);
        }
    }
}

impl Trace {
    /// Of a request where nothing is traced: what it says itself, for logs. It goes on as it is.
    pub(crate) fn passing(headers: &HeaderMap) -> Option<Self> {
        TraceContext::of(headers).map(|context| Self {
            context,
            is_told: false,
            recording: None,
        })
    }

    /// The span that logs name: the gateway's own, or the last one before it.
    pub(crate) fn context(&self) -> TraceContext {
        self.context
    }

    /// Whether the gateway records it.
    #[cfg(test)]
    fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// What others are told who are asked for this request, where nothing is recorded of that.
    pub(super) fn told(&self) -> Option<TraceContext> {
        self.is_told.then_some(self.context)
    }
}

impl Recording {
    /// The time of day at a moment since.
    pub(super) fn time_of(&self, moment: Instant) -> SystemTime {
        self.at + moment.saturating_duration_since(self.started)
    }
}

/// The way of spans from the workers to the exporter: bounded, and nobody waits.
#[derive(Debug, Clone)]
pub(crate) struct SpanQueue {
    sender: mpsc::Sender<Vec<SpanData>>,
    waiting: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Waiting {
    receiver: mpsc::Receiver<Vec<SpanData>>,
    waiting: Arc<AtomicUsize>,
}

impl SpanQueue {
    pub(super) fn new(counts: Arc<Counts>) -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let queue = Self {
            sender,
            waiting: Arc::clone(&waiting),
            counts,
        };
        (queue, Waiting { receiver, waiting })
    }

    fn send(&self, spans: Vec<SpanData>) {
        let count = spans.len();
        let waiting = self.waiting.fetch_add(count, Ordering::Relaxed);
        let is_sent = waiting + count <= MOST_WAITING && self.sender.try_send(spans).is_ok();
        if !is_sent {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.counts.overflow(count);
        }
    }
}

impl Waiting {
    /// The next spans; none when all workers have ended.
    pub(super) async fn next(&mut self) -> Option<Vec<SpanData>> {
        let spans = self.receiver.recv().await?;
        self.waiting.fetch_sub(spans.len(), Ordering::Relaxed);
        Some(spans)
    }
}

/// For benches: what `headers` cost that come in and go out again, with this sampler.
pub fn begin_bench(sampler: Sampler) -> impl Fn(&mut HeaderMap, &mut Vec<u8>) {
    let (queue, _) = SpanQueue::new(Arc::default());
    let tracer = Rc::new(Tracer::new(sampler, Trust::All, queue));
    let started = Instant::now();
    move |headers, out| {
        let trace = tracer.begin(headers, false, started);
        if let Some(told) = trace.told() {
            wire::head::push_field(out, &TRACEPARENT, &told.to_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn tracer(sampler: &str, trust: Trust) -> Rc<Tracer> {
        let (queue, _) = SpanQueue::new(Arc::default());
        let sampler = Sampler::named(sampler).unwrap();
        Rc::new(Tracer::new(sampler, trust, queue))
    }

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.parse().unwrap());
        headers.insert(TRACESTATE, "rojo=1".parse().unwrap());
        headers
    }

    fn told(trace: &Trace) -> String {
        String::from_utf8(trace.told().unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_trace_goes_on_under_a_span_of_the_gateways_own() {
        let mut headers = headers(SAMPLED);
        let tracer = tracer("parentbased_always_off", Trust::All);
        let trace = tracer.begin(&mut headers, false, Instant::now());
        assert!(trace.is_recorded() && !headers.contains_key(TRACEPARENT));
        assert_eq!(headers[TRACESTATE], "rojo=1");
        let told = told(&trace);
        assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-01"));
        assert!(!told.contains("b7ad6b7169203331"), "{told}");
    }

    #[tokio::test]
    async fn who_does_not_record_does_not_stand_between_those_who_might() {
        let tracer = tracer("parentbased_always_on", Trust::All);
        let trace = tracer.begin(&mut headers(UNSAMPLED), false, Instant::now());
        assert!(!trace.is_recorded());
        assert_eq!(told(&trace), UNSAMPLED);
    }

    #[tokio::test]
    async fn a_changed_decision_comes_with_a_new_id() {
        let tracer = tracer("always_off", Trust::All);
        let trace = tracer.begin(&mut headers(SAMPLED), false, Instant::now());
        let told = told(&trace);
        assert!(!trace.is_recorded() && told.ends_with("-00"));
        assert!(!told.contains("b7ad6b7169203331"), "{told}");
    }

    #[tokio::test]
    async fn a_malformed_or_distrusted_caller_starts_no_trace_here() {
        for (field, trust, is_proxy) in [
            ("malformed", Trust::All, true),
            (SAMPLED, Trust::None, true),
            (SAMPLED, Trust::Proxies, false),
        ] {
            let mut headers = headers(field);
            let trace = tracer("parentbased_always_off", trust).begin(
                &mut headers,
                is_proxy,
                Instant::now(),
            );
            assert!(headers.is_empty(), "{headers:?}");
            let told = told(&trace);
            assert!(!told.contains("0af7651916cd43dd8448eb211c80319c"), "{told}");
            assert!(told.ends_with("-02"), "{told}");
        }
        let proxies = tracer("parentbased_always_off", Trust::Proxies);
        let trace = proxies.begin(&mut headers(SAMPLED), true, Instant::now());
        assert!(trace.is_recorded());
    }

    #[tokio::test]
    async fn a_state_without_a_trace_is_dropped() {
        let mut headers = headers(SAMPLED);
        headers.remove(TRACEPARENT);
        tracer("always_on", Trust::All).begin(&mut headers, false, Instant::now());
        assert!(headers.is_empty());
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let counts = Arc::new(Counts::default());
        let (queue, waiting) = SpanQueue::new(Arc::clone(&counts));
        let spans = |count: usize| (0..count).map(|_| super::super::span::empty()).collect();
        for _ in 0..MOST_WAITING / FULL {
            queue.send(spans(FULL));
        }
        assert_eq!(counts.overflowed(), 0);
        queue.send(spans(3));
        assert_eq!(counts.overflowed(), 3);
        drop(waiting);
    }
}
