//! As many attempts as it takes, and may take.

use std::time::Duration;

use http::Response;
use http::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep};
use wire::Body;

use super::attempt::{Attempt, Exchange, Try};
use super::hedge::Hedge;
use super::replay::Replay;
use super::retry::{Retry, is_idempotent};
use crate::config::Fallback;
use crate::counters::Again;
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::trace::Purpose;

impl Exchange<'_> {
    /// Asks the upstream, and what stands in for it when it cannot be asked; lets a mirror know, where there is one.
    pub(super) async fn ask(&self, body: Body, entry: &Entry) -> Result<Attempt, Refusal> {
        match &self.route.mirror {
            Some(mirror) if !self.websocket && fastrand::f64() < mirror.share => {
                Box::pin(self.ask_and_mirror(mirror, body, entry)).await
            }
            _ => self.ask_unmirrored(body, entry).await,
        }
    }

    pub(super) async fn ask_unmirrored(
        &self,
        mut body: Body,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let route = self.route;
        if route.retry.is_none() && route.hedge.is_none() && route.fallback.is_none() {
            return self.attempt(&mut body, self.first(), entry).await;
        }
        Box::pin(self.ask_with_care(body, entry)).await
    }

    async fn ask_with_care(&self, body: Body, entry: &Entry) -> Result<Attempt, Refusal> {
        let kept = self
            .route
            .retry
            .as_ref()
            .map_or(0, |retry| retry.max_body_size);
        let replay = Replay::new(body, kept);
        let asked = match &self.route.retry {
            Some(retry) => self.persist(retry, &replay, entry).await,
            None => self.once(&replay, self.first(), entry).await,
        };
        let Some(Fallback::Upstream(stand_in)) = &self.route.fallback else {
            return asked;
        };
        let refusal = match &asked {
            Ok(Attempt { result: Ok(_), .. }) => return asked,
            Ok(Attempt {
                result: Err(refusal),
                ..
            })
            | Err(refusal) => refusal,
        };
        let untouched = refusal.code.was_not_asked() && replay.is_whole();
        if !untouched {
            return asked;
        }
        self.count(Again::Fallback);
        entry.count_retry();
        entry.note_stand_in();
        let there = self.at(stand_in);
        let attempt = Try {
            purpose: Purpose::Fallback,
            began: Instant::now(),
            ..self.first()
        };
        there.attempt(&mut replay.body(), attempt, entry).await
    }

    /// The first attempt, which begins when the request has been let pass: the clock need not be looked at.
    fn first(&self) -> Try<'static> {
        Try {
            purpose: Purpose::Attempt,
            tried: &[],
            began: self.request.admitted,
            due: self.due,
        }
    }

    /// The answer that stands in for an upstream which could not be asked, where the route has one.
    pub(super) fn stand_in(&self, asked: &Result<Attempt, Refusal>) -> Option<Response<Body>> {
        let Some(Fallback::Answer(fixed)) = &self.route.fallback else {
            return None;
        };
        let refusal = match asked {
            Ok(attempt) => attempt.result.as_ref().err()?,
            Err(refusal) => refusal,
        };
        if !refusal.code.was_not_asked() {
            return None;
        }
        let mut answer = Response::new(Body::full(fixed.body.clone()));
        *answer.status_mut() = fixed.status;
        if let Some(content_type) = &fixed.content_type {
            answer
                .headers_mut()
                .insert(CONTENT_TYPE, content_type.clone());
        }
        Some(answer)
    }

    /// Tries until there is an answer that is no reason for another attempt, or there may be no other.
    async fn persist(
        &self,
        retry: &Retry,
        replay: &Replay,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let repeatable = retry.repeatable(self.request.head);
        let mut tried: Vec<u64> = Vec::new();
        let mut budget = None;
        for number in 1.. {
            let began = if number == 1 {
                self.request.admitted
            } else {
                Instant::now()
            };
            let attempt = Try {
                purpose: Purpose::Attempt,
                tried: &tried,
                began,
                due: retry
                    .try_timeout
                    .map_or(self.due, |time| self.due.min(began + time)),
            };
            let attempted = self.once(replay, attempt, entry).await;
            // A retry counts until it is over.
            drop(budget.take());
            let attempt = attempted?;
            let again = number <= retry.attempts
                && retry.is_reason(&attempt.result, repeatable)
                && replay.is_whole();
            let others = tried.len() + 1 < self.upstream.balancer.len();
            let delay = match &attempt.result {
                // What is wrong with one endpoint is no reason not to ask the next at once.
                Err(_) if others => Duration::ZERO,
                _ => retry.backoff.delay(number, fastrand::u64(..)),
            };
            if !again || Instant::now() + delay >= self.due {
                return Ok(attempt);
            }
            // No backend has seen what could not be sent: asking the next one adds nothing to anybody's load.
            let adds_load = !others || !is_unsent(&attempt);
            if adds_load {
                let in_flight = self.upstream.balancer.in_flight();
                budget = self.upstream.budget.try_retry(in_flight);
                if budget.is_none() {
                    return Ok(attempt);
                }
            }
            tried.push(attempt.member.id);
            // Where all have been tried, the first may have recovered.
            if tried.len() >= self.upstream.balancer.len() {
                tried.clear();
            }
            drop(attempt);
            self.count(Again::Retry);
            entry.count_retry();
            if !delay.is_zero() {
                sleep(delay).await;
            }
        }
        Err(ErrorCode::InternalError.into())
    }

    /// One attempt; a second one beside it where the first takes too long.
    async fn once(
        &self,
        replay: &Replay,
        attempt: Try<'_>,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let mut body = replay.body();
        // Two attempts cannot read one body.
        let may_hedge = body.is_finished() && is_idempotent(&self.request.head.method);
        match &self.route.hedge {
            Some(hedge) if may_hedge => self.hedged(hedge, attempt, entry).await,
            _ => self.attempt(&mut body, attempt, entry).await,
        }
    }

    /// Two attempts, the second one some time after the first. The first good answer counts, and ends the other.
    async fn hedged(
        &self,
        hedge: &Hedge,
        attempt: Try<'_>,
        entry: &Entry,
    ) -> Result<Attempt, Refusal> {
        let (mut body, mut other_body) = (Body::empty(), Body::empty());
        let Try { tried, began, .. } = attempt;
        let mut first = std::pin::pin!(async {
            let attempt = self.attempt(&mut body, attempt, entry).await;
            hedge.learn(&attempt, began);
            attempt
        });
        tokio::select! {
            attempt = &mut first => return attempt,
            () = hedge.is_due() => {}
        }
        let in_flight = self.upstream.balancer.in_flight();
        let budget = self.upstream.budget.try_retry(in_flight);
        let Some(_budget) = budget.filter(|_| hedge.allows()) else {
            return first.await;
        };
        self.count(Again::Hedge);
        entry.count_retry();
        let mut tried = tried.to_vec();
        tried.extend(entry.member_id());
        // Who waits for a connection gains nothing by waiting twice.
        let impatient = self.without_waiting();
        let beside = Try {
            purpose: Purpose::Hedge,
            tried: &tried,
            began: Instant::now(),
            ..attempt
        };
        let mut second = std::pin::pin!(impatient.attempt(&mut other_body, beside, entry));
        tokio::select! {
            attempt = &mut first => if is_good(&attempt) {
                attempt
            } else {
                drop(attempt);
                second.await
            },
            attempt = &mut second => if is_good(&attempt) {
                hedge.learn_overtaken(began);
                attempt
            } else {
                // It may hold the connection that the other waits for.
                drop(attempt);
                first.await
            },
        }
    }
}

/// Whether an attempt never came as far as a backend.
fn is_unsent(attempt: &Attempt) -> bool {
    let refusal = attempt.result.as_ref().err();
    refusal.is_some_and(|refusal| refusal.code.was_not_asked())
}

/// Whether an attempt is worth more than waiting for another.
fn is_good(attempt: &Result<Attempt, Refusal>) -> bool {
    let answered = |answer: &Response<Body>| !answer.status().is_server_error();
    attempt
        .as_ref()
        .is_ok_and(|attempt| attempt.result.as_ref().is_ok_and(answered))
}
