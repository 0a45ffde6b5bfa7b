//! What a backend would get, without sending it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Method, Request};
use wire::head::{BodyLength, RequestHead as Received};

use super::fields::{asks_for_websocket, strip_nominated};
use super::forwarded::ClientSide;
use super::request_head::{RequestFraming, RequestHead};
use crate::config::{Destination, Snapshot};
use crate::middleware::client_address::distrust;
use crate::router::{Criteria, Found, path};

/// The head that the backend would get for a request from `peer` to `local`, whom nobody trusts to speak for others;
/// none when the request has no route to a backend. Nothing is sent, and no token asked for.
#[must_use]
pub fn preview(
    snapshot: &Snapshot,
    received: Received,
    peer: IpAddr,
    local: SocketAddr,
) -> Option<Vec<u8>> {
    let (upgrades, expects_continue) = (received.upgrades, received.expects_continue);
    let length = match received.body {
        BodyLength::Fixed(length) => Some(length),
        BodyLength::Chunked | BodyLength::UntilClose => None,
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
    let Destination::Upstream(upstream) = route.destination else {
        return None;
    };
    let upstream = &snapshot.upstreams[upstream];
    let mut out = Vec::new();
    RequestHead {
        head: &head,
        path: &path,
        route,
        target: &upstream.endpoints().first()?.target,
        side: &ClientSide::new(peer, local, false),
        identity: None,
        time_left: route.timeout,
        request_id: &HeaderValue::from_static("preview"),
        framing: RequestFraming::of(length, &head.method),
        expects_continue,
        websocket: upgrades && head.method == Method::GET && asks_for_websocket(&head.headers),
    }
    .write(&mut out);
    Some(out)
}
