//! The way of a request: read this first.
//!
//! One function, in the order in which users were promised things happen, each step a call into the part that owns
//! it.

mod answers;
mod clock;
mod entrance;
mod equipment;
mod steps;

pub(crate) use answers::Answers;
pub(crate) use clock::Clock;
pub(crate) use equipment::Equipment;
pub use steps::Steps;

use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use cache::Timestamp;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, request};
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::head::HeadError;
use wire::server::Client;

use crate::auth::{Asked, Authenticator, Authority, Identity, Service, Subject};
use crate::caching::{Caching, Now};
use crate::config::{Destination, Local, LocalRoute, Policy, Route, Settings, Snapshot, View};
use crate::counters::{AuthResult, CrossOrigin, Limited, ProcessCounts};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::{AccessLog, Entry, Exchange};
use crate::middleware::cors::Preflight;
use crate::middleware::rate_limit::{RouteLimits, Verdict};
use crate::middleware::{client_address, panics, request_id, security_headers, size_limit};
use crate::proxy::{self, ClientSide, Forwarded, Proxy, Routed};
use crate::router::{Criteria, Found, Router, path};
use crate::trace::{Trace, Tracer};

/// What a worker needs to answer requests. Everything in it is the worker's own, or immutable.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) settings: Arc<Settings>,
    /// The configuration, which may be replaced between any two requests.
    pub(crate) configuration: Rc<View>,
    pub(crate) authenticator: Authenticator,
    pub(crate) proxy: Rc<Proxy>,
    /// What only some configurations need.
    pub(crate) equipment: Equipment,
    pub(crate) access_log: Rc<AccessLog>,
    pub(crate) counts: Arc<ProcessCounts>,
    /// None where nothing is traced.
    pub(crate) tracer: Option<Rc<Tracer>>,
    pub(crate) clock: Clock,
    /// Where somebody wants to know how many requests fail: of all workers, and the place of this one.
    pub(crate) answers: Option<(Arc<[Answers]>, usize)>,
}

/// A request as it has come in, less its body.
#[derive(Debug, Clone, Copy)]
struct Arrival<'a> {
    head: &'a request::Parts,
    client: &'a Client,
    side: &'a ClientSide,
    /// The client's, whoever has forwarded the request.
    address: IpAddr,
    /// When the head had come.
    started: Instant,
}

impl Arrival<'_> {
    /// As limits and balancing see the request; `path` is normalised.
    fn subject<'a>(&'a self, path: &'a str, identity: Option<&'a Identity>) -> Subject<'a> {
        Subject {
            head: self.head,
            path,
            client: self.address,
            identity,
        }
    }
}

impl Handler {
    /// Answers a request. The exchange logs it when its answer has left.
    pub(crate) async fn handle(
        &self,
        request: Request<Body>,
        client: Client,
        side: &ClientSide,
    ) -> (Response<Body>, Exchange) {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let request_id = request_id::choose(&head.headers, self.clock.unix_milliseconds(started));
        let (address, acceptable) = receive(&self.settings, side, &mut head);
        let trace = match &self.tracer {
            Some(tracer) => Some(tracer.begin(&mut head.headers, side.trusted, started)),
            None => Trace::passing(&head.headers),
        };
        let local = self.local();
        let mut entry = Entry::begin(started, request_id, address, &head, &local.unrouted);
        entry.set_trace(trace);
        let mut exchange = Exchange::new(&self.access_log, entry);
        exchange
            .entry()
            .set_side(side, side.scheme_of(&head.headers));
        let arrival = Arrival {
            head: &head,
            client: &client,
            side,
            address,
            started,
        };
        let mut verdict = Verdict::default();

        let result = {
            let answer = pin!(async {
                acceptable?;
                self.answer(local, &arrival, body, exchange.entry(), &mut verdict)
                    .await
            });
            panics::caught(answer)
                .await
                .unwrap_or_else(|_| Err(ErrorCode::InternalError.into()))
        };
        let mut response = conclude(result, exchange.entry());
        if let Some((answers, worker)) = &self.answers
            && let Some(answers) = answers.get(*worker)
        {
            answers.count(response.status().as_u16());
        }
        let route = exchange.entry().route();
        if let Some(compression) = route.and_then(|route| route.compression) {
            response = compression.apply(&head.method, &head.headers, response);
        }
        verdict.decorate(response.headers_mut());
        self.decorate(&head, exchange.entry(), &mut response);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            exchange.entry().become_websocket();
        }
        exchange.entry().let_go_of_route();
        (response, exchange)
    }

    /// Answers bytes that are no acceptable request.
    pub(crate) fn refuse(
        &self,
        error: HeadError,
        version: Version,
        side: &ClientSide,
    ) -> (Response<Body>, Exchange) {
        let started = Instant::now();
        let request_id = request_id::choose(
            &http::HeaderMap::new(),
            self.clock.unix_milliseconds(started),
        );
        let entry = Entry::unreadable(
            started,
            request_id,
            side.peer,
            version,
            &self.local().unrouted,
        );
        let mut exchange = Exchange::new(&self.access_log, entry);
        exchange.entry().set_side(side, side.scheme());
        (conclude(Err(error.into()), exchange.entry()), exchange)
    }

    async fn answer(
        &self,
        local: Rc<Local>,
        arrival: &Arrival<'_>,
        body: Body,
        entry: &mut Entry,
        verdict: &mut Verdict,
    ) -> Result<Response<Body>, Refusal> {
        let head = arrival.head;
        if let Some(answer) = entrance::check(head, arrival.side)? {
            return Ok(answer);
        }
        if head.method == Method::OPTIONS && head.uri.path() == "*" {
            return Ok(ping());
        }
        let path = path::normalise(head.uri.path()).map_err(|error| {
            Refusal::from(ErrorCode::InvalidPath).with_detail(error.to_string())
        })?;
        let criteria = Criteria::of(head, &path);
        if let Some(preflight) = Preflight::of(head) {
            let Announced { route, answer } = announced(&local.snapshot, &preflight, &criteria);
            if let Some(route) = route {
                entry.set_route(local.route(route));
            }
            if let Some(answer) = answer {
                return answer;
            }
        }
        let route = Rc::clone(local.route(find_route(&local.snapshot.router, &criteria)?));
        let route = &route;
        entry.set_route(route);
        if let Some(rules) = &route.ip {
            let checked = rules.check(arrival.address);
            enforce(
                route,
                Policy::Address,
                entry,
                checked.map_err(Refusal::from),
            )?;
        }
        let limits = &route.rate_limits;
        let authority = match &route.destination {
            Destination::Service(_) => Some(Arc::clone(&local.snapshot.authority)),
            Destination::Upstream(_) | Destination::Split(_) => None,
        };
        // Nobody who waits keeps a configuration that has been replaced.
        drop(local);
        self.count(route, &limits.on_arrival, arrival, &path, entry, verdict)
            .await?;
        let body = limit_size(route, entry, body)?;
        let identity = self.authenticate(arrival, &path, route, entry).await;
        // Who is known counts, whether or not that is enough to pass.
        if identity.is_ok() || entry.identity().is_some() {
            self.count(route, &limits.once_known, arrival, &path, entry, verdict)
                .await?;
        }
        let identity = identity?;
        let upstream = match &route.destination {
            Destination::Upstream(upstream) => upstream,
            Destination::Split(split) => split
                .choose(&arrival.subject(&path, identity.as_deref()))
                .ok_or(ErrorCode::UpstreamUnavailable)?,
            Destination::Service(service) => {
                let authority = authority.ok_or(ErrorCode::InternalError)?;
                return self.serve(*service, &authority, arrival, route, body).await;
            }
        };
        let routed = Routed {
            head,
            path: &path,
            route,
            upstream,
            identity: identity.as_deref(),
            side: arrival.side,
            client: arrival.client,
            address: arrival.address,
            started: arrival.started,
            // Only where others may have been asked is the clock worth another look.
            admitted: if route.access.is_some() {
                Instant::now()
            } else {
                arrival.started
            },
        };
        match self.equipment.caching() {
            Some(caching) if Caching::concerns(route, &head.method) => {
                let now = Now {
                    at: Timestamp::from_millis(self.clock.unix_milliseconds(routed.admitted)),
                    since: routed.admitted,
                };
                // Apart, so that requests which are not cached need no room for it.
                let answer = caching.answer(route, &routed, identity.as_ref(), body, now, entry);
                Box::pin(answer).await
            }
            _ => proxy::forward(&self.proxy.forwarder(), &routed, body, entry)
                .await
                .map(Forwarded::into_answer),
        }
    }

    /// Says on an answer, whatever it is, what browsers may do with it.
    fn decorate(&self, head: &request::Parts, entry: &mut Entry, response: &mut Response<Body>) {
        if let Some(report) = entry.cache() {
            report.decorate(response.headers_mut());
        }
        let origin = head.headers.get(ORIGIN);
        let route = entry.route().cloned();
        let cors = route
            .as_ref()
            .map_or(&self.settings.cors, |route| &route.cors);
        if let Some(cors) = cors {
            cors.decorate(origin, response.headers_mut());
            if cors.would_refuse(origin) {
                entry.add_shadow(ErrorCode::OriginNotAllowed);
            }
            if let (Some(_), Some(counts)) = (origin, entry.counts()) {
                let told = cross_origin(head, response.headers());
                counts.cors.increment(told as usize);
            }
        }
        let careful = route.map_or(self.settings.security_headers, |route| {
            route.security_headers
        });
        if careful {
            security_headers::decorate(response.headers_mut());
        }
    }

    /// Counts the request against those limits of its route whose turn it is.
    async fn count(
        &self,
        route: &LocalRoute,
        limits: &Option<RouteLimits>,
        arrival: &Arrival<'_>,
        path: &str,
        entry: &mut Entry,
        verdict: &mut Verdict,
    ) -> Result<(), Refusal> {
        let Some(limits) = limits else {
            return Ok(());
        };
        let limiter = &route.limiter;
        let now = arrival.started;
        let subject = arrival.subject(path, entry.identity());
        // Only who has to ask Redis waits.
        let counted = match self.equipment.store().filter(|_| limits.need_redis) {
            None => limiter.count(limits, &subject, now),
            Some(store) => limiter.count_shared(store, limits, &subject, now).await,
        };
        let result = counted.result();
        if let Some(counts) = entry.counts() {
            let limited = match &result {
                Ok(()) if counted.shadowed.is_some() => Limited::Shadowed,
                Ok(()) => Limited::Allowed,
                Err(refusal) if refusal.code == ErrorCode::RateLimited => Limited::Refused,
                Err(_) => Limited::Undecided,
            };
            counts.limits.increment(limited as usize);
        }
        verdict.add(if route.shadowed.contains(Policy::RateLimit) {
            counted.untold()
        } else {
            counted
        });
        entry.set_shadowed(verdict.shadowed.clone());
        enforce(route, Policy::RateLimit, entry, result)
    }

    /// Who the request is from, where the route asks.
    async fn authenticate(
        &self,
        arrival: &Arrival<'_>,
        path: &str,
        route: &Route,
        entry: &mut Entry,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        let Some(access) = &route.access else {
            return Ok(None);
        };
        let asked = Asked {
            head: arrival.head,
            path,
            client: arrival.address,
            certificate: arrival.side.certificate(),
            scheme: arrival.side.scheme_of(&arrival.head.headers),
            now: self.clock.seconds(arrival.started),
            trace: entry.trace(),
        };
        let admitted = match self.authenticator.admit(access, &asked).await {
            Ok(identity) => {
                let kind = identity.as_deref().map(Identity::kind);
                if let Some(counts) = entry.counts() {
                    counts.authenticated(kind, AuthResult::Passed);
                }
                entry.set_identity(identity.clone());
                Ok(identity)
            }
            Err(refused) => {
                if let Some(counts) = entry.counts() {
                    counts.authenticated(refused.kind, refused.result);
                }
                entry.set_identity(refused.identity);
                Err(refused.refusal)
            }
        };
        enforce(route, Policy::Auth, entry, admitted)
    }

    /// Answers in a backend's place.
    async fn serve(
        &self,
        service: Service,
        authority: &Authority,
        arrival: &Arrival<'_>,
        route: &Route,
        body: Body,
    ) -> Result<Response<Body>, Refusal> {
        let issuer = &authority.issuer;
        match service {
            Service::Jwks => Ok(issuer.key_set()),
            Service::Metadata => {
                let (token, keys) = (&authority.token_path, &authority.keys_path);
                Ok(issuer.metadata(token.as_deref(), keys.as_deref()))
            }
            Service::Token => {
                let now = self.clock.unix_milliseconds(arrival.started) / 1000;
                let consumers = authority
                    .consumers
                    .as_ref()
                    .map(|(_, consumers)| &**consumers);
                let headers = &arrival.head.headers;
                let answer = Box::pin(issuer.answer(consumers, headers, body, now));
                match timeout_at(arrival.started + route.timeout, answer).await {
                    Ok(answer) => answer.map_err(Refusal::from),
                    Err(_) => Err(ErrorCode::RequestTimeout.into()),
                }
            }
        }
    }
}

/// What a preflight announces, and what comes of it.
pub(crate) struct Announced {
    /// The route of the request that it announces, an index into the snapshot's; none where there is none.
    pub(crate) route: Option<usize>,
    /// The answer by the policy of that route; none where that is left to the backend.
    pub(crate) answer: Option<Result<Response<Body>, Refusal>>,
}

/// What a preflight, which is itself a request with these `criteria`, announces.
pub(crate) fn announced(
    snapshot: &Snapshot,
    preflight: &Preflight<'_>,
    criteria: &Criteria<'_>,
) -> Announced {
    let cors = |route: usize| snapshot.routes[route].cors.as_ref();
    match find_route(&snapshot.router, &preflight.announced(criteria)) {
        Ok(route) => Announced {
            route: Some(route),
            answer: cors(route).map(|cors| cors.answer(preflight, criteria.headers)),
        },
        Err(refusal) => {
            let of_itself = find_route(&snapshot.router, criteria).ok().and_then(cors);
            Announced {
                route: None,
                answer: of_itself.map(|_| Err(refusal)),
            }
        }
    }
}

/// The route of a request, an index into the snapshot's.
pub(crate) fn find_route(router: &Router, criteria: &Criteria<'_>) -> Result<usize, Refusal> {
    match router.find(criteria) {
        Found::Route(route) => Ok(route),
        Found::MethodNotAllowed { allow } => Err(HeaderValue::from_str(&allow.to_string())
            .map_or_else(
                |_| ErrorCode::MethodNotAllowed.into(),
                Refusal::method_not_allowed,
            )),
        Found::Nothing => Err(ErrorCode::RouteNotFound.into()),
    }
}

/// Takes off a head what nobody after this is to see, and says whom it is from, and whether it may go on.
pub(crate) fn receive(
    settings: &Settings,
    side: &ClientSide,
    head: &mut request::Parts,
) -> (IpAddr, Result<(), Refusal>) {
    let acceptable = settings.underscore_headers.apply(&mut head.headers);
    let address = if side.trusted {
        settings.trusted_proxies.client(side.peer, &head.headers)
    } else {
        side.peer
    };
    proxy::strip_nominated(&mut head.headers);
    if !side.trusted {
        client_address::distrust(&mut head.headers);
    }
    (address, acceptable)
}

/// What a policy of the route has found. A policy that is tried out is logged, and lets everything pass.
fn enforce<T: Default>(
    route: &Route,
    policy: Policy,
    entry: &mut Entry,
    found: Result<T, Refusal>,
) -> Result<T, Refusal> {
    match found {
        Err(refusal) if route.shadowed.contains(policy) => {
            entry.add_shadow(refusal.code);
            Ok(T::default())
        }
        found => found,
    }
}

/// What a page of another origin, whose request this is, was told.
fn cross_origin(head: &request::Parts, answer: &HeaderMap) -> CrossOrigin {
    let preflight = Preflight::of(head).is_some();
    match (preflight, answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)) {
        (true, true) => CrossOrigin::PreflightAllowed,
        (true, false) => CrossOrigin::PreflightRefused,
        (false, true) => CrossOrigin::Allowed,
        (false, false) => CrossOrigin::Refused,
    }
}

/// The body, which is not larger than the route allows.
fn limit_size(route: &Route, entry: &mut Entry, body: Body) -> Result<Body, Refusal> {
    if !route.shadowed.contains(Policy::Size) {
        return Ok(size_limit::limited(body, route.max_body_size)?);
    }
    let (body, oversized) = size_limit::watched(body, route.max_body_size);
    entry.watch(oversized);
    Ok(body)
}

/// RFC 9110 §9.3.7: `OPTIONS *` asks whether the server is there.
fn ping() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The answer to `result`, with the request's id; the log entry learns of it.
fn conclude(result: Result<Response<Body>, Refusal>, entry: &mut Entry) -> Response<Body> {
    let (mut response, error) = match result {
        Ok(response) => (response, None),
        Err(refusal) => {
            let code = refusal.code;
            (
                refusal.into_response(entry.request_id().to_str().unwrap_or_default()),
                Some(code),
            )
        }
    };
    entry.set_answer(response.status().as_u16(), error);
    response
        .headers_mut()
        .insert(request_id::X_REQUEST_ID, entry.request_id().clone());
    response
}
