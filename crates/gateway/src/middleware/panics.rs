//! A fault in the handling of one request takes nothing else down.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The handling panicked; the panic hook has told where.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs `future`, and returns an error instead of unwinding out of it.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // The future is not polled again after a panic, so it cannot be seen in a broken state.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        let result = caught(async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "on purpose");
        });
        assert!(result.await.is_err());
    }

    #[tokio::test]
    async fn a_result_passes() {
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
    }
}
