//! What is counted of handshakes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Handshakes of all workers, and what became of certificates that were read anew. A handshake costs a thousand times what
/// counting it does, so that workers share the counters.
#[derive(Debug, Default)]
pub(crate) struct TlsCounts {
    handshakes: [[AtomicU64; 2]; Version::ALL.len()],
    failures: [AtomicU64; Failure::ALL.len()],
    reloads: [AtomicU64; 2],
}

/// The version of TLS that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// Why a handshake has come to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client was too slow.
    Timeout,
    /// The client has gone, or its connection has broken.
    Closed,
    /// It speaks no TLS.
    NotTls,
    /// Its certificate is not good, or it has none.
    ClientCertificate,
    /// The two have nothing in common, or one of them breaks the rules.
    Protocol,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// As logs and metrics name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl Failure {
    pub(crate) const ALL: [Self; 5] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::ClientCertificate,
        Self::Protocol,
    ];

    /// As metrics name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not-tls",
            Self::ClientCertificate => "client-certificate",
            Self::Protocol => "protocol",
        }
    }
}

impl TlsCounts {
    pub(super) fn count_handshake(&self, version: Version, resumed: bool) {
        self.handshakes[version as usize][usize::from(resumed)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_reload(&self, good: bool) {
        self.reloads[usize::from(good)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handshakes(&self, version: Version, resumed: bool) -> u64 {
        self.handshakes[version as usize][usize::from(resumed)].load(Ordering::Relaxed)
    }

    pub(crate) fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn reloads(&self, good: bool) -> u64 {
        self.reloads[usize::from(good)].load(Ordering::Relaxed)
    }
}
