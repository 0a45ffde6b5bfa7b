//! An errand in a task of its own, on the worker that it was asked for.
//!
//! It goes on when its client leaves: what it brings is stored, and others may wait for it. A body is read as fast as the
//! backend sends it, since no more of it is kept than may be stored; one that turns out larger is handed over to the
//! client, which goes on at its own pace.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use cache::{Fill, Leader, Stale, Ticket};
use http::{HeaderValue, Response, request};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::server::Client;

use super::answer::Caching;
use super::asked::View;
use super::body::{Filling, Following, Rest};
use super::errand::{Errand, Fetched, Now, Reply};
use super::report::Report;
use crate::auth::Identity;
use crate::error::Refusal;
use crate::middleware::access_log::{Entry, UpstreamFacts};
use crate::proxy::{ClientSide, Holds, Routed};

/// Errands of one worker that may be under way.
const MOST: usize = 4096;

/// How many errands of a worker are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs(Rc<Cell<usize>>);

/// One of them.
pub(super) struct Place(Jobs);

impl Jobs {
    pub(super) fn begin(&self) -> Option<Place> {
        let under_way = self.0.get();
        (under_way < MOST).then(|| {
            self.0.set(under_way + 1);
            Place(self.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(Jobs(under_way)) = self;
        under_way.set(under_way.get() - 1);
    }
}

/// All that an errand needs, kept by itself.
pub(super) struct Job {
    pub(super) caching: Rc<Caching>,
    pub(super) head: request::Parts,
    pub(super) path: Box<str>,
    pub(super) route: usize,
    pub(super) upstream: usize,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) side: ClientSide,
    pub(super) client: Client,
    pub(super) address: IpAddr,
    pub(super) request_id: HeaderValue,
    pub(super) view: View,
    pub(super) key: cache::Key,
    pub(super) isolated: bool,
    pub(super) why: cache::Forward,
    pub(super) ticket: Ticket,
    pub(super) stale: Option<Stale>,
    pub(super) time: Now,
    pub(super) place: Place,
}

/// What a client hears from the task that fetches for it.
pub(super) struct Told {
    pub(super) reply: Result<Response<Body>, Refusal>,
    pub(super) report: Report,
    pub(super) facts: UpstreamFacts,
}

impl Job {
    /// Fetches, tells the client, and stores what has come.
    pub(super) async fn run(self, leader: Leader, tell: Option<oneshot::Sender<Told>>) {
        let caching = &self.caching;
        let snapshot = &caching.proxy.snapshot;
        let Some(route) = snapshot.routes.get(self.route) else {
            return;
        };
        let Some(rules) = &route.cache else {
            return;
        };
        let started = Instant::now();
        let routed = Routed {
            head: &self.head,
            path: &self.path,
            route: self.route,
            upstream: self.upstream,
            identity: self.identity.as_deref(),
            side: &self.side,
            client: &self.client,
            address: self.address,
            started,
            admitted: started,
        };
        let policy = match &rules.isolated {
            Some(policy) if self.isolated => policy,
            _ => &rules.policy,
        };
        let errand = Errand {
            caching,
            routed: &routed,
            route,
            policy,
            view: &self.view,
            key: &self.key,
            time: self.time,
            why: self.why,
            ticket: &self.ticket,
            stale: self.stale.as_ref(),
        };
        let mut entry = Entry::begin(
            started,
            self.request_id.clone(),
            self.address,
            &self.head,
            snapshot,
        );
        let Fetched { reply, report } = errand.run(Body::empty(), Some(leader), &mut entry).await;
        let mut facts = entry.take_facts();
        let gives_up = || Instant::now() + route.timeout;
        match reply {
            Ok(Reply::Filling(head, body, fill)) => {
                let (send_rest, rest) = oneshot::channel();
                let filling = Pump {
                    body,
                    fill,
                    holds: facts.holds.take(),
                    rest: send_rest,
                };
                let Some(tell) = tell else {
                    drop(rest);
                    return filling.run(gives_up).await;
                };
                let Some(follower) = filling.fill.follow() else {
                    // It is new: there is room for one.
                    return;
                };
                let body = Body::boxed(Following::new(follower, &head.headers, Some(rest)));
                let _gone = tell.send(Told {
                    reply: Ok(Response::from_parts(head, body)),
                    report,
                    facts,
                });
                filling.run(gives_up).await;
            }
            Ok(Reply::Whole(response)) => {
                if let Some(tell) = tell {
                    let _gone = tell.send(Told {
                        reply: Ok(response),
                        report,
                        facts,
                    });
                }
            }
            Err(refusal) => {
                if let Some(tell) = tell {
                    let _gone = tell.send(Told {
                        reply: Err(refusal),
                        report,
                        facts,
                    });
                }
            }
        }
        drop(self.place);
    }
}

/// A body that is read to be stored, whoever reads along.
struct Pump {
    body: Body,
    fill: Fill,
    holds: Option<Holds>,
    rest: oneshot::Sender<Rest>,
}

impl Pump {
    /// `gives_up` is when, once the client has gone.
    async fn run(mut self, gives_up: impl Fn() -> Instant) {
        let mut position = 0;
        let mut due = None;
        loop {
            let next = poll_fn(|context| self.body.poll_next(context));
            let next = if self.rest.is_closed() {
                match timeout_at(*due.get_or_insert_with(&gives_up), next).await {
                    Ok(next) => next,
                    Err(_) => return,
                }
            } else {
                next.await
            };
            match next {
                // Dropped, it tells those who follow that it has broken off.
                Some(Err(_)) => return,
                None => break,
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    position += data.len() as u64;
                    if self.fill.push(&data).is_err() {
                        return self.hand_over(position).await;
                    }
                }
            }
        }
        if let Err(why) = self.fill.finish() {
            tracing::debug!(%why, "response is not cached");
        }
    }

    /// It will not be stored: the client goes on with it, or, if it has left, those who follow are served to the end.
    async fn hand_over(self, position: u64) {
        let rest = Rest {
            filling: Filling {
                body: self.body,
                fill: Some(self.fill),
                holds: self.holds,
            },
            position,
        };
        let Err(Rest { mut filling, .. }) = self.rest.send(rest) else {
            return;
        };
        while filling.fill.is_some() {
            let mut body = std::pin::pin!(&mut filling);
            let next = poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context));
            if !matches!(next.await, Some(Ok(_))) {
                return;
            }
        }
    }
}
