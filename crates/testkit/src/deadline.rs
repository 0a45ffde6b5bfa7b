//! No test waits for ever.

use std::future::Future;
use std::time::Duration;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The output of `future`.
///
/// # Panics
/// When it does not come in time; `what` says what was waited for.
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: {what}: nothing within {PATIENCE:?}"),
        }
    }
}
