//! Leave to make a call, and the duty to tell what became of it.

use std::ops::Deref;
use std::time::Duration;

use super::phase::Ticket;
use super::{Breaker, Transition};
use crate::time::nanoseconds;

/// A call that may be made. Tell what became of it by [`success`](Self::success) or [`failure`](Self::failure); when
/// it is dropped instead, because the client went away or the call was never sent, it counts as neither, and its place
/// in a half-open breaker is given back.
///
/// Only a verdict of the state that the call began in counts: when the breaker has changed since, it is ignored.
#[derive(Debug)]
#[must_use = "a permit that is dropped ends the call without a verdict"]
pub struct Permit<B: Deref<Target = Breaker>> {
    breaker: B,
    ticket: Ticket,
    /// When the call began, in nanoseconds.
    began: u64,
    transition: Option<Transition>,
}

impl<B: Deref<Target = Breaker>> Permit<B> {
    #[inline]
    pub(super) fn new(
        breaker: B,
        ticket: Ticket,
        began: u64,
        transition: Option<Transition>,
    ) -> Self {
        Self {
            breaker,
            ticket,
            began,
            transition,
        }
    }

    /// The change of state that this permit brought about: the first one after an open time makes the breaker
    /// half-open.
    #[must_use]
    pub fn transition(&self) -> Option<Transition> {
        self.transition
    }

    /// The call has succeeded. What counts as a slow call is the time from the permit to `now`. Returns the change of
    /// state that this brought about.
    #[inline]
    pub fn success(mut self, now: Duration) -> Option<Transition> {
        let now = nanoseconds(now);
        let latency = now.saturating_sub(self.began);
        let ticket = std::mem::replace(&mut self.ticket, Ticket::Uncounted);
        self.breaker.succeeded(ticket, latency, now)
    }

    /// The call has failed. Returns the change of state that this brought about.
    #[inline]
    pub fn failure(mut self, now: Duration) -> Option<Transition> {
        let now = nanoseconds(now);
        let latency = now.saturating_sub(self.began);
        let ticket = std::mem::replace(&mut self.ticket, Ticket::Uncounted);
        self.breaker.failed(ticket, latency, now)
    }
}

impl<B: Deref<Target = Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if let Ticket::Trial(_) = self.ticket {
            self.breaker.give_back(self.ticket);
        }
    }
}
