//! The steps of the chain one by one, for benches: what each costs by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::ORIGIN;
use http::{HeaderMap, Request, request};
use tokio::time::Instant;
use wire::Body;

use super::Clock;
use crate::auth::{Asked, Authenticator, Kind, Subject};
use crate::config::{Route, Settings, Snapshot};
use crate::counters::{
    Attempted, AuthResult, CrossOrigin, Direction, Limited, PeerCounts, counting_workers,
    enter_worker,
};
use crate::middleware::{security_headers, size_limit};
use crate::router::{Criteria, Found, path};

/// A route with all of its policies, and a request that meets them again and again. Each method is one step, and says
/// whether the request has passed it.
#[derive(Debug)]
pub struct Steps {
    settings: Settings,
    snapshot: Snapshot,
    authenticator: Authenticator,
    clock: Clock,
    head: request::Parts,
    path: String,
    route: usize,
    /// Of the peer to whom the request goes.
    peer: PeerCounts,
}

impl Steps {
    /// For `request`; none where it has no route.
    #[must_use]
    pub fn new(settings: Settings, snapshot: Snapshot, request: Request<()>) -> Option<Self> {
        let (head, ()) = request.into_parts();
        let path = path::normalise(head.uri.path()).ok()?.into_owned();
        let Found::Route(route) = snapshot.router.find(&Criteria::of(&head, &path)) else {
            return None;
        };
        Some(Self {
            authenticator: Authenticator::default(),
            clock: Clock::new(),
            peer: PeerCounts::new(counting_workers(&settings)),
            settings,
            snapshot,
            head,
            path,
            route,
        })
    }

    fn route(&self) -> &Route {
        &self.snapshot.routes[self.route]
    }

    /// The client's address, behind proxies.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.settings
            .trusted_proxies
            .client(proxy, &self.head.headers)
    }

    /// `UNDERSCORE_HEADERS`.
    pub fn underscores(&mut self) -> bool {
        let underscores = self.settings.underscore_headers;
        underscores.apply(&mut self.head.headers).is_ok()
    }

    /// `ip`.
    #[must_use]
    pub fn address(&self, client: IpAddr) -> bool {
        let rules = self.route().ip.as_ref();
        rules.is_none_or(|rules| rules.check(client).is_ok())
    }

    /// `rateLimit`, counted in this process.
    #[must_use]
    pub fn count(&self, client: IpAddr) -> bool {
        let Some(limits) = &self.route().rate_limits.on_arrival else {
            return true;
        };
        let subject = Subject {
            head: &self.head,
            path: &self.path,
            client,
            identity: None,
        };
        let verdict = self
            .snapshot
            .rate_limits
            .count(limits, &subject, Instant::now());
        let passes = verdict.result().is_ok();
        verdict.decorate(&mut HeaderMap::new());
        passes
    }

    /// `maxBodySize`.
    #[must_use]
    pub fn size(&self) -> bool {
        size_limit::limited(Body::empty(), self.route().max_body_size).is_ok()
    }

    /// `requireAuth`, of credentials that are known after the first time.
    #[must_use]
    pub fn admit(&self, client: IpAddr) -> bool {
        let Some(access) = &self.route().access else {
            return true;
        };
        let asked = Asked {
            head: &self.head,
            path: &self.path,
            client,
            certificate: None,
            scheme: "http",
            now: self.clock.now(),
            trace: None,
        };
        let admitted = pin!(self.authenticator.admit(access, &asked));
        let mut context = Context::from_waker(Waker::noop());
        matches!(admitted.poll(&mut context), Poll::Ready(Ok(Some(_))))
    }

    /// From here on this thread counts, as a worker does.
    pub fn count_as_worker(&self) {
        enter_worker(0);
    }

    /// Everything that is counted of a request which passes all steps, is sent over a pooled connection, and answered.
    #[must_use]
    pub fn metrics(&self, time: Duration) -> bool {
        let Some(counts) = self.snapshot.counts(Some(self.route)) else {
            return false;
        };
        counts.in_flight.rise();
        counts.limits.increment(Limited::Allowed as usize);
        counts.authenticated(Some(Kind::Token), AuthResult::Passed);
        let Some(upstream) = self.snapshot.upstreams.first() else {
            return false;
        };
        if let (Some(counts), Some(endpoint)) =
            (upstream.counts.own(), upstream.endpoints().first())
        {
            counts.reused.increment();
            let endpoint = endpoint.counts.own();
            counts.attempted(endpoint, Attempted::Answered(2), time);
        }
        if let Some(peer) = self.peer.own() {
            // It leaves the pool, and comes back.
            peer.idle.set(0);
            peer.idle.set(1);
        }
        counts.cors.increment(CrossOrigin::Allowed as usize);
        counts.in_flight.fall();
        counts.answered(Some(&self.head.method), 200);
        counts.took(time, None);
        counts.body_bytes.add(Direction::Received as usize, 10);
        counts.body_bytes.add(Direction::Sent as usize, 1000);
        true
    }

    /// `cors` on an answer.
    pub fn cors(&self, answer: &mut HeaderMap) {
        if let Some(cors) = &self.route().cors {
            cors.decorate(self.head.headers.get(ORIGIN), answer);
        }
    }

    /// `securityHeaders` on an answer.
    pub fn security_headers(answer: &mut HeaderMap) {
        security_headers::decorate(answer);
    }
}
