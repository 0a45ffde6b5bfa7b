//! What a backend's answer is to the cache.

use cache::{
    CacheStatus, Failure, Forward, Freshened, Leader, Response as Head, Stored, Times, Timestamp,
    is_failure,
};
use http::header::{CONTENT_TYPE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::errand::{Cause, Errand, Fetched, Reply};
use super::report::{Outcome, Report};
use crate::error::Refusal;
use crate::proxy::Forwarded;

/// Fields that the gateway writes for each request anew: what varies by them is for one request alone.
const WRITTEN_HERE: [&str; 4] = [
    "x-forwarded-for",
    "x-request-id",
    "x-request-timeout-ms",
    "via",
];

impl Errand<'_> {
    /// The backend says that what is stored is right; none if it speaks of something else.
    pub(super) fn freshen(
        &self,
        headers: &HeaderMap,
        requested: Timestamp,
    ) -> Option<(Stored, Report)> {
        let stale = self.stale?;
        let target = self.view.target(self.routed);
        let request = self.view.request(self.routed, self.route, &target);
        let response = self.head(StatusCode::NOT_MODIFIED, headers, requested);
        let freshened = self.caching.cache.freshen(
            self.key,
            &request,
            stale.stored(),
            self.policy,
            &response,
            self.ticket,
        );
        match freshened {
            Freshened::Updated(stored) => {
                let status = CacheStatus {
                    forward: Some(self.why),
                    forward_status: Some(StatusCode::NOT_MODIFIED),
                    ttl: Some(stored.ttl(self.time.now())),
                    ..CacheStatus::default()
                };
                Some((stored, Report::new(Outcome::Revalidated, status)))
            }
            Freshened::Mismatch => None,
        }
    }

    /// Cookies of a 304 are for this client, unless they are stored.
    pub(super) fn cookies(&self, forwarded: Result<Forwarded, Refusal>) -> Vec<HeaderValue> {
        let Ok(mut forwarded) = forwarded else {
            return Vec::new();
        };
        let sticky = forwarded.take_cookie();
        let cookies = forwarded.answer.headers().get_all(SET_COOKIE);
        let own = cookies.iter().filter(|_| !self.policy.store_set_cookie);
        own.cloned().chain(sticky).collect()
    }

    /// An answer that is no word on what is stored.
    pub(super) fn receive(
        &self,
        forwarded: Forwarded,
        requested: Timestamp,
        leader: Option<Leader>,
    ) -> Fetched {
        self.caching.invalidate(self.routed, self.view, &forwarded);
        let status = forwarded.answer.status();
        let failed = is_failure(status) || forwarded.is_stand_in;
        let cause = failed.then_some(Cause::Answered(status));
        if failed && let Some(stale) = self.stale_on(Failure::Error, Some(status)) {
            if let Some(leader) = leader {
                leader.failed(Failure::Error);
            }
            return Fetched { cause, ..stale };
        }
        let mut report = Report::forwarded(self.why);
        let admission = self.admission(&forwarded, requested);
        let reply = match admission {
            Ok(admission) => {
                report.status.stored = true;
                let fill = match leader {
                    Some(leader) => leader.fill(admission),
                    None => self.caching.cache.fill(admission),
                };
                let (head, body) = forwarded.into_answer().into_parts();
                Reply::Filling(head, body, fill)
            }
            Err(word) => {
                report.status.detail = Some(word);
                match leader {
                    Some(leader) if failed => leader.failed(Failure::Error),
                    Some(leader) => leader.refused(self.time.now()),
                    None => {}
                }
                Reply::Whole(forwarded.into_answer())
            }
        };
        Fetched {
            reply: Ok(reply),
            report,
            cause,
        }
    }

    /// Whether the answer is stored; else a word that says why not.
    fn admission(
        &self,
        forwarded: &Forwarded,
        requested: Timestamp,
    ) -> Result<cache::Admission, &'static str> {
        let (status, headers) = (forwarded.answer.status(), forwarded.answer.headers());
        let response = self.head(status, headers, requested);
        let target = self.view.target(self.routed);
        let request = self.view.request(self.routed, self.route, &target);
        if *request.method == Method::HEAD {
            self.caching.cache.answered_head(
                self.key,
                &request,
                self.policy,
                &response,
                self.ticket,
            );
        }
        if forwarded.is_stand_in {
            return Err("stand-in");
        }
        // What its content asks for is not in the key.
        if self.why == Forward::Bypass {
            return Err(cache::Refusal::Method.as_str());
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(cache::Refusal::Status.as_str());
        }
        if is_event_stream(headers) {
            return Err("event-stream");
        }
        if varies_by_what_is_written_here(headers) {
            return Err(cache::Refusal::Vary.as_str());
        }
        // What it has made invalid itself was before it.
        let own = (self.why == Forward::Method).then(|| self.caching.cache.ticket(self.key));
        let ticket = own.as_ref().unwrap_or(self.ticket);
        self.caching
            .cache
            .admit(self.key, &request, self.policy, &response, ticket)
            .map_err(|refusal| refusal.as_str())
    }

    fn head<'a>(
        &self,
        status: StatusCode,
        headers: &'a HeaderMap,
        requested: Timestamp,
    ) -> Head<'a> {
        let received = self.time.now();
        Head {
            status,
            headers,
            times: Times {
                requested,
                received,
            },
        }
    }
}

/// Whether it goes on as long as somebody listens, and is for that one.
fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    headers.get(CONTENT_TYPE).is_some_and(|content_type| {
        let start = content_type.as_bytes().get(..EVENT_STREAM.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
    })
}

/// Whether answers differ by a field that every request has a value of its own for.
fn varies_by_what_is_written_here(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|&byte| byte == b',');
        names.any(|name| {
            let name = name.trim_ascii();
            let is_name = |it: &&str| name.eq_ignore_ascii_case(it.as_bytes());
            WRITTEN_HERE.iter().any(is_name)
        })
    })
}
