//! Asking for another configuration.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::task::Task;
use super::{Applied, Rejected};
use crate::caching::SharedCache;
use crate::config::{Live, Loaded, RoutesSource, Settings};
use crate::counters::{ProcessCounts, ReloadStatus};
use crate::handler::Answers;
use crate::server::StartError;

/// Reloads that may wait for their turn.
const MOST_WAITING: usize = 16;

/// The way to have the configuration replaced.
#[derive(Debug, Clone)]
pub(crate) struct Reloader {
    commands: mpsc::Sender<Command>,
    counts: Arc<ProcessCounts>,
}

/// Something that somebody has asked for.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) source: RoutesSource,
    pub(super) purpose: Purpose,
    /// The start of the digest of the routes file that is to be served still, where somebody counts on that.
    pub(super) expected: Option<String>,
    pub(super) answer: oneshot::Sender<Result<Applied, Rejected>>,
}

/// What becomes of a configuration that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Serve,
    /// Nothing: somebody wants to know.
    Check,
}

impl Reloader {
    /// Has the first configuration served, and others from now on when there is reason to. `answers` are counted by the
    /// workers, each for itself.
    ///
    /// # Errors
    /// When what the configuration needs cannot be started.
    pub(in crate::server) fn start(
        settings: &Arc<Settings>,
        loaded: Loaded,
        answers: &Arc<[Answers]>,
        cache: &SharedCache,
        counts: &Arc<ProcessCounts>,
    ) -> Result<(Self, Arc<Live>), StartError> {
        let (commands, waiting) = mpsc::channel(MOST_WAITING);
        let live = Task::start(settings, loaded, answers, cache, counts, waiting)?;
        let counts = Arc::clone(counts);
        Ok((Self { commands, counts }, live))
    }

    /// Serves the routes of `source` from now on.
    ///
    /// # Errors
    /// When they are not served; what was served before goes on.
    pub(crate) async fn reload(&self, source: RoutesSource) -> Result<Applied, Rejected> {
        self.ask(source, Purpose::Serve, None).await
    }

    /// The same, if the routes file with this hash is served still.
    ///
    /// # Errors
    /// Those of [`Self::reload`], and that it is not.
    pub(crate) async fn replace(
        &self,
        source: RoutesSource,
        expected: Option<String>,
    ) -> Result<Applied, Rejected> {
        self.ask(source, Purpose::Serve, expected).await
    }

    /// What would come of serving the routes of `source`. It has no number.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) async fn check(&self, source: RoutesSource) -> Result<Applied, Rejected> {
        self.ask(source, Purpose::Check, None).await
    }

    async fn ask(
        &self,
        source: RoutesSource,
        purpose: Purpose,
        expected: Option<String>,
    ) -> Result<Applied, Rejected> {
        let ended = || Rejected::Failed("the gateway is about to end".to_owned());
        let (answer, answered) = oneshot::channel();
        let command = Command {
            source,
            purpose,
            expected,
            answer,
        };
        self.commands.send(command).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// How reloads have gone.
    pub(crate) fn status(&self) -> &ReloadStatus {
        &self.counts.reload
    }
}
