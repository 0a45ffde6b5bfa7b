//! Where a breaker stands, and what changes it: pure.
//!
//! Everything that decides about a call is in one word of 64 bits: an operation of the breaker reads the word, lets a
//! function of this file say what comes next, and puts that in with compare-and-swap; when another thread was quicker
//! it starts over. So each change happens at one instant, whole, and between two of them nothing can be seen, lost or
//! done twice. That is what the numbers of bits are for.
//!
//! ```text
//!              63                     29 28      19 18       9 8         3 2    0
//! closed       generation (35)          | failures in a row (26)         | kind
//! half-open    generation (35)          | successes | in flight | reopenings | kind
//! open         until, in microseconds (55)                  | reopenings | kind
//! forced       0                                                         | kind
//! ```
//!
//! A generation is a number that no closed or half-open time had before: a result whose ticket bears another one is of
//! a call that began in another state, and changes nothing. An open breaker needs none, because no result counts in it.
//! 35 bits last for a thousand years of one change a second.

use std::time::Duration;

use super::policy::Rules;
use super::{Rejected, State};

const KIND_BITS: u32 = 3;
const REOPENINGS_BITS: u32 = 6;
const TRIALS_BITS: u32 = 10;
const FAILURES_BITS: u32 = 26;
const REOPENINGS: u32 = KIND_BITS;
const FAILURES: u32 = KIND_BITS;
const UNTIL: u32 = REOPENINGS + REOPENINGS_BITS;
const IN_FLIGHT: u32 = UNTIL;
const SUCCESSES: u32 = IN_FLIGHT + TRIALS_BITS;
const GENERATION: u32 = SUCCESSES + TRIALS_BITS;
/// The largest generation.
pub(super) const GENERATIONS: u64 = u64::MAX >> GENERATION;

/// More re-openings than this are not told apart: with any multiplier the time has long stopped growing, or it does not
/// grow to speak of.
const MOST_REOPENINGS: u8 = (1 << REOPENINGS_BITS) - 1;
const MICROSECOND: u64 = 1_000;

/// When a caller may try again whom a half-open breaker has no place for. The verdict takes as long as a call takes,
/// which nobody knows; this is the least that Retry-After can say.
const VERDICT: u64 = 1_000_000_000;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed {
        generation: u64,
        /// Failures since the last success.
        failures: u32,
    },
    Open {
        /// Microseconds; the first in which a trial may begin.
        until: u64,
        /// How often trials have failed since it was closed.
        reopenings: u8,
    },
    HalfOpen {
        generation: u64,
        /// Trials that have no verdict yet.
        in_flight: u32,
        successes: u32,
        reopenings: u8,
    },
    ForcedOpen,
    ForcedClosed,
}

/// What a call was admitted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ticket {
    /// While the breaker was closed, in this generation.
    Counted(u64),
    /// While it was half-open, in this generation: the call holds a place.
    Trial(u64),
    /// Its result counts nowhere: the breaker was forced, or the result has been told.
    Uncounted,
}

impl Phase {
    #[inline]
    pub(super) fn from_word(word: u64) -> Self {
        let generation = word >> GENERATION;
        let reopenings = u8::try_from(bits(word, REOPENINGS, REOPENINGS_BITS)).unwrap_or(0);
        match word & ((1 << KIND_BITS) - 1) {
            0 => Self::Closed {
                generation,
                failures: bits(word, FAILURES, FAILURES_BITS),
            },
            1 => Self::Open {
                until: word >> UNTIL,
                reopenings,
            },
            2 => Self::HalfOpen {
                generation,
                in_flight: bits(word, IN_FLIGHT, TRIALS_BITS),
                successes: bits(word, SUCCESSES, TRIALS_BITS),
                reopenings,
            },
            3 => Self::ForcedOpen,
            _ => Self::ForcedClosed,
        }
    }

    #[inline]
    pub(super) fn word(self) -> u64 {
        match self {
            Self::Closed {
                generation,
                failures,
            } => generation << GENERATION | u64::from(failures) << FAILURES,
            Self::Open { until, reopenings } => {
                until << UNTIL | u64::from(reopenings) << REOPENINGS | 1
            }
            Self::HalfOpen {
                generation,
                in_flight,
                successes,
                reopenings,
            } => {
                generation << GENERATION
                    | u64::from(successes) << SUCCESSES
                    | u64::from(in_flight) << IN_FLIGHT
                    | u64::from(reopenings) << REOPENINGS
                    | 2
            }
            Self::ForcedOpen => 3,
            Self::ForcedClosed => 4,
        }
    }

    /// Closed, with nothing counted.
    pub(super) fn closed(generation: u64) -> Self {
        Self::Closed {
            generation,
            failures: 0,
        }
    }

    fn open(rules: &Rules, now: u64, reopenings: u8) -> Self {
        let until = now.saturating_add(rules.open_for(reopenings));
        Self::Open {
            until: until.div_ceil(MICROSECOND),
            reopenings,
        }
    }

    pub(super) fn state(self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
            Self::ForcedClosed => State::ForcedClosed,
        }
    }

    /// A caller at `now`: what comes next if it may pass, and as what it passes. `fresh` is a new generation.
    pub(super) fn admit(
        self,
        rules: &Rules,
        now: u64,
        fresh: impl FnOnce() -> u64,
    ) -> Result<(Self, Ticket), Rejected> {
        let rejected = |nanoseconds| {
            Err(Rejected {
                state: self.state(),
                retry_after: Duration::from_nanos(nanoseconds),
            })
        };
        match self {
            Self::Closed { generation, .. } => Ok((self, Ticket::Counted(generation))),
            Self::ForcedClosed => Ok((self, Ticket::Uncounted)),
            Self::ForcedOpen => rejected(rules.open_for(0)),
            Self::Open { until, reopenings } => {
                let wait = until.saturating_mul(MICROSECOND).saturating_sub(now);
                if wait > 0 {
                    return rejected(wait);
                }
                let generation = fresh();
                let next = Self::HalfOpen {
                    generation,
                    in_flight: 1,
                    successes: 0,
                    reopenings,
                };
                Ok((next, Ticket::Trial(generation)))
            }
            Self::HalfOpen {
                generation,
                in_flight,
                successes,
                reopenings,
            } => {
                if in_flight >= rules.permitted || in_flight + successes >= rules.trials() {
                    return rejected(VERDICT.min(rules.open_for(0)));
                }
                let next = Self::HalfOpen {
                    generation,
                    in_flight: in_flight + 1,
                    successes,
                    reopenings,
                };
                Ok((next, Ticket::Trial(generation)))
            }
        }
    }

    /// The call of `ticket` has succeeded: what comes next, if anything changes.
    pub(super) fn succeed(
        self,
        ticket: Ticket,
        rules: &Rules,
        fresh: impl FnOnce() -> u64,
    ) -> Option<Self> {
        match (self, ticket) {
            (
                Self::Closed {
                    generation,
                    failures: 1..,
                },
                Ticket::Counted(of),
            ) if generation == of => Some(Self::closed(generation)),
            (
                Self::HalfOpen {
                    generation,
                    in_flight,
                    successes,
                    reopenings,
                },
                Ticket::Trial(of),
            ) if generation == of => Some(if successes + 1 >= rules.successes {
                Self::closed(fresh())
            } else {
                Self::HalfOpen {
                    generation,
                    in_flight: in_flight.saturating_sub(1),
                    successes: successes + 1,
                    reopenings,
                }
            }),
            _ => None,
        }
    }

    /// The call of `ticket` has failed at `now`: what comes next, if anything changes.
    pub(super) fn fail(self, ticket: Ticket, rules: &Rules, now: u64) -> Option<Self> {
        match (self, ticket) {
            (
                Self::Closed {
                    generation,
                    failures,
                },
                Ticket::Counted(of),
            ) if generation == of => {
                // Not counted when nobody asks: then a failure need not write here, nor a success after it.
                let limit = rules.consecutive_failures?;
                Some(if failures + 1 >= limit {
                    Self::open(rules, now, 0)
                } else {
                    Self::Closed {
                        generation,
                        failures: failures + 1,
                    }
                })
            }
            (
                Self::HalfOpen {
                    generation,
                    reopenings,
                    ..
                },
                Ticket::Trial(of),
            ) if generation == of => {
                let reopenings = (reopenings + 1).min(MOST_REOPENINGS);
                Some(Self::open(rules, now, reopenings))
            }
            _ => None,
        }
    }

    /// The call of `ticket` has ended without a verdict: what comes next, if anything changes.
    pub(super) fn give_back(self, ticket: Ticket) -> Option<Self> {
        match (self, ticket) {
            (
                Self::HalfOpen {
                    generation,
                    in_flight,
                    successes,
                    reopenings,
                },
                Ticket::Trial(of),
            ) if generation == of => Some(Self::HalfOpen {
                generation,
                in_flight: in_flight.saturating_sub(1),
                successes,
                reopenings,
            }),
            _ => None,
        }
    }

    /// A ratio that the call of `ticket` counts in is too high at `now`: open, if it was still closed.
    pub(super) fn trip(self, ticket: Ticket, rules: &Rules, now: u64) -> Option<Self> {
        self.counts(ticket).then(|| Self::open(rules, now, 0))
    }

    /// Whether the result of `ticket` counts in the window.
    #[inline]
    pub(super) fn counts(self, ticket: Ticket) -> bool {
        matches!(
            (self, ticket),
            (Self::Closed { generation, .. }, Ticket::Counted(of)) if generation == of
        )
    }
}

/// Some bits of `word`.
#[inline]
fn bits(word: u64, from: u32, count: u32) -> u32 {
    // At most 26 bits.
    #[allow(clippy::cast_possible_truncation)]
    let bits = (word >> from & ((1 << count) - 1)) as u32;
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase() -> impl Strategy<Value = Phase> {
        let generation = 0_u64..1 << 35;
        prop_oneof![
            (generation.clone(), 0_u32..1 << 26).prop_map(|(generation, failures)| {
                Phase::Closed {
                    generation,
                    failures,
                }
            }),
            (0_u64..1 << 55, 0_u8..64)
                .prop_map(|(until, reopenings)| Phase::Open { until, reopenings }),
            (generation, 0_u32..1 << 10, 0_u32..1 << 10, 0_u8..64).prop_map(
                |(generation, in_flight, successes, reopenings)| Phase::HalfOpen {
                    generation,
                    in_flight,
                    successes,
                    reopenings
                }
            ),
            Just(Phase::ForcedOpen),
            Just(Phase::ForcedClosed),
        ]
    }

    proptest! {
        #[test]
        fn a_phase_survives_its_word(phase in phase()) {
            prop_assert_eq!(Phase::from_word(phase.word()), phase);
        }
    }

    #[test]
    fn the_end_of_time_fits() {
        let rules = Rules::new(&super::super::Policy::default()).unwrap();
        let phase = Phase::open(&rules, u64::MAX, 0);
        assert_eq!(Phase::from_word(phase.word()), phase);
        assert!(phase.admit(&rules, u64::MAX - 2_000, || 1).is_err());
    }
}
