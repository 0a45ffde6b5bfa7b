//! What a backend would get, without sending it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Method, Request};
use tokio::time::Instant;
use wire::head::{BodyLength, RequestHead as Received};
use wire::server::Client;

use super::fields::{asks_for_websocket, strip_nominated};
use super::forward::Routed;
use super::forwarded::ClientSide;
use super::request_head::{RequestFraming, RequestHead};
use crate::config::{Destination, Snapshot};
use crate::middleware::client_address::distrust;
use crate::middleware::request_id::X_REQUEST_ID;
use crate::router::{Criteria, Found, path};
use crate::upstream::Target;

/// What the head does not say of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// Of its body; none where it is not known.
    pub(crate) length: Option<u64>,
    /// Whether it asks to switch to another protocol.
    pub(crate) upgrades: bool,
    pub(crate) expects_continue: bool,
}

/// The head that the backend would get for a request from `peer` to `local`, whom nobody trusts to speak for others;
/// none when the request has no route to a backend. Nothing is sent, and no token asked for.
#[must_use]
pub fn preview(
    snapshot: &Snapshot,
    received: Received,
    peer: IpAddr,
    local: SocketAddr,
) -> Option<Vec<u8>> {
    let beside = Beside {
        length: match received.body {
            BodyLength::Fixed(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        },
        upgrades: received.upgrades,
        expects_continue: received.expects_continue,
    };
    let mut request = Request::new(());
    *request.method_mut() = received.method;
    *request.uri_mut() = received.target;
    *request.version_mut() = received.version;
    *request.headers_mut() = received.headers;
    strip_nominated(request.headers_mut());
    distrust(request.headers_mut());
    let (head, ()) = request.into_parts();

    let path = path::normalise(head.uri.path()).ok()?;
    let Found::Route(route) = snapshot.router.find(&Criteria::of(&head, &path)) else {
        return None;
    };
    let route = &snapshot.routes[route];
    let Destination::Upstream(upstream) = &route.destination else {
        return None;
    };
    let now = Instant::now();
    let routed = Routed {
        head: &head,
        path: &path,
        route,
        upstream,
        identity: None,
        side: &ClientSide::new(peer, local, false),
        client: &Client::default(),
        address: peer,
        started: now,
        admitted: now,
    };
    let target = &upstream.endpoints().first()?.target;
    Some(head_for(&routed, target, beside))
}

/// The head that `target` would get.
pub(crate) fn head_for(routed: &Routed<'_>, target: &Target, beside: Beside) -> Vec<u8> {
    let (head, route) = (routed.head, routed.route);
    let is_upgrade = beside.upgrades && head.method == Method::GET;
    let anything = HeaderValue::from_static("preview");
    let mut out = Vec::new();
    RequestHead {
        head,
        path: routed.path,
        route,
        target,
        side: routed.side,
        identity: routed.identity,
        time_left: route.timeout,
        request_id: head.headers.get(X_REQUEST_ID).unwrap_or(&anything),
        trace: None,
        framing: RequestFraming::of(beside.length, &head.method),
        expects_continue: beside.expects_continue,
        websocket: is_upgrade && asks_for_websocket(&head.headers),
    }
    .write(&mut out);
    out
}
