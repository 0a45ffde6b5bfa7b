//! How an upstream and its members are, for people.

use circuit_breaker::{Breaker, State};
use load_balancer::Policy;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::guard::{Guard, GuardScope};
use super::members::Member;
use super::{Upstream, moment};
use crate::auth::Subject;

/// How an upstream is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpstreamStatus {
    pub(crate) name: Box<str>,
    /// Its breaker; none where it has none, or each member has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) breaker: Option<&'static str>,
    /// A name among its endpoints has not been resolved yet.
    pub(crate) unresolved: bool,
    pub(crate) members: Vec<MemberStatus>,
}

/// How a member is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberStatus {
    /// Where it is.
    pub(crate) address: Box<str>,
    /// The target of the configuration that has led there.
    pub(crate) target: String,
    /// Its share, compared with the others'; 0 gets nothing.
    pub(crate) weight: u32,
    /// 0 is used first.
    pub(crate) priority: u32,
    /// Whether it gets requests: it is neither unhealthy nor ejected nor drained.
    pub(crate) available: bool,
    /// Health checks say that it is not to be used.
    pub(crate) unhealthy: bool,
    /// An operator has drained it: it gets no new requests.
    pub(crate) drained: bool,
    /// Requests have failed too often.
    pub(crate) ejected: bool,
    /// Requests that it has not answered yet.
    pub(crate) in_flight: u32,
    /// Its own breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) breaker: Option<&'static str>,
    #[serde(skip)]
    pub(crate) id: u64,
}

impl Upstream {
    /// How it is at `now`.
    pub(crate) fn status(&self, now: Instant) -> UpstreamStatus {
        let members = self.balancer.members();
        let endpoints = members.picker.endpoints().iter();
        UpstreamStatus {
            name: self.name.clone(),
            breaker: self.guard.as_ref().and_then(|guard| guard.state(now)),
            unresolved: members.incomplete,
            members: endpoints
                .zip(&*members.all)
                .map(|(endpoint, member)| MemberStatus {
                    address: member.label.clone(),
                    target: member.target.to_string(),
                    weight: endpoint.weight,
                    priority: endpoint.priority,
                    available: endpoint.load.is_available(),
                    unhealthy: endpoint.load.is_unhealthy(),
                    drained: endpoint.load.is_drained(),
                    ejected: endpoint.load.is_ejected(),
                    in_flight: endpoint.load.in_flight(),
                    breaker: member.breaker.as_ref().map(|breaker| state(breaker, now)),
                    id: member.id,
                })
                .collect(),
        }
    }

    /// Has the members at `address`, or of that target, get no new requests, or get them again. How many there are.
    pub(crate) fn drain(&self, address: &str, drained: bool) -> usize {
        self.balancer.drain(|member| member.is_at(address), drained)
    }

    /// Has its breaker, or that of the members at `address`, be as an operator wants it. How many breakers that are.
    pub(crate) fn force(&self, address: Option<&str>, state: Forced) -> usize {
        match (&self.guard, address) {
            (Some(guard), None) if guard.is_of_all() => guard.force(state),
            _ => {
                let members = self.balancer.members();
                let chosen = members
                    .all
                    .iter()
                    .filter(|member| address.is_none_or(|address| member.is_at(address)));
                let breakers = chosen.filter_map(|member| member.breaker.as_ref());
                breakers.map(|breaker| state.apply(breaker)).count()
            }
        }
    }

    /// How a member is chosen, as `balance` of a routes file has it.
    pub(crate) fn policy(&self) -> &'static str {
        match self.balancer.roster().balance.policy {
            Policy::RoundRobin => "roundRobin",
            Policy::Random => "random",
            Policy::LeastConnections => "leastConnections",
            Policy::TwoChoices => "twoChoices",
            Policy::PeakEwma => "peakEwma",
            Policy::ConsistentHash { .. } => "consistentHash",
        }
    }

    /// The member that `request` goes to whenever it comes; none where that depends on the others, or on chance.
    pub(crate) fn certain_member(&self, request: &Subject<'_>) -> Option<u64> {
        self.balancer.certain(request)
    }
}

/// What an operator wants a breaker to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Forced {
    /// No request passes.
    Open,
    /// All requests pass, whatever becomes of them.
    Closed,
    /// Its policy decides again.
    Auto,
}

impl Forced {
    fn apply(self, breaker: &Breaker) {
        match self {
            Self::Open => breaker.force_open(),
            Self::Closed => breaker.force_closed(),
            Self::Auto => breaker.resume(),
        };
    }
}

impl Guard {
    /// Has the breaker that watches all be as an operator wants it. How many there are.
    pub(crate) fn force(&self, state: Forced) -> usize {
        match &self.scope {
            GuardScope::Upstream(breaker) | GuardScope::Route(breaker) => {
                state.apply(breaker);
                1
            }
            GuardScope::Endpoint => 0,
        }
    }

    /// The state of the breaker that watches all; none where each member has one.
    pub(crate) fn state(&self, now: Instant) -> Option<&'static str> {
        match &self.scope {
            GuardScope::Upstream(breaker) | GuardScope::Route(breaker) => Some(state(breaker, now)),
            GuardScope::Endpoint => None,
        }
    }
}

impl Member {
    /// Whether it is at this address, or of this target.
    fn is_at(&self, address: &str) -> bool {
        *self.label == *address || self.target.to_string() == address
    }
}

fn state(breaker: &Breaker, now: Instant) -> &'static str {
    match breaker.state(moment(now)) {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half-open",
        State::ForcedOpen => "forced-open",
        State::ForcedClosed => "forced-closed",
    }
}
