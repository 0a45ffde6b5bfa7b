//! Who watches which question, and the task that looks all of them up.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::lookup::Lookup;
use super::question::{Answer, Question};
use super::schedule::{LEAST_WAIT, News, Outcome, Schedule};
use super::system::System;
use crate::config::DnsSettings;
use crate::counters::{LookedUp, Lookups};

/// Questions that are looked up at the same time: a start with thousands of names is no reason to flood the resolver.
pub(super) const AT_ONCE: usize = 16;

/// The questions that are watched, and their answers.
pub(crate) struct Names {
    lookups: Arc<Lookups>,
    system: Arc<System>,
    watched: Mutex<HashMap<Question, Arc<Entry>>>,
    /// Some question is watched that was not before.
    added: Notify,
    in_flight: Semaphore,
}

/// A question that is watched: by whoever has this, or a clone of it.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// The present answer; none before the first.
    pub(crate) answers: watch::Receiver<Option<Arc<Answer>>>,
    entry: Arc<Entry>,
}

/// The way to ask for a look-up before its time, for those who need not know what comes of it.
#[derive(Debug, Clone)]
pub(crate) struct Refresh(Arc<Entry>);

/// One question.
#[derive(Debug)]
struct Entry {
    question: Question,
    answers: watch::Sender<Option<Arc<Answer>>>,
    /// Somebody would like it to be looked up soon.
    wanted: Notify,
}

/// Something that can be asked again and again: a look-up, or what a test puts in its place.
pub(super) trait Ask: Send {
    type Error: fmt::Display + Send;

    fn ask(&mut self) -> impl Future<Output = Outcome<Self::Error>> + Send;
}

impl Names {
    /// Names that nobody has asked for yet.
    pub(crate) fn new(settings: &DnsSettings, lookups: Arc<Lookups>) -> Self {
        Self::with_system(System::new(settings), lookups)
    }

    pub(super) fn with_system(system: System, lookups: Arc<Lookups>) -> Self {
        Self {
            lookups,
            system: Arc::new(system),
            watched: Mutex::default(),
            added: Notify::new(),
            in_flight: Semaphore::new(AT_ONCE),
        }
    }

    /// Has `question` looked up for as long as the result lives. The same question is looked up once for all.
    pub(crate) fn watch(&self, question: Question) -> Watched {
        let mut watched = self.watched();
        let entry = watched.entry(question).or_insert_with_key(|question| {
            self.added.notify_one();
            Arc::new(Entry {
                question: question.clone(),
                answers: watch::Sender::new(None),
                wanted: Notify::new(),
            })
        });
        Watched {
            answers: entry.answers.subscribe(),
            entry: Arc::clone(entry),
        }
    }

    /// Looks up all that is watched, for as long as it is polled. Started again, it goes on from the answers it had.
    pub(crate) async fn run(&self) {
        self.run_with(|question| Lookup::new(Arc::clone(&self.system), question.clone()))
            .await;
    }

    pub(super) async fn run_with<A: Ask>(&self, asked: impl Fn(&Question) -> A) {
        let mut running = HashSet::new();
        let mut tasks = FuturesUnordered::new();
        loop {
            for entry in self.not_in(&running) {
                running.insert(entry.question.clone());
                let ask = asked(&entry.question);
                tasks.push(async move {
                    entry.keep_fresh(ask, &self.in_flight, &self.lookups).await;
                    entry
                });
            }
            tokio::select! {
                () = self.added.notified() => {}
                Some(ended) = tasks.next() => {
                    running.remove(&ended.question);
                    self.forget(&ended);
                }
            }
        }
    }

    fn not_in(&self, running: &HashSet<Question>) -> Vec<Arc<Entry>> {
        let watched = self.watched();
        let entries = watched.values();
        let new = entries.filter(|entry| !running.contains(&entry.question));
        new.map(Arc::clone).collect()
    }

    /// Unless somebody has begun to watch it again.
    fn forget(&self, entry: &Entry) {
        let mut watched = self.watched();
        // Nobody can begin while the map is locked.
        if entry.answers.receiver_count() == 0 {
            watched.remove(&entry.question);
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<Question, Arc<Entry>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// The present answer; none before the first.
    pub(crate) fn latest(&self) -> Option<Arc<Answer>> {
        self.answers.borrow().clone()
    }

    /// The way to ask for a look-up before its time.
    pub(crate) fn refresh(&self) -> Refresh {
        Refresh(Arc::clone(&self.entry))
    }
}

#[cfg(test)]
impl Watched {
    /// A question that nobody looks up.
    pub(in crate::upstream) fn for_tests(answer: Option<Answer>) -> Self {
        let entry = Arc::new(Entry {
            question: Question::Services { name: "".into() },
            answers: watch::Sender::new(answer.map(Arc::new)),
            wanted: Notify::new(),
        });
        Self {
            answers: entry.answers.subscribe(),
            entry,
        }
    }

    /// Whether somebody has asked for a look-up; then nobody has any more.
    pub(in crate::upstream) fn is_wanted(&self) -> bool {
        use futures_util::FutureExt;
        self.entry.wanted.notified().now_or_never().is_some()
    }
}

impl Refresh {
    /// Asks for it: for whoever could not connect to what was found. There is one a second at most, however many ask. Does
    /// not wait for it, and does not keep the question watched.
    pub(crate) fn ask(&self) {
        self.0.wanted.notify_one();
    }
}

impl Entry {
    /// Looks the question up now and then, until nobody watches it.
    async fn keep_fresh(&self, mut ask: impl Ask, in_flight: &Semaphore, lookups: &Lookups) {
        let mut schedule = Schedule::new(self.answers.borrow().clone());
        loop {
            let outcome = {
                // It is never closed; if it were, there would be no limit.
                let _permit = in_flight.acquire().await;
                ask.ask().await
            };
            lookups.count(match &outcome {
                Outcome::Found { .. } => LookedUp::Found,
                Outcome::Absent { .. } => LookedUp::Absent,
                Outcome::Failed(_) => LookedUp::Failed,
            });
            let step = schedule.after(&outcome, Instant::now(), fastrand::f64());
            self.publish(step.news, &outcome);
            tokio::select! {
                () = sleep(step.wait) => {}
                () = self.wanted_after_a_pause() => {}
                () = self.answers.closed() => return,
            }
        }
    }

    async fn wanted_after_a_pause(&self) {
        sleep(LEAST_WAIT).await;
        self.wanted.notified().await;
    }

    fn publish<E: fmt::Display>(&self, news: News, outcome: &Outcome<E>) {
        let name = &self.question;
        match news {
            News::Nothing => {}
            News::Changed(answer) => {
                if answer.resolved.is_empty() {
                    tracing::warn!(%name, "there is no such name");
                } else {
                    tracing::info!(%name, addresses = %answer, "name resolved");
                }
                self.answers.send_replace(Some(answer));
            }
            News::Gone(answer) => {
                tracing::warn!(%name, "there is no such name any more");
                self.answers.send_replace(Some(answer));
            }
            News::Missing => {
                tracing::warn!(%name, "there is no such name; its last addresses are kept for now");
            }
            News::Recovered => tracing::info!(%name, "name resolved again, to the same addresses"),
            News::Failing { failures } => {
                if let Outcome::Failed(error) = outcome {
                    let is_known = self.answers.borrow().is_some();
                    tracing::warn!(%name, %error, failures, is_known, "name not resolved");
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
