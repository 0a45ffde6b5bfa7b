//! Metrics of upstreams, their endpoints, breakers and connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use circuit_breaker::{Breaker, State};
use tokio::time::Instant;

use super::catalogue as names;
use super::catalogue::Description;
use super::exposition::Exposition;
use crate::config::Snapshot;
use crate::counters::{Attempted, Handshake, Totals, UpstreamShard};
use crate::upstream::{EndpointReport, Upstream, moment};

pub(super) fn add(to: &mut Exposition, snapshot: &Snapshot) {
    let upstreams = &snapshot.upstreams;
    let mut family = to.family(&names::UPSTREAM_DURATION);
    for upstream in upstreams {
        let histograms = upstream.counts.all().map(|shard| &shard.duration);
        family.add_histogram(&[&upstream.name], &Totals::of(histograms));
    }
    let mut family = to.family(&names::ATTEMPTS);
    for upstream in upstreams {
        for (value, name) in Attempted::NAMES.iter().enumerate() {
            let count = upstream.counts.sum(|shard| shard.attempts.get(value));
            family.add(&[&upstream.name, name], count);
        }
    }
    add_endpoints(to, upstreams);
    add_connections(to, upstreams);
    add_handshakes(to, upstreams);
    add_breakers(to, snapshot);
}

fn add_endpoints(to: &mut Exposition, upstreams: &[Arc<Upstream>]) {
    type Value = fn(&EndpointReport<'_>) -> u64;
    let metrics: [(&'static Description, Value); 5] = [
        (&names::PICKS, |it| it.counts.sum(|shard| shard.picks.get())),
        (&names::ENDPOINT_FAILURES, |it| {
            it.counts.sum(|shard| shard.failures.get())
        }),
        (&names::ENDPOINT_ADDRESSES, |it| it.addresses),
        (&names::ENDPOINT_HEALTHY, |it| it.healthy),
        (&names::ENDPOINT_IN_FLIGHT, |it| it.in_flight),
    ];
    let reports: Vec<_> = upstreams
        .iter()
        .map(|upstream| (upstream, upstream.balancer.report()))
        .collect();
    for (description, value) in metrics {
        let mut family = to.family(description);
        for (upstream, endpoints) in &reports {
            for endpoint in endpoints {
                family.add(&[&upstream.name, &endpoint.target], value(endpoint));
            }
        }
    }
}

fn add_handshakes(to: &mut Exposition, upstreams: &[Arc<Upstream>]) {
    let mut family = to.family(&names::BACKEND_HANDSHAKES);
    let encrypted = upstreams.iter().filter(|it| it.speaks_tls());
    for upstream in encrypted {
        for handshake in Handshake::ALL {
            let [version, resumed] = handshake.names();
            let count = upstream
                .counts
                .sum(|it| it.handshakes.get(handshake.index()));
            family.add(&[&upstream.name, version, resumed], count);
        }
    }
}

fn add_connections(to: &mut Exposition, upstreams: &[Arc<Upstream>]) {
    type Value = fn(&UpstreamShard) -> u64;
    let counters: [(&'static Description, Value); 3] = [
        (&names::POOL_MADE, |shard| shard.made.get()),
        (&names::POOL_FAILED, |shard| shard.not_made.get()),
        (&names::POOL_REUSED, |shard| shard.reused.get()),
    ];
    for (description, value) in counters {
        let mut family = to.family(description);
        for upstream in upstreams {
            family.add(&[&upstream.name], upstream.counts.sum(value));
        }
    }
    for (description, place) in [(&names::POOL_OPEN, 0), (&names::POOL_IDLE, 1)] {
        let mut family = to.family(description);
        for upstream in upstreams {
            family.add(&[&upstream.name], upstream.balancer.connections()[place]);
        }
    }
    let mut family = to.family(&names::POOL_PENDING);
    for upstream in upstreams {
        let pooling = upstream.pooling.as_ref();
        if let Some(limit) = pooling.and_then(|pooling| pooling.connections.as_ref()) {
            family.add(&[&upstream.name], limit.pending());
        }
    }
}

/// A breaker's labels: route, upstream, endpoint.
type Watched<'a> = [&'a str; 3];

/// What is told of one breaker, or of those of an endpoint's addresses: the worst state, and the sums of the changes.
#[derive(Default)]
struct Told {
    state: u8,
    /// To closed, half-open, open.
    changes: [u64; 3],
}

impl Told {
    fn add(&mut self, breaker: &Breaker) {
        let state = match breaker.state(moment(Instant::now())) {
            State::Closed | State::ForcedClosed => 0,
            State::HalfOpen => 1,
            State::Open | State::ForcedOpen => 2,
        };
        self.state = self.state.max(state);
        let transitions = breaker.transitions();
        let changes = [
            transitions.closed,
            transitions.half_opened,
            transitions.opened,
        ];
        for (sum, change) in self.changes.iter_mut().zip(changes) {
            *sum += change;
        }
    }
}

fn add_breakers(to: &mut Exposition, snapshot: &Snapshot) {
    let members: Vec<_> = snapshot
        .upstreams
        .iter()
        .map(|upstream| (&*upstream.name, upstream.balancer.breakers()))
        .collect();
    let mut all: BTreeMap<Watched<'_>, Told> = BTreeMap::new();
    for route in &snapshot.routes {
        if let Some(breaker) = route.guard.as_ref().and_then(|guard| guard.breaker()) {
            all.entry([&route.name, "", ""]).or_default().add(breaker);
        }
    }
    for upstream in &snapshot.upstreams {
        if let Some(breaker) = upstream.guard.as_ref().and_then(|guard| guard.breaker()) {
            all.entry(["", &upstream.name, ""])
                .or_default()
                .add(breaker);
        }
    }
    for (upstream, breakers) in &members {
        for (target, breaker) in breakers {
            all.entry(["", upstream, target]).or_default().add(breaker);
        }
    }
    let mut family = to.family(&names::BREAKER_STATE);
    for (watched, told) in &all {
        family.add(watched, told.state);
    }
    let mut family = to.family(&names::BREAKER_TRANSITIONS);
    for ([route, upstream, endpoint], told) in &all {
        for (name, count) in ["closed", "half-open", "open"].iter().zip(told.changes) {
            family.add(&[route, upstream, endpoint, name], count);
        }
    }
}
