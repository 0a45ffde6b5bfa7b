//! The access log: one line per request.
//!
//! It must never slow a request down. A line is written into the worker's own buffer when its request is over; the
//! buffer is handed to the thread that owns the sink when it is full, or shortly after its first line. When the sink
//! does not keep up, its queue is full and whole buffers are dropped and counted: traffic does not wait for a log.

mod entry;
mod format;
mod sink;
mod timestamp;

pub(crate) use entry::{Entry, Exchange, UpstreamFacts};
pub(crate) use format::Style;
pub(crate) use sink::{Sink, SinkError, SinkHandle};

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::counters::Failures;

/// A buffer of this many bytes is handed over at once.
const FULL: usize = 32 * 1024;
/// Most lines are shorter than this: the last one of a buffer does not make it move.
const ROOM: usize = 1024;
/// A line is handed over after this long at the latest.
const DELAY: Duration = Duration::from_millis(100);

/// The access log of one worker.
#[derive(Debug)]
pub(crate) struct AccessLog {
    /// None when the log is off.
    sink: Option<SinkHandle>,
    style: Style,
    buffer: RefCell<Vec<u8>>,
    /// The buffer has got its first line.
    begun: Notify,
    failures: Arc<Failures>,
}

impl AccessLog {
    pub(crate) fn new(sink: Option<SinkHandle>, style: Style, failures: Arc<Failures>) -> Self {
        Self {
            sink,
            style,
            buffer: RefCell::default(),
            begun: Notify::new(),
            failures,
        }
    }

    /// Hands lines over that would otherwise wait for more; runs as long as the worker.
    pub(crate) async fn flush_in_time(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(DELAY).await;
            self.flush();
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        let buffer = self.buffer.take();
        if let (Some(sink), false) = (&self.sink, buffer.is_empty()) {
            sink.send(buffer);
        }
    }

    fn write(&self, entry: &Entry) {
        if entry.has_failed() {
            self.failures
                .note(&entry.failure(entry.endpoint().as_deref()));
        }
        if self.sink.is_none() {
            return;
        }
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            self.begun.notify_one();
            buffer.reserve(FULL + ROOM);
        }
        format::push_line(&mut buffer, entry, self.style);
        if buffer.len() >= FULL {
            drop(buffer);
            self.flush();
        }
    }
}
