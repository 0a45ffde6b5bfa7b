//! The count of one key.
//!
//! The window is cut into slices, and each slice has a counter. Time that has left the window takes its counts along:
//! whole slices at once, and of the slice that the window's far end lies in the share that is out already, as if its
//! units had come evenly. What follows from that:
//!
//! - in no stretch of time of `15/16` of the window more than the limit passes;
//! - nothing is refused that would fit if the window were a sixteenth longer;
//! - in the long run the limit passes, less a unit per window at most, however much is asked for.
//!
//! A log of every unit would be exact without that sixteenth, and hold as many entries as the limit has units; a
//! counter for this window and one for the last, as other gateways have it, allows nearly twice the limit at worst.

use std::time::Duration;

use crate::Policy;

/// Into how many slices a window is cut.
pub const SLICES: usize = 16;
/// Those of a window that begins anywhere in a slice: the first and the last are in it in part.
const TOUCHED: usize = SLICES + 1;

/// What came of asking for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether they were to be had. They have been taken then; otherwise nothing has.
    pub allowed: bool,
    /// Units that are left.
    pub remaining: u32,
    /// When what was asked for can be had: at once if it is allowed, never ([`Duration::MAX`]) if it is more than the
    /// limit.
    pub retry_after: Duration,
    /// When all units can be had again, if none is taken before.
    pub reset: Duration,
}

/// Counts of the slices that a window touches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// The number of the latest slice that was counted in.
    newest: u64,
    /// Of slice `n` at `n % TOUCHED`.
    counts: [u32; TOUCHED],
}

/// A point in time, as slices see it.
#[derive(Debug, Clone, Copy)]
struct Moment {
    slice: u64,
    /// Nanoseconds of the slice that are over.
    into: u64,
    /// Nanoseconds that a slice has.
    length: u64,
}

impl Moment {
    fn new(policy: &Policy, now: Duration) -> Self {
        let length = policy.slice();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Self {
            slice: now / length,
            into: now % length,
            length,
        }
    }

    /// The share of `count` that is still inside when the slice it is from is being left; rounded up.
    fn share(&self, count: u32) -> u32 {
        let left = u128::from(count) * u128::from(self.length - self.into);
        // No larger than `count`.
        u32::try_from(left.div_ceil(u128::from(self.length))).unwrap_or(count)
    }
}

impl Window {
    /// Takes `units` at `now` if `policy` has them left. Both the policy and the clock are always the same.
    pub(crate) fn take(&mut self, policy: &Policy, now: Duration, units: u32) -> Decision {
        let mut moment = Moment::new(policy, now);
        if moment.slice < self.newest {
            // Somebody has looked at the clock later, and come here earlier.
            (moment.slice, moment.into) = (self.newest, 0);
        }
        self.advance(moment.slice);
        let used = self.used(&moment);
        let left = policy.limit().saturating_sub(used);
        let allowed = units <= left;
        if allowed {
            let count = &mut self.counts[place(moment.slice)];
            *count = count.saturating_add(units);
        }
        Decision {
            allowed,
            remaining: if allowed { left - units } else { left },
            retry_after: match policy.limit().checked_sub(units) {
                None => Duration::MAX,
                Some(_) if allowed => Duration::ZERO,
                Some(most) => self.time_until(&moment, most),
            },
            reset: self.time_until(&moment, 0),
        }
    }

    /// Whether [`take`](Self::take) would find `units`.
    pub(crate) fn has(&self, policy: &Policy, now: Duration, units: u32) -> bool {
        let moment = Moment::new(policy, now);
        let mut used = 0_u32;
        for age in 0..TOUCHED as u64 {
            let Some(slice) = self.newest.checked_sub(age) else {
                break;
            };
            let count = self.counts[place(slice)];
            // How many slices the window has moved on since.
            let inside = match moment.slice.saturating_sub(slice) {
                passed if passed < SLICES as u64 => count,
                passed if passed == SLICES as u64 => moment.share(count),
                _ => break,
            };
            used = used.saturating_add(inside);
        }
        units <= policy.limit().saturating_sub(used)
    }

    /// Forgets what has left the window when slice `slice` is the present one.
    fn advance(&mut self, slice: u64) {
        let passed = slice - self.newest;
        if passed >= TOUCHED as u64 {
            self.counts = [0; TOUCHED];
        } else {
            for gone in self.newest + 1..=slice {
                self.counts[place(gone)] = 0;
            }
        }
        self.newest = slice;
    }

    /// Units in the window that ends at `moment`.
    fn used(&self, moment: &Moment) -> u32 {
        let leaving = self.counts[place(moment.slice + 1)];
        let inside = self
            .counts
            .iter()
            .fold(0_u32, |sum, &count| sum.saturating_add(count));
        inside - leaving + moment.share(leaving)
    }

    /// How long it takes from `moment` on until no more than `most` units are in the window.
    fn time_until(&self, moment: &Moment, most: u32) -> Duration {
        let mut used = u64::from(self.used(moment));
        let most = u64::from(most);
        let mut waited = 0;
        // The oldest slice first: its place is the one after the present slice's.
        for age in 1..=TOUCHED as u64 {
            if used <= most {
                break;
            }
            let count = self.counts[place(moment.slice + age)];
            let (inside, time) = if age == 1 {
                (moment.share(count), moment.length - moment.into)
            } else {
                (count, moment.length)
            };
            let excess = used - most;
            if u64::from(inside) >= excess {
                // Units leave evenly while their slice does.
                let part = u128::from(time) * u128::from(excess);
                waited += u64::try_from(part.div_ceil(u128::from(inside))).unwrap_or(time);
                break;
            }
            used -= u64::from(inside);
            waited += time;
        }
        Duration::from_nanos(waited)
    }
}

fn place(slice: u64) -> usize {
    // Below `TOUCHED`: no bits are lost.
    #[allow(clippy::cast_possible_truncation)]
    let place = (slice % TOUCHED as u64) as usize;
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(1600);
    const SLICE: u64 = 100;

    fn policy(limit: u32) -> Policy {
        Policy::new(limit, WINDOW).unwrap()
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_limit_and_no_more_passes_at_once() {
        let mut window = Window::default();
        for left in (0..5).rev() {
            let decision = window.take(&policy(5), at(7_777), 1);
            assert_eq!((decision.allowed, decision.remaining), (true, left));
        }
        let refused = window.take(&policy(5), at(7_777), 1);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let mut window = Window::default();
        assert!(!window.take(&policy(5), at(0), 6).allowed);
        assert!(window.take(&policy(5), at(0), 5).allowed);
    }

    #[test]
    fn more_than_the_limit_can_never_be_had() {
        let refused = Window::default().take(&policy(5), at(0), 6);
        assert_eq!(refused.retry_after, Duration::MAX);
        assert_eq!(refused.reset, Duration::ZERO);
    }

    #[test]
    fn waiting_as_long_as_told_is_enough_and_not_too_long() {
        let mut window = Window::default();
        assert!(window.take(&policy(10), at(1_030), 4).allowed);
        assert!(window.take(&policy(10), at(1_450), 6).allowed);
        let refused = window.take(&policy(10), at(1_450), 5);
        assert!(!refused.allowed);
        let wait = refused.retry_after;
        let sooner = window
            .clone()
            .take(&policy(10), at(1_450) + wait - at(10), 5);
        assert!(!sooner.allowed);
        let then = window.take(&policy(10), at(1_450) + wait, 5);
        assert!(then.allowed);
    }

    #[test]
    fn after_the_reset_all_is_to_be_had() {
        let mut window = Window::default();
        let taken = window.take(&policy(10), at(1_250), 10);
        assert!(taken.allowed);
        // The slice of the units ends at 1,300, and has left the window one window later.
        assert_eq!(taken.reset, at(1_300 + 1_600 - 1_250));
        assert!(
            window
                .take(&policy(10), at(1_250) + taken.reset, 10)
                .allowed
        );
    }

    #[test]
    fn a_clock_that_is_a_little_behind_does_no_harm() {
        let mut window = Window::default();
        assert!(window.take(&policy(2), at(5_000), 1).allowed);
        assert!(window.take(&policy(2), at(4_000), 1).allowed);
        assert!(!window.take(&policy(2), at(4_900), 1).allowed);
    }

    #[test]
    fn in_the_long_run_the_limit_passes_less_a_unit_at_most() {
        for limit in [1, 7, 100, 1_000] {
            let mut window = Window::default();
            // Ten times the limit, evenly, for a hundred windows.
            let step = WINDOW / (limit * 10);
            let passed = (0..limit * 1_000)
                .filter(|&request| window.take(&policy(limit), step * request, 1).allowed)
                .count();
            let windows = 100;
            let least = (limit - 1).max(limit * 9 / 10) * windows;
            // The first window begins empty, and is filled at once.
            let most = limit * (windows + 1);
            assert!(
                (least as usize..=most as usize).contains(&passed),
                "{limit}: {passed}"
            );
        }
    }

    proptest! {
        /// Against a log of all units: never more than the limit in 15/16 of a window, and nothing is refused that
        /// would have fitted into a window a sixteenth longer.
        #[test]
        fn the_bound_holds_for_any_traffic(
            limit in 1_u32..20,
            gaps in prop::collection::vec((0_u64..400, 1_u32..4), 1..300),
        ) {
            let policy = policy(limit);
            let (mut window, mut log, mut now) = (Window::default(), Vec::<(u64, u32)>::new(), 10_000);
            for (gap, units) in gaps {
                now += gap;
                let taken_since = |log: &[(u64, u32)], start: u64| -> u32 {
                    log.iter().filter(|(at, _)| *at > start).map(|(_, units)| units).sum()
                };
                let would_be = window.has(&policy, at(now), units);
                let decision = window.take(&policy, at(now), units);
                prop_assert_eq!(would_be, decision.allowed);
                if decision.allowed {
                    log.push((now, units));
                    prop_assert!(taken_since(&log, now - 15 * SLICE) <= limit);
                } else {
                    prop_assert!(taken_since(&log, now - 17 * SLICE) + units > limit);
                    let wait = decision.retry_after;
                    if wait < Duration::MAX {
                        prop_assert!(window.clone().take(&policy, at(now) + wait, units).allowed);
                    }
                }
            }
        }
    }
}
