//! A breaker that keeps a list of all calls and looks through it whenever something is asked.

use std::time::Duration;

use circuit_breaker::{Cause, Counts, Policy, Rejected, State, Transition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure,
    None,
}

/// A call, by when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    at: Duration,
    generation: u64,
}

#[derive(Debug)]
struct Ended {
    bucket: i128,
    generation: u64,
    failed: bool,
    slow: bool,
}

#[derive(Debug)]
pub(crate) struct Reference {
    policy: Policy,
    state: State,
    /// Changes so far.
    generation: u64,
    /// All calls with a verdict of their generation.
    log: Vec<Ended>,
    open_until: Duration,
    reopenings: i32,
    /// Trials of this half-open time without a verdict.
    in_flight: u32,
}

impl Reference {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            policy: policy.clone(),
            state: State::Closed,
            generation: 0,
            log: Vec::new(),
            open_until: Duration::ZERO,
            reopenings: 0,
            in_flight: 0,
        }
    }

    fn bucket(&self, now: Duration) -> i128 {
        (now.as_nanos() / (self.policy.window.as_nanos() / 10)).cast_signed()
    }

    fn enter(&mut self, state: State, cause: Cause) -> Option<Transition> {
        if self.state == state {
            return None;
        }
        let from = std::mem::replace(&mut self.state, state);
        self.generation += 1;
        self.in_flight = 0;
        Some(Transition {
            from,
            to: state,
            cause,
        })
    }

    fn open(&mut self, now: Duration, cause: Cause) -> Option<Transition> {
        if self.state == State::Closed {
            self.reopenings = 0;
        } else {
            self.reopenings += 1;
        }
        let open = &self.policy.open;
        let grown = open.base.as_secs_f64() * open.multiplier.powi(self.reopenings);
        let until = now
            + if grown < open.max.as_secs_f64() {
                Duration::from_secs_f64(grown)
            } else {
                open.max
            };
        // A microsecond is the shortest time that it knows.
        let until = until.as_nanos().div_ceil(1_000);
        self.open_until = Duration::from_micros(u64::try_from(until).unwrap());
        self.enter(State::Open, cause)
    }

    pub(crate) fn begin(&mut self, now: Duration) -> Result<(Begun, Option<Transition>), Rejected> {
        let mut change = None;
        match self.state {
            State::Closed | State::ForcedClosed => {}
            State::ForcedOpen => return Err(self.rejected(self.policy.open.base)),
            State::Open => {
                if now < self.open_until {
                    return Err(self.rejected(self.open_until - now));
                }
                change = self.enter(State::HalfOpen, Cause::TimeOver);
                self.in_flight = 1;
            }
            State::HalfOpen => {
                let begun = self.in_flight + self.successes();
                let most = self.policy.permitted.max(self.policy.successes);
                if self.in_flight == self.policy.permitted || begun == most {
                    let wait = self.policy.open.base.min(Duration::from_secs(1));
                    return Err(self.rejected(wait));
                }
                self.in_flight += 1;
            }
        }
        let begun = Begun {
            at: now,
            generation: self.generation,
        };
        Ok((begun, change))
    }

    fn rejected(&self, retry_after: Duration) -> Rejected {
        Rejected {
            state: self.state,
            retry_after,
        }
    }

    fn successes(&self) -> u32 {
        let present = self
            .log
            .iter()
            .filter(|call| call.generation == self.generation);
        u32::try_from(present.filter(|call| !call.failed).count()).unwrap()
    }

    pub(crate) fn end(
        &mut self,
        call: Begun,
        verdict: Verdict,
        now: Duration,
    ) -> Option<Transition> {
        if call.generation != self.generation {
            return None;
        }
        if self.state == State::HalfOpen {
            self.in_flight -= 1;
        }
        if verdict == Verdict::None {
            return None;
        }
        let latency = now.saturating_sub(call.at);
        let slow = self
            .policy
            .slow_calls
            .is_some_and(|slow| latency > slow.longer_than);
        let failed = verdict == Verdict::Failure;
        self.log.push(Ended {
            bucket: self.bucket(now),
            generation: call.generation,
            failed,
            slow,
        });
        match self.state {
            State::HalfOpen if failed => self.open(now, Cause::TrialFailed),
            State::HalfOpen if slow => self.open(now, Cause::TrialSlow),
            State::HalfOpen if self.successes() == self.policy.successes => {
                self.enter(State::Closed, Cause::TrialsSucceeded)
            }
            State::Closed if failed || slow => self.judge(failed, now),
            _ => None,
        }
    }

    fn judge(&mut self, failed: bool, now: Duration) -> Option<Transition> {
        let present = self
            .log
            .iter()
            .rev()
            .take_while(|call| call.generation == self.generation);
        let in_a_row = u32::try_from(present.take_while(|call| call.failed).count()).unwrap();
        if failed && self.policy.consecutive_failures == Some(in_a_row) {
            return self.open(now, Cause::ConsecutiveFailures);
        }
        let counts = self.counts(now);
        if counts.calls < u64::from(self.policy.minimum_calls) {
            return None;
        }
        let share = |part: u64| part as f64 / counts.calls as f64;
        if self
            .policy
            .failure_ratio
            .is_some_and(|ratio| share(counts.failures) >= ratio)
        {
            return self.open(now, Cause::FailureRatio);
        }
        if self
            .policy
            .slow_calls
            .is_some_and(|slow| share(counts.slow) >= slow.ratio)
        {
            return self.open(now, Cause::SlowCalls);
        }
        None
    }

    pub(crate) fn counts(&self, now: Duration) -> Counts {
        let has_window = self.policy.failure_ratio.is_some() || self.policy.slow_calls.is_some();
        if self.state != State::Closed || !has_window {
            return Counts::default();
        }
        let present = self
            .log
            .iter()
            .filter(|call| call.generation == self.generation);
        // A clock that is behind does not look back further than the others.
        let newest = present.clone().map(|call| call.bucket).max();
        let oldest = newest.max(Some(self.bucket(now))).map(|last| last - 9);
        let inside = || present.clone().filter(|call| Some(call.bucket) >= oldest);
        Counts {
            calls: inside().count() as u64,
            failures: inside().filter(|call| call.failed).count() as u64,
            slow: inside().filter(|call| call.slow).count() as u64,
        }
    }

    pub(crate) fn force_open(&mut self) -> Option<Transition> {
        self.enter(State::ForcedOpen, Cause::Operator)
    }

    pub(crate) fn force_closed(&mut self) -> Option<Transition> {
        self.enter(State::ForcedClosed, Cause::Operator)
    }

    pub(crate) fn resume(&mut self) -> Option<Transition> {
        self.enter(State::Closed, Cause::Operator)
    }

    pub(crate) fn state(&self, now: Duration) -> State {
        match self.state {
            State::Open if now >= self.open_until => State::HalfOpen,
            state => state,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}
