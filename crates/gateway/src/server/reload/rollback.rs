//! Taking a change back after which requests fail more often than before.
//!
//! A change has stood the test when there have been enough requests for it. One that comes before the last one has is judged
//! together with that: what failed since the configuration that was good is not to be taken for what fails anyway, and the way
//! back leads there.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::RollbackSettings;
use crate::handler::Answers;

/// So many times in a window are requests looked at.
const LOOKS: u32 = 60;

/// Watches what becomes of requests after a change.
#[derive(Debug)]
pub(super) struct Guard {
    settings: RollbackSettings,
    /// Of each worker.
    answers: Arc<[Answers]>,
    /// What there was in the last window, the oldest first.
    seen: VecDeque<(Instant, Count)>,
    /// The change that is watched.
    watched: Option<Change>,
}

/// Requests that have been answered so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    all: u64,
    failed: u64,
}

/// A change of the configuration.
#[derive(Debug, Clone)]
struct Change {
    at: Instant,
    /// Until then.
    count: Count,
    /// The share of requests that failed before it.
    share: f64,
    /// The routes file before it.
    before: String,
}

/// Why a change is to be taken back.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// The routes file before it.
    pub(super) before: String,
    /// In percent, before and after.
    pub(super) shares: [f64; 2],
    /// Requests since.
    pub(super) requests: u64,
}

impl Count {
    fn of(answers: &[Answers]) -> Self {
        let counts = answers.iter().map(Answers::counts);
        counts.fold(Self::default(), |sum, (all, failed)| Self {
            all: sum.all + all,
            failed: sum.failed + failed,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            all: self.all.saturating_sub(before.all),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    /// The share that has failed; 0 of none.
    fn share(self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = self.failed as f64 / self.all.max(1) as f64;
        share
    }
}

impl Guard {
    pub(super) fn new(settings: RollbackSettings, answers: Arc<[Answers]>) -> Self {
        Self {
            settings,
            answers,
            seen: VecDeque::new(),
            watched: None,
        }
    }

    /// `served` is served from now on, and `before` was until now; neither where there is no routes file. What both agree in is
    /// no change of the routes.
    pub(super) fn changed(&mut self, before: Option<String>, served: Option<&str>, now: Instant) {
        if before.as_deref() != served {
            self.changed_at(Count::of(&self.answers), before, served, now);
        }
    }

    /// The present configuration is not to be taken back.
    pub(super) fn settle(&mut self) {
        self.watched = None;
    }

    fn changed_at(
        &mut self,
        count: Count,
        before: Option<String>,
        served: Option<&str>,
        now: Instant,
    ) {
        let window = self.settings.window;
        let untried = self.watched.take().filter(|change| {
            let is_over = now.duration_since(change.at) >= window;
            let since = count.since(change.count);
            let has_stood =
                since.all >= self.settings.min_requests && !self.is_worse(change, since);
            !is_over && !has_stood
        });
        let (before, share) = match untried {
            Some(change) => (Some(change.before), change.share),
            None => {
                let oldest = self.seen.front().map_or(count, |(_, count)| *count);
                (before, count.since(oldest).share())
            }
        };
        // Whoever has gone back there needs no way there.
        let before = before.filter(|before| Some(&**before) != served);
        self.watched = before.map(|before| Change {
            at: now,
            count,
            share,
            before,
        });
    }

    fn is_worse(&self, change: &Change, since: Count) -> bool {
        since.all >= self.settings.min_requests
            && since.share() >= change.share + self.settings.threshold
    }

    /// Looks at the requests; to be called about once a second. Whether the change is to be taken back: it is watched no
    /// more then.
    pub(super) fn look(&mut self, now: Instant) -> Option<Verdict> {
        self.look_at(Count::of(&self.answers), now)
    }

    fn look_at(&mut self, count: Count, now: Instant) -> Option<Verdict> {
        let window = self.settings.window;
        let is_due = |(last, _): &(Instant, Count)| now.duration_since(*last) >= window / LOOKS;
        if self.seen.back().is_none_or(is_due) {
            self.seen.push_back((now, count));
        }
        while let Some((at, _)) = self.seen.front()
            && now.duration_since(*at) > window
        {
            self.seen.pop_front();
        }
        let change = self.watched.as_ref()?;
        let since = count.since(change.count);
        let is_worse = self.is_worse(change, since);
        let is_over = now.duration_since(change.at) >= window;
        if !is_worse && !is_over {
            return None;
        }
        let change = self.watched.take()?;
        is_worse.then(|| Verdict {
            shares: [change.share, since.share()].map(|share| share * 100.0),
            requests: since.all,
            before: change.before,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guard() -> (Guard, Instant) {
        let settings = RollbackSettings {
            window: Duration::from_secs(60),
            threshold: 0.1,
            min_requests: 100,
        };
        let mut guard = Guard::new(settings, [Answers::default()].into());
        let now = Instant::now();
        guard.look_at(Count::default(), now);
        guard.changed(Some("before".to_owned()), Some("after"), now);
        (guard, now)
    }

    fn count(all: u64, failed: u64) -> Count {
        Count { all, failed }
    }

    #[test]
    fn a_change_is_taken_back_when_enough_requests_fail_and_only_once() {
        let (mut guard, now) = guard();
        let later = now + Duration::from_secs(1);
        assert_eq!(guard.look_at(count(99, 99), later), None);
        assert_eq!(guard.look_at(count(1000, 99), later), None);
        let verdict = guard.look_at(count(2000, 200), later).unwrap();
        assert_eq!((&*verdict.before, verdict.requests), ("before", 2000));
        assert_eq!(guard.look_at(count(3000, 3000), later), None);
    }

    #[test]
    fn what_failed_before_is_not_held_against_a_change() {
        let (mut guard, now) = guard();
        if let Some(change) = &mut guard.watched {
            change.share = 0.5;
        }
        assert_eq!(guard.look_at(count(1000, 590), now), None);
        assert!(guard.look_at(count(1000, 600), now).is_some());
    }

    #[test]
    fn a_change_after_one_that_fails_does_not_hide_it() {
        let (mut guard, now) = guard();
        let later = now + Duration::from_secs(1);
        // Too few to judge.
        assert_eq!(guard.look_at(count(50, 50), later), None);
        let change = |guard: &mut Guard, count, before: &str, served: &str| {
            guard.changed_at(count, Some(before.to_owned()), Some(served), later);
        };
        change(&mut guard, count(50, 50), "after", "later");
        let verdict = guard.look_at(count(150, 150), later).unwrap();
        assert_eq!((&*verdict.before, verdict.requests), ("before", 100));
        // Whoever has gone back by hand is where this would lead.
        change(&mut guard, count(150, 0), "a", "b");
        change(&mut guard, count(160, 10), "b", "a");
        assert_eq!(guard.look_at(count(1160, 1010), later), None);
    }

    #[test]
    fn a_change_after_one_that_has_stood_the_test_leads_back_to_that() {
        let (mut guard, now) = guard();
        let later = now + Duration::from_secs(1);
        guard.changed_at(
            count(100, 0),
            Some("after".to_owned()),
            Some("later"),
            later,
        );
        let verdict = guard.look_at(count(200, 100), later).unwrap();
        assert_eq!(&*verdict.before, "after");
    }

    #[test]
    fn a_change_is_not_watched_for_ever() {
        let (mut guard, now) = guard();
        let later = now + Duration::from_secs(60);
        assert_eq!(guard.look_at(count(50, 0), later), None);
        assert_eq!(guard.look_at(count(1000, 900), later), None);
        assert!(guard.seen.len() <= LOOKS as usize + 1);
    }
}
