//! A fault in the handling of one request takes nothing else down.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The handling panicked; the panic hook has told where.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs `future`, and returns an error instead of unwinding out of it.
pub(crate) fn caught<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Panicked>> {
    poll_fn(move |context| {
        // The future is not polled again after a panic, so it cannot be seen in a broken state.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        let future = pin!(async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "on purpose");
        });
        assert!(caught(future).await.is_err());
    }

    #[tokio::test]
    async fn a_result_passes() {
        assert_eq!(caught(pin!(async { 7 })).await.unwrap(), 7);
    }
}
