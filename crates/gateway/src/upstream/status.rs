//! How an upstream and its members are, for people.

use circuit_breaker::{Breaker, State};
use load_balancer::Policy;
use serde::Serialize;
use tokio::time::Instant;

use super::guard::GuardScope;
use super::{Upstream, moment};
use crate::auth::Subject;

/// How an upstream is.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
    /// Whether it gets requests: it is neither unhealthy nor ejected.
    pub(crate) available: bool,
    /// Health checks say that it is not to be used.
    pub(crate) unhealthy: bool,
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
            breaker: self.guard.as_ref().and_then(|guard| match &guard.scope {
                GuardScope::Upstream(breaker) | GuardScope::Route(breaker) => {
                    Some(state(breaker, now))
                }
                GuardScope::Endpoint => None,
            }),
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
                    ejected: endpoint.load.is_ejected(),
                    in_flight: endpoint.load.in_flight(),
                    breaker: member.breaker.as_ref().map(|breaker| state(breaker, now)),
                    id: member.id,
                })
                .collect(),
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

fn state(breaker: &Breaker, now: Instant) -> &'static str {
    match breaker.state(moment(now)) {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half-open",
        State::ForcedOpen => "forced-open",
        State::ForcedClosed => "forced-closed",
    }
}
