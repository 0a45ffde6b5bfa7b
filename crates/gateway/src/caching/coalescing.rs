//! Requests that go to the backend: one for all that ask for the same, or each by itself.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cache::{CacheStatus, Followed, Follower, Forward, Hit, Joined, Key, Leader, Stale, Ticket};
use http::Response;
use http::header::SET_COOKIE;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::server::Client;

use super::answer::Asker;
use super::asked::View;
use super::body::{Filling, Following};
use super::errand::{Errand, Fetched, Reply};
use super::job::{Job, Place, Told};
use super::query::Question;
use super::report::{Outcome, Report};
use super::revalidation::Plain;
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::proxy::Routed;

/// In each such time, one of those who wait for an answer that does not come goes to the backend in its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What goes to the backend, and what is known of it.
pub(super) struct Going {
    pub(super) view: View,
    pub(super) key: Key,
    pub(super) question: Question,
    pub(super) ticket: Ticket,
    pub(super) why: Forward,
    pub(super) stale: Option<Stale>,
    /// What goes in place of the request, so that the answer is one for others as well.
    pub(super) plain: Option<Plain>,
}

impl Asker<'_> {
    pub(super) async fn go(
        &self,
        going: Going,
        body: Body,
        entry: &mut Entry,
    ) -> (Result<Response<Body>, Refusal>, Report) {
        let joined = if body.is_finished() || going.question.is_known() {
            going.ticket.join(&self.caching.cache, self.time.at)
        } else {
            Joined::Alone
        };
        match joined {
            Joined::Leader(leader) => self.lead(leader, going, entry).await,
            Joined::Follower(follower) => self.follow(follower, going, entry).await,
            Joined::Alone => self.alone(self.routed, None, &going, body, entry).await,
        }
    }

    /// Goes for others as well, in a task of its own.
    async fn lead(
        &self,
        leader: Leader,
        going: Going,
        entry: &mut Entry,
    ) -> (Result<Response<Body>, Refusal>, Report) {
        let Some(place) = self.caching.jobs.begin() else {
            let leader = Some(leader);
            let body = going.question.body();
            return self.alone(self.routed, leader, &going, body, entry).await;
        };
        let (tell, told) = oneshot::channel();
        let (why, view) = (going.why, going.view.clone());
        let job = self.job(
            going,
            self.routed.client.clone(),
            self.routed.started,
            place,
            entry,
        );
        spawn_local(job.run(Some(leader), Some(tell)));
        match told.await {
            Ok(Told {
                reply,
                report,
                facts,
            }) => {
                entry.adopt(facts);
                (reply.map(|reply| self.respond(&view, reply)), report)
            }
            // It has panicked.
            Err(_) => (Err(ErrorCode::InternalError.into()), Report::forwarded(why)),
        }
    }

    pub(super) fn job(
        &self,
        going: Going,
        client: Client,
        started: Instant,
        place: Place,
        entry: &Entry,
    ) -> Job {
        let routed = self.routed;
        let Plain { head, view } = going.plain.unwrap_or_else(|| Plain {
            head: routed.head.clone(),
            view: going.view,
        });
        Job {
            caching: Rc::clone(self.caching),
            head,
            path: routed.path.into(),
            route: Rc::clone(self.route),
            upstream: Arc::clone(routed.upstream),
            identity: self.identity.cloned(),
            side: routed.side.clone(),
            client,
            address: routed.address,
            request_id: entry.request_id().clone(),
            trace: entry.trace().cloned(),
            view,
            key: going.key,
            question: going.question,
            isolated: self.isolated,
            why: going.why,
            ticket: going.ticket,
            stale: going.stale,
            time: self.time,
            started,
            _place: place,
        }
    }

    /// Waits for what another fetches.
    async fn follow(
        &self,
        mut follower: Follower,
        going: Going,
        entry: &mut Entry,
    ) -> (Result<Response<Body>, Refusal>, Report) {
        let errand = self.errand(self.routed, &going);
        let target = going.view.target(self.routed);
        let request = going.view.request(self.routed, self.route, &target);
        let followed = loop {
            let until = errand.due().min(Instant::now() + PATIENCE);
            let poll =
                poll_fn(|context| follower.poll(context, &request, self.policy, self.time.now()));
            match timeout_at(until, poll).await {
                Ok(followed) => break followed,
                Err(_) if until == errand.due() => break Followed::Alone,
                Err(_) => {}
            }
            let (cache, now) = (&self.caching.cache, self.time.now());
            match going.ticket.relieve(cache, follower, PATIENCE, now) {
                Ok(leader) => return self.lead(leader, going, entry).await,
                Err(waiting) => follower = waiting,
            }
        };
        let status = CacheStatus {
            collapsed: true,
            ..going.why.cache_status()
        };
        let report = Report::new(Outcome::Coalesced, status);
        match followed {
            Followed::Arriving { status, headers } => {
                let body = Body::boxed(Following::new(follower, &headers, None));
                let mut response = Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                return (Ok(response), report);
            }
            Followed::Stored(hit) => return (Ok(self.answer_of(&hit)), report),
            Followed::Failed(failure) => {
                let stale = errand.stale_on(failure, None);
                if let Some(Fetched { reply, report, .. }) = stale {
                    let reply = reply.map(|reply| self.respond(&going.view, reply));
                    return (reply, report);
                }
            }
            Followed::Alone => {}
        }
        drop(follower);
        let routed = Routed {
            admitted: Instant::now(),
            ..*self.routed
        };
        let body = going.question.body();
        self.alone(&routed, None, &going, body, entry).await
    }

    /// Goes to the backend in the client's own task.
    async fn alone(
        &self,
        routed: &Routed<'_>,
        leader: Option<Leader>,
        going: &Going,
        body: Body,
        entry: &mut Entry,
    ) -> (Result<Response<Body>, Refusal>, Report) {
        let Fetched { reply, report, .. } =
            self.errand(routed, going).run(body, leader, entry).await;
        let reply = reply.map(|reply| self.respond(&going.view, reply));
        (reply, report)
    }

    /// The answer to the request.
    fn respond(&self, view: &View, reply: Reply) -> Response<Body> {
        match reply {
            Reply::Whole(response) => response,
            Reply::Stored(stored, cookies) => {
                let target = view.target(self.routed);
                let request = view.request(self.routed, self.route, &target);
                let mut response = self.answer_of(&Hit::new(stored, &request, self.time.now()));
                for cookie in cookies {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                response
            }
            Reply::Filling(head, body, fill) => {
                let body = Body::boxed(Filling {
                    body,
                    fill: Some(fill),
                    pending: None,
                    holds: None,
                });
                Response::from_parts(head, body)
            }
        }
    }

    fn errand<'a>(&'a self, routed: &'a Routed<'a>, going: &'a Going) -> Errand<'a> {
        Errand {
            caching: self.caching,
            routed,
            route: self.route,
            policy: self.policy,
            view: &going.view,
            key: &going.key,
            question: &going.question,
            time: self.time,
            why: going.why,
            ticket: &going.ticket,
            stale: going.stale.as_ref(),
        }
    }
}
