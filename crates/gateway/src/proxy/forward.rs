//! Steps 6 and 7 of a request: choose an endpoint, forward, return its answer.

use std::rc::Rc;
use std::sync::Arc;

use http::{Method, Response, StatusCode, request};
use tokio::time::Instant;
use wire::Body;
use wire::client::{Connection, Failure, FailureKind, Home, OutgoingRequest, ResponsePolicy};
use wire::head::ResponseLimits;
use wire::server::Client;

use super::connect::connect;
use super::fields::{asks_for_websocket, strip_answer};
use super::forwarded::ClientSide;
use super::pool::{Care, Pool, Pools};
use super::request_head::{RequestFraming, RequestHead};
use crate::auth::Identity;
use crate::config::{Settings, Snapshot};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;

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

/// Forwards `request` and returns the backend's answer.
pub(crate) async fn forward(
    forwarder: &Forwarder<'_>,
    request: &Routed<'_>,
    mut body: Body,
    entry: &mut Entry,
) -> Result<Response<Body>, Refusal> {
    let snapshot = forwarder.snapshot;
    let route = &snapshot.routes[request.route];
    let upstream = &snapshot.upstreams[request.upstream];
    let picked = upstream.balancer.pick();
    let endpoint = &upstream.endpoints[picked];
    entry.set_endpoint(request.upstream, picked);

    let websocket = request.client.upgrades()
        && request.head.method == Method::GET
        && asks_for_websocket(&request.head.headers);
    let framing = RequestFraming::of(body.exact_length(), &request.head.method);
    let expects_continue = request.client.expects_continue();
    let head = RequestHead {
        head: request.head,
        path: request.path,
        route,
        endpoint,
        side: request.side,
        identity: request.identity,
        request_id: entry.request_id(),
        framing,
        expects_continue,
        websocket,
    };
    let outgoing = OutgoingRequest {
        method: &request.head.method,
        chunked: framing == RequestFraming::Chunked,
        expects_continue,
        upgrades: websocket,
    };
    let policy = policy(forwarder.settings, request.started, route.timeout);
    let result = exchange(
        forwarder,
        &head,
        &outgoing,
        &mut body,
        &policy,
        request.client,
    )
    .await;
    entry.set_upstream_time(request.admitted.elapsed());
    let mut answer = result?;
    let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    strip_answer(answer.headers_mut(), upgraded);
    Ok(answer)
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

/// RFC 9110 §9.2.2, and QUERY (RFC 10008 §2).
fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
        || method.as_str() == "QUERY"
}

fn policy(settings: &Settings, started: Instant, timeout: std::time::Duration) -> ResponsePolicy {
    ResponsePolicy {
        limits: ResponseLimits {
            head: settings.limits.max_head_size,
            fields: settings.limits.max_headers,
        },
        due: started + timeout,
        timeout,
        body_idle: settings.timeouts.response_body_idle,
        event_stream_idle: settings.timeouts.websocket_idle,
        continue_wait: CONTINUE_WAIT,
    }
}

/// As in Go's and curl's clients.
const CONTINUE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

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
