//! How the numbers of purges here and the positions of a log that several gateways share belong together.
//!
//! A response that is kept for others says how far the log had been followed when it was asked for; whoever reads it wants
//! to know which of its own numbers that is. Both answers err to the side of an earlier time, so that a purge may be
//! counted twice and never not at all. Own purges make the difference: they hold here before they are in the log, and may
//! come after others there.

use std::collections::VecDeque;

/// Positions that are remembered. Responses that are older than the last so many purges are not taken.
const MOST: usize = 100_000;
/// Own purges that may be on their way to the log. Of more than that only the oldest counts.
const MOST_PENDING: usize = 1 << 16;

/// Positions of the log that have been followed, and own purges that are not in it yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    marks: VecDeque<Mark>,
    /// Numbers of own purges, in order.
    pending: VecDeque<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    position: u64,
    /// The last number when it had been followed to here: what is asked for from then on knows of all up to here.
    clock: u64,
    /// All purges after this position have greater numbers than this.
    safe: u64,
}

impl Ledger {
    /// An own purge holds from now on, and will be written to the log.
    pub(super) fn begun(&mut self, number: u64) {
        if self.pending.len() < MOST_PENDING {
            self.pending.push_back(number);
        }
    }

    /// The log has been followed to `position`, which is an own purge if it has a number.
    pub(super) fn logged(&mut self, position: u64, own: Option<u64>, clock: u64) {
        if let Some(own) = own {
            // They are written in order.
            while self.pending.front().is_some_and(|it| *it <= own) {
                self.pending.pop_front();
            }
        }
        if self.position().is_some_and(|last| last >= position) {
            return;
        }
        let safe = self.pending.front().map_or(clock, |oldest| oldest - 1);
        self.marks.push_back(Mark {
            position,
            clock,
            safe,
        });
        if self.marks.len() > MOST {
            self.marks.pop_front();
        }
    }

    /// Nothing is known of what was before `position`.
    pub(super) fn begin_at(&mut self, position: u64, clock: u64) {
        self.marks.clear();
        self.logged(position, None, clock);
    }

    pub(super) fn position(&self) -> Option<u64> {
        self.marks.back().map(|it| it.position)
    }

    /// The last position that something asked for at `epoch` is known to come after.
    pub(super) fn position_for(&self, epoch: u64) -> Option<u64> {
        let after = self.marks.partition_point(|it| it.clock <= epoch);
        Some(self.marks.get(after.checked_sub(1)?)?.position)
    }

    /// A number that all purges after `position` are greater than.
    pub(super) fn epoch_for(&self, position: u64) -> Option<u64> {
        let after = self.marks.partition_point(|it| it.position <= position);
        Some(self.marks.get(after.checked_sub(1)?)?.safe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_own_purge_that_is_not_in_the_log_yet_is_not_forgotten() {
        let mut ledger = Ledger::default();
        ledger.begin_at(100, 0);
        ledger.begun(1);
        // Another's comes before it.
        ledger.logged(101, None, 2);
        assert_eq!(
            ledger.epoch_for(101),
            Some(0),
            "the own purge, 1, is after it"
        );
        ledger.logged(102, Some(1), 2);
        assert_eq!(ledger.epoch_for(102), Some(2));
        assert_eq!(ledger.epoch_for(101), Some(0));
        assert_eq!(ledger.epoch_for(99), None);
        assert_eq!(ledger.position_for(0), Some(100));
        assert_eq!(ledger.position_for(1), Some(100));
        assert_eq!(ledger.position_for(2), Some(102));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Own,
        Other,
        Echo,
    }

    proptest! {
        /// Whatever the order: a purge that the log has after a position has a greater number than the epoch that is
        /// given for the position, also if it is still on its way.
        #[test]
        fn no_purge_is_lost_in_translation(steps in prop::collection::vec(
            prop_oneof![Just(Step::Own), Just(Step::Other), Just(Step::Echo)], 0..60)) {
            let mut ledger = Ledger::default();
            ledger.begin_at(0, 0);
            let (mut clock, mut position) = (0_u64, 0_u64);
            let mut own: VecDeque<u64> = VecDeque::new();
            // Position and number of all that are in the log.
            let mut all: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Own => { clock += 1; ledger.begun(clock); own.push_back(clock); }
                    Step::Other => {
                        clock += 1; position += 1;
                        ledger.logged(position, None, clock);
                        all.push((position, clock));
                    }
                    Step::Echo => if let Some(number) = own.pop_front() {
                        position += 1;
                        ledger.logged(position, Some(number), clock);
                        all.push((position, number));
                    }
                }
                for asked in 0..=position {
                    let epoch = ledger.epoch_for(asked).unwrap();
                    for (_, number) in all.iter().filter(|it| it.0 > asked) {
                        prop_assert!(*number > epoch);
                    }
                    for number in &own {
                        prop_assert!(*number > epoch);
                    }
                }
                for epoch in 0..=clock {
                    let told = ledger.position_for(epoch).unwrap();
                    // All that the log has up to there was known at that time.
                    for (_, number) in all.iter().filter(|it| it.0 <= told) {
                        prop_assert!(*number <= epoch);
                    }
                }
            }
        }
    }
}
