//! From the first signal to the last request.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::upgrade::Upgrade;
use super::worker::WorkerHandle;
use super::{StartError, notify};

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Take connections and requests.
    Serving,
    /// Another process takes connections now: end those that there are with their next answer, in no hurry.
    HandedOver,
    /// Take no more connections; end those that there are when they have answered what they have begun.
    Draining,
    /// Stop now.
    Stopping,
}

/// The signals that stop the gateway, or have another one take over. Those that come while it starts are remembered.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

/// What is to be done.
enum Asked {
    Stop,
    Upgrade,
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
            upgrade: signal(SignalKind::user_defined2()).map_err(failed)?,
        })
    }

    /// The next that says to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }
}

/// Waits for the first signal that says to stop, from the call on: also one that comes before the wait counts.
///
/// # Errors
/// When signals cannot be taken over.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let mut signals = StopSignals::take_over()?;
    Ok(async move { signals.stop().await })
}

/// Waits for a signal, then for the workers: `timeout` for what is in flight, no time at all after a second signal.
pub(super) async fn wait(
    mut signals: StopSignals,
    upgrade: Upgrade,
    phase: &watch::Sender<Phase>,
    workers: Vec<WorkerHandle>,
    timeout: Duration,
) -> Result<(), StartError> {
    let mut ended: JoinSet<bool> = workers.into_iter().map(WorkerHandle::ended).collect();

    let next = tokio::select! {
        next = serve(&mut signals, &upgrade) => next,
        _ = ended.join_next() => {
            phase.send_replace(Phase::Stopping);
            return Err(StartError::WorkerLost);
        }
    };
    // The sockets close with the last that holds them.
    drop(upgrade);
    tracing::info!(
        seconds = timeout.as_secs_f64(),
        "draining: finishing what is in flight"
    );
    if next == Phase::Draining {
        notify::stopping();
    }
    phase.send_replace(next);
    let drained = async { while ended.join_next().await.is_some() {} };
    let hurried = async {
        if next == Phase::HandedOver {
            tokio::time::sleep(timeout / 2).await;
            phase.send_replace(Phase::Draining);
            tokio::time::sleep(timeout / 2).await;
        } else {
            tokio::time::sleep(timeout).await;
        }
    };
    tokio::select! {
        () = drained => tracing::info!("drained"),
        () = hurried => tracing::warn!("shutdown time is over; open requests are cut off"),
        () = signals.stop() => tracing::warn!("second signal; open requests are cut off"),
    }
    phase.send_replace(Phase::Stopping);
    while ended.join_next().await.is_some() {}
    Ok(())
}

/// Serves until there is a reason to end, and says how: because of a signal, or because another process serves now. One
/// that does not come so far is told of, and changes nothing.
async fn serve(signals: &mut StopSignals, upgrade: &Upgrade) -> Phase {
    while matches!(signals.next().await, Asked::Upgrade) {
        let upgraded = tokio::select! {
            upgraded = upgrade.run() => upgraded,
            () = signals.stop() => break,
        };
        match upgraded {
            Ok(process) => {
                tracing::info!(process, "another process has taken over");
                notify::main_process(process);
                return Phase::HandedOver;
            }
            Err(error) => tracing::error!(%error, "not upgraded; this process goes on"),
        }
    }
    Phase::Draining
}
