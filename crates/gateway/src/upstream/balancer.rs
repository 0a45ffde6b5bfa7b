//! Which member a request goes to.

use std::sync::Arc;

use arc_swap::ArcSwap;
use load_balancer::outlier::{Change, Event};
use load_balancer::{InFlight, Outcome, Request, Streak};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::dns::Watched;
use super::hash_key::HashKey;
use super::members::{Member, Members, Roster};
use super::moment;
use super::sticky::Sticky;
use crate::auth::Subject;

/// Picks members of one upstream, for all workers.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// What members are made of.
    roster: Roster,
    /// Replaced by the control plane when names lead elsewhere, or the members' availability has changed. A pick looks at
    /// availability itself too, so that a member which has just become unavailable is not picked in between.
    members: ArcSwap<Members>,
    hash_key: Option<HashKey>,
    sticky: Option<Sticky>,
    /// Something about the members' availability may have changed.
    changed: Notify,
    /// There are other members.
    replaced: watch::Sender<()>,
}

/// A member that has been picked for a request.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) member: Arc<Member>,
    /// Counts the request as in flight.
    pub(crate) in_flight: InFlight,
}

impl Balancer {
    /// With the members that need no resolver, from now on.
    pub(crate) fn new(
        roster: Roster,
        hash_key: Option<HashKey>,
        sticky: Option<Sticky>,
        now: Instant,
    ) -> Self {
        Self {
            members: ArcSwap::from_pointee(Members::new(&roster, moment(now))),
            roster,
            hash_key,
            sticky,
            changed: Notify::new(),
            replaced: watch::Sender::new(()),
        }
    }

    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The member for `request` that is none of those that have been `tried`; none where all have been.
    pub(crate) fn pick(
        &self,
        request: &Subject<'_>,
        tried: &[u64],
        now: Instant,
    ) -> Option<Picked> {
        let hash_key = self.hash_key.as_ref();
        let sticky = self.sticky.as_ref();
        let now = moment(now);
        let members = self.members.load();
        let pick = members.picker.pick(&Request {
            hash: hash_key.and_then(|key| key.hash(request)),
            sticky: sticky.and_then(|sticky| sticky.endpoint(request.head)),
            tried,
            now,
            random: fastrand::u64(..),
        })?;
        Some(Picked {
            member: Arc::clone(members.all.get(pick.index)?),
            in_flight: pick.start(now),
        })
    }

    /// Takes in what has come of a request.
    pub(crate) fn record(&self, in_flight: &mut InFlight, outcome: Outcome, now: Instant) {
        let now = moment(now);
        let streak = in_flight.answered(outcome, now);
        if streak == Streak::default() {
            return;
        }
        let members = self.members.load();
        let judged = members
            .detector
            .as_ref()
            .and_then(|detector| detector.judge(in_flight.load(), streak, now));
        if let Some(event) = judged {
            tell(&members, &event);
            self.changed.notify_one();
        }
    }

    /// The cookie that a client which was sent to `member` is to get, where it has another or none.
    pub(crate) fn cookie(
        &self,
        head: &http::request::Parts,
        member: u64,
    ) -> Option<http::HeaderValue> {
        let sticky = self.sticky.as_ref()?;
        if sticky.endpoint(head) == Some(member) {
            return None;
        }
        sticky.cookie(member)
    }

    /// Requests in flight to all members.
    pub(crate) fn in_flight(&self) -> u32 {
        let members = self.members.load();
        let loads = members.picker.endpoints().iter();
        let loads = loads.map(|it| it.load.in_flight());
        loads.fold(0, u32::saturating_add)
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.load().all.len()
    }

    /// Waits while there is no member only because names have not been answered yet. Whether there is one now. While there
    /// is none, names are looked up sooner.
    pub(crate) async fn has_members(&self) -> bool {
        let mut replaced = self.replaced();
        loop {
            {
                let members = self.members.load();
                if !members.all.is_empty() {
                    return true;
                }
                members.are_missed();
                if !members.incomplete {
                    return false;
                }
            }
            if replaced.changed().await.is_err() {
                return false;
            }
        }
    }

    /// The present members.
    pub(super) fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Hears of every time from now on when there are other members.
    pub(super) fn replaced(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Something about the members' availability may have changed.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Names have come to something else: `named` has an element for each endpoint. Like [`Self::tick`] for the upstream's
    /// one keeper only: neither looks for what the other has stored meanwhile.
    pub(super) fn update(&self, named: &[Option<Watched>], now: Instant) {
        let members = self.members.load();
        let updated = members.update(&self.roster, named, moment(now));
        self.members.store(Arc::new(updated));
        self.replaced.send_replace(());
    }

    /// Lets members return, judges success rates, and replaces the picker where that has changed anything.
    pub(super) fn tick(&self, now: Instant) {
        let members = self.members.load();
        if let Some(detector) = &members.detector {
            for event in detector.tick(moment(now)) {
                tell(&members, &event);
            }
        }
        if members.picker.is_stale() {
            self.members.store(Arc::new(members.refresh()));
        }
    }
}

fn tell(members: &Members, event: &Event) {
    let endpoint = members.weighted(event.endpoint).map(|it| &*it.label);
    match event.change {
        Change::Ejected { reason, time } => {
            tracing::warn!(endpoint, ?reason, ?time, "endpoint ejected");
        }
        Change::Returned => tracing::info!(endpoint, "endpoint returned"),
    }
}
