//! What a breaker tells those who ask.

use std::time::Duration;

/// What callers find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All calls pass.
    Closed,
    /// No call passes.
    Open,
    /// Some calls pass, to try.
    HalfOpen,
    /// No call passes, because an operator wants it so.
    ForcedOpen,
    /// All calls pass and none counts, because an operator wants it so.
    ForcedClosed,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Why a breaker has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Opened: too many calls failed one after the other.
    ConsecutiveFailures,
    /// Opened: too large a share of the calls failed.
    FailureRatio,
    /// Opened: too large a share of the calls was slow.
    SlowCalls,
    /// Half-open: the time is over.
    TimeOver,
    /// Opened again: a trial failed.
    TrialFailed,
    /// Opened again: a trial was slow.
    TrialSlow,
    /// Closed: enough trials succeeded.
    TrialsSucceeded,
    /// An operator wanted it.
    Operator,
}

/// How often a breaker has changed. By an operator, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transitions {
    /// Times that it was closed again.
    pub closed: u64,
    /// Times that it opened, from closed or from half-open.
    pub opened: u64,
    /// Times that it became half-open.
    pub half_opened: u64,
}

/// A call that must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker lets no call pass; try again in {retry_after:?}")]
pub struct Rejected {
    /// Why: open, forced open, or half-open with all places taken.
    pub state: State,
    /// When a call can pass at the soonest. A guess where nobody knows: for an operator's mind the base of the open
    /// time, for a trial's verdict a second.
    pub retry_after: Duration,
}
