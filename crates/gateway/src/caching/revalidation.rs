//! Has what is stored validated.

use cache::{Joined, Key, Lookup, Stale};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderName, Method, request};
use tokio::task::spawn_local;
use tokio::time::Instant;
use wire::server::Client;

use super::answer::Asker;
use super::asked::View;
use super::coalescing::Going;
use super::query::Question;
use crate::middleware::access_log::Entry;
use crate::proxy::Routed;

/// Fields that ask for something else than the whole.
const PARTIAL: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE];

/// A request for the whole, whatever part of it a client wants or has.
pub(super) struct Plain {
    pub(super) head: request::Parts,
    pub(super) view: View,
}

impl Asker<'_> {
    /// What goes to validate `stale`: the request itself, or one for the whole, by which others can be served too. Who
    /// asks by `HEAD` goes itself, unless it has its answer already.
    pub(super) fn validation(
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
    pub(super) fn validate(&self, going: Going, entry: &Entry) {
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
}
