//! From the first signal to the last request.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::worker::WorkerHandle;
use super::{StartError, notify};

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Take connections and requests.
    Serving,
    /// Take no more connections; end those that there are when they have answered what they have begun.
    Draining,
    /// Stop now.
    Stopping,
}

/// The signals that stop the gateway. Those that come while it starts are remembered.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over from the system, which would end the process without a word. To be called before the
    /// first connection is taken.
    pub(super) fn take_over() -> Result<Self, StartError> {
        let failed = |error| StartError::Start {
            what: "the signal handlers",
            error,
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the first signal that says to stop, from the call on: also one that comes before the wait counts.
///
/// # Errors
/// When signals cannot be taken over.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let mut signals = StopSignals::take_over()?;
    Ok(async move { signals.next().await })
}

/// Waits for a signal, then for the workers: `timeout` for what is in flight, no time at all after a second signal.
pub(super) async fn wait(
    mut signals: StopSignals,
    phase: &watch::Sender<Phase>,
    workers: Vec<WorkerHandle>,
    timeout: Duration,
) -> Result<(), StartError> {
    let mut ended: JoinSet<bool> = workers.into_iter().map(WorkerHandle::ended).collect();

    tokio::select! {
        () = signals.next() => {}
        _ = ended.join_next() => {
            phase.send_replace(Phase::Stopping);
            return Err(StartError::WorkerLost);
        }
    }
    notify::stopping();
    tracing::info!(
        seconds = timeout.as_secs_f64(),
        "draining: finishing what is in flight"
    );
    phase.send_replace(Phase::Draining);
    let drained = async { while ended.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => tracing::info!("drained"),
        () = tokio::time::sleep(timeout) => tracing::warn!("shutdown time is over; open requests are cut off"),
        () = signals.next() => tracing::warn!("second signal; open requests are cut off"),
    }
    phase.send_replace(Phase::Stopping);
    while ended.join_next().await.is_some() {}
    Ok(())
}
