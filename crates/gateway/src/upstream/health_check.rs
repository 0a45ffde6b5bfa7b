//! Active checks of endpoints.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body::{Body, Frame};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use load_balancer::health::{Health, Probe, Thresholds};
use tokio::time::{Instant, sleep, timeout_at};
use wire::Io;

use super::{Member, Upstream, connect, moment};

/// What backends are told who asks.
const GATEWAY: &str = concat!("api-gateway/", env!("CARGO_PKG_VERSION"));

/// How endpoints are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    pub(crate) check: Check,
    /// Between two checks, give or take a tenth.
    pub(crate) interval: Duration,
    /// A check that takes longer has failed.
    pub(crate) timeout: Duration,
    pub(crate) thresholds: Thresholds,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// A GET of this path, behind the endpoint's base path, is answered by 2xx.
    Http(Box<str>),
    /// A connection can be made.
    Tcp,
}

/// Checks the member with this identity for as long as it is one.
pub(super) async fn watch(upstream: &Upstream, check: &HealthCheck, id: u64) {
    let mut health = Health::default();
    loop {
        let members = upstream.balancer.members();
        let Some((member, load)) = members.find(id) else {
            return;
        };
        let due = Instant::now() + check.timeout;
        let probed = timeout_at(due, probe(&check.check, member, due)).await;
        let probe = match probed {
            Ok(true) => Probe::Passed,
            Ok(false) | Err(_) => Probe::Failed,
        };
        let now = moment(Instant::now());
        if let Some(state) = health.record(probe, check.thresholds, load, now) {
            let (upstream, endpoint) = (&*upstream.name, &*member.label);
            tracing::info!(upstream, endpoint, ?state, "health");
        }
        // Not kept while nothing is done: connections to members that have gone are kept for as long.
        drop(members);
        upstream.balancer.notify();
        // Endpoints are not all to be checked at the same time, by all gateways.
        let jitter = 0.9 + 0.2 * fastrand::f64();
        sleep(check.interval.mul_f64(jitter)).await;
    }
}

/// The first of a member's addresses that can be connected to decides.
async fn probe(check: &Check, member: &Member, due: Instant) -> bool {
    let Ok(io) = connect(member, due).await else {
        return false;
    };
    match check {
        Check::Http(path) => ask(io, member, path).await.is_ok_and(|it| it.is_success()),
        Check::Tcp => true,
    }
}

/// The status that is given for `path`.
async fn ask(io: Io, member: &Member, path: &str) -> Result<StatusCode, hyper::Error> {
    let mut request = Request::new(Empty);
    // Both are in the form that paths have been brought into.
    let path = format!("{}{path}", member.target.base_path);
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(HOST, member.target.authority.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(GATEWAY));
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // Over when the answer has been read, or `sender` goes.
    let answered = async move { sender.send_request(request).await.map(|it| it.status()) };
    let mut connection = pin!(connection);
    tokio::select! {
        answered = answered => answered,
        Err(error) = &mut connection => Err(error),
    }
}

/// The body of a check.
struct Empty;

impl Body for Empty {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}
