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
use wire::client::OutgoingRequest;

use super::fields::asks_for_websocket;
use super::forward::{Forwarder, Routed};
use super::join::join;
use super::pool::{Care, Patience, Pool, Ready};
use super::request_head::{RequestFraming, RequestHead};
use super::send::{Outgoing, policy};
use crate::config::Route;
use crate::counters::{Again, Attempted};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::trace::{self, Purpose};
use crate::upstream::{Full, Guard, Member, Nobody, Permit, Picked, Target, Upstream, moment};

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
    /// It is worth waiting for a connection.
    waits: bool,
}

/// What is particular to one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) purpose: Purpose,
    /// Members that are not to be asked again.
    pub(super) tried: &'a [u64],
    pub(super) began: Instant,
    /// When the answer's head is to be there.
    pub(super) due: Instant,
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

/// An attempt that has somebody to ask, and leave to do so.
struct Begun {
    picked: Picked,
    leave: Leave,
    /// The connections to whom has been picked.
    pool: Rc<Pool>,
    /// When it began.
    at: Instant,
}

impl Attempted {
    fn of(result: &Result<Response<Body>, Refusal>) -> Self {
        match result {
            Ok(answer) => Self::Answered((answer.status().as_u16() / 100) as u8),
            Err(refusal) if refusal.code.is_the_clients() => Self::Cancelled,
            Err(_) => Self::Failed,
        }
    }
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
            upstream: request.upstream,
            route_guard: route.guard.as_ref(),
            due: request.started + route.timeout,
            websocket: request.client.upgrades()
                && request.head.method == Method::GET
                && asks_for_websocket(&request.head.headers),
            waits: true,
        }
    }

    /// The same, which is given up where it would have to wait for a connection.
    pub(super) fn without_waiting(&self) -> Self {
        Self {
            waits: false,
            ..*self
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
        Try {
            purpose,
            tried,
            began,
            due,
        }: Try<'_>,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let request = self.request;
        let mut begun = match self.begin(tried, began) {
            // Rarely, and only before the first answers of the DNS.
            Err(refusal) if refusal.code == ErrorCode::UpstreamUnresolved => {
                Box::pin(self.wait_for_members(due)).await?;
                self.begin(tried, Instant::now())?
            }
            begun => begun?,
        };
        let care = Care::of(&request.head.method);
        let ready = match begun.pool.ready(Instant::now(), care) {
            Some(ready) => ready,
            None => Box::pin(self.wait_for_connection(&mut begun, tried, care, due)).await?,
        };
        let Begun {
            picked: Picked {
                member,
                mut in_flight,
            },
            mut leave,
            pool,
            at: began,
        } = begun;
        entry.set_member(&member);
        let framing = RequestFraming::of(body.exact_length(), &request.head.method);
        let expects_continue = request.client.expects_continue();
        let time_left = due.saturating_duration_since(began);
        let call = entry.call(|| self.described(purpose, &member, entry));
        let head = RequestHead {
            expects_continue,
            websocket: self.websocket,
            trace: call.told(),
            ..self.head(&member.target, framing, time_left, entry)
        };
        let outgoing = Outgoing {
            head: &head,
            request: OutgoingRequest {
                method: &request.head.method,
                chunked: framing == RequestFraming::Chunked,
                expects_continue,
                upgrades: self.websocket,
            },
            policy: policy(self.forwarder.settings, due, time_left),
            connect_timeout: self.forwarder.settings.timeouts.connect,
            client: request.client,
            counts: self.upstream.counts.own(),
        };
        let result = outgoing.send(&member, &pool, ready, body).await;
        match &result {
            Ok(answer) => call.answered(answer.status().as_u16()),
            Err(refusal) => call.failed(refusal.code.code()),
        }
        let place = leave.place.take();
        let ended_at = Instant::now();
        self.record(&result, &member, &mut in_flight, leave, ended_at);
        self.count_attempt(&result, &member, ended_at - began);
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
            trace: None,
            time_left,
            framing,
            expects_continue: false,
            websocket: false,
        }
    }

    /// Counts that the request is sent once more.
    pub(super) fn count(&self, again: Again) {
        if let Some(counts) = self.route.state.counts.own() {
            counts.again.increment(again as usize);
        }
    }

    fn count_attempt(
        &self,
        result: &Result<Response<Body>, Refusal>,
        member: &Member,
        time: Duration,
    ) {
        if let Some(counts) = self.upstream.counts.own() {
            counts.attempted(member.counts.own(), Attempted::of(result), time);
        }
    }

    /// What a span tells of a request to `member`.
    pub(super) fn described<'b>(
        &self,
        purpose: Purpose,
        member: &'b Member,
        entry: &Entry,
    ) -> trace::Attempt<'b>
    where
        'a: 'b,
    {
        let request = self.request;
        let peer = member.addresses.first().copied();
        let (host, port) = member.target.host.place(peer);
        let mut path = Vec::new();
        let base = &member.target.base_path;
        join(
            base,
            self.route.stripped_segments,
            request.path,
            None,
            &mut path,
        );
        trace::Attempt {
            purpose,
            method: &request.head.method,
            scheme: member.target.scheme.name(),
            host,
            port,
            path: String::from_utf8_lossy(&path).into_owned(),
            peer,
            resends: match purpose {
                Purpose::Mirror => 0,
                _ => entry.retries(),
            },
        }
    }

    /// A member to ask, and leave to ask it.
    fn begin(&self, tried: &[u64], now: Instant) -> Result<Begun, Refusal> {
        let mut leave = self.leave(now)?;
        let picked = self.pick(tried, now, &mut leave)?;
        Ok(Begun {
            pool: self.forwarder.pools.of(&picked.member.peer),
            picked,
            leave,
            at: now,
        })
    }

    /// Leave to ask this upstream at all, as far as that does not depend on the endpoint.
    fn leave(&self, now: Instant) -> Result<Leave, Refusal> {
        let mut leave = Leave {
            route_breaker: self.leave_of_route(now)?,
            ..Leave::default()
        };
        if let Some(limit) = &self.upstream.limit {
            let place = limit.try_acquire_owned();
            leave.place = Some(place.map_err(|_| ErrorCode::UpstreamFull)?);
        }
        if let Some(adaptive) = &self.upstream.adaptive {
            let permit = adaptive.try_acquire_owned(self.route.priority, moment(now));
            leave.adaptive = Some(permit.map_err(|_| ErrorCode::UpstreamOverloaded)?);
        }
        Ok(leave)
    }

    /// Leave of the route's own breaker, where there is one.
    fn leave_of_route(&self, now: Instant) -> Result<Option<Permit>, Refusal> {
        let permit = self.route_guard.map(|guard| guard.try_acquire(None, now));
        permit.transpose().map_err(Refusal::circuit_open)
    }

    /// Waits, as long as for a connection, while there is no member because no name has been resolved yet.
    async fn wait_for_members(&self, due: Instant) -> Result<(), Refusal> {
        let due = due.min(Instant::now() + self.forwarder.settings.timeouts.connect);
        match timeout_at(due, self.upstream.balancer.has_members()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ErrorCode::UpstreamUnresolved.into()),
        }
    }

    /// Waits, as long as for making one, while as many connections are open as may be. The wait says nothing about the
    /// backend. What breakers have found out meanwhile does: they are asked again, so that what waits for a backend that
    /// fails is not sent there, one after the other.
    async fn wait_for_connection(
        &self,
        begun: &mut Begun,
        tried: &[u64],
        care: Care,
        due: Instant,
    ) -> Result<Ready, Refusal> {
        begun.leave.route_breaker = None;
        begun.leave.breaker = None;
        let patience = if self.waits {
            Patience::Until(due.min(Instant::now() + self.forwarder.settings.timeouts.connect))
        } else {
            Patience::None
        };
        let asked = begun.pool.ask(care, patience).await;
        let ready = asked.map_err(|Full| ErrorCode::UpstreamFull)?;
        let now = Instant::now();
        begun.at = now;
        begun.picked.in_flight.begins(moment(now));
        if let Some(adaptive) = &mut begun.leave.adaptive {
            adaptive.begins(moment(now));
        }
        begun.leave.route_breaker = self.leave_of_route(now)?;
        let Some(guard) = &self.upstream.guard else {
            return Ok(ready);
        };
        if let Ok(permit) = guard.try_acquire(Some(&begun.picked.member), now) {
            begun.leave.breaker = Some(permit);
            return Ok(ready);
        }
        begun.picked = self.pick(tried, now, &mut begun.leave)?;
        begun.pool = self.forwarder.pools.of(&begun.picked.member.peer);
        Ok(ready.elsewhere())
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
            adaptive.complete(moment(now));
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
}
