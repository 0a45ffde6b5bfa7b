//! Which member a request goes to.

use std::sync::Arc;

use arc_swap::ArcSwap;
use load_balancer::outlier::{Change, Event};
use load_balancer::{InFlight, Outcome, Policy, Request, Streak};
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

/// Why nobody has been picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// There is no member: no name leads anywhere, or is known to.
    Unresolved,
    /// All that have a weight have been tried.
    Left,
}

impl Balancer {
    /// From now on: with the members that need no resolver, or with those of the one `before` whose place it takes.
    pub(crate) fn new(
        roster: Roster,
        hash_key: Option<HashKey>,
        sticky: Option<Sticky>,
        now: Instant,
        before: Option<&Self>,
    ) -> Self {
        let members = match before {
            None => Members::new(&roster, moment(now)),
            Some(before) => before
                .members()
                .inherit(&before.roster, &roster, moment(now)),
        };
        Self {
            members: ArcSwap::from_pointee(members),
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

    /// The member for `request` that is none of those that have been `tried`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn pick(
        &self,
        request: &Subject<'_>,
        tried: &[u64],
        now: Instant,
    ) -> Result<Picked, Nobody> {
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
        });
        let picked = pick.and_then(|pick| Some((pick, members.all.get(pick.index)?)));
        match picked {
            Some((pick, member)) => Ok(Picked {
                member: Arc::clone(member),
                in_flight: pick.start(now),
            }),
            None if members.all.is_empty() => Err(Nobody::Unresolved),
            None => Err(Nobody::Left),
        }
    }

    /// The identity of the member that [`Self::pick`] gives `request` whatever else there is: the one that its cookie
    /// names, or that its key comes to. None where it takes turns, or chances.
    pub(super) fn certain(&self, request: &Subject<'_>) -> Option<u64> {
        let members = self.members.load();
        let sticky = self.sticky.as_ref();
        let sticky = sticky.and_then(|sticky| sticky.endpoint(request.head));
        let is_hashed = matches!(self.roster.balance.policy, Policy::ConsistentHash { .. });
        let hash = self.hash_key.as_ref().filter(|_| is_hashed);
        let hash = hash.and_then(|key| key.hash(request));
        if hash.is_none() && sticky.is_none() && members.all.len() > 1 {
            return None;
        }
        let picked = members.picker.pick(&Request {
            hash,
            sticky,
            tried: &[],
            now: moment(Instant::now()),
            random: 0,
        })?;
        let id = picked.endpoint().id;
        (members.all.len() == 1 || hash.is_some() || sticky == Some(id)).then_some(id)
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

    /// Has the members that `chosen` names get no new requests, or get them again. How many there are.
    pub(super) fn drain(&self, chosen: impl Fn(&Member) -> bool, drained: bool) -> usize {
        let members = self.members.load();
        let loads = members.picker.endpoints().iter().map(|it| &it.load);
        let all = members.all.iter().zip(loads);
        let chosen = all.filter(|(member, _)| chosen(member)).map(|(_, load)| {
            if drained {
                load.drain();
            } else {
                load.undrain(moment(Instant::now()));
            }
        });
        let count = chosen.count();
        self.notify();
        count
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt;
    use load_balancer::Settings;

    use super::super::dns::{Answer, Resolved};
    use super::super::{Endpoint, Target};
    use super::*;

    fn balancer(url: &str) -> Balancer {
        let roster = Roster {
            endpoints: [Endpoint::new(Target::parse(url).unwrap(), 1)].into(),
            balance: Settings::default(),
            outliers: None,
            checked: false,
            breaker: None,
            peers: Arc::default(),
            tls: None,
        };
        Balancer::new(roster, None, None, Instant::now(), None)
    }

    fn leads_to(addresses: &[IpAddr]) -> [Option<Watched>; 1] {
        let places = Resolved::all_of(addresses, (80, 1, 0)).collect();
        [Some(Watched::for_tests(Some(Answer::new(places))))]
    }

    fn pick(balancer: &Balancer, tried: &[u64]) -> Result<u64, Nobody> {
        let (head, ()) = http::Request::new(()).into_parts();
        let subject = Subject {
            head: &head,
            path: "/",
            client: IpAddr::from([192, 0, 2, 1]),
            identity: None,
        };
        let picked = balancer.pick(&subject, tried, Instant::now())?;
        Ok(picked.member.id)
    }

    #[test]
    fn no_member_is_told_from_none_that_is_left() {
        let balancer = balancer("http://users");
        assert_eq!(pick(&balancer, &[]), Err(Nobody::Unresolved));
        balancer.update(&leads_to(&[[10, 0, 0, 1].into()]), Instant::now());
        let one = pick(&balancer, &[]).unwrap();
        assert_eq!(pick(&balancer, &[one]), Err(Nobody::Left));
        balancer.update(&leads_to(&[]), Instant::now());
        assert_eq!(pick(&balancer, &[]), Err(Nobody::Unresolved));
    }

    #[test]
    fn members_are_waited_for_only_while_a_name_is_not_answered() {
        assert_eq!(
            balancer("http://10.0.0.1").has_members().now_or_never(),
            Some(true)
        );
        let balancer = balancer("http://users");
        let mut waits = Box::pin(balancer.has_members());
        assert_eq!((&mut waits).now_or_never(), None);
        balancer.update(&leads_to(&[[10, 0, 0, 1].into()]), Instant::now());
        assert_eq!(waits.now_or_never(), Some(true));
        balancer.update(&leads_to(&[]), Instant::now());
        assert_eq!(balancer.has_members().now_or_never(), Some(false));
    }
}
