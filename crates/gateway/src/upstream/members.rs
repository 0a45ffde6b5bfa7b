//! Who requests can go to at present: what the endpoints of the configuration, and the names in them, come to.
//!
//! An endpoint at a literal address is one [`Member`] for ever. One with a name is a member for each place that the name
//! leads to, and none before that is known. [`Members`] are all of them, one immutable value that is replaced as a whole:
//! a request sees the picker and those it picks from as they were at one moment. What is known of a member (load, health,
//! breaker) goes with its identity from one value to the next.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::{Breaker, Policy};
use load_balancer::outlier::{self, Detector};
use load_balancer::{Load, Picker, Settings, identity};

use super::dns::{Answer, Refresh, Resolved, Watched};
use super::peers::{Peer, PeerRef, Peers};
use super::{Endpoint, Host, Scheme, Target};
use crate::counters::EndpointCounts;
use crate::tls::{BackendTls, ToBackend};

/// One place that requests can go to.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its identity: the same in all gateways, and whenever a name leads there again.
    pub(crate) id: u64,
    /// Path prefix and `Host` of what is sent there.
    pub(crate) target: Arc<Target>,
    /// Where to connect to; each further one when that has failed. Never empty.
    pub(crate) addresses: Box<[SocketAddr]>,
    /// How connections to it are encrypted, where its URL says that they are.
    pub(super) tls: Option<ToBackend>,
    /// The first address, as logs name it.
    pub(crate) label: Box<str>,
    /// Whose connections are used.
    pub(crate) peer: PeerRef,
    /// Its own, where each endpoint has one.
    pub(super) breaker: Option<Arc<Breaker>>,
    /// Those of its endpoint.
    pub(crate) counts: Arc<EndpointCounts>,
    /// Of the name that has led there.
    refresh: Option<Refresh>,
}

/// All members of an upstream.
#[derive(Debug)]
pub(crate) struct Members {
    pub(super) picker: Picker,
    /// In the order of the picker's endpoints.
    pub(super) all: Arc<[Arc<Member>]>,
    pub(super) detector: Option<Arc<Detector>>,
    /// Whether a name has not been answered yet.
    pub(super) incomplete: bool,
    /// Of the names that lead nowhere, or are not known to lead anywhere.
    missing: Arc<[Refresh]>,
    /// Keeps the connections to them.
    peers: Arc<[Arc<Peer>]>,
    /// What names have come to, for whoever takes over.
    answers: Arc<[(Host, Arc<Answer>)]>,
}

/// What members are made of.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) endpoints: Box<[Endpoint]>,
    pub(crate) balance: Settings,
    pub(crate) outliers: Option<outlier::Settings>,
    /// Whether they are checked apart from requests.
    pub(crate) checked: bool,
    /// Where each member has a breaker of its own, what it is like.
    pub(crate) breaker: Option<Policy>,
    pub(crate) peers: Arc<Peers>,
    /// How connections to those of its endpoints are encrypted that are to be.
    pub(crate) tls: Option<Arc<BackendTls>>,
}

/// Members that are being gathered.
struct Gathering<'a> {
    roster: &'a Roster,
    before: HashMap<u64, (&'a Arc<Member>, &'a Arc<Load>)>,
    /// Their breakers are like those of the roster.
    keeps_breakers: bool,
    now: Duration,
    all: Vec<Arc<Member>>,
    balanced: Vec<load_balancer::Endpoint>,
    peers: Vec<Arc<Peer>>,
    incomplete: bool,
    missing: Vec<Refresh>,
    /// What names came to before, where they are not watched yet.
    inherited: &'a [(Host, Arc<Answer>)],
    answers: Vec<(Host, Arc<Answer>)>,
}

impl Member {
    /// It could not be connected to: perhaps its name leads elsewhere by now.
    pub(crate) fn is_unreachable(&self) {
        if let Some(refresh) = &self.refresh {
            refresh.ask();
        }
    }
}

impl Members {
    /// Those whose addresses are known without asking.
    pub(super) fn new(roster: &Roster, now: Duration) -> Self {
        Self::gather(roster, &[], None, now)
    }

    /// Those of a configuration that takes the place of another, with what is known of those that were there before.
    pub(super) fn inherit(&self, before: &Roster, roster: &Roster, now: Duration) -> Self {
        let named: Vec<_> = roster.endpoints.iter().map(|_| None).collect();
        Self::gather(roster, &named, Some((self, before)), now)
    }

    /// Those that there are by what names have come to: `named` has an element for each endpoint.
    pub(super) fn update(&self, roster: &Roster, named: &[Option<Watched>], now: Duration) -> Self {
        Self::gather(roster, named, Some((self, roster)), now)
    }

    /// The same ones, by their present availability.
    pub(super) fn refresh(&self) -> Self {
        Self {
            picker: self.picker.refresh(),
            all: Arc::clone(&self.all),
            detector: self.detector.clone(),
            incomplete: self.incomplete,
            missing: Arc::clone(&self.missing),
            peers: Arc::clone(&self.peers),
            answers: Arc::clone(&self.answers),
        }
    }

    /// `before` are those of this roster, or of another whose place it takes.
    fn gather(
        roster: &Roster,
        named: &[Option<Watched>],
        before: Option<(&Self, &Roster)>,
        now: Duration,
    ) -> Self {
        let mut gathering = Gathering {
            roster,
            before: before
                .map(|(members, _)| members.by_id())
                .unwrap_or_default(),
            keeps_breakers: before.is_some_and(|(_, before)| before.breaker == roster.breaker),
            now,
            all: Vec::new(),
            balanced: Vec::new(),
            peers: Vec::new(),
            incomplete: false,
            missing: Vec::new(),
            inherited: before.map_or(&[], |(members, _)| &members.answers),
            answers: Vec::new(),
        };
        for (index, endpoint) in roster.endpoints.iter().enumerate() {
            gathering.add_all(endpoint, named.get(index).and_then(Option::as_ref));
        }
        let loads = gathering.balanced.iter();
        let loads = loads.filter(|endpoint| endpoint.weight > 0);
        let loads: Vec<Arc<Load>> = loads.map(|endpoint| Arc::clone(&endpoint.load)).collect();
        let detector = roster.outliers.map(|settings| {
            let alike = before.filter(|(_, before)| before.outliers == Some(settings));
            match alike.and_then(|(members, _)| members.detector.as_ref()) {
                Some(detector) => detector.update(loads),
                None => Detector::new(settings, loads, now),
            }
        });
        let settings = roster.balance.clone();
        let alike = before.filter(|(_, before)| before.balance == settings);
        Self {
            picker: match alike {
                Some((members, _)) => members.picker.update(settings, gathering.balanced),
                None => Picker::new(settings, gathering.balanced),
            },
            all: gathering.all.into(),
            detector: detector.map(Arc::new),
            incomplete: gathering.incomplete,
            missing: gathering.missing.into(),
            peers: gathering.peers.into(),
            answers: gathering.answers.into(),
        }
    }

    fn by_id(&self) -> HashMap<u64, (&Arc<Member>, &Arc<Load>)> {
        let loads = self.picker.endpoints().iter().map(|it| &it.load);
        let members = self.all.iter().zip(loads);
        members.map(|known| (known.0.id, known)).collect()
    }

    /// Asks for a look-up of the names that lead nowhere: there is somebody who would like to go there.
    pub(super) fn are_missed(&self) {
        for refresh in &*self.missing {
            refresh.ask();
        }
    }

    /// The member with this identity, and its load.
    pub(super) fn find(&self, id: u64) -> Option<(&Arc<Member>, &Arc<Load>)> {
        let index = self.picker.index_of(id)?;
        let load = &self.picker.endpoints().get(index)?.load;
        Some((self.all.get(index)?, load))
    }

    /// Of the members that have a weight, the one at this place: as outlier detection counts.
    pub(super) fn weighted(&self, place: usize) -> Option<&Member> {
        let endpoints = self.picker.endpoints().iter();
        let members = endpoints.zip(&*self.all);
        let mut weighted = members.filter(|(endpoint, _)| endpoint.weight > 0);
        weighted.nth(place).map(|(_, member)| &**member)
    }
}

impl Gathering<'_> {
    /// Those that an endpoint comes to; `watched` is its name, if that is being looked up.
    fn add_all(&mut self, endpoint: &Endpoint, watched: Option<&Watched>) {
        if let Host::Address(address) = endpoint.target.host {
            return self.add(endpoint, &Resolved::literal(address), 0, None);
        }
        let host = &endpoint.target.host;
        let answer = match watched {
            Some(watched) => watched.latest(),
            None => {
                let mut inherited = self.inherited.iter();
                let known = inherited.find(|(known, _)| known == host);
                known.map(|(_, answer)| Arc::clone(answer))
            }
        };
        self.incomplete |= answer.is_none();
        if let Some(answer) = &answer {
            self.answers.push((host.clone(), Arc::clone(answer)));
        }
        let answer = answer.unwrap_or_default();
        if answer.resolved.is_empty() {
            self.missing.extend(watched.map(Watched::refresh));
        }
        for (level, resolved) in answer.by_level() {
            self.add(endpoint, resolved, level, watched);
        }
    }

    fn add(
        &mut self,
        endpoint: &Endpoint,
        resolved: &Resolved,
        level: u32,
        watched: Option<&Watched>,
    ) {
        let target = &endpoint.target;
        let id = match target.host {
            Host::Address(_) => identity(&target.to_string()),
            Host::Name(..) | Host::Service(_) => {
                identity(&format!("{target} {}", resolved.address))
            }
        };
        let known = self.before.get(&id).copied();
        let known = known.filter(|(_, load)| self.is_judged(load));
        let peer = self.roster.peers.at(target, resolved.address);
        let member = match known {
            Some((member, _))
                if self.is_still(member, resolved, watched, &peer)
                    && Arc::ptr_eq(&member.counts, &endpoint.counts) =>
            {
                Arc::clone(member)
            }
            _ => Arc::new(Member {
                id,
                target: Arc::clone(target),
                addresses: [resolved.address]
                    .into_iter()
                    .chain(resolved.fallbacks.iter().copied())
                    .collect(),
                tls: self.encryption(target),
                label: resolved.address.to_string().into(),
                peer: PeerRef::to(&peer),
                breaker: known
                    .filter(|_| self.keeps_breakers)
                    .map_or_else(|| self.new_breaker(), |(member, _)| member.breaker.clone()),
                counts: Arc::clone(&endpoint.counts),
                refresh: watched.map(Watched::refresh),
            }),
        };
        self.balanced.push(load_balancer::Endpoint {
            id,
            load: known.map_or_else(
                || Arc::new(Load::new(self.now)),
                |(_, load)| Arc::clone(load),
            ),
            weight: endpoint.weight.saturating_mul(resolved.weight),
            priority: endpoint.priority.saturating_add(level),
            locality: endpoint.locality.clone(),
        });
        self.all.push(member);
        self.peers.push(peer);
    }

    /// Whether `member` is what this comes to as well.
    fn is_still(
        &self,
        member: &Member,
        resolved: &Resolved,
        watched: Option<&Watched>,
        peer: &Arc<Peer>,
    ) -> bool {
        member.addresses.get(1..) == Some(&*resolved.fallbacks)
            && member.peer.number() == PeerRef::to(peer).number()
            && (member.refresh.is_some() || watched.is_none())
            && self.keeps_breakers
    }

    /// Whether somebody is there who takes back what has been found against an endpoint: one that was ejected, or has
    /// failed its checks, would stay so for ever where nobody ejects or checks any more.
    fn is_judged(&self, load: &Load) -> bool {
        let is_held_down = (self.roster.outliers.is_none() && load.is_ejected())
            || (!self.roster.checked && load.is_unhealthy());
        // What people have said of it stays in any case.
        !is_held_down || load.is_drained()
    }

    fn encryption(&self, target: &Target) -> Option<ToBackend> {
        if target.scheme == Scheme::Http {
            return None;
        }
        let tls = self.roster.tls.as_ref()?;
        ToBackend::new(tls, target.host.server_name())
    }

    /// None when the policy is not possible, which has been found already.
    fn new_breaker(&self) -> Option<Arc<Breaker>> {
        let policy = self.roster.breaker.as_ref()?;
        Breaker::new(policy).ok().map(Arc::new)
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
