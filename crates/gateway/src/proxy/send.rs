//! Sending a request to a member that has been picked, over the connection that there is for it.

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use tokio::time::Instant;
use wire::Body;
use wire::client::{Connection, Failure, FailureKind, Home, OutgoingRequest, ResponsePolicy};
use wire::head::ResponseLimits;
use wire::server::Client;

use super::pool::{Pool, Ready, Reused};
use super::request_head::RequestHead;
use super::retry::is_idempotent;
use crate::config::Settings;
use crate::counters::{Handshake, UpstreamShard};
use crate::error::{ErrorCode, Refusal};
use crate::upstream::{Member, connect};

/// A request that is ready to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) head: &'a RequestHead<'a>,
    pub(super) request: OutgoingRequest<'a>,
    pub(super) policy: ResponsePolicy,
    /// How long making a connection may take.
    pub(super) connect_timeout: Duration,
    /// Who hears of interim answers.
    pub(super) client: &'a Client,
    /// Of the upstream, where anything is counted.
    pub(super) counts: Option<&'a UpstreamShard>,
}

impl Outgoing<'_> {
    /// Sends it: over an idle connection where there is one, over a new one otherwise. When an idle connection turns out
    /// to be dead before it has given a byte, an idempotent request is sent again, once, over a new one (RFC 9112 §9.3.1,
    /// RFC 9110 §9.2.2), which takes its place.
    pub(super) async fn send(
        &self,
        member: &Member,
        pool: &Rc<Pool>,
        ready: Ready,
        body: &mut Body,
    ) -> Result<Response<Body>, Refusal> {
        let held = match ready {
            Ready::New(held) => held,
            Ready::Reused(Reused { connection, idle }) => {
                let held = connection.held().cloned();
                if let Some(counts) = self.counts {
                    counts.reused.increment();
                }
                let sent = self.send_over(connection, pool, body).await;
                let Err(Failure {
                    kind: FailureKind::Closed,
                    repeatable,
                }) = sent
                else {
                    return sent.map_err(refusal);
                };
                pool.learn_closed(idle, Instant::now());
                if !(repeatable && is_idempotent(self.request.method)) {
                    return sent.map_err(refusal);
                }
                tracing::debug!("idle upstream connection was dead; request is sent again");
                held
            }
        };
        let due = self.policy.due.min(Instant::now() + self.connect_timeout);
        let connected = connect(member, due).await;
        if let Some(counts) = self.counts {
            match &connected {
                Ok(io) => {
                    counts.made.increment();
                    if let Some(facts) = io.tls() {
                        counts.handshakes.increment(Handshake::of(facts).index());
                    }
                }
                Err(_) => counts.not_made.increment(),
            }
        }
        let connection = Connection::new(connected?)
            .holding(held)
            .counted(pool.counted());
        let sent = self.send_over(connection, pool, body).await;
        sent.map_err(refusal)
    }

    async fn send_over(
        &self,
        connection: Connection,
        pool: &Rc<Pool>,
        body: &mut Body,
    ) -> Result<Response<Body>, Failure> {
        let home: Rc<dyn Home> = Rc::<Pool>::clone(pool);
        connection
            .send(
                self.request,
                |out| self.head.write(out),
                body,
                &self.policy,
                |status, headers| self.client.inform(status, headers),
                home,
            )
            .await
    }
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
        FailureKind::HandshakeRefused => ErrorCode::UpstreamTlsRefused.into(),
        FailureKind::Malformed(error) => {
            tracing::warn!(%error, "upstream answer refused");
            ErrorCode::UpstreamMalformed.into()
        }
        FailureKind::TimedOut => ErrorCode::UpstreamTimeout.into(),
        FailureKind::RequestBody(error) => error.into(),
    }
}
