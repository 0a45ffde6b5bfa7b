//! What tiers have done, counted for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a response may lie besides the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// A folder of this gateway's own.
    Disk,
    /// What several gateways share.
    Redis,
}

/// What a question to a tier has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It had a response that answers the request, or can be validated.
    Hit,
    /// It had none.
    Miss,
    /// What it had was of no use: damaged, of another version, purged, or for another request.
    Unfit,
    /// It took too long, or too many were asking.
    TimedOut,
    /// It failed, or is not there.
    Failed,
}

/// What has become of a response that a tier was to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It was handed over.
    Written,
    /// It is larger than is kept there.
    TooLarge,
    /// Too many were waiting, or there is no room.
    Dropped,
    /// The tier failed, or is not there.
    Failed,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct TierCounts {
    answers: [[AtomicU64; Answer::ALL.len()]; Tier::ALL.len()],
    writes: [[AtomicU64; Write::ALL.len()]; Tier::ALL.len()],
}

impl Tier {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Disk, Self::Redis];

    /// As `Cache-Status` and metrics have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Redis => "redis",
        }
    }
}

impl Answer {
    /// All of them, in the order of their counts.
    pub(crate) const ALL: [Self; 5] = [
        Self::Hit,
        Self::Miss,
        Self::Unfit,
        Self::TimedOut,
        Self::Failed,
    ];

    /// As metrics have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unfit => "unfit",
            Self::TimedOut => "timeout",
            Self::Failed => "error",
        }
    }
}

impl Write {
    /// All of them, in the order of their counts.
    pub(crate) const ALL: [Self; 4] = [Self::Written, Self::TooLarge, Self::Dropped, Self::Failed];

    /// As metrics have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::TooLarge => "too-large",
            Self::Dropped => "dropped",
            Self::Failed => "error",
        }
    }
}

impl TierCounts {
    pub(super) fn answered(&self, tier: Tier, answer: Answer) {
        self.answers[tier as usize][answer as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, tier: Tier, write: Write) {
        self.writes[tier as usize][write as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often a tier has answered so.
    pub(crate) fn answers(&self, tier: Tier, answer: Answer) -> u64 {
        self.answers[tier as usize][answer as usize].load(Ordering::Relaxed)
    }

    /// What has become of responses that it was to keep.
    pub(crate) fn writes(&self, tier: Tier, write: Write) -> u64 {
        self.writes[tier as usize][write as usize].load(Ordering::Relaxed)
    }
}
