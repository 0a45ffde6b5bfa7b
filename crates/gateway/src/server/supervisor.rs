//! Tasks in the background.

use std::time::Duration;

/// Before a task that has ended is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `task` on the present runtime for as long as that lives. It is not to end: when it does, or panics, that is
/// logged, and it is started again.
pub(super) fn supervise<F>(name: &'static str, task: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            let ended = tokio::spawn(task()).await;
            let panicked = ended.is_err();
            tracing::error!(
                task = name,
                panicked,
                "background task has ended; it is started again"
            );
            tokio::time::sleep(PAUSE).await;
        }
    });
}
