//! What is done with a request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use cache::{
    CacheStatus, Followed, Follower, Forward, Hit, Joined, Key, Leader, Lookup, Policy, Stale,
    Ticket, invalidates,
};
use http::{Method, Response};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use wire::Body;
use wire::server::Client;

use super::asked::{View, write_key};
use super::body::{Filling, Following, from_hit};
use super::errand::{Errand, Fetched, Now, Reply};
use super::job::{Job, Jobs, Told};
use super::report::{Counts, Outcome, Report};
use super::route::RouteCache;
use crate::auth::Identity;
use crate::config::Route;
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::proxy::{self, Forwarded, Proxy, Routed};

/// A worker's way to the cache that all share.
#[derive(Debug)]
pub(crate) struct Caching {
    pub(super) cache: cache::Cache,
    pub(super) proxy: Rc<Proxy>,
    counts: Arc<Counts>,
    jobs: Jobs,
    /// The memory of the last key, for the next.
    spare: RefCell<Key>,
}

/// A request of a route that is cached.
struct Asker<'a> {
    caching: &'a Rc<Caching>,
    routed: &'a Routed<'a>,
    identity: Option<&'a Arc<Identity>>,
    route: &'a Route,
    rules: &'a RouteCache,
    policy: &'a Policy,
    isolated: bool,
    time: Now,
}

/// What goes to the backend, and what is known of it.
struct Going {
    view: View,
    key: Key,
    ticket: Ticket,
    why: Forward,
    stale: Option<Stale>,
}

impl Caching {
    pub(crate) fn new(cache: cache::Cache, proxy: &Rc<Proxy>, counts: Arc<Counts>) -> Self {
        Self {
            cache,
            proxy: Rc::clone(proxy),
            counts,
            jobs: Jobs::default(),
            spare: RefCell::default(),
        }
    }

    /// Whether a request of `route` has anything to do with the cache: because its answers are cached, or because it may
    /// make what is cached invalid.
    pub(crate) fn concerns(route: &Route, method: &Method) -> bool {
        route.cache.is_some() || !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Answers a request from the cache, or sends it on and stores what comes back.
    pub(crate) async fn answer(
        self: &Rc<Self>,
        routed: &Routed<'_>,
        identity: Option<&Arc<Identity>>,
        body: Body,
        time: Now,
        entry: &mut Entry,
    ) -> Result<Response<Body>, Refusal> {
        let route = &self.proxy.snapshot.routes[routed.route];
        let is_tunnel = routed.client.upgrades() || routed.head.method == Method::CONNECT;
        let Some(rules) = route.cache.as_ref().filter(|_| !is_tunnel) else {
            return Box::pin(self.pass(routed, route, body, entry)).await;
        };
        let (policy, isolated) = rules.policy_for(routed.identity);
        let asker = Asker {
            caching: self,
            routed,
            identity,
            route,
            rules,
            policy,
            isolated,
            time,
        };
        let (result, mut report) = match asker.look(&body, entry) {
            Looked::Answered(hit, report) => (Ok(from_hit(&hit)), report),
            Looked::Refused => {
                let status = Forward::UriMiss.cache_status();
                let report = Report::new(
                    Outcome::Miss,
                    CacheStatus {
                        forward: None,
                        ..status
                    },
                );
                (Err(ErrorCode::NotCached.into()), report)
            }
            Looked::Going(going) => Box::pin(asker.go(*going, body, entry)).await,
        };
        report.x_cache = rules.x_cache;
        self.counts.count(routed.route, report.outcome);
        entry.set_cache(report);
        result
    }

    /// Sends on a request whose answer is not stored, and takes out what it makes invalid.
    async fn pass(
        &self,
        routed: &Routed<'_>,
        route: &Route,
        body: Body,
        entry: &mut Entry,
    ) -> Result<Response<Body>, Refusal> {
        let forwarded = proxy::forward(&self.proxy.forwarder(), routed, body, entry).await?;
        self.invalidate(routed, &View::of(routed, route), &forwarded);
        Ok(forwarded.into_answer())
    }

    /// Takes out what an answer makes invalid, whichever route has stored it.
    pub(super) fn invalidate(&self, routed: &Routed<'_>, view: &View, forwarded: &Forwarded) {
        let (method, status) = (&routed.head.method, forwarded.answer.status());
        if forwarded.is_stand_in || !invalidates(method, status) {
            return;
        }
        let target = view.target(routed);
        let headers = forwarded.answer.headers();
        for recipe in &self.proxy.snapshot.cache_recipes {
            self.cache
                .answered_unsafe(recipe, method, &target, status, headers);
        }
    }
}

/// What a look into the cache has come to.
enum Looked {
    Answered(Hit, Report),
    /// It was to be answered from the cache only.
    Refused,
    Going(Box<Going>),
}

impl Asker<'_> {
    fn look(&self, body: &Body, entry: &Entry) -> Looked {
        let (routed, caching) = (self.routed, self.caching);
        let view = View::of(routed, self.route);
        let target = view.target(routed);
        let request = view.request(routed, self.route, &target);
        let mut key = caching.spare.take();
        write_key(
            self.rules,
            routed,
            self.route,
            &request,
            self.isolated,
            &mut key,
        );
        // What the content of a GET asks for is not in the key; over HTTP/2 no field tells of it.
        let has_content =
            !body.is_finished() && [Method::GET, Method::HEAD].contains(request.method);
        let lookup = if has_content {
            Lookup::Bypass(Forward::Bypass)
        } else {
            caching
                .cache
                .lookup(&key, &request, self.policy, self.time.at)
        };
        let (why, ticket, stale) = match lookup {
            Lookup::Hit(hit) => {
                caching.spare.replace(key);
                let report = Report::new(Outcome::Hit, hit.cache_status());
                return Looked::Answered(hit, report);
            }
            Lookup::OnlyIfCached => return Looked::Refused,
            Lookup::Bypass(why) => (why, caching.cache.ticket(&key), None),
            Lookup::Miss(miss) => (miss.why(), miss.ticket().clone(), None),
            Lookup::Stale(stale) if stale.serves_meanwhile() => {
                let hit = Hit::new(stale.stored().clone(), &request, self.time.at);
                let status = CacheStatus {
                    detail: Some("stale-while-revalidate"),
                    ..hit.cache_status()
                };
                let ticket = stale.ticket().clone();
                let going = Going {
                    view,
                    key,
                    why: stale.why(),
                    ticket,
                    stale: Some(stale),
                };
                self.validate(going, entry);
                return Looked::Answered(hit, Report::new(Outcome::Stale, status));
            }
            Lookup::Stale(stale) => (stale.why(), stale.ticket().clone(), Some(stale)),
        };
        Looked::Going(Box::new(Going {
            view,
            key,
            ticket,
            why,
            stale,
        }))
    }

    /// Has something validated that has been served already. One does it, and nobody waits.
    fn validate(&self, going: Going, entry: &Entry) {
        let Some(place) = self.caching.jobs.begin() else {
            return;
        };
        if let Joined::Leader(leader) = going.ticket.join(&self.caching.cache, self.time.at) {
            let job = self.job(going, Client::default(), place, entry);
            spawn_local(job.run(leader, None));
        }
    }

    async fn go(
        &self,
        going: Going,
        body: Body,
        entry: &mut Entry,
    ) -> (Result<Response<Body>, Refusal>, Report) {
        let joined = if body.is_finished() {
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
            return self
                .alone(self.routed, leader, &going, Body::empty(), entry)
                .await;
        };
        let (tell, told) = oneshot::channel();
        let why = going.why;
        let job = self.job(going, self.routed.client.clone(), place, entry);
        spawn_local(job.run(leader, Some(tell)));
        match told.await {
            Ok(Told {
                reply,
                report,
                facts,
            }) => {
                entry.adopt(facts);
                (reply, report)
            }
            // It has panicked.
            Err(_) => (Err(ErrorCode::InternalError.into()), Report::forwarded(why)),
        }
    }

    fn job(&self, going: Going, client: Client, place: super::job::Place, entry: &Entry) -> Job {
        let routed = self.routed;
        Job {
            caching: Rc::clone(self.caching),
            head: routed.head.clone(),
            path: routed.path.into(),
            route: routed.route,
            upstream: routed.upstream,
            identity: self.identity.cloned(),
            side: routed.side.clone(),
            client,
            address: routed.address,
            request_id: entry.request_id().clone(),
            view: going.view,
            key: going.key,
            isolated: self.isolated,
            why: going.why,
            ticket: going.ticket,
            stale: going.stale,
            time: self.time,
            place,
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
        let followed = timeout(
            errand.patience(),
            poll_fn(|context| follower.poll(context, &request, self.policy, self.time.now())),
        )
        .await;
        let status = CacheStatus {
            collapsed: true,
            ..going.why.cache_status()
        };
        let report = Report::new(Outcome::Coalesced, status);
        match followed {
            Ok(Followed::Arriving { status, headers }) => {
                let body = Body::boxed(Following::new(follower, &headers, None));
                let mut response = Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                return (Ok(response), report);
            }
            Ok(Followed::Stored(hit)) => return (Ok(from_hit(&hit)), report),
            Ok(Followed::Failed) => {
                if let Some(Fetched {
                    reply: Ok(Reply::Whole(response)),
                    report,
                }) = errand.stale_hit(false, None)
                {
                    return (Ok(response), report);
                }
            }
            Ok(Followed::Alone) | Err(_) => {}
        }
        drop(follower);
        let routed = Routed {
            admitted: Instant::now(),
            ..*self.routed
        };
        self.alone(&routed, None, &going, Body::empty(), entry)
            .await
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
        let Fetched { reply, report } = self.errand(routed, going).run(body, leader, entry).await;
        let reply = reply.map(|reply| match reply {
            Reply::Whole(response) => response,
            Reply::Filling(head, body, fill) => {
                let body = Body::boxed(Filling {
                    body,
                    fill: Some(fill),
                    holds: None,
                });
                Response::from_parts(head, body)
            }
        });
        (reply, report)
    }

    fn errand<'a>(&'a self, routed: &'a Routed<'a>, going: &'a Going) -> Errand<'a> {
        Errand {
            caching: self.caching,
            routed,
            route: self.route,
            policy: self.policy,
            view: &going.view,
            key: &going.key,
            time: self.time,
            why: going.why,
            ticket: &going.ticket,
            stale: going.stale.as_ref(),
        }
    }
}
