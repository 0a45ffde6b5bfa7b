//! What the access log tells of a request, gathered while it is served.

use std::cell::{Cell, Ref, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Uri, Version, request};
use tokio::time::Instant;
use wire::server::{End, Outcome};
use wire::tunnel::{Passed, TunnelSide};

use super::AccessLog;
use crate::auth::Identity;
use crate::caching::Report;
use crate::config::{LocalRoute, Ongoing, Waiting};
use crate::counters::{Direction, Failure, RouteShard, TraceId};
use crate::error::ErrorCode;
use crate::middleware::size_limit::Oversized;
use crate::proxy::{ClientSide, Holds};
use crate::tls;
use crate::trace::{Attempt, Call, Served, Trace};
use crate::upstream::Member;

/// One line of the access log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) request_id: HeaderValue,
    pub(super) client: IpAddr,
    pub(super) method: Option<Method>,
    pub(super) target: Uri,
    pub(super) host: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) error: Option<ErrorCode>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) upstream_time: Option<Duration>,
    pub(super) total_time: Duration,
    started: Instant,
    /// Whether the request has become a WebSocket that is counted.
    is_websocket: bool,
    /// What is known of its route, or of requests without one: all that is held of it once there is an answer.
    ongoing: Rc<Ongoing>,
    /// The path pattern of its route, where the request is traced.
    pattern: Option<Rc<str>>,
    /// Its route until then.
    route: Option<Rc<LocalRoute>>,
    /// A rate limit that would have refused the request.
    shadowed: Option<Arc<str>>,
    /// Why the request would have been refused by policies that are tried out.
    shadow: Vec<ErrorCode>,
    /// Whether the body has turned out larger than a limit that is tried out.
    oversized: Option<Oversized>,
    /// Who the request is from, where that is known.
    identity: Option<Arc<Identity>>,
    /// Who was asked last.
    member: RefCell<Option<Arc<Member>>>,
    /// How often the request was sent again.
    retries: Cell<u32>,
    /// What the request takes up at its upstream, for as long as it lasts.
    holds: Option<Holds>,
    /// Whether another upstream has stood in for the route's.
    stand_in: Cell<bool>,
    /// What the cache has done; none where it was not asked.
    cache: Option<Report>,
    /// The version of TLS, and whether its session began with another connection; none without TLS.
    pub(super) tls: Option<(tls::Version, bool)>,
    /// Whether the client has asked for an https URL.
    is_https: bool,
    /// What the request is a part of, where anybody says so.
    trace: Option<Trace>,
}

/// What a request has met at its upstream.
#[derive(Debug)]
pub(crate) struct UpstreamFacts {
    member: Option<Arc<Member>>,
    retries: u32,
    time: Option<Duration>,
    /// What it takes up there.
    pub(crate) holds: Option<Holds>,
}

impl Entry {
    /// Of a request that has just come in.
    pub(crate) fn begin(
        started: Instant,
        request_id: HeaderValue,
        client: IpAddr,
        head: &request::Parts,
        unrouted: &Rc<Ongoing>,
    ) -> Self {
        Self {
            method: Some(head.method.clone()),
            target: head.uri.clone(),
            host: head.headers.get(HOST).cloned(),
            user_agent: head.headers.get(USER_AGENT).cloned(),
            ..Self::unreadable(started, request_id, client, head.version, unrouted)
        }
    }

    /// Of bytes that are no request.
    pub(crate) fn unreadable(
        started: Instant,
        request_id: HeaderValue,
        client: IpAddr,
        version: Version,
        unrouted: &Rc<Ongoing>,
    ) -> Self {
        Self {
            request_id,
            client,
            method: None,
            target: Uri::default(),
            host: None,
            user_agent: None,
            version,
            // What the log says of a request whose handling is dropped: nobody waits for it any more.
            status: ErrorCode::ClientGone.status(),
            error: Some(ErrorCode::ClientGone),
            received: 0,
            sent: 0,
            upstream_time: None,
            total_time: Duration::ZERO,
            started,
            is_websocket: false,
            ongoing: Rc::clone(unrouted),
            pattern: None,
            route: None,
            shadowed: None,
            shadow: Vec::new(),
            oversized: None,
            identity: None,
            member: RefCell::default(),
            retries: Cell::default(),
            holds: None,
            stand_in: Cell::default(),
            cache: None,
            tls: None,
            is_https: false,
            trace: None,
        }
    }

    pub(crate) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// How the request has come in, and the scheme of its URL.
    pub(crate) fn set_side(&mut self, side: &ClientSide, scheme: &'static str) {
        self.is_https = scheme == "https";
        let session = side.session();
        self.tls = session.map(|session| (session.version, session.resumed));
    }

    pub(crate) fn set_route(&mut self, route: &Rc<LocalRoute>) {
        // A preflight may have had one before.
        self.leave();
        self.ongoing = Rc::clone(&route.ongoing);
        // Only spans tell of it.
        self.pattern = self.trace.is_some().then(|| Rc::clone(&route.pattern));
        self.route = Some(Rc::clone(route));
        if let Some(counts) = self.counts() {
            counts.in_flight.rise();
        }
    }

    /// The counters for the request; none where nothing is counted.
    pub(crate) fn counts(&self) -> Option<&RouteShard> {
        self.ongoing.state.counts.own()
    }

    /// The trace that the request is part of, where somebody records it: a link to any other would lead nowhere.
    fn recorded(&self) -> Option<TraceId> {
        let context = self.trace.as_ref()?.context();
        context
            .is_sampled()
            .then(|| TraceId::new(context.trace_id))?
    }

    /// The request is in flight no more, or its route is another.
    fn leave(&self) {
        if let (Some(counts), Some(_)) = (self.counts(), self.route_name()) {
            match self.is_websocket {
                false => counts.in_flight.fall(),
                true => counts.websockets.open.fall(),
            }
        }
    }

    /// The connection becomes a WebSocket with this answer: the request has been answered in this time.
    pub(crate) fn become_websocket(&mut self) {
        self.stand_alone();
        if let Some(counts) = self.counts() {
            counts.in_flight.fall();
            counts.websockets.open.rise();
            counts.websockets.opened.increment();
            counts.took(self.started.elapsed(), self.recorded());
            self.is_websocket = true;
        }
    }

    /// Copies what has been a part of the request's head so far: the buffer that the head was read into would otherwise be held
    /// as long as this lasts, for a few of its bytes.
    fn stand_alone(&mut self) {
        if let Ok(target) = self.target.to_string().parse() {
            self.target = target;
        }
        let fields = [self.host.as_mut(), self.user_agent.as_mut()];
        for field in fields.into_iter().flatten().chain([&mut self.request_id]) {
            if let Ok(copy) = HeaderValue::from_bytes(field.as_bytes()) {
                *field = copy;
            }
        }
    }

    /// Something has passed through the WebSocket.
    fn passed(&self, direction: Direction, passed: Passed) {
        if let (Some(RouteShard { websockets, .. }), true) = (self.counts(), self.is_websocket) {
            websockets.bytes.add(direction as usize, passed.bytes);
            websockets.messages.add(direction as usize, passed.messages);
        }
    }

    /// Counts the request, which is over.
    fn count(&self) {
        let Some(counts) = self.counts() else {
            return;
        };
        self.leave();
        counts.answered(self.method.as_ref(), self.status);
        if !self.is_websocket {
            counts.took(self.total_time, self.recorded());
            let bytes = &counts.body_bytes;
            bytes.add(Direction::Received as usize, self.received);
            bytes.add(Direction::Sent as usize, self.sent);
        }
        self.count_failures(counts);
    }

    /// The route, once one is found.
    pub(crate) fn route(&self) -> Option<&Rc<LocalRoute>> {
        self.route.as_ref()
    }

    /// Lets go of the route's configuration: there is an answer, and how long that takes is not known.
    pub(crate) fn let_go_of_route(&mut self) {
        self.route = None;
    }

    /// A rate limit that would have refused the request, were it enforced.
    pub(crate) fn set_shadowed(&mut self, limit: Option<Arc<str>>) {
        self.shadowed = limit;
    }

    /// A policy that is tried out would have refused the request for this.
    pub(crate) fn add_shadow(&mut self, code: ErrorCode) {
        self.shadow.push(code);
    }

    /// The body is watched by a limit that is tried out.
    pub(crate) fn watch(&mut self, oversized: Oversized) {
        self.oversized = Some(oversized);
    }

    /// The request is from `identity`.
    pub(crate) fn set_identity(&mut self, identity: Option<Arc<Identity>>) {
        self.identity = identity;
    }

    /// Who the request is from, once that is known.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    pub(super) fn consumer(&self) -> Option<&str> {
        self.identity.as_ref()?.subject.as_deref()
    }

    pub(super) fn api_key(&self) -> Option<&str> {
        self.identity.as_ref()?.key.as_deref()
    }

    pub(super) fn shadow(&self) -> impl Iterator<Item = ErrorCode> {
        let oversized = self.oversized.as_ref().is_some_and(Oversized::is_so);
        let oversized = oversized.then_some(ErrorCode::BodyTooLarge);
        self.shadow.iter().copied().chain(oversized)
    }

    pub(super) fn shadowed(&self) -> Option<&str> {
        self.shadowed.as_deref()
    }

    /// A member of an upstream is asked.
    pub(crate) fn set_member(&self, member: &Arc<Member>) {
        self.member.replace(Some(Arc::clone(member)));
    }

    /// The identity of the member that was asked last.
    pub(crate) fn member_id(&self) -> Option<u64> {
        self.member.borrow().as_ref().map(|member| member.id)
    }

    /// The request is sent again.
    pub(crate) fn count_retry(&self) {
        self.retries.set(self.retries.get() + 1);
    }

    /// How often it was sent again.
    pub(crate) fn retries(&self) -> u32 {
        self.retries.get()
    }

    /// Another upstream answers in place of the route's.
    pub(crate) fn note_stand_in(&self) {
        self.stand_in.set(true);
    }

    /// Whether another upstream has answered.
    pub(crate) fn has_stand_in(&self) -> bool {
        self.stand_in.get()
    }

    /// What the request has met at its upstream, where another entry is to tell of it.
    pub(crate) fn take_facts(&mut self) -> UpstreamFacts {
        UpstreamFacts {
            member: self.member.take(),
            retries: self.retries.get(),
            time: self.upstream_time,
            holds: self.holds.take(),
        }
    }

    /// Tells of what a request has met that was sent in place of this one.
    pub(crate) fn adopt(&mut self, facts: UpstreamFacts) {
        self.member.replace(facts.member);
        self.retries.set(facts.retries);
        self.upstream_time = facts.time;
        self.holds = facts.holds;
    }

    /// The cache has done this.
    pub(crate) fn set_cache(&mut self, report: Report) {
        self.cache = Some(report);
    }

    /// What the cache has done; none where it was not asked.
    pub(crate) fn cache(&self) -> Option<&Report> {
        self.cache.as_ref()
    }

    /// The request is a part of this.
    pub(crate) fn set_trace(&mut self, trace: Option<Trace>) {
        self.trace = trace;
    }

    /// What the request is a part of.
    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// A request that is about to be sent for this one.
    pub(crate) fn call<'a>(&self, describe: impl FnOnce() -> Attempt<'a>) -> Call {
        match &self.trace {
            Some(trace) => trace.call(describe),
            None => Call::untraced(),
        }
    }

    /// What its span tells.
    fn served(&self) -> Served<'_> {
        let name = self.route_name();
        Served {
            method: self.method.as_ref(),
            path: self.target.path(),
            host: self.host.as_ref(),
            user_agent: self.user_agent.as_ref(),
            client: self.client,
            version: self.version,
            scheme: if self.is_https { "https" } else { "http" },
            tls: self
                .tls
                .map(|(version, is_resumed)| (version.name(), is_resumed)),
            route: self.pattern.as_deref().zip(name),
            status: self.status,
            error: self.error.map(ErrorCode::code),
            cache: self.cache.map(|report| report.outcome.name()),
            retries: self.retries.get(),
            request_id: &self.request_id,
        }
    }

    /// Holds what the request takes up at its upstream until it is over.
    pub(crate) fn hold(&mut self, holds: Holds) {
        self.holds = Some(holds);
    }

    /// The backend's answer, or the failure to get one, took this long from the first attempt to connect.
    pub(crate) fn set_upstream_time(&mut self, time: Duration) {
        self.upstream_time = Some(time);
    }

    pub(crate) fn set_answer(&mut self, status: u16, error: Option<ErrorCode>) {
        self.status = status;
        self.error = error;
    }

    /// Counts that the request has failed, or would have.
    fn count_failures(&self, counts: &RouteShard) {
        if let Some(code) = self.error {
            counts.failed.increment(code as usize);
        }
        for code in self.shadow() {
            counts.shadowed.increment(code as usize);
        }
        if self.shadowed.is_some() {
            counts.shadowed.increment(ErrorCode::RateLimited as usize);
        }
    }

    /// Whether something other than the client is to blame for what has come of the request.
    pub(super) fn has_failed(&self) -> bool {
        self.status >= 500 || self.error.is_some_and(|code| code.status() >= 500)
    }

    /// What is told of it when it has failed.
    pub(super) fn failure<'a>(&'a self, endpoint: Option<&'a str>) -> Failure<'a> {
        Failure {
            request_id: self.request_id.as_bytes(),
            method: self.method.as_ref().map(Method::as_str),
            path: self.method.as_ref().map(|_| self.target.path()),
            route: self.route_name(),
            status: self.status,
            error: self.error.map(ErrorCode::code),
            endpoint,
            time: self.total_time,
        }
    }

    pub(super) fn route_name(&self) -> Option<&str> {
        let name = &*self.ongoing.state.name;
        (!name.is_empty()).then_some(name)
    }

    /// The address of the member that was asked last.
    pub(super) fn endpoint(&self) -> Option<Ref<'_, str>> {
        let member = self.member.borrow();
        Ref::filter_map(member, |member| Some(&*member.as_ref()?.label)).ok()
    }
}

/// An [`Entry`] that is written when its exchange is over, however that comes about.
#[derive(Debug)]
pub(crate) struct Exchange {
    log: Rc<AccessLog>,
    entry: Entry,
    /// Its place among those of its route, once it waits.
    waiting: Option<Waiting>,
}

impl Exchange {
    pub(crate) fn new(log: &Rc<AccessLog>, entry: Entry) -> Self {
        Self {
            log: Rc::clone(log),
            entry,
            waiting: None,
        }
    }

    pub(crate) fn entry(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

impl wire::server::Exchange for Exchange {
    fn passed(&mut self, from: TunnelSide, passed: Passed) {
        let direction = match from {
            TunnelSide::Client => Direction::Received,
            TunnelSide::Backend => Direction::Sent,
        };
        self.entry.passed(direction, passed);
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ongoing = &self.entry.ongoing;
        let waiting = self.waiting.get_or_insert_with(|| Waiting::new(ongoing));
        waiting.poll_ended(context)
    }

    fn finish(mut self, outcome: Outcome) {
        let entry = &mut self.entry;
        entry.received = outcome.received;
        entry.sent = outcome.sent;
        match outcome.end {
            End::Complete => {}
            End::ClientGone => entry.error = Some(ErrorCode::ClientGone),
            End::BodyFailed(wire::BodyError::TimedOut) => {
                entry.error = Some(ErrorCode::UpstreamStalled)
            }
            End::Ended => entry.error = Some(ErrorCode::RouteRemoved),
            End::BodyFailed(_) => entry.error = Some(ErrorCode::UpstreamTruncated),
        }
        // Dropping it writes the line.
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.entry.total_time = self.entry.started.elapsed();
        self.entry.count();
        self.log.write(&self.entry);
        if let Some(trace) = &self.entry.trace {
            trace.finish(|| self.entry.served());
        }
    }
}
