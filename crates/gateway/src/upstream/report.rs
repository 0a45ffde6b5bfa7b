//! How the endpoints of an upstream are, for those who ask from outside.

use std::collections::HashSet;
use std::sync::Arc;

use circuit_breaker::Breaker;

use super::balancer::Balancer;
use crate::counters::EndpointCounts;

/// How an endpoint is, as configured: of all members that it has come to.
#[derive(Debug)]
pub(crate) struct EndpointReport<'a> {
    /// Its URL.
    pub(crate) target: String,
    pub(crate) counts: &'a EndpointCounts,
    /// Members that it has come to.
    pub(crate) addresses: u64,
    /// Those of them that are available.
    pub(crate) healthy: u64,
    /// Requests in flight to them.
    pub(crate) in_flight: u64,
}

impl Balancer {
    /// How the endpoints are, each target once.
    pub(crate) fn report(&self) -> Vec<EndpointReport<'_>> {
        let members = self.members();
        let mut reports: Vec<EndpointReport<'_>> = Vec::new();
        for endpoint in &self.roster().endpoints {
            let target = endpoint.target.to_string();
            if reports.iter().any(|report| report.target == target) {
                continue;
            }
            let mut report = EndpointReport {
                target,
                counts: &endpoint.counts,
                addresses: 0,
                healthy: 0,
                in_flight: 0,
            };
            let balanced = members.picker.endpoints().iter();
            for (member, balanced) in members.all.iter().zip(balanced) {
                if Arc::ptr_eq(&member.counts, &endpoint.counts) {
                    report.addresses += 1;
                    report.healthy += u64::from(balanced.load.is_available());
                    report.in_flight += u64::from(balanced.load.in_flight());
                }
            }
            reports.push(report);
        }
        reports
    }

    /// The members' breakers, where each has one, with the endpoints' URLs.
    pub(crate) fn breakers(&self) -> Vec<(String, Arc<Breaker>)> {
        let members = self.members();
        let breakers = members.all.iter().filter_map(|member| {
            let breaker = Arc::clone(member.breaker.as_ref()?);
            Some((member.target.to_string(), breaker))
        });
        breakers.collect()
    }

    /// Connections to the members that are open, and that are idle.
    pub(crate) fn connections(&self) -> [u64; 2] {
        let members = self.members();
        let mut seen = HashSet::new();
        let peers = members.all.iter().map(|member| &member.peer);
        let peers = peers.filter(|peer| seen.insert(peer.number()));
        peers.fold([0, 0], |[open, idle], peer| {
            let counts = peer.counts();
            [
                open + counts.sum(|shard| shard.open.get()),
                idle + counts.sum(|shard| shard.idle.get()),
            ]
        })
    }
}
