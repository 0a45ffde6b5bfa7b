//! Reading first, writing after.
//!
//! A worker that has heard of many sockets at once could serve each to its end before it looks at the next: read,
//! think, write. To write is to wake somebody, though, and who is woken for a single message has soon done with it
//! and sleeps again: the next write wakes him again, and each waking costs the writer about as much as all its own
//! work on the message. So a message that is ready to leave lets those go first that are ready to be read; what they
//! come to is then written in one go, to peers that stay awake. A lone request loses nothing but a turn of an empty
//! queue.
//!
//! Measured with 64 connections and 12 header fields against nginx in the same rounds: CPU time per request 0.95 of
//! nginx's without, 0.86 with it. Towards clients it gains nothing more: who waits for an answer sleeps anyway.

use std::future::poll_fn;
use std::task::Poll;

/// Resolves when every task that is ready now has had its turn.
pub(crate) async fn after_the_others() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
