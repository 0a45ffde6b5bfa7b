//! Steps 5 to 7 and 9 of a request: ask the breaker, choose an endpoint, forward, return its answer, and tell how it
//! went.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{HeaderValue, Response, StatusCode, request};
use tokio::time::Instant;
use wire::Body;
use wire::server::Client;

use super::attempt::{Attempt, Exchange};
use super::fields::strip_answer;
use super::forwarded::ClientSide;
use super::mirror::Mirrors;
use super::pool::Pools;
use super::trailers;
use crate::auth::{Identity, Subject};
use crate::config::{Route, Settings};
use crate::error::Refusal;
use crate::middleware::access_log::Entry;
use crate::upstream::Upstream;

/// A request whose route is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routed<'a> {
    pub(crate) head: &'a request::Parts,
    /// Normalised: what was matched is what is forwarded.
    pub(crate) path: &'a str,
    pub(crate) route: &'a Route,
    pub(crate) upstream: &'a Arc<Upstream>,
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

/// What forwarding needs of its worker, for those who outlive a request.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) settings: Arc<Settings>,
    pub(crate) pools: Pools,
    pub(crate) mirrors: Mirrors,
}

/// What forwarding needs of its worker.
#[derive(Debug)]
pub(crate) struct Forwarder<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) pools: &'a Pools,
    pub(crate) mirrors: &'a Mirrors,
}

/// What has come of forwarding.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) answer: Response<Body>,
    /// What keeps the client at its endpoint: for this client only.
    cookie: Option<HeaderValue>,
    /// Another has answered in place of the route's upstream.
    pub(crate) is_stand_in: bool,
}

/// Forwards `request` and returns the backend's answer.
pub(crate) async fn forward(
    forwarder: &Forwarder<'_>,
    request: &Routed<'_>,
    body: Body,
    entry: &mut Entry,
) -> Result<Forwarded, Refusal> {
    let route = request.route;
    let exchange = Exchange::new(forwarder, request, route);
    let body = trailers::gate(body, route);
    let asked = exchange.ask(body, entry).await;
    entry.set_upstream_time(request.admitted.elapsed());
    if let Some(answer) = exchange.stand_in(&asked) {
        return Ok(Forwarded {
            answer,
            cookie: None,
            is_stand_in: true,
        });
    }
    let Attempt {
        result,
        member,
        holds,
        ..
    } = asked?;
    entry.hold(holds);
    let mut answer = result?;
    let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    strip_answer(answer.headers_mut(), upgraded);
    let balancer = &exchange.upstream.balancer;
    Ok(Forwarded {
        answer,
        cookie: balancer.cookie(request.head, member.id),
        is_stand_in: entry.has_stand_in(),
    })
}

impl Proxy {
    /// For one request.
    pub(crate) fn forwarder(&self) -> Forwarder<'_> {
        Forwarder {
            settings: &self.settings,
            pools: &self.pools,
            mirrors: &self.mirrors,
        }
    }
}

impl Forwarded {
    /// The answer as its client gets it.
    pub(crate) fn into_answer(mut self) -> Response<Body> {
        if let Some(cookie) = self.cookie {
            self.answer.headers_mut().append(SET_COOKIE, cookie);
        }
        self.answer
    }

    /// The cookie, which is not for others.
    pub(crate) fn take_cookie(&mut self) -> Option<HeaderValue> {
        self.cookie.take()
    }
}

impl Routed<'_> {
    /// As balancing sees it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            head: self.head,
            path: self.path,
            client: self.address,
            identity: self.identity,
        }
    }
}
