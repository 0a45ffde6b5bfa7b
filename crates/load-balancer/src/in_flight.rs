//! A request on its way.

use std::sync::Arc;
use std::time::Duration;

use crate::load::{Counted, Load, nanoseconds};

/// A request in flight: counted with its endpoint until this is dropped.
///
/// Tell it of the answer's head ([`answered`](Self::answered)), and drop it when the exchange is over, body and all:
/// latency is the time to the head, as a body may take as long as its reader likes, but its endpoint is busy to the
/// end. What is dropped without an answer has not been asked of the endpoint, as far as its record goes.
#[derive(Debug)]
pub struct InFlight {
    load: Arc<Load>,
    counted: Counted,
    /// Nanoseconds. None once it has been answered.
    started: Option<u64>,
}

/// How a request to an endpoint went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer below 500.
    Success,
    /// A 5xx that is not a [`GatewayFailure`](Self::GatewayFailure): perhaps the request's fault.
    ServerError,
    /// A 502, 503 or 504, or no answer: not connected, timed out, broken off. The endpoint's fault.
    GatewayFailure,
    /// The client went away before there was an answer: the endpoint was no quicker than that, and nothing else is
    /// known.
    Cancelled,
}

/// Failures of one endpoint without a success between them, this one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// Failures of any kind.
    pub server_errors: u32,
    /// The latest of them that were [gateway failures](Outcome::GatewayFailure) without anything else in between.
    pub gateway_failures: u32,
}

impl InFlight {
    #[inline]
    pub(crate) fn start(load: &Arc<Load>, now: Duration) -> Self {
        let now = nanoseconds(now);
        // Before anything is read of it: a write to a cache line that others write to as well fetches it once, a
        // read and then a write twice.
        let load = Arc::clone(load);
        Self {
            counted: load.begin(now),
            load,
            started: Some(now),
        }
    }

    /// The request has waited for something else since it was started: its latency counts from `now` on.
    pub fn begins(&mut self, now: Duration) {
        if let Some(started) = &mut self.started {
            *started = nanoseconds(now);
        }
    }

    /// Records that the answer's head came at `now`, or that there is none to come. Only the first call counts.
    #[inline]
    pub fn answered(&mut self, outcome: Outcome, now: Duration) -> Streak {
        let Some(started) = self.started.take() else {
            return Streak::default();
        };
        let now = nanoseconds(now);
        self.load.record(outcome, now.saturating_sub(started), now)
    }

    /// The endpoint's load.
    #[must_use]
    pub const fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        if self.started.is_some() {
            self.load.record_unanswered();
        }
        self.load.end(self.counted);
    }
}

impl Outcome {
    /// What an answer with this status is.
    #[must_use]
    pub const fn from_status(status: u16) -> Self {
        match status {
            502..=504 => Self::GatewayFailure,
            500..=599 => Self::ServerError,
            _ => Self::Success,
        }
    }
}

impl Streak {
    /// From the word that [`Load`] counts in.
    pub(crate) const fn of(word: u64) -> Self {
        Self {
            server_errors: word as u32,
            gateway_failures: (word >> 32) as u32,
        }
    }
}
