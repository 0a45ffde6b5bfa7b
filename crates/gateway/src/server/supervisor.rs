//! Tasks in the background.

use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

/// Before a task that has ended is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// A task in the background, which ends with this.
#[derive(Debug)]
#[must_use = "the task ends with it"]
pub(super) struct Supervised(AbortHandle);

impl Supervised {
    /// Has it run until the program ends.
    pub(super) fn for_good(self) {
        std::mem::forget(self);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `task` on the present runtime. It is not to end by itself: when it does, or panics, that is logged, and it is started
/// again.
pub(super) fn supervise<F>(name: &'static str, task: impl Fn() -> F + Send + 'static) -> Supervised
where
    F: Future<Output = ()> + Send + 'static,
{
    let supervisor = tokio::spawn(async move {
        // What runs in it ends with it.
        let mut running = JoinSet::new();
        loop {
            running.spawn(task());
            let ended = running.join_next().await;
            let panicked = !matches!(ended, Some(Ok(())));
            tracing::error!(
                task = name,
                panicked,
                "background task has ended; it is started again"
            );
            tokio::time::sleep(PAUSE).await;
        }
    });
    Supervised(supervisor.abort_handle())
}
