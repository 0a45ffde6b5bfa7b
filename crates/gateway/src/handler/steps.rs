//! The steps of the chain one by one, for benches: what each costs by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::header::ORIGIN;
use http::{HeaderMap, Request, request};
use tokio::time::Instant;
use wire::Body;

use super::Clock;
use crate::auth::{Asked, Authenticator, Subject};
use crate::config::{Route, Settings, Snapshot};
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
            now: self.clock.now(),
            trace: None,
        };
        let admitted = pin!(self.authenticator.admit(access, &asked));
        let mut context = Context::from_waker(Waker::noop());
        matches!(admitted.poll(&mut context), Poll::Ready(Ok(Some(_))))
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
