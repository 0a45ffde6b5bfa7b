//! What is done with a request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cache::{
    CacheStatus, Followed, Follower, Forward, Hit, Joined, Key, Leader, Lookup, Policy, Stale,
    Ticket, invalidates,
};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, SET_COOKIE};
use http::{HeaderName, Method, Response, request};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};
use wire::Body;
use wire::server::Client;

use super::asked::{View, is_overridden, write_key};
use super::body::{Filling, Following, from_hit};
use super::errand::{Errand, Fetched, Now, Reply};
use super::job::{Job, Jobs, Told};
use super::query::{self, Question};
use super::report::{Outcome, Report};
use super::route::RouteCache;
use super::tiers::Tiers;
use crate::auth::Identity;
use crate::config::Route;
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::proxy::{self, Forwarded, Proxy, Routed};

/// Fields that ask for something else than the whole.
const PARTIAL: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE];

/// In each such time, one of those who wait for an answer that does not come goes to the backend in its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker's way to the cache that all share.
#[derive(Debug)]
pub(crate) struct Caching {
    pub(super) cache: cache::Cache,
    pub(super) tiers: Option<Arc<Tiers>>,
    pub(super) proxy: Rc<Proxy>,
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
    question: Question,
    ticket: Ticket,
    why: Forward,
    stale: Option<Stale>,
    /// What goes in place of the request, so that the answer is one for others as well.
    plain: Option<Plain>,
}

/// A request for the whole, whatever part of it a client wants or has.
struct Plain {
    head: request::Parts,
    view: View,
}

impl Caching {
    pub(crate) fn new(cache: cache::Cache, tiers: Option<Arc<Tiers>>, proxy: &Rc<Proxy>) -> Self {
        Self {
            cache,
            tiers,
            proxy: Rc::clone(proxy),
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
        if query::is_query(&routed.head.method) {
            return Box::pin(asker.answer_query(body, entry)).await;
        }
        asker.answer(Question::default(), body, entry).await
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
    /// The answer that a hit is, with the compressed forms of it where these are of use.
    fn answer_of(&self, hit: &Hit) -> Response<Body> {
        let mut response = from_hit(hit);
        if self.route.compression.is_some() && hit.is_whole() {
            let forms = hit.forms(&self.caching.cache, self.policy);
            response.extensions_mut().insert(forms);
        }
        response
    }

    /// Answers a `QUERY`, whose content is read first where it is not too large.
    async fn answer_query(self, body: Body, entry: &mut Entry) -> Result<Response<Body>, Refusal> {
        let most = self.rules.largest_query;
        match query::read(body, most).await {
            Ok(question) => {
                let client = self.routed.client.clone().has_sent_all();
                let routed = Routed {
                    client: &client,
                    admitted: Instant::now(),
                    ..*self.routed
                };
                let body = question.body();
                let asker = Asker {
                    routed: &routed,
                    ..self
                };
                asker.answer(question, body, entry).await
            }
            Err(body) => self.answer(Question::default(), body, entry).await,
        }
    }

    async fn answer(
        self,
        question: Question,
        body: Body,
        entry: &mut Entry,
    ) -> Result<Response<Body>, Refusal> {
        let (result, mut report) = match self.look(question, &body, entry) {
            Looked::Answered(hit, report) => (Ok(self.answer_of(&hit)), report),
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
            Looked::Going(going) => Box::pin(self.go(*going, body, entry)).await,
        };
        report.x_cache = self.rules.x_cache;
        if let Some(counts) = self.route.counts.own() {
            counts.cache.increment(report.outcome as usize);
        }
        entry.set_cache(report);
        result
    }

    fn look(&self, question: Question, body: &Body, entry: &Entry) -> Looked {
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
            question.digest(),
            &mut key,
        );
        // What the content of a GET asks for is not in the key; over HTTP/2 no field tells of it.
        let has_content =
            !body.is_finished() && [Method::GET, Method::HEAD].contains(request.method);
        let lookup = if has_content || is_overridden(&routed.head.headers) {
            Lookup::Bypass(Forward::Bypass)
        } else {
            caching
                .cache
                .lookup(&key, &request, self.policy, self.time.at)
        };
        let (why, ticket) = match lookup {
            Lookup::Hit(hit) => {
                caching.spare.replace(key);
                let report = Report::new(Outcome::Hit, hit.cache_status());
                return Looked::Answered(hit, report);
            }
            Lookup::OnlyIfCached => return Looked::Refused,
            Lookup::Bypass(why) => (why, caching.cache.ticket(&key)),
            Lookup::Miss(miss) => (miss.why(), miss.ticket().clone()),
            Lookup::Stale(stale) => {
                let meanwhile = stale.serves_meanwhile().then(|| {
                    let hit = Hit::new(stale.stored().clone(), &request, self.time.at);
                    let status = CacheStatus {
                        detail: Some("stale-while-revalidate"),
                        ..hit.cache_status()
                    };
                    (hit, Report::new(Outcome::Stale, status))
                });
                let going = self.validation(view, key, question, stale, meanwhile.is_some());
                return match meanwhile {
                    Some((hit, report)) => {
                        self.validate(going, entry);
                        Looked::Answered(hit, report)
                    }
                    None => Looked::Going(Box::new(going)),
                };
            }
        };
        Looked::Going(Box::new(Going {
            view,
            key,
            question,
            ticket,
            why,
            stale: None,
            plain: None,
        }))
    }

    /// What goes to validate `stale`: the request itself, or one for the whole, by which others can be served too. Who
    /// asks by `HEAD` goes itself, unless it has its answer already.
    fn validation(
        &self,
        view: View,
        key: Key,
        question: Question,
        stale: Stale,
        is_answered: bool,
    ) -> Going {
        let mut going = Going {
            view,
            key,
            question,
            ticket: stale.ticket().clone(),
            why: stale.why(),
            stale: Some(stale),
            plain: None,
        };
        let head = self.routed.head;
        let is_partial = PARTIAL.iter().any(|it| head.headers.contains_key(it));
        let is_head = head.method == Method::HEAD;
        if (is_head && !is_answered) || !(is_head || is_partial) {
            return going;
        }
        let mut head = head.clone();
        if is_head {
            head.method = Method::GET;
        }
        for name in PARTIAL {
            head.headers.remove(name);
        }
        let routed = Routed {
            head: &head,
            ..*self.routed
        };
        let view = View::of(&routed, self.route);
        let target = view.target(&routed);
        let request = view.request(&routed, self.route, &target);
        let cache = &self.caching.cache;
        if let Lookup::Stale(stale) = cache.lookup(&going.key, &request, self.policy, self.time.at)
        {
            going.ticket = stale.ticket().clone();
            going.stale = Some(stale);
            going.plain = Some(Plain { head, view });
        }
        going
    }

    /// Has something validated that has been served already. One does it, and nobody waits.
    fn validate(&self, going: Going, entry: &Entry) {
        let jobs = &self.caching.jobs;
        let (leader, place) = match going.ticket.join(&self.caching.cache, self.time.at) {
            Joined::Leader(leader) => (Some(leader), jobs.begin()),
            // It has credentials, or what it brings was not for others lately.
            Joined::Alone => (None, jobs.begin_only(going.key.as_bytes())),
            Joined::Follower(_) => return,
        };
        if let Some(place) = place {
            let job = self.job(going, Client::default(), Instant::now(), place, entry);
            spawn_local(job.run(leader, None));
        }
    }

    async fn go(
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

    fn job(
        &self,
        going: Going,
        client: Client,
        started: Instant,
        place: super::job::Place,
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
            route: routed.route,
            upstream: routed.upstream,
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
