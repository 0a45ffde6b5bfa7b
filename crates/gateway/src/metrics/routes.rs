//! Metrics of routes.

use std::collections::BTreeMap;

use super::catalogue as names;
use super::catalogue::Description;
use super::exposition::Exposition;
use crate::caching::Outcome;
use crate::config::{Policy, Route, Snapshot};
use crate::counters::{
    AUTH_KINDS, AUTH_RESULTS, Again, CrossOrigin, Direction, Limited, OTHER, RouteCounts,
    RouteShard, Totals,
};
use crate::error::ErrorCode;

/// The routes' counters with their names; requests without a route have an empty one.
struct Routes<'a> {
    snapshot: &'a Snapshot,
}

impl<'a> Routes<'a> {
    fn all(&self) -> impl Iterator<Item = (&'a str, &'a RouteCounts)> {
        let routes = self.snapshot.routes.iter();
        let routes = routes.map(|route| (&*route.name, &route.state.counts));
        routes.chain([("", &self.snapshot.unrouted.counts)])
    }

    /// Those of routes that are like that.
    fn those(&self, which: fn(&Route) -> bool) -> impl Iterator<Item = (&'a str, &'a RouteCounts)> {
        let routes = self.snapshot.routes.iter();
        let routes = routes.filter(move |route| which(route));
        routes.map(|route| (&*route.name, &route.state.counts))
    }
}

pub(super) fn add(to: &mut Exposition, snapshot: &Snapshot) {
    let routes = Routes { snapshot };
    add_requests(to, &routes);
    add_bodies(to, &routes);
    add_errors(to, &routes);
    add_websockets(to, &routes);
    add_policies(to, &routes);
    let again = |shard: &RouteShard, value| shard.again.get(value);
    add_by(
        to,
        &names::RETRIES,
        routes.those(sends_again),
        &Again::NAMES,
        again,
    );
    add_failed_validations(to, &routes);
    let outcomes = Outcome::ALL.map(Outcome::name);
    let cached = routes.those(|route| route.cache.is_some());
    let outcome = |shard: &RouteShard, value| shard.cache.get(value);
    add_by(to, &names::CACHE_REQUESTS, cached, &outcomes, outcome);
}

/// Of routes that are cached.
fn add_failed_validations(to: &mut Exposition, routes: &Routes<'_>) {
    let mut family = to.family(&names::CACHE_FAILED_VALIDATIONS);
    for (name, counts) in routes.those(|route| route.cache.is_some()) {
        family.add(&[name], counts.sum(|shard| shard.failed_validations.get()));
    }
}

fn add_requests(to: &mut Exposition, routes: &Routes<'_>) {
    let mut family = to.family(&names::REQUESTS);
    for (name, counts) in routes.all() {
        let mut totals = BTreeMap::new();
        for shard in counts.all() {
            shard.responses.add_to(&mut totals);
        }
        for (answered, count) in totals {
            let status = answered.status.map(|status| status.to_string());
            let status = status.as_deref().unwrap_or(OTHER);
            family.add(&[name, answered.method, status, answered.class()], count);
        }
    }
    let mut family = to.family(&names::REQUEST_DURATION);
    for (name, counts) in routes.all() {
        let totals = Totals::of(counts.all().map(|shard| &shard.duration));
        family.add_histogram(&[name], &totals);
    }
}

fn add_bodies(to: &mut Exposition, routes: &Routes<'_>) {
    for (description, direction) in [
        (&names::REQUEST_BYTES, Direction::Received),
        (&names::RESPONSE_BYTES, Direction::Sent),
    ] {
        let mut family = to.family(description);
        for (name, counts) in routes.all() {
            let bytes = |shard: &RouteShard| shard.body_bytes.get(direction as usize);
            family.add(&[name], counts.sum(bytes));
        }
    }
    let mut family = to.family(&names::IN_FLIGHT);
    for (name, counts) in routes.those(|_| true) {
        family.add(&[name], counts.sum(|shard| shard.in_flight.get()));
    }
}

/// Only what has happened: there are many codes.
fn add_errors(to: &mut Exposition, routes: &Routes<'_>) {
    type Counted = fn(&RouteShard, usize) -> u64;
    let kinds: [(_, Counted); 2] = [
        (&names::ERRORS, |shard, code| shard.failed.get(code)),
        (&names::SHADOW_REFUSALS, |shard, code| {
            shard.shadowed.get(code)
        }),
    ];
    for (description, counted) in kinds {
        let mut family = to.family(description);
        for (name, counts) in routes.all() {
            for &code in ErrorCode::ALL {
                let count = counts.sum(|shard| counted(shard, code as usize));
                if count > 0 {
                    family.add(&[name, code.code()], count);
                }
            }
        }
    }
}

/// Of routes that have had one.
fn add_websockets(to: &mut Exposition, routes: &Routes<'_>) {
    let opened = |counts: &RouteCounts| counts.sum(|shard| shard.websockets.opened.get());
    let those = || routes.all().filter(|(_, counts)| opened(counts) > 0);
    let mut family = to.family(&names::WEBSOCKETS_OPEN);
    for (name, counts) in those() {
        family.add(&[name], counts.sum(|shard| shard.websockets.open.get()));
    }
    let mut family = to.family(&names::WEBSOCKETS);
    for (name, counts) in those() {
        family.add(&[name], opened(counts));
    }
    let (messages, bytes) = (&names::WEBSOCKET_MESSAGES, &names::WEBSOCKET_BYTES);
    add_by(to, messages, those(), &Direction::NAMES, |shard, value| {
        shard.websockets.messages.get(value)
    });
    add_by(to, bytes, those(), &Direction::NAMES, |shard, value| {
        shard.websockets.bytes.get(value)
    });
}

fn add_policies(to: &mut Exposition, routes: &Routes<'_>) {
    let limited = routes.those(|route| {
        let limits = &route.rate_limits;
        limits.on_arrival.is_some() || limits.once_known.is_some()
    });
    let decision = |shard: &RouteShard, value| shard.limits.get(value);
    add_by(to, &names::RATE_LIMITS, limited, &Limited::NAMES, decision);
    let mut family = to.family(&names::AUTH);
    for (name, counts) in routes.those(|route| route.access.is_some()) {
        for (kind, kind_name) in AUTH_KINDS.iter().enumerate() {
            for (result, result_name) in AUTH_RESULTS.iter().enumerate() {
                let count = counts.sum(|shard| shard.auth(kind, result));
                if count > 0 {
                    family.add(&[name, kind_name, result_name], count);
                }
            }
        }
    }
    let cors = routes.those(|route| route.cors.is_some() || route.shadowed.contains(Policy::Cors));
    let told = |shard: &RouteShard, value| shard.cors.get(value);
    add_by(to, &names::CORS, cors, &CrossOrigin::NAMES, told);
}

/// A series for each route and value.
fn add_by<'a>(
    to: &mut Exposition,
    description: &'static Description,
    routes: impl Iterator<Item = (&'a str, &'a RouteCounts)>,
    values: &[&str],
    count: impl Fn(&RouteShard, usize) -> u64,
) {
    let mut family = to.family(description);
    for (name, counts) in routes {
        for (value, value_name) in values.iter().enumerate() {
            let count = counts.sum(|shard| count(shard, value));
            family.add(&[name, value_name], count);
        }
    }
}

fn sends_again(route: &Route) -> bool {
    route.retry.is_some()
        || route.hedge.is_some()
        || route.fallback.is_some()
        || route.mirror.is_some()
}
