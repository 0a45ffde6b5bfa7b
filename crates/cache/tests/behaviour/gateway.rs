//! A gateway in small: what uses the cache, in the order in which a real one does, with a backend that is a function
//! and a clock that is a number.

use std::time::Duration;

use cache::{
    Cache, Extra, Failure, Forward, Freshened, Hit, Key, KeyRecipe, Lookup, Policy, Request,
    Response, Settings, Stale, Target, Ticket, Times, Timestamp, is_failure,
};
use http::{HeaderMap, Method, StatusCode};

/// What the backend has seen.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) headers: HeaderMap,
}

/// What anybody answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// It comes from the cache, as it was or after a 304.
    pub(crate) cached: bool,
    /// What `Cache-Status` would say.
    pub(crate) forward: Option<Forward>,
    pub(crate) stored: bool,
}

/// A backend: `None` is a connection that is closed.
pub(crate) type Backend<'a> = &'a mut dyn FnMut(&Sent) -> Option<Answer>;

pub(crate) struct Gateway {
    pub(crate) cache: Cache,
    pub(crate) policy: Policy,
    pub(crate) recipe: KeyRecipe,
    pub(crate) now: Timestamp,
    pub(crate) authenticated: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            cache: Cache::new(Settings {
                capacity: 16 << 20,
                largest_body: 1 << 20,
                ..Settings::default()
            }),
            policy: Policy::default(),
            recipe: KeyRecipe::default(),
            now: Timestamp::from_secs(1_790_000_000),
            authenticated: false,
        }
    }
}

impl Gateway {
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    pub(crate) fn target<'a>(path_and_query: &'a str) -> Target<'a> {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        Target {
            scheme: "http",
            host: "a.example",
            path,
            query,
        }
    }

    /// A request with a body, as far as the key is concerned.
    pub(crate) fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        content: Option<&[u8]>,
        backend: Backend<'_>,
    ) -> Answer {
        let target = Self::target(path);
        let request = Request {
            method,
            target: &target,
            headers,
            has_credentials: self.authenticated,
        };
        let extra = Extra {
            parts: &[],
            content,
        };
        let key = self.recipe.key(&target, headers, &extra);
        match self.cache.lookup(&key, &request, &self.policy, self.now) {
            Lookup::Hit(hit) => hit_answer(&hit),
            Lookup::OnlyIfCached => Answer {
                status: StatusCode::GATEWAY_TIMEOUT,
                ..Answer::default()
            },
            Lookup::Bypass(why) => self.pass(&key, &request, why, None, backend),
            Lookup::Miss(miss) => {
                self.pass(&key, &request, miss.why(), Some(miss.ticket()), backend)
            }
            Lookup::Stale(stale) => self.stale(&key, &request, &stale, backend),
        }
    }

    fn stale(
        &mut self,
        key: &Key,
        request: &Request<'_>,
        stale: &Stale,
        backend: Backend<'_>,
    ) -> Answer {
        if stale.serves_meanwhile() {
            let hit = Hit::new(stale.stored().clone(), request, self.now);
            // In a real gateway a task of its own.
            self.validate(key, request, stale, backend);
            return hit_answer(&hit);
        }
        self.validate(key, request, stale, backend)
    }

    fn validate(
        &mut self,
        key: &Key,
        request: &Request<'_>,
        stale: &Stale,
        backend: Backend<'_>,
    ) -> Answer {
        let mut headers = request.headers.clone();
        stale.validators().apply(&mut headers);
        let answer = backend(&Sent { headers });
        let failed = answer.as_ref().is_none_or(|it| is_failure(it.status));
        if failed && stale.serves_on(Failure::Error) {
            return hit_answer(&Hit::new(stale.stored().clone(), request, self.now));
        }
        let Some(answer) = answer else {
            return bad_gateway();
        };
        if answer.status == StatusCode::NOT_MODIFIED && !stale.validators().is_empty() {
            let response = Response {
                status: answer.status,
                headers: &answer.headers,
                times: self.times(),
            };
            let ticket = stale.ticket();
            return match self.cache.freshen(
                key,
                request,
                stale.stored(),
                &self.policy,
                &response,
                ticket,
            ) {
                Freshened::Updated(stored) => {
                    let mut answer = hit_answer(&Hit::new(stored, request, self.now));
                    answer.forward = Some(stale.why());
                    answer
                }
                Freshened::Mismatch => self.pass(key, request, stale.why(), Some(ticket), backend),
            };
        }
        self.receive(key, request, stale.why(), Some(stale.ticket()), answer)
    }

    fn pass(
        &mut self,
        key: &Key,
        request: &Request<'_>,
        why: Forward,
        ticket: Option<&Ticket>,
        backend: Backend<'_>,
    ) -> Answer {
        let sent = Sent {
            headers: request.headers.clone(),
        };
        match backend(&sent) {
            Some(answer) => self.receive(key, request, why, ticket, answer),
            None => bad_gateway(),
        }
    }

    fn receive(
        &mut self,
        key: &Key,
        request: &Request<'_>,
        why: Forward,
        ticket: Option<&Ticket>,
        mut answer: Answer,
    ) -> Answer {
        let response = Response {
            status: answer.status,
            headers: &answer.headers,
            times: self.times(),
        };
        self.cache.answered_unsafe(
            &self.recipe,
            request.method,
            request.target,
            answer.status,
            &answer.headers,
        );
        let ticket = match ticket {
            Some(ticket) => ticket.clone(),
            None => self.cache.ticket(key),
        };
        if *request.method == Method::HEAD {
            self.cache
                .answered_head(key, request, &self.policy, &response, &ticket);
        }
        let admission = self
            .cache
            .admit(key, request, &self.policy, &response, &ticket);
        if let Ok(admission) = admission {
            let mut fill = self.cache.fill(admission);
            let _ = fill.push(&answer.body);
            answer.stored = fill.finish().is_ok();
        }
        answer.forward = Some(why);
        answer
    }

    fn times(&self) -> Times {
        Times {
            requested: self.now,
            received: self.now,
        }
    }
}

fn hit_answer(hit: &Hit) -> Answer {
    let (parts, content) = hit.response().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: content.collect::<Vec<_>>().concat(),
        cached: true,
        ..Answer::default()
    }
}

fn bad_gateway() -> Answer {
    Answer {
        status: StatusCode::BAD_GATEWAY,
        ..Answer::default()
    }
}
