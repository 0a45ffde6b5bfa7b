//! What outlives a configuration: carried into the next one, by identity.
//!
//! A route is the same by its name, an upstream by its name and all that is written of it; of one that has changed, what
//! holds for both stays. What a new configuration has no more is kept for a while: those who use it may go on, and when the
//! change is taken back, all is as it was.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::time::Instant;

use super::RouteState;
use crate::auth::{Consumers, Issuer};
use crate::config::routes::UpstreamSpec;
use crate::config::source_files::Digest;
use crate::config::{Route, Snapshot};
use crate::middleware::rate_limit::Counted;
use crate::upstream::{Peers, Upstream};

/// So many of each that are not used any more are kept at most: for more there may be no time to lose.
const MOST_UNUSED: usize = 1000;

/// An upstream, and what it was made of.
pub(in crate::config) type CarriedUpstream = (UpstreamSpec, Arc<Upstream>);

/// What an upstream is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum UpstreamKey {
    /// In `upstreams`, by this name.
    Named(Box<str>),
    /// The own one of the route of this name.
    OfRoute(Box<str>),
}

/// What is known already when a configuration is made.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    routes: Kept<Box<str>, Arc<Route>>,
    upstreams: Kept<UpstreamKey, CarriedUpstream>,
    unrouted: Option<Arc<RouteState>>,
    peers: Option<Arc<Peers>>,
    counted: Option<Arc<Counted>>,
    issuers: Vec<Arc<Issuer>>,
    consumers: Option<(Digest, Arc<Consumers>)>,
}

/// Things by their names; with the time until which they are kept, where they are not used any more.
#[derive(Debug)]
struct Kept<K, T>(HashMap<K, (T, Option<Instant>)>);

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone, T> Kept<K, T> {
    fn get(&self, key: &K) -> Option<&T> {
        self.0.get(key).map(|(thing, _)| thing)
    }

    /// From now on these are used, and others kept until then.
    fn replace(&mut self, used: impl Iterator<Item = (K, T)>, until: Instant) {
        for (_, kept) in self.0.values_mut() {
            kept.get_or_insert(until);
        }
        self.0.extend(used.map(|(key, thing)| (key, (thing, None))));
        let mut unused: Vec<(Instant, K)> = self
            .0
            .iter()
            .filter_map(|(key, (_, until))| Some(((*until)?, key.clone())))
            .collect();
        unused.sort_unstable_by_key(|(until, _)| *until);
        let too_many = unused.len().saturating_sub(MOST_UNUSED);
        for (_, key) in unused.drain(..too_many) {
            self.0.remove(&key);
        }
    }

    fn expire(&mut self, now: Instant) {
        self.0
            .retain(|_, (_, until)| until.is_none_or(|until| now < until));
    }
}

impl Carried {
    /// `snapshot` is served from now on; what it has no more is kept until then.
    pub(crate) fn take_over(&mut self, snapshot: &Snapshot, until: Instant) {
        let routes = snapshot.routes.iter();
        let routes = routes.map(|route| (route.name.clone(), Arc::clone(route)));
        self.routes.replace(routes, until);
        let upstreams = snapshot.definitions.iter().zip(&snapshot.upstreams);
        let upstreams = upstreams
            .map(|((key, spec), upstream)| (key.clone(), (spec.clone(), Arc::clone(upstream))));
        self.upstreams.replace(upstreams, until);
        self.unrouted = Some(Arc::clone(&snapshot.unrouted));
        self.peers = Some(Arc::clone(&snapshot.peers));
        // Also what nothing is counted in at present: limits may come back.
        if let Some(counted) = snapshot.rate_limits.counted() {
            self.counted = Some(Arc::clone(counted));
        }
        let authority = &snapshot.authority;
        self.issuers.clone_from(&authority.issuers);
        self.consumers = authority.consumers.clone();
    }

    /// Lets go of what was kept for so long.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.routes.expire(now);
        self.upstreams.expire(now);
    }

    /// All upstreams that may be used.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.0.values().map(|((_, upstream), _)| upstream)
    }

    /// The route of this name, as it was.
    pub(in crate::config) fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(&Box::from(name))
    }

    pub(in crate::config) fn upstream(&self, key: &UpstreamKey) -> Option<&CarriedUpstream> {
        self.upstreams.get(key)
    }

    /// What is known of requests without a route.
    pub(in crate::config) fn unrouted(&self) -> Option<Arc<RouteState>> {
        self.unrouted.clone()
    }

    pub(in crate::config) fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.as_ref()
    }

    /// What rate limits have counted.
    pub(in crate::config) fn counted(&self) -> Option<&Arc<Counted>> {
        self.counted.as_ref()
    }

    /// The issuer that was made of the same, or this one.
    pub(in crate::config) fn issuer(&self, new: Issuer) -> Arc<Issuer> {
        let mut known = self.issuers.iter();
        let same = known.find(|it| it.name == new.name && it.made_of == new.made_of);
        same.map_or_else(|| Arc::new(new), Arc::clone)
    }

    /// The consumers of a file with this content, where they are known.
    pub(in crate::config) fn consumers(&self, file: &Digest) -> Option<Arc<Consumers>> {
        let known = self.consumers.as_ref().filter(|(digest, _)| digest == file);
        known.map(|(_, consumers)| Arc::clone(consumers))
    }
}
