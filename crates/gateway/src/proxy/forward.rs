//! Steps 5 to 7 and 9 of a request: ask the breaker, choose an endpoint, forward, return its answer, and tell how it
//! went.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Method, Response, StatusCode, request};
use load_balancer::{InFlight, Outcome};
use tokio::time::Instant;
use wire::Body;
use wire::client::{Connection, Failure, FailureKind, Home, OutgoingRequest, ResponsePolicy};
use wire::head::ResponseLimits;
use wire::server::Client;

use super::connect::connect;
use super::fields::{asks_for_websocket, strip_answer};
use super::forwarded::ClientSide;
use super::pool::{Care, Pool, Pools};
use super::replay::Replay;
use super::request_head::{RequestFraming, RequestHead};
use super::retry::{Retry, is_idempotent};
use crate::auth::Identity;
use crate::config::{Route, Settings, Snapshot};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::upstream::{GuardScope, Hashed, Permit, Picked, Upstream};

/// A request whose route is known.
#[derive(Debug)]
pub(crate) struct Routed<'a> {
    pub(crate) head: &'a request::Parts,
    /// Normalised: what was matched is what is forwarded.
    pub(crate) path: &'a str,
    /// Index into the snapshot's routes.
    pub(crate) route: usize,
    /// Index into the snapshot's upstreams.
    pub(crate) upstream: usize,
    /// Who it is from, where that is known.
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) side: &'a ClientSide,
    pub(crate) client: &'a Client,
    /// The client's, whoever has forwarded the request.
    pub(crate) address: IpAddr,
    /// When the request's head had come: its time-out counts from here.
    pub(crate) started: Instant,
    /// When its turn came to be forwarded.
    pub(crate) admitted: Instant,
}

/// What forwarding needs of its worker.
#[derive(Debug)]
pub(crate) struct Forwarder<'a> {
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) settings: &'a Settings,
    pub(crate) pools: &'a Pools,
}

/// What is the same for all attempts to forward a request.
struct Exchange<'a> {
    forwarder: &'a Forwarder<'a>,
    request: &'a Routed<'a>,
    route: &'a Route,
    upstream: &'a Upstream,
    /// When the client is to have its answer's head.
    due: Instant,
    websocket: bool,
}

/// An attempt whose answer, or failure, is there.
struct Attempt {
    result: Result<Response<Body>, Refusal>,
    /// Who was asked: an index, and its identity.
    endpoint: (usize, u64),
    /// Counts the request as in flight.
    in_flight: InFlight,
}

/// Forwards `request` and returns the backend's answer.
pub(crate) async fn forward(
    forwarder: &Forwarder<'_>,
    request: &Routed<'_>,
    mut body: Body,
    entry: &mut Entry,
) -> Result<Response<Body>, Refusal> {
    let route = &forwarder.snapshot.routes[request.route];
    let upstream = &forwarder.snapshot.upstreams[request.upstream];
    let place = match &upstream.limit {
        None => None,
        Some(limit) => Some(
            limit
                .try_acquire_owned()
                .map_err(|_| ErrorCode::UpstreamFull)?,
        ),
    };
    entry.hold(place);
    let exchange = Exchange {
        forwarder,
        request,
        route,
        upstream,
        due: request.started + route.timeout,
        websocket: request.client.upgrades()
            && request.head.method == Method::GET
            && asks_for_websocket(&request.head.headers),
    };
    let attempt = match &route.retry {
        None => exchange.attempt(&mut body, &[], exchange.due, entry).await,
        Some(retry) => Box::pin(exchange.persist(retry, body, entry)).await,
    };
    entry.set_upstream_time(request.admitted.elapsed());
    let attempt = attempt?;
    entry.set_in_flight(attempt.in_flight);
    let mut answer = attempt.result?;
    let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    strip_answer(answer.headers_mut(), upgraded);
    if let Some(cookie) = upstream.balancer.cookie(request.head, attempt.endpoint.1) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(answer)
}

impl Exchange<'_> {
    /// Tries until there is an answer that is no reason for another attempt, or there may be no other.
    async fn persist(
        &self,
        retry: &Retry,
        body: Body,
        entry: &mut Entry,
    ) -> Result<Attempt, Refusal> {
        let repeatable = retry.repeatable(self.request.head);
        let replay = Replay::new(body, retry.max_body_size);
        let mut tried: Vec<u64> = Vec::new();
        let mut budget = None;
        for number in 1.. {
            let due = retry
                .try_timeout
                .map_or(self.due, |time| self.due.min(Instant::now() + time));
            let attempted = self.attempt(&mut replay.body(), &tried, due, entry).await;
            // A retry counts until it is over.
            drop(budget.take());
            let attempt = attempted?;
            let again = number <= retry.attempts
                && retry.is_reason(&attempt.result, repeatable)
                && replay.is_whole();
            if !again {
                return Ok(attempt);
            }
            let delay = retry.backoff.delay(number, fastrand::u64(..));
            if Instant::now() + delay >= self.due {
                return Ok(attempt);
            }
            let in_flight = self.upstream.balancer.in_flight();
            budget = self.upstream.budget.try_retry(in_flight);
            if budget.is_none() {
                return Ok(attempt);
            }
            tried.push(attempt.endpoint.1);
            // What was wrong with one endpoint is no reason not to ask the next at once.
            if tried.len() >= self.upstream.endpoints.len() {
                tried.clear();
            }
            drop(attempt);
            entry.count_retry();
            tokio::time::sleep(delay).await;
        }
        Err(ErrorCode::InternalError.into())
    }

    /// Asks one endpoint that is none of those that have been `tried`.
    async fn attempt(
        &self,
        body: &mut Body,
        tried: &[u64],
        due: Instant,
        entry: &mut Entry,
    ) -> Result<Attempt, Refusal> {
        let request = self.request;
        let began = if tried.is_empty() {
            request.admitted
        } else {
            Instant::now()
        };
        let (picked, permit) = self.pick(tried, began)?;
        let endpoint = &self.upstream.endpoints[picked.index];
        entry.set_endpoint(request.upstream, picked.index);
        let framing = RequestFraming::of(body.exact_length(), &request.head.method);
        let expects_continue = request.client.expects_continue();
        let head = RequestHead {
            head: request.head,
            path: request.path,
            route: self.route,
            endpoint,
            side: request.side,
            identity: request.identity,
            request_id: entry.request_id(),
            time_left: due.saturating_duration_since(began),
            framing,
            expects_continue,
            websocket: self.websocket,
        };
        let outgoing = OutgoingRequest {
            method: &request.head.method,
            chunked: framing == RequestFraming::Chunked,
            expects_continue,
            upgrades: self.websocket,
        };
        let policy = policy(
            self.forwarder.settings,
            due,
            due.saturating_duration_since(began),
        );
        let result = exchange(
            self.forwarder,
            &head,
            &outgoing,
            body,
            &policy,
            request.client,
        )
        .await;
        let mut attempt = Attempt {
            result,
            endpoint: (picked.index, picked.id),
            in_flight: picked.in_flight,
        };
        self.record(&mut attempt, permit);
        Ok(attempt)
    }

    /// An endpoint, and leave to ask it where leave is needed. One whose breaker is open is passed over for others.
    fn pick(&self, tried: &[u64], now: Instant) -> Result<(Picked, Option<Permit>), Refusal> {
        let hashed = self.request.hashed();
        let balancer = &self.upstream.balancer;
        let nobody = || Refusal::from(ErrorCode::UpstreamUnavailable);
        let Some(guard) = &self.upstream.guard else {
            return Ok((balancer.pick(&hashed, tried, now).ok_or_else(nobody)?, None));
        };
        let mut passed_over = tried.to_vec();
        let mut soonest: Option<Duration> = None;
        loop {
            let Some(picked) = balancer.pick(&hashed, &passed_over, now) else {
                return Err(soonest.map_or_else(nobody, Refusal::circuit_open));
            };
            match guard.try_acquire(picked.index, now) {
                Ok(permit) => return Ok((picked, Some(permit))),
                Err(after) if guard.scope() == GuardScope::Upstream => {
                    return Err(Refusal::circuit_open(after));
                }
                Err(after) => {
                    soonest = Some(soonest.map_or(after, |soonest| soonest.min(after)));
                    passed_over.push(picked.id);
                }
            }
        }
    }

    /// Tells balancer and breaker what has come of an attempt.
    fn record(&self, attempt: &mut Attempt, permit: Option<Permit>) {
        let now = Instant::now();
        let outcome = match &attempt.result {
            Ok(answer) => Outcome::from_status(answer.status().as_u16()),
            Err(refusal) if refusal.code.is_the_clients() => Outcome::Cancelled,
            Err(_) => Outcome::GatewayFailure,
        };
        let balancer = &self.upstream.balancer;
        balancer.record(&mut attempt.in_flight, outcome, now);
        let (Some(permit), Some(guard)) = (permit, &self.upstream.guard) else {
            return;
        };
        let failed = match &attempt.result {
            Ok(answer) => guard.is_failure(answer.status().as_u16()),
            // Nothing is known: the permit is given back as it is.
            Err(_) if outcome == Outcome::Cancelled => return,
            Err(_) => true,
        };
        permit.record(attempt.endpoint.0, failed, now);
    }
}

impl Routed<'_> {
    /// As consistent hashing sees it.
    fn hashed(&self) -> Hashed<'_> {
        Hashed {
            head: self.head,
            path: self.path,
            client: self.address,
            identity: self.identity,
        }
    }
}

/// Sends the request: over an idle connection where there is one, over a new one otherwise. When an idle connection
/// turns out to be dead before it has given a byte, an idempotent request is sent again, once, over a new one
/// (RFC 9112 §9.3.1, RFC 9110 §9.2.2).
async fn exchange(
    forwarder: &Forwarder<'_>,
    head: &RequestHead<'_>,
    outgoing: &OutgoingRequest<'_>,
    body: &mut Body,
    policy: &ResponsePolicy,
    client: &Client,
) -> Result<Response<Body>, Refusal> {
    let Some(pool) = forwarder.pools.get(head.endpoint.pool) else {
        return Err(ErrorCode::InternalError.into());
    };
    let idempotent = is_idempotent(outgoing.method);
    let care = if idempotent { Care::Usual } else { Care::Great };
    if let Some(connection) = pool.take(Instant::now(), care) {
        match send(connection, head, outgoing, body, policy, client, pool).await {
            Err(Failure {
                kind: FailureKind::Closed,
                repeatable: true,
            }) if idempotent => {
                tracing::debug!("idle upstream connection was dead; request is sent again");
            }
            result => return result.map_err(refusal),
        }
    }
    let due = policy
        .due
        .min(Instant::now() + forwarder.settings.timeouts.connect);
    let io = connect(&head.endpoint.target, due).await?;
    send(
        Connection::new(io),
        head,
        outgoing,
        body,
        policy,
        client,
        pool,
    )
    .await
    .map_err(refusal)
}

async fn send(
    connection: Connection,
    head: &RequestHead<'_>,
    outgoing: &OutgoingRequest<'_>,
    body: &mut Body,
    policy: &ResponsePolicy,
    client: &Client,
    pool: &Rc<Pool>,
) -> Result<Response<Body>, Failure> {
    let home: Rc<dyn Home> = Rc::<Pool>::clone(pool);
    connection
        .send(
            *outgoing,
            |out| head.write(out),
            body,
            policy,
            |status, headers| client.inform(status, headers),
            home,
        )
        .await
}

fn policy(settings: &Settings, due: Instant, timeout: Duration) -> ResponsePolicy {
    ResponsePolicy {
        limits: ResponseLimits {
            head: settings.limits.max_head_size,
            fields: settings.limits.max_headers,
        },
        due,
        timeout,
        body_idle: settings.timeouts.response_body_idle,
        event_stream_idle: settings.timeouts.websocket_idle,
        continue_wait: CONTINUE_WAIT,
    }
}

/// As in Go's and curl's clients.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

fn refusal(failure: Failure) -> Refusal {
    match failure.kind {
        FailureKind::Closed => ErrorCode::UpstreamReset.into(),
        FailureKind::Malformed(error) => {
            tracing::warn!(%error, "upstream answer refused");
            ErrorCode::UpstreamMalformed.into()
        }
        FailureKind::TimedOut => ErrorCode::UpstreamTimeout.into(),
        FailureKind::RequestBody(error) => error.into(),
    }
}
