//! One attempt: pick an endpoint, ask it, and tell balancer and breaker how that went.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::adaptive;
use circuit_breaker::concurrency::{Limit, Place};
use http::{Method, Response};
use load_balancer::{InFlight, Outcome};
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::client::{Connection, Failure, FailureKind, Home, OutgoingRequest, ResponsePolicy};
use wire::head::ResponseLimits;
use wire::server::Client;

use super::connect::connect;
use super::fields::asks_for_websocket;
use super::forward::{Forwarder, Routed};
use super::pool::{Care, Pool, Reused};
use super::request_head::{RequestFraming, RequestHead};
use super::retry::is_idempotent;
use crate::config::{Route, Settings};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::upstream::{Guard, Member, Nobody, Permit, Picked, Target, Upstream};

/// What is the same for all attempts to forward a request.
pub(super) struct Exchange<'a> {
    pub(super) forwarder: &'a Forwarder<'a>,
    pub(super) request: &'a Routed<'a>,
    pub(super) route: &'a Route,
    pub(super) upstream: &'a Upstream,
    /// The route's own breaker, which is not asked where another upstream stands in.
    route_guard: Option<&'a Guard>,
    /// When the client is to have its answer's head.
    pub(super) due: Instant,
    pub(super) websocket: bool,
}

/// An attempt whose answer, or failure, is there.
pub(super) struct Attempt {
    pub(super) result: Result<Response<Body>, Refusal>,
    /// Who was asked.
    pub(super) member: Arc<Member>,
    /// When it was there.
    pub(super) ended_at: Instant,
    pub(super) holds: Holds,
}

/// What a request takes up at its upstream, given back when it is over, body and all.
#[derive(Debug)]
pub(crate) struct Holds {
    _in_flight: InFlight,
    _place: Option<Place<Arc<Limit>>>,
}

/// Leave to ask, from whoever is to be asked for leave. When one refuses, what others have given goes back with it.
#[derive(Default)]
struct Leave {
    route_breaker: Option<Permit>,
    breaker: Option<Permit>,
    adaptive: Option<adaptive::Permit<Arc<adaptive::AdaptiveLimit>>>,
    place: Option<Place<Arc<Limit>>>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        forwarder: &'a Forwarder<'a>,
        request: &'a Routed<'a>,
        route: &'a Route,
    ) -> Self {
        Self {
            forwarder,
            request,
            route,
            upstream: &forwarder.snapshot.upstreams[request.upstream],
            route_guard: route.guard.as_ref(),
            due: request.started + route.timeout,
            websocket: request.client.upgrades()
                && request.head.method == Method::GET
                && asks_for_websocket(&request.head.headers),
        }
    }

    /// The same at another upstream, which stands in for the route's.
    pub(super) fn at(&self, upstream: &'a Upstream) -> Self {
        Self {
            upstream,
            route_guard: None,
            ..*self
        }
    }

    /// Asks one member that is none of those that have been `tried`.
    pub(super) async fn attempt(
        &self,
        body: &mut Body,
        tried: &[u64],
        due: Instant,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let request = self.request;
        let mut began = self.began(tried);
        let (picked, mut leave) = match self.begin(tried, began) {
            // Rarely, and only before the first answers of the DNS.
            Err(refusal) if refusal.code == ErrorCode::UpstreamUnresolved => {
                Box::pin(self.wait_for_members(due)).await?;
                began = Instant::now();
                self.begin(tried, began)?
            }
            begun => begun?,
        };
        let Picked {
            member,
            mut in_flight,
        } = picked;
        entry.set_member(&member);
        let framing = RequestFraming::of(body.exact_length(), &request.head.method);
        let expects_continue = request.client.expects_continue();
        let time_left = due.saturating_duration_since(began);
        let head = RequestHead {
            expects_continue,
            websocket: self.websocket,
            ..self.head(&member.target, framing, time_left, entry)
        };
        let outgoing = OutgoingRequest {
            method: &request.head.method,
            chunked: framing == RequestFraming::Chunked,
            expects_continue,
            upgrades: self.websocket,
        };
        let policy = policy(self.forwarder.settings, due, time_left);
        let result = self
            .exchange(&member, &head, &outgoing, body, &policy)
            .await;
        let place = leave.place.take();
        let ended_at = Instant::now();
        self.record(&result, &member, &mut in_flight, leave, ended_at);
        Ok(Attempt {
            result,
            member,
            ended_at,
            holds: Holds {
                _in_flight: in_flight,
                _place: place,
            },
        })
    }

    /// When an attempt begins, which for the first need not be looked up.
    pub(super) fn began(&self, tried: &[u64]) -> Instant {
        if tried.is_empty() {
            self.request.admitted
        } else {
            Instant::now()
        }
    }

    /// The head for one member: no more than a plain request.
    pub(super) fn head<'b>(
        &'b self,
        target: &'b Target,
        framing: RequestFraming,
        time_left: Duration,
        entry: &'b Entry,
    ) -> RequestHead<'b> {
        let request = self.request;
        RequestHead {
            head: request.head,
            path: request.path,
            route: self.route,
            target,
            side: request.side,
            identity: request.identity,
            request_id: entry.request_id(),
            time_left,
            framing,
            expects_continue: false,
            websocket: false,
        }
    }

    /// A member to ask, and leave to ask it.
    fn begin(&self, tried: &[u64], now: Instant) -> Result<(Picked, Leave), Refusal> {
        let mut leave = self.leave(now)?;
        let picked = self.pick(tried, now, &mut leave)?;
        Ok((picked, leave))
    }

    /// Leave to ask this upstream at all, as far as that does not depend on the endpoint.
    fn leave(&self, now: Instant) -> Result<Leave, Refusal> {
        let mut leave = Leave::default();
        if let Some(guard) = self.route_guard {
            let permit = guard.try_acquire(None, now);
            leave.route_breaker = Some(permit.map_err(Refusal::circuit_open)?);
        }
        if let Some(limit) = &self.upstream.limit {
            let place = limit.try_acquire_owned();
            leave.place = Some(place.map_err(|_| ErrorCode::UpstreamFull)?);
        }
        if let Some(adaptive) = &self.upstream.adaptive {
            let permit =
                adaptive.try_acquire_owned(self.route.priority, crate::upstream::moment(now));
            leave.adaptive = Some(permit.map_err(|_| ErrorCode::UpstreamOverloaded)?);
        }
        Ok(leave)
    }

    /// Waits, as long as for a connection, while there is no member because no name has been resolved yet.
    async fn wait_for_members(&self, due: Instant) -> Result<(), Refusal> {
        let due = due.min(Instant::now() + self.forwarder.settings.timeouts.connect);
        match timeout_at(due, self.upstream.balancer.has_members()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ErrorCode::UpstreamUnresolved.into()),
        }
    }

    /// A member, and leave of its breaker. One whose breaker is open is passed over for others.
    fn pick(&self, tried: &[u64], now: Instant, leave: &mut Leave) -> Result<Picked, Refusal> {
        let subject = self.request.subject();
        let balancer = &self.upstream.balancer;
        let refusal = |nobody| {
            Refusal::from(match nobody {
                Nobody::Unresolved => ErrorCode::UpstreamUnresolved,
                Nobody::Left => ErrorCode::UpstreamUnavailable,
            })
        };
        let Some(guard) = &self.upstream.guard else {
            return balancer.pick(&subject, tried, now).map_err(refusal);
        };
        let mut passed_over = tried.to_vec();
        let mut soonest: Option<Duration> = None;
        loop {
            let picked = balancer.pick(&subject, &passed_over, now);
            let picked = picked
                .map_err(|nobody| soonest.map_or_else(|| refusal(nobody), Refusal::circuit_open))?;
            match guard.try_acquire(Some(&picked.member), now) {
                Ok(permit) => {
                    leave.breaker = Some(permit);
                    return Ok(picked);
                }
                Err(after) if guard.is_of_all() => {
                    return Err(Refusal::circuit_open(after));
                }
                Err(after) => {
                    soonest = Some(soonest.map_or(after, |soonest| soonest.min(after)));
                    passed_over.push(picked.member.id);
                }
            }
        }
    }

    /// Tells balancer, breaker and limit what has come of an attempt.
    fn record(
        &self,
        result: &Result<Response<Body>, Refusal>,
        member: &Member,
        in_flight: &mut InFlight,
        leave: Leave,
        now: Instant,
    ) {
        let outcome = match result {
            Ok(answer) => Outcome::from_status(answer.status().as_u16()),
            Err(refusal) if refusal.code.is_the_clients() => Outcome::Cancelled,
            Err(_) => Outcome::GatewayFailure,
        };
        self.upstream.balancer.record(in_flight, outcome, now);
        if let Some(adaptive) = leave.adaptive {
            adaptive.complete(crate::upstream::moment(now));
        }
        let judge = |guard: &Guard, permit| {
            let failed = match result {
                Ok(answer) => guard.is_failure(answer.status().as_u16()),
                // Nothing is known: the permit is given back as it is.
                Err(_) if outcome == Outcome::Cancelled => return,
                Err(_) => true,
            };
            guard.record(permit, member, failed, now);
        };
        if let (Some(permit), Some(guard)) = (leave.breaker, &self.upstream.guard) {
            judge(guard, permit);
        }
        if let (Some(permit), Some(guard)) = (leave.route_breaker, self.route_guard) {
            judge(guard, permit);
        }
    }

    /// Sends the request: over an idle connection where there is one, over a new one otherwise. When an idle connection
    /// turns out to be dead before it has given a byte, an idempotent request is sent again, once, over a new one
    /// (RFC 9112 §9.3.1, RFC 9110 §9.2.2).
    async fn exchange(
        &self,
        member: &Member,
        head: &RequestHead<'_>,
        outgoing: &OutgoingRequest<'_>,
        body: &mut Body,
        policy: &ResponsePolicy,
    ) -> Result<Response<Body>, Refusal> {
        let (forwarder, client) = (self.forwarder, self.request.client);
        let pool = forwarder.pools.of(&member.peer);
        let idempotent = is_idempotent(outgoing.method);
        let care = if idempotent { Care::Usual } else { Care::Great };
        if let Some(Reused { connection, idle }) = pool.take(Instant::now(), care) {
            let sent = send(connection, head, outgoing, body, policy, client, &pool).await;
            let Err(Failure {
                kind: FailureKind::Closed,
                repeatable,
            }) = sent
            else {
                return sent.map_err(refusal);
            };
            pool.learn_closed(idle, Instant::now());
            if !(repeatable && idempotent) {
                return sent.map_err(refusal);
            }
            tracing::debug!("idle upstream connection was dead; request is sent again");
        }
        let due = policy
            .due
            .min(Instant::now() + forwarder.settings.timeouts.connect);
        let connection = Connection::new(connect(member, due).await?);
        send(connection, head, outgoing, body, policy, client, &pool)
            .await
            .map_err(refusal)
    }
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

pub(super) fn policy(settings: &Settings, due: Instant, timeout: Duration) -> ResponsePolicy {
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
