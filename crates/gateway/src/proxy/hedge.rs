//! A second attempt beside one that takes long.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::Hedging;
use tokio::time::{Instant, sleep};

use super::attempt::Attempt;
use crate::error::{ErrorCode, Refusal};
use crate::upstream::moment;

/// When a second attempt is made, for requests that are idempotent and have no body. It counts against the budget of
/// retries.
#[derive(Debug)]
pub(crate) struct Hedge {
    /// So long after the first; never where there is nothing to go by.
    pub(crate) after: Option<Duration>,
    /// What takes the place of that as soon as it is known.
    pub(crate) percentile: Option<Percentile>,
}

/// As long after the first as most attempts take.
#[derive(Debug)]
pub(crate) struct Percentile {
    /// Which one it is.
    pub(crate) at: f64,
    pub(crate) hedging: Arc<Hedging>,
    /// But never earlier than this.
    pub(crate) at_least: Duration,
}

impl Hedge {
    /// The same, which goes on with what the one `before` has learnt.
    pub(crate) fn going_on_from(mut self, before: Option<&Self>) -> Self {
        let before = before.and_then(|before| before.percentile.as_ref());
        if let (Some(percentile), Some(before)) = (&mut self.percentile, before)
            && percentile.at.total_cmp(&before.at).is_eq()
        {
            percentile.hedging = Arc::clone(&before.hedging);
        }
        self
    }

    /// Waits until it is time for a second attempt.
    pub(super) async fn is_due(&self) {
        match self.delay() {
            Some(delay) => sleep(delay).await,
            None => std::future::pending().await,
        }
    }

    fn delay(&self) -> Option<Duration> {
        let known = self.percentile.as_ref().and_then(|percentile| {
            let delay = percentile.hedging.delay()?;
            Some(delay.max(percentile.at_least))
        });
        known.or(self.after)
    }

    /// Whether it leaves room for a second attempt. Counts it.
    pub(super) fn allows(&self) -> bool {
        let percentile = self.percentile.as_ref();
        percentile.is_none_or(|percentile| percentile.hedging.try_hedge())
    }

    /// Learns from a first attempt. One that failed at once says nothing about how long answers take; one that ran into
    /// its time-out does.
    pub(super) fn learn(&self, first: &Result<Attempt, Refusal>, began: Instant) {
        let Some(Percentile { hedging, .. }) = &self.percentile else {
            return;
        };
        let Ok(Attempt {
            result, ended_at, ..
        }) = first
        else {
            return;
        };
        let tells = match result {
            Ok(answer) => !answer.status().is_server_error(),
            Err(refusal) => refusal.code == ErrorCode::UpstreamTimeout,
        };
        if tells {
            let time = ended_at.saturating_duration_since(began);
            hedging.record(time, moment(*ended_at));
        }
    }

    /// Learns that the first attempt has been overtaken by the second: it would have taken longer.
    pub(super) fn learn_overtaken(&self, began: Instant) {
        if let Some(Percentile { hedging, .. }) = &self.percentile {
            let now = Instant::now();
            hedging.record(now.saturating_duration_since(began), moment(now));
        }
    }
}
