//! The breaker: the pure steps of `phase.rs`, made atomic.

use std::sync::Arc;
use std::time::Duration;

use super::phase::{GENERATIONS, Phase, Ticket};
use super::policy::{Excess, Rules};
use super::window::{Counts, Outcome, Window};
use super::{Cause, Permit, Policy, Rejected, State, Transition, Transitions};
use crate::error::PolicyError;
use crate::sync::{AtomicU64, Ordering};
use crate::time::nanoseconds;

/// Decides whether something is called, by what became of the calls before. For any number of threads.
///
/// ```text
///             a rule is broken                 the time is over
///   closed ─────────────────────▶ open ─────────────────────────▶ half-open
///      ▲                            ▲                              │      │
///      │                            └──────── a trial fails ───────┘      │
///      └───────────────────── enough trials succeed ──────────────────────┘
/// ```
///
/// **Closed**, all calls pass. Their results are counted, and a failure or a slow call that breaks one of the policy's
/// rules opens the breaker. **Open**, no call passes until a time is over. **Half-open**, so many calls pass as the
/// policy permits, and no more: they are trials. If enough of them succeed, the breaker closes and everything counted
/// is forgotten; if one fails, or is slow where slow calls are a rule, it is open again, for longer if the policy says
/// so. Nothing happens by itself: the breaker becomes half-open when the first caller comes after the time is over.
/// An operator can force it open or closed; then nothing counts until it is resumed, which closes it.
///
/// What holds at any time, whatever threads do:
///
/// - a caller gets its answer at once: nobody waits for a lock, in no state;
/// - a half-open breaker has never more calls in flight than are permitted, and when permits are asked for at the same
///   time, exactly the permitted number is given out;
/// - each permit counts once, or gives its place back when it is dropped: no place is lost;
/// - results of calls that began before a change of state do not count after it;
/// - of each change of state exactly one caller is told.
///
/// A closed breaker costs a load to pass. A success costs a load when only consecutive failures are a rule, and nothing
/// has failed since the last success: threads share nothing that is written to. With a ratio it costs one
/// compare-and-swap on a counter that is, given enough stripes, the thread's own.
///
/// All times are given as the time since a fixed point, the same for all calls. Threads whose clocks disagree by a
/// little do no harm.
#[derive(Debug)]
pub struct Breaker {
    rules: Rules,
    /// A [`Phase`].
    word: AtomicU64,
    /// There if a ratio is a rule.
    window: Option<Window>,
    /// The last generation that was drawn.
    generation: AtomicU64,
    changes: Changes,
}

/// How often the breaker has changed, by what it became.
#[derive(Debug, Default)]
struct Changes {
    closed: AtomicU64,
    opened: AtomicU64,
    half_opened: AtomicU64,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// When a value of `policy` is out of its range, or when it has no rule that opens the breaker.
    pub fn new(policy: &Policy) -> Result<Self, PolicyError> {
        let rules = Rules::new(policy)?;
        Ok(Self {
            rules,
            word: AtomicU64::new(Phase::closed(0).word()),
            window: policy
                .needs_window()
                .then(|| Window::new(nanoseconds(policy.window), policy.threads)),
            generation: AtomicU64::new(0),
            changes: Changes::default(),
        })
    }

    /// Asks at `now` to make a call.
    ///
    /// # Errors
    /// When the breaker is open, or half-open and all places are taken.
    #[inline]
    pub fn try_acquire(&self, now: Duration) -> Result<Permit<&Self>, Rejected> {
        let now = nanoseconds(now);
        let (ticket, transition) = self.admit(now)?;
        Ok(Permit::new(self, ticket, now, transition))
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that outlives the borrow.
    ///
    /// # Errors
    /// When the breaker is open, or half-open and all places are taken.
    #[inline]
    pub fn try_acquire_owned(
        self: &Arc<Self>,
        now: Duration,
    ) -> Result<Permit<Arc<Self>>, Rejected> {
        let now = nanoseconds(now);
        let (ticket, transition) = self.admit(now)?;
        Ok(Permit::new(Arc::clone(self), ticket, now, transition))
    }

    /// What a caller finds at `now`. An open breaker is half-open from the moment on that its time is over, though it
    /// changes only when a caller comes.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match self.phase() {
            phase @ Phase::Open { .. } => match phase.admit(&self.rules, nanoseconds(now), || 0) {
                Ok(_) => State::HalfOpen,
                Err(rejected) => rejected.state,
            },
            phase => phase.state(),
        }
    }

    /// What has been counted in the window that ends at `now`, since the breaker was closed. Nothing if no ratio is a
    /// rule, and in other states.
    #[must_use]
    pub fn counts(&self, now: Duration) -> Counts {
        match (&self.window, self.phase()) {
            (Some(window), Phase::Closed { generation, .. }) => {
                window.counts(generation, nanoseconds(now))
            }
            _ => Counts::default(),
        }
    }

    /// How often the breaker has changed, by what it became. A change is in here when the caller who made it has been
    /// told.
    #[must_use]
    pub fn transitions(&self) -> Transitions {
        Transitions {
            closed: self.changes.closed.load(Ordering::Relaxed),
            opened: self.changes.opened.load(Ordering::Relaxed),
            half_opened: self.changes.half_opened.load(Ordering::Relaxed),
        }
    }

    /// The number of changes so far: another number, another state.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let Transitions {
            closed,
            opened,
            half_opened,
        } = self.transitions();
        closed + opened + half_opened
    }

    /// Lets no call pass until [`resume`](Self::resume). Returns the change, if it is one.
    pub fn force_open(&self) -> Option<Transition> {
        self.change(Cause::Operator, |_| Some(Phase::ForcedOpen))
    }

    /// Lets all calls pass until [`resume`](Self::resume), whatever becomes of them. Returns the change, if it is one.
    pub fn force_closed(&self) -> Option<Transition> {
        self.change(Cause::Operator, |_| Some(Phase::ForcedClosed))
    }

    /// Closes the breaker, whatever state it is in, with nothing counted, and lets its policy decide from here on.
    /// Returns the change, if it is one.
    pub fn resume(&self) -> Option<Transition> {
        self.change(Cause::Operator, |phase| match phase {
            Phase::Closed { .. } => None,
            _ => Some(Phase::closed(self.fresh_generation())),
        })
    }

    #[inline]
    fn phase(&self) -> Phase {
        Phase::from_word(self.word.load(Ordering::Acquire))
    }

    /// A generation that no call has begun in.
    fn fresh_generation(&self) -> u64 {
        self.generation
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
            & GENERATIONS
    }

    #[inline]
    fn admit(&self, now: u64) -> Result<(Ticket, Option<Transition>), Rejected> {
        match self.phase() {
            Phase::Closed { generation, .. } => Ok((Ticket::Counted(generation), None)),
            _ => self.admit_unless_open(now),
        }
    }

    #[cold]
    fn admit_unless_open(&self, now: u64) -> Result<(Ticket, Option<Transition>), Rejected> {
        let mut admitted = Ticket::Uncounted;
        let mut rejected = None;
        let transition = self.change(Cause::TimeOver, |phase| {
            match phase.admit(&self.rules, now, || self.fresh_generation()) {
                Ok((next, ticket)) => {
                    (admitted, rejected) = (ticket, None);
                    Some(next)
                }
                Err(why) => {
                    rejected = Some(why);
                    None
                }
            }
        });
        match rejected {
            Some(rejected) => Err(rejected),
            None => Ok((admitted, transition)),
        }
    }

    #[inline]
    pub(super) fn succeeded(&self, ticket: Ticket, latency: u64, now: u64) -> Option<Transition> {
        let slow = self.rules.is_slow(latency);
        match ticket {
            Ticket::Uncounted => None,
            Ticket::Trial(_) if slow => self.trial_failed(Cause::TrialSlow, ticket, now),
            Ticket::Trial(_) => self.trial_succeeded(ticket),
            Ticket::Counted(generation) => {
                match self.phase() {
                    Phase::Closed {
                        generation: present,
                        failures,
                    } if present == generation => {
                        if failures > 0 {
                            self.forget_failures(ticket);
                        }
                    }
                    _ => return None,
                }
                let outcome = if slow {
                    Outcome::SlowSuccess
                } else {
                    Outcome::Success
                };
                self.record(generation, now, outcome)
            }
        }
    }

    pub(super) fn failed(&self, ticket: Ticket, latency: u64, now: u64) -> Option<Transition> {
        match ticket {
            Ticket::Uncounted => None,
            Ticket::Trial(_) => self.trial_failed(Cause::TrialFailed, ticket, now),
            Ticket::Counted(generation) => {
                let in_a_row = self.change(Cause::ConsecutiveFailures, |phase| {
                    phase.fail(ticket, &self.rules, now)
                });
                let outcome = if self.rules.is_slow(latency) {
                    Outcome::SlowFailure
                } else {
                    Outcome::Failure
                };
                in_a_row.or_else(|| self.record(generation, now, outcome))
            }
        }
    }

    #[cold]
    fn trial_succeeded(&self, ticket: Ticket) -> Option<Transition> {
        self.change(Cause::TrialsSucceeded, |phase| {
            phase.succeed(ticket, &self.rules, || self.fresh_generation())
        })
    }

    #[cold]
    fn trial_failed(&self, cause: Cause, ticket: Ticket, now: u64) -> Option<Transition> {
        self.change(cause, |phase| phase.fail(ticket, &self.rules, now))
    }

    /// The call of `ticket` has ended without a verdict.
    #[cold]
    pub(super) fn give_back(&self, ticket: Ticket) {
        self.update(|phase| phase.give_back(ticket));
    }

    #[cold]
    fn forget_failures(&self, ticket: Ticket) {
        self.update(|phase| phase.succeed(ticket, &self.rules, || self.fresh_generation()));
    }

    /// Counts what became of a call of `generation`, and opens the breaker if that makes a ratio too high.
    #[inline]
    fn record(&self, generation: u64, now: u64, outcome: Outcome) -> Option<Transition> {
        let window = self.window.as_ref()?;
        let is_current = || self.phase().counts(Ticket::Counted(generation));
        window.record(generation, now, outcome, is_current);
        if outcome == Outcome::Success || !is_current() {
            return None;
        }
        self.judge(window, generation, now)
    }

    #[cold]
    fn judge(&self, window: &Window, generation: u64, now: u64) -> Option<Transition> {
        let cause = match self.rules.excess(window.counts(generation, now))? {
            Excess::Failures => Cause::FailureRatio,
            Excess::SlowCalls => Cause::SlowCalls,
        };
        let ticket = Ticket::Counted(generation);
        self.change(cause, |phase| phase.trip(ticket, &self.rules, now))
    }

    /// Does a step that may change the state, and tells if it did.
    fn change(&self, cause: Cause, step: impl FnMut(Phase) -> Option<Phase>) -> Option<Transition> {
        let (before, after) = self.update(step)?;
        let (from, to) = (before.state(), after.state());
        if from == to {
            return None;
        }
        let changes = match to {
            State::Closed | State::ForcedClosed => &self.changes.closed,
            State::Open | State::ForcedOpen => &self.changes.opened,
            State::HalfOpen => &self.changes.half_opened,
        };
        changes.fetch_add(1, Ordering::Relaxed);
        Some(Transition { from, to, cause })
    }

    /// Puts in the phase that `step` makes of the present one. None if that is none, or the same.
    #[inline]
    fn update(&self, mut step: impl FnMut(Phase) -> Option<Phase>) -> Option<(Phase, Phase)> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let phase = Phase::from_word(word);
            let next = step(phase).filter(|next| *next != phase)?;
            let swap = self.word.compare_exchange_weak(
                word,
                next.word(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swap {
                Ok(_) => return Some((phase, next)),
                Err(found) => word = found,
            }
        }
    }
}
