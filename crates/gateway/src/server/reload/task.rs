//! The task that replaces configurations, one after the other.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval, sleep};

use super::handle::{Command, Purpose};
use super::keepers::Keepers;
use super::rollback::Guard;
use super::watch::Watch;
use super::{Applied, Cause, Rejected};
use crate::caching::SharedCache;
use crate::config::{
    Carried, Fingerprint, History, Live, Loaded, RoutesSource, Settings, Snapshot, history_hash,
    load_again,
};
use crate::counters::ProcessCounts;
use crate::handler::Answers;
use crate::server::{StartError, cache, notify};

/// How often what is not used any more is looked over.
const TICK: Duration = Duration::from_secs(1);
/// How long the configuration before the last may still be held by somebody: workers look every second.
const RELEASE: Duration = Duration::from_secs(10);
/// Whoever has taken over what a task did needs a moment for it.
const HAND_OVER: Duration = Duration::from_secs(1);

/// The task that replaces configurations.
pub(super) struct Task {
    settings: Arc<Settings>,
    live: Arc<Live>,
    counts: Arc<ProcessCounts>,
    /// Lent to the thread that makes the next one.
    carried: Arc<Mutex<Carried>>,
    keepers: Keepers,
    /// Whose memory routes may have shares of.
    cache: SharedCache,
    /// Where applied routes files are kept.
    history: Option<History>,
    guard: Option<Guard>,
    /// Where the present routes come from.
    source: RoutesSource,
    /// The files that the last attempt has read, whatever came of it.
    files: Fingerprint,
    /// Configurations that have been replaced.
    old: Vec<Weak<Snapshot>>,
}

/// What a task may have to do something for.
struct Reasons {
    commands: mpsc::Receiver<Command>,
    hangup: Signal,
    /// None where files are not watched.
    watch: Option<Watch>,
    tick: Interval,
    /// Whether other files may be to be watched than the last time.
    may_be_others: bool,
}

impl Task {
    /// Has the first configuration served, and others when there is reason to.
    ///
    /// # Errors
    /// When what the configuration needs cannot be started.
    pub(super) fn start(
        settings: &Arc<Settings>,
        loaded: Loaded,
        answers: &Arc<[Answers]>,
        cache: &SharedCache,
        counts: &Arc<ProcessCounts>,
        waiting: mpsc::Receiver<Command>,
    ) -> Result<Arc<Live>, StartError> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| StartError::Start {
            what: "the signal handlers",
            error,
        })?;
        let Loaded {
            snapshot, files, ..
        } = loaded;
        let mut carried = Carried::default();
        carried.take_over(&snapshot, Instant::now());
        let mut keepers = Keepers::default();
        keepers.start(&snapshot, &settings.dns, &counts.lookups)?;
        let live = Arc::new(Live::new(Arc::new(snapshot)));
        let rollback = settings.reload.rollback;
        let task = Task {
            live: Arc::clone(&live),
            counts: Arc::clone(counts),
            carried: Arc::new(Mutex::new(carried)),
            keepers,
            history: settings.reload.state_dir.as_deref().map(History::new),
            guard: rollback.map(|rollback| Guard::new(rollback, Arc::clone(answers))),
            source: RoutesSource::File,
            files: files.with(&settings.routes_config_path, None),
            old: Vec::new(),
            cache: Arc::clone(cache),
            settings: Arc::clone(settings),
        };
        tokio::spawn(task.run(waiting, hangup));
        Ok(live)
    }

    async fn run(mut self, commands: mpsc::Receiver<Command>, hangup: Signal) {
        self.keep().await;
        let mut reasons = Reasons {
            commands,
            hangup,
            watch: self.settings.reload.watch.then(Watch::new),
            tick: interval(TICK),
            may_be_others: true,
        };
        loop {
            // A reload that fails in a way nobody has thought of must not be the last one.
            let turn = AssertUnwindSafe(self.turn(&mut reasons)).catch_unwind();
            match turn.await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(_) => tracing::error!(
                    "the task that replaces configurations has panicked; it goes on"
                ),
            }
        }
    }

    /// Waits for one reason to do something, and does it.
    async fn turn(&mut self, reasons: &mut Reasons) -> ControlFlow<()> {
        let Reasons {
            commands,
            hangup,
            watch,
            tick,
            may_be_others,
        } = reasons;
        if let (Some(watch), true) = (watch.as_mut(), *may_be_others) {
            watch.follow(self.files.paths());
        }
        *may_be_others = true;
        tokio::select! {
            command = commands.recv() => {
                let Some(Command { source, purpose, expected, answer }) = command else {
                    return ControlFlow::Break(());
                };
                let result = match (purpose, expected) {
                    (Purpose::Check, _) => self.check(source).await,
                    (Purpose::Serve, Some(expected)) if self.hash().as_deref() != Some(&*expected) => {
                        Err(Rejected::Outdated)
                    }
                    (Purpose::Serve, _) => self.reload(source, Cause::Asked).await,
                };
                // Whoever has asked may have gone.
                let _ = answer.send(result);
            }
            signal = hangup.recv() => if signal.is_some() {
                notify::reloading();
                self.look_at_settings();
                let _is_told = self.reload(RoutesSource::File, Cause::Signal).await;
                notify::ready();
            },
            () = hint(watch.as_mut()) => self.look_at_files().await,
            _ = tick.tick() => {
                self.tick().await;
                *may_be_others = false;
            }
        }
        ControlFlow::Continue(())
    }

    /// Says which settings another start would have others of.
    fn look_at_settings(&mut self) {
        match self.settings.sources.changed() {
            Ok(variables) if variables.is_empty() => {}
            Ok(variables) => tracing::warn!(
                "{} in the .env file: changed since the start, and not applied; an upgrade or a restart has the new values hold",
                variables.join(", ")
            ),
            Err(finding) => tracing::warn!("{finding}; settings stay as they were at the start"),
        }
    }

    /// Applies what has changed.
    async fn look_at_files(&mut self) {
        let (files, path) = (self.files.clone(), self.settings.routes_config_path.clone());
        let Ok(now) = tokio::task::spawn_blocking(move || files.now()).await else {
            return;
        };
        if now == self.files {
            return;
        }
        // Routes that were applied in place of the file stay until the file itself is another.
        let source = if now.of(&path) == self.files.of(&path) {
            self.source.clone()
        } else {
            RoutesSource::File
        };
        let _is_told = self.reload(source, Cause::Change).await;
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        self.carried().expire(now);
        self.end_unused();
        self.count_generations();
        let verdict = self.guard.as_mut().and_then(|guard| guard.look(now));
        let Some(verdict) = verdict else {
            return;
        };
        let [before, after] = verdict.shares;
        let why = format!(
            "answers of 5xx have become more frequent since the last change, from {before:.1} % to {after:.1} % of {} \
             requests: it has been taken back",
            verdict.requests
        );
        tracing::error!("{why}");
        let source = RoutesSource::Text(verdict.before);
        if self.reload(source, Cause::Failures).await.is_ok() {
            self.counts.reload.taken_back(why);
        }
    }

    async fn reload(&mut self, source: RoutesSource, cause: Cause) -> Result<Applied, Rejected> {
        let result = self.try_reload(source, cause).await;
        match &result {
            Ok(Applied {
                generation,
                hash,
                warnings,
            }) => {
                self.counts.reload.succeeded(*generation);
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                let routes = self.live.snapshot().routes.len();
                tracing::info!(?cause, generation, hash, routes, "configuration applied");
            }
            Err(rejected) => {
                let errors: Vec<String> = rejected.to_string().lines().map(str::to_owned).collect();
                for error in &errors {
                    tracing::error!("{error}");
                }
                let generation = self.live.generation();
                tracing::error!(
                    ?cause,
                    errors = errors.len(),
                    generation,
                    "configuration refused; the one before stays"
                );
                self.counts.reload.failed(errors);
            }
        }
        result
    }

    /// Makes a configuration, and lets go of it.
    async fn check(&mut self, source: RoutesSource) -> Result<Applied, Rejected> {
        self.wait_for_release().await?;
        let settings = Arc::clone(&self.settings);
        let making = move || load_again(&settings, &source, &Carried::default()).0;
        let made = tokio::task::spawn_blocking(making).await;
        let loaded = made.map_err(|error| Rejected::Failed(error.to_string()))??;
        Ok(Applied {
            generation: self.live.generation(),
            hash: loaded.snapshot.text.as_deref().map(history_hash),
            warnings: loaded.warnings,
        })
    }

    /// The present routes file; none where there is none.
    fn served(&self) -> Option<Arc<str>> {
        self.live.snapshot().text.clone()
    }

    fn hash(&self) -> Option<String> {
        self.served().as_deref().map(history_hash)
    }

    async fn try_reload(
        &mut self,
        source: RoutesSource,
        cause: Cause,
    ) -> Result<Applied, Rejected> {
        let failed = |error: &dyn std::fmt::Display| Rejected::Failed(error.to_string());
        let (settings, carried) = (Arc::clone(&self.settings), Arc::clone(&self.carried));
        self.wait_for_release().await?;
        let source = self.as_meant(source);
        let asked = source.clone();
        // It may take a while, and health checks and others are not to wait for it.
        let making = tokio::task::spawn_blocking(move || {
            let carried = carried.lock().unwrap_or_else(PoisonError::into_inner);
            load_again(&settings, &asked, &carried)
        });
        let (loaded, files) = making.await.map_err(|error| failed(&error))?;
        let path = &self.settings.routes_config_path;
        self.files = files.with(path, self.files.of(path));
        let Loaded {
            snapshot, warnings, ..
        } = loaded?;
        let snapshot = Arc::new(snapshot);
        let before = self.served();
        self.keepers
            .start(&snapshot, &self.settings.dns, &self.counts.lookups)
            .map_err(|error| failed(&error))?;
        cache::open(&self.settings, &snapshot, &self.cache)
            .await
            .map_err(|error| failed(&error))?;
        self.old.push(Arc::downgrade(&self.live.snapshot()));
        let generation = self.live.replace(Arc::clone(&snapshot));
        let now = Instant::now();
        self.carried()
            .take_over(&snapshot, now + self.settings.timeouts.drain);
        self.end_unused();
        drop(snapshot);
        self.count_generations();

        let served = self.served();
        self.source = source;
        if let Some(guard) = &mut self.guard {
            match cause {
                // What is taken back is not taken back again.
                Cause::Failures => guard.settle(),
                Cause::Change | Cause::Signal | Cause::Asked => {
                    guard.changed(before.as_deref().map(str::to_owned), served.as_deref(), now);
                }
            }
        }
        self.keep().await;
        Ok(Applied {
            generation,
            hash: served.as_deref().map(history_hash),
            warnings,
        })
    }

    /// Without a routes file there need not be one. Once there was, its absence is an error: the way from one version to the
    /// next must not lead over a route for everything.
    fn as_meant(&self, source: RoutesSource) -> RoutesSource {
        let may_be_missing = self.served().is_none() && !self.settings.routes_config_path_is_given;
        match source {
            RoutesSource::File | RoutesSource::FileOrDefault if may_be_missing => {
                RoutesSource::FileOrDefault
            }
            RoutesSource::File | RoutesSource::FileOrDefault => RoutesSource::File,
            RoutesSource::Text(_) => source,
        }
    }

    /// Waits until nobody has a configuration but the present one.
    ///
    /// # Errors
    /// When somebody keeps one: there is no place for a third.
    async fn wait_for_release(&mut self) -> Result<(), Rejected> {
        let until = Instant::now() + RELEASE;
        loop {
            self.old.retain(|old| old.strong_count() > 0);
            if self.old.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let why = "the configuration before the present one is still in use; try again";
                return Err(Rejected::Failed(why.to_owned()));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn count_generations(&mut self) {
        self.old.retain(|old| old.strong_count() > 0);
        self.counts.reload.set_in_memory(self.old.len() + 1);
    }

    fn carried(&self) -> std::sync::MutexGuard<'_, Carried> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is done for upstreams and issuers that are not used any more.
    fn end_unused(&mut self) {
        let snapshot = self.live.snapshot();
        let carried = Arc::clone(&self.carried);
        let carried = carried.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.keepers.retain(&snapshot, carried.upstreams());
        if !ended.is_empty() {
            tokio::spawn(async move {
                sleep(HAND_OVER).await;
                drop(ended);
            });
        }
    }

    /// Keeps the present routes file, where that is wanted.
    async fn keep(&self) {
        let (Some(history), Some(text)) = (self.history.clone(), self.served()) else {
            return;
        };
        // A disk may take its time.
        let keeping = tokio::task::spawn_blocking(move || history.keep(&text));
        if let Ok(Err(error)) = keeping.await {
            tracing::error!(%error, "STATE_DIR: the routes file that was applied cannot be kept");
        }
    }
}

/// Waits for a reason to look at the files; for ever where nobody watches.
async fn hint(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.hint().await,
        None => std::future::pending().await,
    }
}
