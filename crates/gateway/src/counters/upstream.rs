//! What is counted of an upstream, its endpoints, and the connections to them.

use std::sync::Arc;
use std::time::Duration;

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::by::By;
use super::histogram::Histogram;
use super::shards::{Count, Level, Shards};

/// What is counted of one upstream.
pub(crate) type UpstreamCounts = Shards<UpstreamShard>;

/// What one worker counts of an upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamShard {
    /// From the beginning of an attempt to the answer's head, or to the failure.
    pub(crate) duration: Histogram,
    /// What attempts have come to, by [`Attempted`].
    pub(crate) attempts: By<{ Attempted::NAMES.len() }>,
    /// Attempts over connections that were there.
    pub(crate) reused: Count,
    /// Connections that were made.
    pub(crate) made: Count,
    /// Connections that could not be made.
    pub(crate) not_made: Count,
    /// TLS handshakes, by [`Handshake`].
    pub(crate) handshakes: By<{ Handshake::ALL.len() }>,
}

/// A TLS handshake with a backend that has come to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handshake {
    is_1_3: bool,
    resumed: bool,
}

impl Handshake {
    pub(crate) const ALL: [Self; 4] = [
        Self::new(false, false),
        Self::new(false, true),
        Self::new(true, false),
        Self::new(true, true),
    ];

    const fn new(is_1_3: bool, resumed: bool) -> Self {
        Self { is_1_3, resumed }
    }

    /// By what it has come to.
    pub(crate) fn of(facts: &CommonState) -> Self {
        Self {
            is_1_3: facts.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            resumed: facts.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Its place among all.
    pub(crate) const fn index(self) -> usize {
        self.is_1_3 as usize * 2 + self.resumed as usize
    }

    /// As metrics name version and resumption.
    pub(crate) const fn names(self) -> [&'static str; 2] {
        [
            if self.is_1_3 { "1.3" } else { "1.2" },
            if self.resumed { "true" } else { "false" },
        ]
    }
}

/// What is counted of one endpoint, as configured.
pub(crate) type EndpointCounts = Shards<EndpointShard>;

/// What one worker counts of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointShard {
    /// How often it was picked.
    pub(crate) picks: Count,
    /// Attempts there that brought no answer.
    pub(crate) failures: Count,
}

/// What is counted of the connections to one peer.
pub(crate) type PeerCounts = Shards<PeerShard>;

/// What one worker counts of its connections to a peer.
#[derive(Debug, Default)]
pub(crate) struct PeerShard {
    pub(crate) open: Level,
    pub(crate) idle: Level,
}

/// Counts a connection to a peer as open for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<PeerCounts>);

/// What an attempt has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempted {
    /// An answer of this class: 1 to 5.
    Answered(u8),
    /// No answer.
    Failed,
    /// The client has gone, or has not sent its body.
    Cancelled,
}

impl UpstreamShard {
    /// Counts an attempt that took so long; `endpoint` is whom it went to.
    #[inline]
    pub(crate) fn attempted(
        &self,
        endpoint: Option<&EndpointShard>,
        attempted: Attempted,
        time: Duration,
    ) {
        self.attempts.increment(attempted.index());
        self.duration.observe(time);
        if let Some(endpoint) = endpoint {
            endpoint.picks.increment();
            if attempted == Attempted::Failed {
                endpoint.failures.increment();
            }
        }
    }
}

impl Attempted {
    pub(crate) const NAMES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "failed", "cancelled"];

    /// Its place among the names.
    #[inline]
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Answered(class) => usize::from(class.clamp(1, 5)) - 1,
            Self::Failed => 5,
            Self::Cancelled => 6,
        }
    }
}

impl OpenConnection {
    pub(crate) fn new(counts: &Arc<PeerCounts>) -> Self {
        if let Some(own) = counts.own() {
            own.open.rise();
        }
        Self(Arc::clone(counts))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        // A connection never leaves its worker.
        if let Some(own) = self.0.own() {
            own.open.fall();
        }
    }
}
