//! What is done with a request.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use cache::{CacheStatus, Forward, Hit, Key, Lookup, Policy, invalidates};
use http::{Method, Response};
use tokio::time::Instant;
use wire::Body;

use super::asked::{View, is_overridden, write_key};
use super::body::from_hit;
use super::coalescing::Going;
use super::errand::Now;
use super::job::Jobs;
use super::query::{self, Question};
use super::report::{Outcome, Report};
use super::route::RouteCache;
use super::tiers::Tiers;
use crate::auth::Identity;
use crate::config::{LocalRoute, View as Configuration};
use crate::error::{ErrorCode, Refusal};
use crate::middleware::access_log::Entry;
use crate::proxy::{self, Forwarded, Proxy, Routed};

/// A worker's way to the cache that all share.
#[derive(Debug)]
pub(crate) struct Caching {
    pub(super) cache: cache::Cache,
    pub(super) tiers: Option<Arc<Tiers>>,
    pub(super) proxy: Rc<Proxy>,
    configuration: Rc<Configuration>,
    pub(super) jobs: Jobs,
    /// The memory of the last key, for the next.
    spare: RefCell<Key>,
}

/// A request of a route that is cached.
pub(super) struct Asker<'a> {
    pub(super) caching: &'a Rc<Caching>,
    pub(super) routed: &'a Routed<'a>,
    pub(super) identity: Option<&'a Arc<Identity>>,
    pub(super) route: &'a Rc<LocalRoute>,
    pub(super) rules: &'a RouteCache,
    pub(super) policy: &'a Policy,
    pub(super) isolated: bool,
    pub(super) time: Now,
}

impl Caching {
    pub(crate) fn new(
        cache: cache::Cache,
        tiers: Option<Arc<Tiers>>,
        proxy: &Rc<Proxy>,
        configuration: &Rc<Configuration>,
    ) -> Self {
        Self {
            cache,
            tiers,
            proxy: Rc::clone(proxy),
            configuration: Rc::clone(configuration),
            jobs: Jobs::default(),
            spare: RefCell::default(),
        }
    }

    /// Whether a request of `route` has anything to do with the cache: because its answers are cached, or because it may
    /// make what is cached invalid.
    pub(crate) fn concerns(route: &LocalRoute, method: &Method) -> bool {
        route.cache.is_some() || !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Answers a request from the cache, or sends it on and stores what comes back.
    pub(crate) async fn answer(
        self: &Rc<Self>,
        route: &Rc<LocalRoute>,
        routed: &Routed<'_>,
        identity: Option<&Arc<Identity>>,
        body: Body,
        time: Now,
        entry: &mut Entry,
    ) -> Result<Response<Body>, Refusal> {
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
        route: &LocalRoute,
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
        // Of the present configuration: what is stored from now on is stored by that.
        for recipe in &self.configuration.local().snapshot.cache_recipes {
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
    pub(super) fn answer_of(&self, hit: &Hit) -> Response<Body> {
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
        if let Some(counts) = self.route.state.counts.own() {
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
}
