//! The way of a request: read this first.
//!
//! One function, in the order in which users were promised things happen, each step a call into the part that owns
//! it.

use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request};
use tokio::time::Instant;
use wire::Body;
use wire::head::HeadError;
use wire::server::Client;

use crate::auth::Verifier;
use crate::config::{Settings, Snapshot};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::{AccessLog, Entry, Exchange};
use crate::middleware::cors::{Cors, Preflight};
use crate::middleware::rate_limit::{Subject, Verdict};
use crate::middleware::{client_address, panics, request_id, size_limit};
use crate::proxy::{self, ClientSide, Forwarder, Pools, Routed};
use crate::router::{Criteria, Found, path};

/// What a worker needs to answer requests. Everything in it is the worker's own, or immutable.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) settings: Arc<Settings>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) verifier: Verifier,
    pub(crate) pools: Pools,
    pub(crate) access_log: Rc<AccessLog>,
    pub(crate) clock: Clock,
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

/// Turns points in time into dates without asking the system for each.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    unix_milliseconds: u64,
}

impl Clock {
    /// A clock that takes the present time from the system.
    pub(crate) fn new() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            start: Instant::now(),
            unix_milliseconds: u64::try_from(since.as_millis()).unwrap_or(0),
        }
    }

    fn unix_milliseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start).as_millis();
        self.unix_milliseconds + u64::try_from(since).unwrap_or(0)
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
        let (head, body) = request.into_parts();
        let request_id = request_id::choose(&head.headers, self.clock.unix_milliseconds(started));
        let address = client_address::client_address(
            side.peer,
            &head.headers,
            &self.settings.trusted_proxies,
        );
        let entry = Entry::begin(started, request_id, address, &head, &self.snapshot);
        let mut exchange = Exchange::new(&self.access_log, entry);
        let arrival = Arrival {
            head: &head,
            client: &client,
            side,
            address,
            started,
        };
        let mut verdict = Verdict::default();

        let result = {
            let answer = pin!(self.answer(&arrival, body, exchange.entry(), &mut verdict));
            panics::caught(answer)
                .await
                .unwrap_or_else(|_| Err(ErrorCode::InternalError.into()))
        };
        let mut response = conclude(result, exchange.entry());
        verdict.decorate(response.headers_mut());
        if let Some(cors) = self.cors(exchange.entry()) {
            cors.decorate(head.headers.get(ORIGIN), response.headers_mut());
        }
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
        let entry = Entry::unreadable(started, request_id, side.peer, version, &self.snapshot);
        let mut exchange = Exchange::new(&self.access_log, entry);
        (conclude(Err(error.into()), exchange.entry()), exchange)
    }

    async fn answer(
        &self,
        arrival: &Arrival<'_>,
        body: Body,
        entry: &mut Entry,
        verdict: &mut Verdict,
    ) -> Result<Response<Body>, Refusal> {
        let head = arrival.head;
        if head.method == Method::OPTIONS && head.uri.path() == "*" {
            return Ok(ping());
        }
        let path = path::normalise(head.uri.path()).map_err(|error| {
            Refusal::from(ErrorCode::InvalidPath).with_detail(error.to_string())
        })?;
        let criteria = Criteria::of(head, &path);
        if let Some(preflight) = Preflight::of(head)
            && let Some(answer) = self.answer_preflight(&preflight, &criteria, entry)
        {
            return answer;
        }
        let route = self.route(&criteria)?;
        entry.set_route(route);
        *verdict = self.count(arrival, route);
        entry.set_shadowed(verdict.shadowed);
        verdict.result()?;
        let body = size_limit::limited(body, self.snapshot.routes[route].max_body_size)?;
        self.authenticate(head, route, arrival.started)?;
        let forwarder = Forwarder {
            snapshot: &self.snapshot,
            settings: &self.settings,
            pools: &self.pools,
        };
        let routed = Routed {
            head,
            path: &path,
            route,
            side: arrival.side,
            client: arrival.client,
            started: arrival.started,
        };
        proxy::forward(&forwarder, &routed, body, entry).await
    }

    /// The CORS policy for what has become of a request.
    fn cors(&self, entry: &Entry) -> Option<&Cors> {
        entry
            .route()
            .map_or(&self.settings.cors, |route| {
                &self.snapshot.routes[route].cors
            })
            .as_deref()
    }

    /// The answer to a preflight, by the policy of the route whose request it announces. None where that is left to
    /// the backend.
    fn answer_preflight(
        &self,
        preflight: &Preflight<'_>,
        criteria: &Criteria<'_>,
        entry: &mut Entry,
    ) -> Option<Result<Response<Body>, Refusal>> {
        let announced = Criteria {
            method: &preflight.method,
            ..*criteria
        };
        let cors = |route: usize| self.snapshot.routes[route].cors.as_ref();
        match self.route(&announced) {
            Ok(route) => {
                entry.set_route(route);
                Some(cors(route)?.answer(preflight, criteria.headers))
            }
            Err(refusal) => {
                let of_itself = self.route(criteria).ok().and_then(cors);
                of_itself.map(|_| Err(refusal))
            }
        }
    }

    fn route(&self, criteria: &Criteria<'_>) -> Result<usize, Refusal> {
        match self.snapshot.router.find(criteria) {
            Found::Route(route) => Ok(route),
            Found::MethodNotAllowed { allow } => Err(HeaderValue::from_str(&allow.to_string())
                .map_or_else(
                    |_| ErrorCode::MethodNotAllowed.into(),
                    Refusal::method_not_allowed,
                )),
            Found::Nothing => Err(ErrorCode::RouteNotFound.into()),
        }
    }

    /// Counts the request where its route has limits.
    fn count(&self, arrival: &Arrival<'_>, route: usize) -> Verdict {
        let Some(limits) = &self.snapshot.routes[route].rate_limits else {
            return Verdict::default();
        };
        let subject = Subject {
            address: arrival.address,
            headers: &arrival.head.headers,
        };
        let limiter = &self.snapshot.rate_limits;
        limiter.count(limits, &subject, arrival.started)
    }

    fn authenticate(
        &self,
        head: &request::Parts,
        route: usize,
        started: Instant,
    ) -> Result<(), Refusal> {
        if !self.snapshot.routes[route].require_auth {
            return Ok(());
        }
        let now = self.clock.unix_milliseconds(started) / 1000;
        self.verifier
            .verify(&head.headers, now)
            .map_err(|error| Refusal::unauthorized(error.challenge()))
    }
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
