//! The configuration as requests see it: compiled, immutable, shared by all workers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cache::KeyRecipe;
use circuit_breaker::adaptive::Priority;
use http::{HeaderName, HeaderValue, StatusCode};

use super::live::{RouteState, UpstreamKey};
use super::routes::UpstreamSpec;
use crate::auth::{Access, Authority, ForwardedClaim, Hidden, Service};
use crate::caching::RouteCache;
use crate::counters::RouteShard;
use crate::middleware::compression::Compression;
use crate::middleware::cors::Cors;
use crate::middleware::ip_rules::IpRules;
use crate::middleware::rate_limit::{RateLimits, StagedLimits};
use crate::middleware::underscores::alike;
use crate::proxy::{Hedge, Mirror, Retry};
use crate::router::Router;
use crate::upstream::{Guard, Peers, Split, Upstream};

/// Everything that a routes file means, ready to serve.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes file; none where there is none.
    pub(crate) text: Option<Arc<str>>,
    /// Finds the route of a request; its answers are indices into `routes`.
    pub router: Router,
    /// The routes, in the order of the file.
    pub routes: Box<[Arc<Route>]>,
    /// The upstreams that routes point to. Routes with the same targets do not share one.
    pub upstreams: Box<[Arc<Upstream>]>,
    /// What they were made of, in the same order.
    pub(in crate::config) definitions: Box<[(UpstreamKey, UpstreamSpec)]>,
    /// Whom connections are made to.
    pub(in crate::config) peers: Arc<Peers>,
    /// By what routes make the keys of what they cache, each once; none where nothing is cached.
    pub(crate) cache_recipes: Box<[KeyRecipe]>,
    /// Bytes of the cache that are set aside for routes, by [`cache::Policy::share`] from 1 on.
    pub(crate) cache_shares: Box<[u64]>,
    /// All rate limits; routes have indices into them.
    pub rate_limits: Arc<RateLimits>,
    /// What is known of requests without a route.
    pub(crate) unrouted: Arc<RouteState>,
    /// Who makes tokens, who has credentials, and whose keys are fetched.
    pub(crate) authority: Arc<Authority>,
}

impl Snapshot {
    /// The counters for requests of a route, an index; none where nothing is counted.
    pub(crate) fn counts(&self, route: Option<usize>) -> Option<&RouteShard> {
        match route.and_then(|route| self.routes.get(route)) {
            Some(route) => route.state.counts.own(),
            None => self.unrouted.counts.own(),
        }
    }

    /// A token of the gateway's own for `subject`, with these scopes, valid from now on for the usual time.
    #[must_use]
    pub fn token(&self, subject: &str, scopes: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let claims = [("sub", subject), ("scope", scopes)];
        let claims = claims.map(|(name, value)| (name.to_owned(), value.into()));
        let issuer = &self.authority.issuer;
        issuer
            .issue(claims.into_iter().collect(), issuer.lifetime, now)
            .ok()
    }
}

/// Where the requests of a route go.
#[derive(Debug)]
pub enum Destination {
    /// To an upstream.
    Upstream(Arc<Upstream>),
    /// To one of several upstreams.
    Split(Split),
    /// Nowhere: the gateway answers itself.
    Service(Service),
}

/// What stands in for an upstream that cannot be asked.
#[derive(Debug)]
pub(crate) enum Fallback {
    /// Another upstream.
    Upstream(Arc<Upstream>),
    /// This answer.
    Answer(FixedAnswer),
    /// What is stored, however old.
    Stale,
}

/// An answer that is always the same.
#[derive(Debug)]
pub(crate) struct FixedAnswer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// A policy that can be tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `ip`.
    Address,
    /// `cors`.
    Cors,
    /// `rateLimit`, all limits of the route.
    RateLimit,
    /// `maxBodySize`.
    Size,
    /// `requireAuth` and `auth`.
    Auth,
}

/// The policies that are judged and logged, and refuse nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shadowed(u8);

/// What happens to the requests of one route.
#[derive(Debug)]
pub struct Route {
    /// The route's name in logs; its path pattern where the file gives no name. Unique.
    pub name: Box<str>,
    /// Its path pattern, as traces name the route.
    pub pattern: Box<str>,
    /// Where its requests go.
    pub destination: Destination,
    /// Removed from the start of the path before forwarding, at a segment boundary: no slash at its end.
    /// Empty when nothing is stripped.
    pub strip_prefix: Box<str>,
    /// How many segments that is.
    pub stripped_segments: usize,
    /// The client's `Host` goes to the backend, instead of the target's.
    pub preserve_host: bool,
    /// What a client must show; nothing where there is none.
    pub access: Option<Access>,
    /// The claims that the backend is told.
    pub claims: Box<[ForwardedClaim]>,
    /// Credentials that end here.
    pub hidden: Hidden,
    /// The addresses that may use it; all where there are none.
    pub ip: Option<IpRules>,
    /// How responses are cached; not at all where there is none.
    pub(crate) cache: Option<RouteCache>,
    /// What web pages of other origins may do; none to leave it to the backend.
    pub cors: Option<Arc<Cors>>,
    /// How much each client may ask for.
    pub rate_limits: StagedLimits,
    /// Bytes that a request's body may have; [`u64::MAX`] for any.
    pub max_body_size: u64,
    /// From the request's head to the response's head.
    pub timeout: Duration,
    /// Answers tell browsers to be careful.
    pub security_headers: bool,
    /// When answers are compressed; never where there is none.
    pub compression: Option<Compression>,
    /// When a request is sent again; never where there is none.
    pub(crate) retry: Option<Retry>,
    /// When a second request is sent beside one that takes long.
    pub(crate) hedge: Option<Hedge>,
    /// Stops asking for this route what fails for it.
    pub(crate) guard: Option<Guard>,
    /// Where its requests are mirrored to.
    pub(crate) mirror: Option<Mirror>,
    /// What stands in for an upstream that cannot be asked.
    pub(crate) fallback: Option<Fallback>,
    /// How important its requests are where not all can be served.
    pub(crate) priority: Priority,
    /// What is only tried out.
    pub shadowed: Shadowed,
    /// What is known of it, whatever it was like before.
    pub(crate) state: Arc<RouteState>,
}

impl Route {
    /// Whether another service decides who may use it.
    pub(crate) fn asks_a_service(&self) -> bool {
        let access = self.access.as_ref();
        access.is_some_and(|access| access.forward.is_some())
    }

    /// Whether a field of the client's ends here: because it holds credentials, or because the gateway is the one that
    /// writes it.
    pub(crate) fn withholds(&self, name: &HeaderName) -> bool {
        self.hidden.field(name) || self.claims.iter().any(|claim| alike(&claim.field, name))
    }

    /// Whether any field of a client may be withheld.
    pub(crate) fn withholds_any(&self) -> bool {
        !self.claims.is_empty() || !self.hidden.is_empty()
    }
}

impl Shadowed {
    /// These and that one.
    #[must_use]
    pub const fn with(self, policy: Policy) -> Self {
        Self(self.0 | 1 << policy as u8)
    }

    /// Whether a policy is only tried out.
    #[must_use]
    pub const fn contains(self, policy: Policy) -> bool {
        self.0 & (1 << policy as u8) != 0
    }
}
