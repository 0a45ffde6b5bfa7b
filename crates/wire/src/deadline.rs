//! A time limit that costs next to nothing while it is not hit.
//!
//! A connection moves its limit several times per request, nearly always to a later point. The timer behind it is
//! therefore left where it is and only asked when it fires: a busy connection touches the runtime's timer wheel
//! once per limit's length rather than once per request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A movable point in time at which something has taken too long.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    /// Fires at `at` or earlier, never later; made when first waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// From now on the limit is `after` from now.
    pub fn set(&mut self, after: Duration) {
        self.set_at(Instant::now() + after);
    }

    /// From now on the limit is `at`.
    pub fn set_at(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// There is no limit any more.
    pub fn clear(&mut self) {
        self.at = None;
    }

    /// Whether there is a limit.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready once the limit has passed; pending for ever without one.
    pub fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_moved_later_is_hit_later() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(1));
        poll_fn(|context| {
            assert!(deadline.poll_passed(context).is_pending());
            Poll::Ready(())
        })
        .await;
        deadline.set(Duration::from_secs(5));
        poll_fn(|context| deadline.poll_passed(context)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_moved_earlier_is_hit_earlier() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(60));
        poll_fn(|context| {
            assert!(deadline.poll_passed(context).is_pending());
            Poll::Ready(())
        })
        .await;
        deadline.set(Duration::from_secs(2));
        poll_fn(|context| deadline.poll_passed(context)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_is_never_hit() {
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(1));
        deadline.clear();
        let hit = tokio::time::timeout(
            Duration::from_secs(60),
            poll_fn(|context| deadline.poll_passed(context)),
        );
        assert!(hit.await.is_err());
    }
}
