//! Asks the backend, and sees what has come of it.

use std::fmt;

use cache::{
    CacheStatus, Failure, Fill, Forward, Hit, Leader, Lookup, Recalled, Stale, Stored, Ticket,
    Timestamp, Validators,
};
use http::{HeaderValue, Response, StatusCode, response};
use tokio::time::Instant;
use wire::Body;

use super::answer::Caching;
use super::asked::View;
use super::query::Question;
use super::report::{Outcome, Report};
use super::tiers::{Reach, Tier};
use crate::config::{Fallback, Route};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::proxy::{self, Forwarded, Routed};

/// The time of day, as it goes on from a point at which it was known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: Timestamp,
    pub(crate) since: Instant,
}

impl Now {
    pub(super) fn now(&self) -> Timestamp {
        self.at.after(self.since.elapsed())
    }
}

/// A request that goes to the backend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) caching: &'a Caching,
    pub(super) routed: &'a Routed<'a>,
    pub(super) route: &'a Route,
    pub(super) policy: &'a cache::Policy,
    pub(super) view: &'a View,
    pub(super) key: &'a cache::Key,
    pub(super) time: Now,
    /// Its content, where that is known.
    pub(super) question: &'a Question,
    /// Why it goes.
    pub(super) why: Forward,
    pub(super) ticket: &'a Ticket,
    /// What is stored for it, and may be right again or stand in.
    pub(super) stale: Option<&'a Stale>,
}

/// What has come of it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) reply: Result<Reply, Refusal>,
    pub(super) report: Report,
    /// How the backend has failed, if it has, whatever stands in for its answer.
    pub(super) cause: Option<Cause>,
}

/// What a failing backend has done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// There is no answer of its.
    Refused(ErrorCode),
    /// It has answered with an error of its own.
    Answered(StatusCode),
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => formatter.write_str(code.code()),
            Self::Answered(status) => write!(formatter, "status {}", status.as_u16()),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// As the client gets it.
    Whole(Response<Body>),
    /// What is stored, and cookies that are for this client alone.
    Stored(Stored, Vec<HeaderValue>),
    /// Its body is to be stored as it comes.
    Filling(response::Parts, Body, Fill),
}

impl Errand<'_> {
    /// Runs it; `leader` if others wait for it. What a tier has is taken before the backend is asked.
    pub(super) async fn run(
        &self,
        body: Body,
        leader: Option<Leader>,
        entry: &mut Entry,
    ) -> Fetched {
        if leader.is_some()
            && let Some(hit) = self.stored_meanwhile()
        {
            return found(&hit, hit.cache_status(), leader);
        }
        match self.recall().await {
            Some((Recalled::Hit(hit), tier)) => {
                let status = CacheStatus {
                    detail: Some(tier.name()),
                    ..hit.cache_status()
                };
                found(&hit, status, leader)
            }
            Some((Recalled::Stale(stale), _)) => {
                let errand = Errand {
                    why: stale.why(),
                    stale: Some(&stale),
                    ..*self
                };
                errand.fetch(body, leader, entry).await
            }
            Some((Recalled::Unfit, _)) | None => self.fetch(body, leader, entry).await,
        }
    }

    /// What somebody else has stored since this one has looked: who asks for the same on another worker may have ended just
    /// before this one began.
    fn stored_meanwhile(&self) -> Option<Hit> {
        if !matches!(
            self.why,
            Forward::UriMiss | Forward::VaryMiss | Forward::Stale
        ) {
            return None;
        }
        let target = self.view.target(self.routed);
        let request = self.view.request(self.routed, self.route, &target);
        let (cache, now) = (&self.caching.cache, self.time.now());
        match cache.lookup(self.key, &request, self.policy, now) {
            Lookup::Hit(hit) => Some(hit),
            _ => None,
        }
    }

    /// What the tiers behind the memory have for it: anything if memory has nothing, and what another gateway has
    /// validated meanwhile if memory has something stale.
    async fn recall(&self) -> Option<(Recalled, Tier)> {
        let tiers = self.caching.tiers.as_ref()?;
        let reach = match self.why {
            Forward::UriMiss | Forward::VaryMiss => Reach::All,
            Forward::Stale => Reach::Shared,
            Forward::Bypass | Forward::Method | Forward::Request => return None,
        };
        let target = self.view.target(self.routed);
        let request = self.view.request(self.routed, self.route, &target);
        let cache = &self.caching.cache;
        let fits = |stored: Stored| {
            let now = self.time.now();
            match cache.recall(&request, self.policy, self.ticket, stored, now) {
                Recalled::Unfit => None,
                Recalled::Stale(_) if reach == Reach::Shared => None,
                recalled => Some(recalled),
            }
        };
        let asked = (request.headers, self.policy);
        tiers.recall(cache, self.key, asked, reach, fits).await
    }

    /// Asks the backend.
    async fn fetch(&self, body: Body, leader: Option<Leader>, entry: &mut Entry) -> Fetched {
        let validators = self.stale.map(Stale::validators);
        let validators = validators.filter(|validators| !validators.is_empty());
        let mut requested = self.time.now();
        let mut forwarded = match &validators {
            Some(validators) => self.validate(validators, body, entry).await,
            None => self.forward(self.routed, body, entry).await,
        };
        if let Ok(answer) = &forwarded
            && validators.is_some()
            && answer.answer.status() == StatusCode::NOT_MODIFIED
        {
            match self.freshen(answer.answer.headers(), requested) {
                Some((stored, report)) => {
                    if let Some(leader) = leader {
                        leader.found(&stored);
                    }
                    return Fetched {
                        reply: Ok(Reply::Stored(stored, self.cookies(forwarded))),
                        report,
                        cause: None,
                    };
                }
                None => {
                    requested = self.time.now();
                    forwarded = self.forward(self.routed, self.question.body(), entry).await;
                }
            }
        }
        match forwarded {
            Ok(forwarded) => self.receive(forwarded, requested, leader),
            Err(refusal) => {
                let failure = failure(refusal.code);
                let cause =
                    (!refusal.code.is_the_clients()).then_some(Cause::Refused(refusal.code));
                if let Some(leader) = leader {
                    leader.failed(failure);
                }
                let stale = if self.may_stand_in(&refusal) {
                    self.stale_reply("fallback", None)
                } else {
                    self.stale_on(failure, None)
                };
                match stale.filter(|_| !refusal.code.is_the_clients()) {
                    Some(stale) => Fetched { cause, ..stale },
                    None => Fetched {
                        reply: Err(refusal),
                        report: Report::forwarded(self.why),
                        cause,
                    },
                }
            }
        }
    }

    async fn forward(
        &self,
        routed: &Routed<'_>,
        body: Body,
        entry: &mut Entry,
    ) -> Result<Forwarded, Refusal> {
        proxy::forward(&self.caching.proxy.forwarder(), routed, body, entry).await
    }

    /// Asks whether what is stored is still right.
    async fn validate(
        &self,
        validators: &Validators,
        body: Body,
        entry: &mut Entry,
    ) -> Result<Forwarded, Refusal> {
        let mut head = self.routed.head.clone();
        validators.apply(&mut head.headers);
        let routed = Routed {
            head: &head,
            ..*self.routed
        };
        self.forward(&routed, body, entry).await
    }

    /// Whether the route wants what is stored in place of this failure, however old it is.
    pub(super) fn may_stand_in(&self, refusal: &Refusal) -> bool {
        matches!(self.route.fallback, Some(Fallback::Stale)) && refusal.code.was_not_asked()
    }

    /// What is stored, because the backend has failed so, if that is allowed.
    pub(super) fn stale_on(
        &self,
        failure: Failure,
        forward_status: Option<StatusCode>,
    ) -> Option<Fetched> {
        let stale = self.stale?;
        let detail = match failure {
            _ if stale.serves_on(Failure::Error) => "stale-if-error",
            Failure::Disconnected if stale.serves_on(failure) => "disconnected",
            _ => return None,
        };
        self.stale_reply(detail, forward_status)
    }

    /// What is stored, however old it is.
    fn stale_reply(
        &self,
        detail: &'static str,
        forward_status: Option<StatusCode>,
    ) -> Option<Fetched> {
        let stale = self.stale?;
        let status = CacheStatus {
            forward: Some(self.why),
            forward_status,
            detail: Some(detail),
            ttl: Some(stale.stored().ttl(self.time.now())),
            ..CacheStatus::default()
        };
        Some(Fetched {
            reply: Ok(Reply::Stored(stale.stored().clone(), Vec::new())),
            report: Report::new(Outcome::Stale, status),
            cause: None,
        })
    }

    /// Until when the request may wait for another's answer.
    pub(super) fn due(&self) -> Instant {
        self.routed.started + self.route.timeout
    }
}

/// How the backend has failed. Who is slow may be at work still; who breaks the rules of HTTP is there.
fn failure(code: ErrorCode) -> Failure {
    if code.is_disconnection() {
        Failure::Disconnected
    } else {
        Failure::Error
    }
}

/// An errand that ends before the backend has been asked; `leader` if others wait for it.
fn found(hit: &Hit, status: CacheStatus<'static>, leader: Option<Leader>) -> Fetched {
    if let Some(leader) = leader {
        leader.found(hit.stored());
    }
    Fetched {
        reply: Ok(Reply::Stored(hit.stored().clone(), Vec::new())),
        report: Report::new(Outcome::Hit, status),
        cause: None,
    }
}
