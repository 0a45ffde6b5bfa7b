//! When a name is looked up again, and which answer holds until then: a pure state machine, time passed in.
//!
//! The rules and their reasons are in the part's own documentation.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::question::Answer;

/// Between two look-ups of a name.
pub(super) const LEAST_WAIT: Duration = Duration::from_secs(1);
/// The longest TTL that is believed.
const MOST_WAIT: Duration = Duration::from_mins(5);
/// The longest time for which a name that is not there is not asked for: the zone's own is often an hour, and a
/// backend that has just been put into the DNS is missed sooner.
const MOST_NEGATIVE_WAIT: Duration = Duration::from_secs(30);
/// For a name that is not there where the resolver does not say how long.
const NEGATIVE_WAIT: Duration = Duration::from_secs(5);
/// How long a name must have been absent before its last good answer goes.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// The longest time between two tries while the resolver fails.
pub(super) const MOST_RETRY: Duration = Duration::from_secs(30);
/// Between two lines in the log about trouble with the same name.
const QUIET: Duration = Duration::from_mins(1);

/// What a look-up has come to.
#[derive(Debug)]
pub(super) enum Outcome<E> {
    /// The name leads somewhere.
    Found {
        /// Where.
        answer: Answer,
        /// For how long that holds.
        ttl: Duration,
    },
    /// An authority says that there is no such name, or nothing of the kind at it.
    Absent {
        /// For how long that holds, if it said so.
        ttl: Option<Duration>,
    },
    /// Nobody could be asked, or answered.
    Failed(E),
}

/// What to do after a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The next look-up is after that time.
    pub(super) wait: Duration,
    pub(super) news: News,
}

/// What there is to tell after a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that was not known, or had been told a moment ago.
    Nothing,
    /// There is another answer.
    Changed(Arc<Answer>),
    /// The last good answer is gone; this one is empty.
    Gone(Arc<Answer>),
    /// The resolver fails.
    Failing {
        /// Look-ups in a row that have.
        failures: u32,
    },
    /// It does no longer, and the answer is still the same.
    Recovered,
    /// The name is said to be absent; the last good answer is kept for now.
    Missing,
}

/// What is known about one question.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The answer that holds; none before the first.
    current: Option<Arc<Answer>>,
    /// Look-ups in a row that have failed.
    failures: u32,
    /// When the first of those look-ups was made that have said nothing but that the name is absent.
    absent_since: Option<Instant>,
    /// When trouble was last told.
    told: Option<Instant>,
    /// The failures in a row have been told, so that their end is worth a word.
    failures_are_told: bool,
}

impl Schedule {
    /// Begins with this answer, where one is known already.
    pub(super) fn new(current: Option<Arc<Answer>>) -> Self {
        Self {
            current,
            failures: 0,
            absent_since: None,
            told: None,
            failures_are_told: false,
        }
    }

    /// Takes in what a look-up has come to that has ended now. `random` is from 0 to 1, any as likely as any other.
    pub(super) fn after<E>(&mut self, outcome: &Outcome<E>, now: Instant, random: f64) -> Step {
        match outcome {
            Outcome::Found { answer, ttl } => self.found(answer, *ttl),
            Outcome::Absent { ttl } => self.absent(*ttl, now),
            Outcome::Failed(_) => self.failed(now, random),
        }
    }

    fn found(&mut self, answer: &Answer, ttl: Duration) -> Step {
        let had_failed = self.end_failures();
        self.absent_since = None;
        let news = if self.current.as_deref() != Some(answer) {
            News::Changed(self.replace(answer.clone()))
        } else if had_failed {
            News::Recovered
        } else {
            News::Nothing
        };
        let wait = ttl.clamp(LEAST_WAIT, MOST_WAIT);
        Step { wait, news }
    }

    fn absent(&mut self, ttl: Option<Duration>, now: Instant) -> Step {
        self.end_failures();
        let wait = ttl
            .unwrap_or(NEGATIVE_WAIT)
            .clamp(LEAST_WAIT, MOST_NEGATIVE_WAIT);
        let is_first = self.absent_since.is_none();
        let since = *self.absent_since.get_or_insert(now);
        let has_places = match &self.current {
            Some(answer) => !answer.resolved.is_empty(),
            None => {
                let news = News::Changed(self.replace(Answer::default()));
                return Step { wait, news };
            }
        };
        let left = GRACE.saturating_sub(now.duration_since(since));
        if !has_places {
            let news = News::Nothing;
            Step { wait, news }
        } else if left.is_zero() {
            let news = News::Gone(self.replace(Answer::default()));
            Step { wait, news }
        } else {
            let news = if is_first && self.may_tell(now) {
                News::Missing
            } else {
                News::Nothing
            };
            // Not long after the end of the grace: the answer goes by a look-up only.
            let wait = wait.min(left.max(LEAST_WAIT));
            Step { wait, news }
        }
    }

    fn failed(&mut self, now: Instant, random: f64) -> Step {
        let most = LEAST_WAIT
            .saturating_mul(2_u32.saturating_pow(self.failures.saturating_add(1)))
            .min(MOST_RETRY);
        self.failures = self.failures.saturating_add(1);
        // Half of it by chance: gateways that have lost the same resolver are not to come back all at once.
        let wait = most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        let news = if self.may_tell(now) {
            self.failures_are_told = true;
            News::Failing {
                failures: self.failures,
            }
        } else {
            News::Nothing
        };
        Step { wait, news }
    }

    /// The resolver has answered. Whether it had not, and that was told.
    fn end_failures(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.failures_are_told)
    }

    /// Whether it is time for another line about trouble.
    fn may_tell(&mut self, now: Instant) -> bool {
        let is_quiet = self
            .told
            .is_some_and(|told| now.duration_since(told) < QUIET);
        if !is_quiet {
            self.told = Some(now);
        }
        !is_quiet
    }

    fn replace(&mut self, answer: Answer) -> Arc<Answer> {
        let answer = Arc::new(answer);
        self.current = Some(Arc::clone(&answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::Resolved;
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn answer(last: u8) -> Answer {
        Answer::new(Resolved::all_of(&[[10, 0, 0, last].into()], (80, 1, 0)).collect())
    }

    fn found(last: u8, ttl: u64) -> Outcome<()> {
        let answer = answer(last);
        Outcome::Found {
            answer,
            ttl: s(ttl),
        }
    }

    fn absent(ttl: u64) -> Outcome<()> {
        Outcome::Absent { ttl: Some(s(ttl)) }
    }

    const FAILED: Outcome<()> = Outcome::Failed(());

    fn changed(answer: Answer) -> News {
        News::Changed(Arc::new(answer))
    }

    #[test]
    fn the_time_to_live_is_waited_for_within_bounds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(None);
        for (ttl, wait) in [(0, 1), (1, 1), (60, 60), (300, 300), (86_400, 300)] {
            assert_eq!(schedule.after(&found(1, ttl), now, 0.0).wait, s(wait));
        }
    }

    #[test]
    fn only_another_answer_is_news() {
        let now = Instant::now();
        let mut schedule = Schedule::new(None);
        assert_eq!(
            schedule.after(&found(1, 1), now, 0.0).news,
            changed(answer(1))
        );
        assert_eq!(schedule.after(&found(1, 1), now, 0.0).news, News::Nothing);
        assert_eq!(
            schedule.after(&found(2, 1), now, 0.0).news,
            changed(answer(2))
        );
    }

    #[test]
    fn failures_are_retried_more_and_more_rarely() {
        let now = Instant::now();
        let waits = |random| {
            let mut schedule = Schedule::new(None);
            let waits = (0..7).map(|_| schedule.after(&FAILED, now, random).wait.as_secs());
            waits.collect::<Vec<_>>()
        };
        assert_eq!(waits(0.0), [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(waits(1.0), [2, 4, 8, 16, 30, 30, 30]);
        let mut schedule = Schedule::new(None);
        for _ in 0..100 {
            assert!(schedule.after(&FAILED, now, 1.0).wait <= MOST_RETRY);
        }
    }

    #[test]
    fn failures_take_nothing_away_and_are_told_once_a_minute() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(Arc::new(answer(1))));
        let mut told = 0;
        for second in 0..3600 {
            match schedule.after(&FAILED, now + s(second), 0.5).news {
                News::Nothing => {}
                News::Failing { .. } => told += 1,
                news => panic!("{news:?}"),
            }
        }
        assert_eq!(told, 60);
        let later = now + s(3600);
        assert_eq!(
            schedule.after(&found(1, 9), later, 0.5).news,
            News::Recovered
        );
        assert_eq!(schedule.after(&FAILED, later, 0.0).wait, LEAST_WAIT);
    }

    #[test]
    fn a_resolver_that_comes_and_goes_does_not_fill_the_log() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(Arc::new(answer(1))));
        let mut lines = 0;
        for second in 0..60 {
            for outcome in [FAILED, found(1, 1)] {
                let news = schedule.after(&outcome, now + s(second), 0.5).news;
                lines += u32::from(news != News::Nothing);
            }
        }
        assert_eq!(lines, 2);
    }

    #[test]
    fn a_name_that_was_never_there_is_told_at_once() {
        let now = Instant::now();
        let mut schedule = Schedule::new(None);
        let news = changed(Answer::default());
        assert_eq!(
            schedule.after(&absent(3), now, 0.0),
            Step { wait: s(3), news }
        );
        let later = schedule.after(&absent(3600), now + s(3), 0.0);
        let news = News::Nothing;
        assert_eq!(later, Step { wait: s(30), news });
        let unsaid = schedule.after(&Outcome::<()>::Absent { ttl: None }, now, 0.0);
        assert_eq!(unsaid.wait, NEGATIVE_WAIT);
    }

    #[test]
    fn an_answer_goes_when_its_name_stays_absent() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(Arc::new(answer(1))));
        let first = schedule.after(&absent(20), now, 0.0);
        let news = News::Missing;
        assert_eq!(first, Step { wait: s(20), news });
        // The next look-up is due at the end of the grace, not after all of the negative TTL.
        let second = schedule.after(&absent(20), now + s(20), 0.0);
        let news = News::Nothing;
        assert_eq!(second, Step { wait: s(10), news });
        let third = schedule.after(&absent(20), now + s(30), 0.0);
        let news = News::Gone(Arc::default());
        assert_eq!(third, Step { wait: s(20), news });
    }

    #[test]
    fn an_answer_stays_when_its_name_comes_back() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(Arc::new(answer(1))));
        schedule.after(&absent(1), now, 0.0);
        let back = schedule.after(&found(1, 1), now + s(29), 0.0);
        assert_eq!(back.news, News::Nothing);
        // Its grace begins anew.
        let absent_anew = schedule.after(&absent(1), now + s(60), 0.0);
        assert_eq!(absent_anew.news, News::Missing);
    }

    #[test]
    fn a_name_is_not_given_up_on_because_the_resolver_fails_meanwhile() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(Arc::new(answer(1))));
        schedule.after(&absent(1), now, 0.0);
        let failing = schedule.after(&FAILED, now + s(60), 0.0);
        assert_eq!(failing.news, News::Failing { failures: 1 });
        // What says so in the end is an authority.
        let again = schedule.after(&absent(1), now + s(61), 0.0);
        assert_eq!(again.news, News::Gone(Arc::default()));
    }
}
