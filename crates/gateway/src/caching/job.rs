//! An errand in a task of its own, on the worker that it was asked for.
//!
//! It goes on when its client leaves: what it brings is stored, and others may wait for it. A body is read as fast as the
//! backend sends it, since no more of it is kept than may be stored; one that turns out larger is handed over to the
//! client, which goes on at its own pace.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Fill, Leader, Stale, Ticket};
use http::{HeaderValue, Response, request};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::server::Client;

use super::answer::Caching;
use super::asked::View;
use super::body::{Filling, Following, Rest};
use super::errand::{Cause, Errand, Fetched, Now, Reply};
use super::query::Question;
use super::report::{Loudness, Report};
use super::route::RouteCache;
use crate::auth::Identity;
use crate::config::{LocalRoute, Route};
use crate::error::Refusal;
use crate::middleware::access_log::{Entry, UpstreamFacts};
use crate::proxy::{ClientSide, Holds, Routed};
use crate::trace::Trace;
use crate::upstream::Upstream;

/// Errands of one worker that may be under way.
const MOST: usize = 4096;

/// The errands of a worker that are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs(Rc<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    count: Cell<usize>,
    /// The keys of those that nobody can join.
    keys: RefCell<HashSet<Box<[u8]>>>,
}

/// One of them.
pub(super) struct Place {
    jobs: Jobs,
    key: Option<Box<[u8]>>,
}

impl Jobs {
    /// A place for one more.
    pub(super) fn begin(&self) -> Option<Place> {
        let count = self.0.count.get();
        (count < MOST).then(|| {
            self.0.count.set(count + 1);
            Place {
                jobs: self.clone(),
                key: None,
            }
        })
    }

    /// A place for one more, if there is none for this key already.
    pub(super) fn begin_only(&self, key: &[u8]) -> Option<Place> {
        if self.0.keys.borrow().contains(key) {
            return None;
        }
        let mut place = self.begin()?;
        self.0.keys.borrow_mut().insert(key.into());
        place.key = Some(key.into());
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Jobs(under_way) = &self.jobs;
        under_way.count.set(under_way.count.get() - 1);
        if let Some(key) = &self.key {
            under_way.keys.borrow_mut().remove(key);
        }
    }
}

/// All that an errand needs, kept by itself.
pub(super) struct Job {
    pub(super) caching: Rc<Caching>,
    pub(super) head: request::Parts,
    pub(super) path: Box<str>,
    pub(super) route: Rc<LocalRoute>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) side: ClientSide,
    pub(super) client: Client,
    pub(super) address: IpAddr,
    pub(super) request_id: HeaderValue,
    pub(super) trace: Option<Trace>,
    pub(super) view: View,
    pub(super) key: cache::Key,
    pub(super) question: Question,
    pub(super) isolated: bool,
    pub(super) why: cache::Forward,
    pub(super) ticket: Ticket,
    pub(super) stale: Option<Stale>,
    pub(super) time: Now,
    /// When it was asked for: its time-out counts from here.
    pub(super) started: Instant,
    pub(super) _place: Place,
}

/// What a client hears from the task that fetches for it.
pub(super) struct Told {
    pub(super) reply: Result<Reply, Refusal>,
    pub(super) report: Report,
    pub(super) facts: UpstreamFacts,
}

impl Job {
    /// Fetches, tells the client, and stores what has come.
    pub(super) async fn run(self, leader: Option<Leader>, tell: Option<oneshot::Sender<Told>>) {
        let caching = &self.caching;
        let route = &*self.route;
        let Some(rules) = &route.cache else {
            return;
        };
        let begun = Instant::now();
        let routed = Routed {
            head: &self.head,
            path: &self.path,
            route,
            upstream: &self.upstream,
            identity: self.identity.as_deref(),
            side: &self.side,
            client: &self.client,
            address: self.address,
            started: self.started,
            admitted: begun,
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
            question: &self.question,
            time: self.time,
            why: self.why,
            ticket: &self.ticket,
            stale: self.stale.as_ref(),
        };
        let mut entry = Entry::begin(
            begun,
            self.request_id.clone(),
            self.address,
            &self.head,
            &route.ongoing,
        );
        entry.set_trace(self.trace.clone());
        let Fetched {
            reply,
            report,
            cause,
        } = errand.run(self.question.body(), leader, &mut entry).await;
        let mut facts = entry.take_facts();
        let largest = policy
            .largest_body
            .min(caching.cache.settings().largest_body);
        let pump = |body, fill, holds, rest| Pump {
            body,
            fill,
            holds,
            largest,
            rest,
        };
        let Some(tell) = tell else {
            // Nobody waits for it, so nobody else would tell.
            if let Some(cause) = cause {
                self.tell_failure(route, rules, cause);
            }
            if let Ok(Reply::Filling(_, body, fill)) = reply {
                let (nobody, _) = oneshot::channel();
                let pump = pump(body, fill, facts.holds.take(), nobody);
                pump.run(route.timeout).await;
            }
            return;
        };
        let Ok(Reply::Filling(head, body, fill)) = reply else {
            let _gone = tell.send(Told {
                reply,
                report,
                facts,
            });
            return;
        };
        // It is new: there is room for one.
        let Some(follower) = fill.follow() else {
            return;
        };
        let (send_rest, rest) = oneshot::channel();
        let pump = pump(body, fill, facts.holds.take(), send_rest);
        let body = Body::boxed(Following::new(follower, &head.headers, Some(rest)));
        let _gone = tell.send(Told {
            reply: Ok(Reply::Whole(Response::from_parts(head, body))),
            report,
            facts,
        });
        pump.run(route.timeout).await;
    }
}

impl Job {
    fn tell_failure(&self, route: &Route, rules: &RouteCache, cause: Cause) {
        if let Some(counts) = route.state.counts.own() {
            counts.failed_validations.increment();
        }
        let route = &*route.name;
        match rules.failures.next(self.time.now()) {
            Loudness::Loud => tracing::warn!(
                route,
                %cause,
                "stale response not validated"
            ),
            Loudness::Quiet => {
                tracing::debug!(route, %cause, "stale response not validated");
            }
        }
    }
}

/// A body that is read to be stored, whoever reads along.
struct Pump {
    body: Body,
    fill: Fill,
    holds: Option<Holds>,
    /// The most that is stored of it.
    largest: u64,
    rest: oneshot::Sender<Rest>,
}

impl Pump {
    /// Goes on for no longer than `patience` once nobody reads along any more.
    async fn run(mut self, patience: Duration) {
        let mut position = 0;
        let mut due = None;
        loop {
            let next = poll_fn(|context| self.body.poll_next(context));
            let next = if self.rest.is_closed() {
                let until = *due.get_or_insert_with(|| Instant::now() + patience);
                match timeout_at(until, next).await {
                    Ok(next) => next,
                    Err(_) if self.fill.has_followers() => {
                        due = None;
                        continue;
                    }
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
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(frame) => {
                            if let Ok(trailers) = frame.into_trailers() {
                                self.fill.trailers(trailers);
                            }
                            continue;
                        }
                    };
                    let length = data.len() as u64;
                    if position + length > self.largest {
                        return self.hand_over(position, Some(data)).await;
                    }
                    position += length;
                    if self.fill.push(&data).is_err() {
                        return self.hand_over(position, None).await;
                    }
                }
            }
        }
        if let Err(why) = self.fill.finish() {
            tracing::debug!(%why, "response is not cached");
        }
    }

    /// It will not be stored: the client goes on with it, or, if it has left, those who follow are served to the end.
    /// `pending` has come already, and is pushed by whoever goes on: the client is not cut off by what it has not seen.
    async fn hand_over(self, position: u64, pending: Option<Bytes>) {
        let rest = Rest {
            filling: Filling {
                body: self.body,
                fill: Some(self.fill),
                pending,
                holds: self.holds,
            },
            position,
        };
        let Err(Rest { mut filling, .. }) = self.rest.send(rest) else {
            return;
        };
        while filling.fill.as_ref().is_some_and(Fill::has_followers) {
            let mut body = std::pin::pin!(&mut filling);
            let next = poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context));
            if !matches!(next.await, Some(Ok(_))) {
                return;
            }
        }
    }
}
