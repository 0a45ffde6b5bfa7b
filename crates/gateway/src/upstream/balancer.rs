//! Which endpoint a request goes to.

use std::sync::Arc;

use arc_swap::ArcSwap;
use load_balancer::outlier::{Change, Detector, Event};
use load_balancer::{InFlight, Outcome, Picker, Request};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hash_key::HashKey;
use super::moment;
use super::sticky::Sticky;
use crate::auth::Subject;

/// Picks endpoints of one upstream, for all workers.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// Replaced by the control plane when the endpoints' availability has changed. A pick looks at that itself too, so
    /// that an endpoint which has just become unavailable is not picked in between.
    picker: ArcSwap<Picker>,
    detector: Option<Detector>,
    hash_key: Option<HashKey>,
    sticky: Option<Sticky>,
    /// The picker is to be replaced.
    changed: Notify,
}

/// An endpoint that has been picked for a request.
#[derive(Debug)]
pub(crate) struct Picked {
    /// Its index among the upstream's.
    pub(crate) index: usize,
    /// Its identity.
    pub(crate) id: u64,
    /// Counts the request as in flight.
    pub(crate) in_flight: InFlight,
}

impl Balancer {
    pub(crate) fn new(
        picker: Picker,
        detector: Option<Detector>,
        hash_key: Option<HashKey>,
        sticky: Option<Sticky>,
    ) -> Self {
        Self {
            picker: ArcSwap::from_pointee(picker),
            detector,
            hash_key,
            sticky,
            changed: Notify::new(),
        }
    }

    /// The endpoint for `request` that is none of those that have been `tried`; none where all have been.
    pub(crate) fn pick(
        &self,
        request: &Subject<'_>,
        tried: &[u64],
        now: Instant,
    ) -> Option<Picked> {
        let hash_key = self.hash_key.as_ref();
        let sticky = self.sticky.as_ref();
        let now = moment(now);
        let picker = self.picker.load();
        let pick = picker.pick(&Request {
            hash: hash_key.and_then(|key| key.hash(request)),
            sticky: sticky.and_then(|sticky| sticky.endpoint(request.head)),
            tried,
            now,
            random: fastrand::u64(..),
        })?;
        Some(Picked {
            index: pick.index,
            id: pick.endpoint().id,
            in_flight: pick.start(now),
        })
    }

    /// Takes in what has come of a request.
    pub(crate) fn record(&self, in_flight: &mut InFlight, outcome: Outcome, now: Instant) {
        let now = moment(now);
        let streak = in_flight.answered(outcome, now);
        let judged = self
            .detector
            .as_ref()
            .and_then(|detector| detector.judge(in_flight.load(), streak, now));
        if let Some(event) = judged {
            self.tell(&event);
            self.changed.notify_one();
        }
    }

    /// The cookie that a client which was sent to `endpoint` is to get, where it has another or none.
    pub(crate) fn cookie(
        &self,
        head: &http::request::Parts,
        endpoint: u64,
    ) -> Option<http::HeaderValue> {
        let sticky = self.sticky.as_ref()?;
        if sticky.endpoint(head) == Some(endpoint) {
            return None;
        }
        sticky.cookie(endpoint)
    }

    /// Requests in flight to all endpoints.
    pub(crate) fn in_flight(&self) -> u32 {
        let picker = self.picker.load();
        let loads = picker.endpoints().iter().map(|it| it.load.in_flight());
        loads.fold(0, u32::saturating_add)
    }

    /// The present picker.
    pub(super) fn picker(&self) -> Arc<Picker> {
        self.picker.load_full()
    }

    /// Something about the endpoints' availability may have changed.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Lets endpoints return, judges success rates, and replaces the picker where that has changed anything.
    pub(super) fn tick(&self, now: Instant) {
        if let Some(detector) = &self.detector {
            for event in detector.tick(moment(now)) {
                self.tell(&event);
            }
        }
        let picker = self.picker.load();
        if picker.is_stale() {
            self.picker.store(Arc::new(picker.refresh()));
        }
    }

    fn tell(&self, event: &Event) {
        match event.change {
            Change::Ejected { reason, time } => {
                tracing::warn!(
                    endpoint = event.endpoint,
                    ?reason,
                    ?time,
                    "endpoint ejected"
                );
            }
            Change::Returned => tracing::info!(endpoint = event.endpoint, "endpoint returned"),
        }
    }
}
