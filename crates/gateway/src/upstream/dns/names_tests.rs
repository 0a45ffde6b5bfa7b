//! What watching means, with look-ups that follow a script and a clock that is turned by hand.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::advance;

use super::super::question::Resolved;
use super::*;

/// What look-ups come to, one after the other; then they never end.
#[derive(Clone, Default)]
struct Script {
    outcomes: Arc<Mutex<VecDeque<Outcome<&'static str>>>>,
    /// When each was asked for.
    asked: Arc<Mutex<Vec<Instant>>>,
    unanswered: Arc<AtomicUsize>,
}

impl Script {
    fn new(outcomes: impl IntoIterator<Item = Outcome<&'static str>>) -> Self {
        let script = Self::default();
        script.outcomes.lock().unwrap().extend(outcomes);
        script
    }

    /// The seconds since `start` at which it was asked.
    fn asked_at(&self, start: Instant) -> Vec<f64> {
        let asked = self.asked.lock().unwrap();
        let since = asked.iter().map(|at| at.duration_since(start));
        since
            .map(|since| (since.as_secs_f64() * 10.0).round() / 10.0)
            .collect()
    }
}

impl Ask for Script {
    type Error = &'static str;

    async fn ask(&mut self) -> Outcome<&'static str> {
        self.asked.lock().unwrap().push(Instant::now());
        let outcome = self.outcomes.lock().unwrap().pop_front();
        match outcome {
            Some(outcome) => outcome,
            None => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                pending().await
            }
        }
    }
}

fn names() -> Arc<Names> {
    let settings = DnsSettings {
        servers: Vec::new(),
        timeout: Duration::from_secs(2),
    };
    Arc::new(Names::new(&settings, Arc::default()))
}

fn run(names: &Arc<Names>, script: &Script) -> JoinHandle<()> {
    let (names, script) = (Arc::clone(names), script.clone());
    tokio::spawn(async move { names.run_with(|_| script.clone()).await })
}

fn host(name: &str) -> Question {
    Question::Addresses {
        host: name.into(),
        port: 80,
    }
}

fn answer(last: u8) -> Answer {
    Answer::new(Resolved::all_of(&[[10, 0, 0, last].into()], (80, 1, 0)).collect())
}

fn found(last: u8, ttl: u64) -> Outcome<&'static str> {
    Outcome::Found {
        answer: answer(last),
        ttl: Duration::from_secs(ttl),
    }
}

/// Lets all tasks run for so long, and no timer be late.
async fn pass(seconds: u64) {
    for _ in 0..seconds * 10 {
        settle().await;
        advance(Duration::from_millis(100)).await;
    }
    settle().await;
}

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn present(watched: &Watched) -> Option<Answer> {
    watched.answers.borrow().as_deref().cloned()
}

#[tokio::test(start_paused = true)]
async fn the_same_question_is_looked_up_once_for_all_who_ask() {
    let (names, script) = (names(), Script::new([found(1, 100)]));
    let first = names.watch(host("users"));
    assert_eq!(present(&first), None);
    run(&names, &script);
    settle().await;
    let second = names.watch(host("users"));
    assert_eq!(present(&first), Some(answer(1)));
    assert_eq!(present(&second), Some(answer(1)));
    pass(50).await;
    assert_eq!(script.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_when_its_time_is_over_and_only_another_answer_is_told() {
    let script = Script::new([found(1, 10), found(1, 10), found(2, 10)]);
    let (names, start) = (names(), Instant::now());
    let mut watched = names.watch(host("users"));
    run(&names, &script);
    pass(1).await;
    watched.answers.mark_unchanged();
    pass(15).await;
    assert!(!watched.answers.has_changed().unwrap());
    pass(5).await;
    assert!(watched.answers.has_changed().unwrap());
    assert_eq!(present(&watched), Some(answer(2)));
    assert_eq!(script.asked_at(start), [0.0, 10.0, 20.0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_stays_while_the_resolver_fails() {
    let failures = (0..20).map(|_| Outcome::Failed("out of order"));
    let script = Script::new([found(1, 1)].into_iter().chain(failures));
    let names = names();
    let watched = names.watch(host("users"));
    run(&names, &script);
    pass(600).await;
    assert_eq!(present(&watched), Some(answer(1)));
    assert!(script.outcomes.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_no_answer_before_the_first() {
    let script = Script::new([Outcome::Failed("out of order"), found(1, 100)]);
    let names = names();
    let watched = names.watch(host("users"));
    run(&names, &script);
    settle().await;
    assert_eq!(present(&watched), None);
    pass(2).await;
    assert_eq!(present(&watched), Some(answer(1)));
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_connect_has_a_name_looked_up_once_a_second_at_most() {
    let script = Script::new((0..9).map(|_| found(1, 300)));
    let (names, start) = (names(), Instant::now());
    let watched = names.watch(host("users"));
    run(&names, &script);
    settle().await;
    for _ in 0..30 {
        watched.refresh().ask();
        settle().await;
        advance(Duration::from_millis(100)).await;
    }
    pass(10).await;
    assert_eq!(script.asked_at(start), [0.0, 1.0, 2.0, 3.0]);
    watched.refresh().ask();
    settle().await;
    assert_eq!(script.asked.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_watches_is_not_looked_up() {
    let script = Script::new((1..9).map(|last| found(last, 5)));
    let (names, start) = (names(), Instant::now());
    let watched = names.watch(host("users"));
    run(&names, &script);
    pass(6).await;
    let other = watched.clone();
    drop(watched);
    pass(5).await;
    drop(other);
    pass(60).await;
    assert_eq!(script.asked_at(start), [0.0, 5.0, 10.0]);
    assert!(names.watched().is_empty());
    // Nor is anything known of it when somebody does again.
    let watched = names.watch(host("users"));
    assert_eq!(present(&watched), None);
    settle().await;
    assert_eq!(present(&watched), Some(answer(4)));
}

#[tokio::test(start_paused = true)]
async fn answers_outlive_the_task_that_found_them() {
    let script = Script::new([found(1, 5), found(2, 5)]);
    let names = names();
    let watched = names.watch(host("users"));
    let task = run(&names, &script);
    settle().await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(present(&watched), Some(answer(1)));
    run(&names, &script);
    settle().await;
    assert_eq!(present(&watched), Some(answer(2)));
}

#[tokio::test(start_paused = true)]
async fn a_start_with_many_names_does_not_flood_the_resolver() {
    let (names, script) = (names(), Script::new([]));
    let watched: Vec<_> = (0..100)
        .map(|number| names.watch(host(&format!("users-{number}"))))
        .collect();
    run(&names, &script);
    pass(1).await;
    assert_eq!(script.unanswered.load(Ordering::Relaxed), AT_ONCE);
    drop(watched);
}
