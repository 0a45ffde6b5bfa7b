//! Mirroring: a share of the requests goes to another upstream too, and nobody waits for its answers.
//!
//! The copy is sent by a task of its own. One without a body leaves at once. One with a body leaves when the original
//! has been read to its end, from what was kept of it; a body that is too large to be kept is not mirrored. So the
//! original is never slowed. No more than [`MOST`] copies of a worker are under way; further ones are not made.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use http::Response;
use tokio::task::spawn_local;
use tokio::time::Instant;
use wire::Body;
use wire::client::{Connection, Home, OutgoingRequest, ResponsePolicy};

use super::attempt::{Attempt, Exchange};
use super::pool::{Care, Patience, Pool, Ready, Reused};
use super::replay::Replay;
use super::request_head::{RequestFraming, RequestHead};
use super::send::policy;
use crate::counters::Again;
use crate::error::Refusal;
use crate::middleware::access_log::Entry;
use crate::trace::Purpose;
use crate::upstream::{Member, Picked, Upstream, connect};

/// Copies of one worker that may be under way.
const MOST: usize = 128;
/// Bodies up to this are mirrored.
const MOST_KEPT: u64 = 64 * 1024;
/// What is read of an answer, so that its connection can be used again.
const MOST_READ: usize = 1024 * 1024;

/// Where a route's requests are mirrored to.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) upstream: Arc<Upstream>,
    /// The share of the requests, 0 to 1.
    pub(crate) share: f64,
}

/// How many copies of a worker are under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mirrors(Rc<Cell<usize>>);

/// One of them.
struct Place(Mirrors);

/// A copy that is ready to be sent.
struct Copy {
    head: Vec<u8>,
    method: http::Method,
    chunked: bool,
    body: Body,
    member: Arc<Member>,
    pool: Rc<Pool>,
    policy: ResponsePolicy,
    connect_by: Instant,
}

impl Mirrors {
    fn begin(&self) -> Option<Place> {
        let under_way = self.0.get();
        (under_way < MOST).then(|| {
            self.0.set(under_way + 1);
            Place(self.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(Mirrors(under_way)) = self;
        under_way.set(under_way.get() - 1);
    }
}

impl Exchange<'_> {
    /// Asks, and mirrors the request.
    pub(super) async fn ask_and_mirror(
        &self,
        mirror: &Mirror,
        body: Body,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        if body.is_finished() {
            self.mirror(mirror, Body::empty(), entry);
            return self.ask_unmirrored(body, entry).await;
        }
        let replay = Replay::new(body, MOST_KEPT);
        let asked = self.ask_unmirrored(replay.body(), entry).await;
        if replay.is_complete() {
            self.mirror(mirror, replay.body(), entry);
        }
        asked
    }

    fn mirror(&self, mirror: &Mirror, body: Body, entry: &Entry) {
        let (forwarder, request) = (self.forwarder, self.request);
        let now = Instant::now();
        let Some(place) = forwarder.mirrors.begin() else {
            return;
        };
        let Ok(picked) = mirror.upstream.balancer.pick(&request.subject(), &[], now) else {
            return;
        };
        let Picked { member, in_flight } = picked;
        let framing = RequestFraming::of(body.exact_length(), &request.head.method);
        let due = now + self.route.timeout;
        let mut head = Vec::new();
        let call = entry.call(|| self.described(Purpose::Mirror, &member, entry));
        let written = RequestHead {
            trace: call.told(),
            ..self.head(&member.target, framing, self.route.timeout, entry)
        };
        written.write(&mut head);
        let copy = Copy {
            head,
            method: request.head.method.clone(),
            chunked: framing == RequestFraming::Chunked,
            body,
            pool: forwarder.pools.of(&member.peer),
            member,
            policy: policy(forwarder.settings, due, self.route.timeout),
            connect_by: due.min(now + forwarder.settings.timeouts.connect),
        };
        self.count(Again::Mirror);
        spawn_local(async move {
            let _holds = (place, in_flight);
            match copy.send().await {
                Some(answer) => {
                    call.answered(answer.status().as_u16());
                    discard(answer).await;
                }
                None => call.failed("_OTHER"),
            }
        });
    }
}

impl Copy {
    /// The answer; none where there is none.
    async fn send(mut self) -> Option<Response<Body>> {
        let patience = Patience::Until(self.connect_by);
        let ready = match self.pool.ready(Instant::now(), Care::Great) {
            Some(ready) => ready,
            None => self.pool.ask(Care::Great, patience).await.ok()?,
        };
        let connection = match ready {
            Ready::Reused(Reused { connection, .. }) => connection,
            Ready::New(held) => {
                let io = connect(&self.member, self.connect_by).await.ok()?;
                Connection::new(io)
                    .holding(held)
                    .counted(self.pool.counted())
            }
        };
        let outgoing = OutgoingRequest {
            method: &self.method,
            chunked: self.chunked,
            expects_continue: false,
            upgrades: false,
        };
        let home: Rc<dyn Home> = self.pool;
        let head = self.head;
        connection
            .send(
                outgoing,
                |out| out.extend_from_slice(&head),
                &mut self.body,
                &self.policy,
                |_, _| {},
                home,
            )
            .await
            .ok()
    }
}

async fn discard(answer: Response<Body>) {
    let mut body = answer.into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = poll_fn(|context| body.poll_next(context)).await {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > MOST_READ {
            break;
        }
    }
}
