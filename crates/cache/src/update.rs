//! What answers of the backend do to what is stored: they make it fresh again, or invalid.

use http::header::{AGE, CONTENT_LENGTH, ETAG, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};

use crate::admit::{Response, check_privacy, check_status};
use crate::cache::Cache;
use crate::conditional::is_about;
use crate::directives::ResponseDirectives;
use crate::freshness::{Freshness, lifetime};
use crate::head::SET_COOKIE2;
use crate::invalidate::{invalidates, locations};
use crate::key::{Key, KeyRecipe, Target, push_origin};
use crate::lookup::Ticket;
use crate::policy::Policy;
use crate::purge_record::{PurgeRecord, Subject};
use crate::request::Request;
use crate::store::Manner;
use crate::stored::{Record, Stored};
use crate::tags::{group_label, invalidated_groups, tag_label};
use crate::vary::{Matcher, Selector};

/// What a 304 has done.
#[derive(Debug)]
pub enum Freshened {
    /// This is right now, and stored if it may be.
    Updated(Stored),
    /// The answer is about something else than what is stored, which is gone: the request has to be sent again,
    /// without validators.
    Mismatch,
}

/// What is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'a> {
    /// All.
    Everything,
    /// What is stored for one URL, by [`KeyRecipe::url`], whatever else the keys hold.
    Url(&'a Key),
    /// All URLs of this scheme and host that begin so.
    Prefix {
        /// `http` or `https`.
        scheme: &'a str,
        /// The authority.
        host: &'a str,
        /// The beginning of the path, or of path and query.
        path_and_query: &'a str,
    },
    /// What has this tag or is in this group, at any origin.
    Tag(&'a str),
}

impl Cache {
    /// The backend has answered 304 to `request`, which had the validators of `stored` (RFC 9111 §4.3.4).
    ///
    /// Cookies that the 304 sets are for this client, and stored only if the policy says so: they are to be added to
    /// what it gets.
    pub fn freshen(
        &self,
        key: &Key,
        request: &Request<'_>,
        stored: &Stored,
        policy: &Policy,
        response: &Response<'_>,
        ticket: &Ticket,
    ) -> Freshened {
        if !is_about(response.headers, stored.head()) {
            self.inner().take_out(policy.share, stored);
            return Freshened::Mismatch;
        }
        Freshened::Updated(self.update(key, request, stored, policy, response, ticket))
    }

    /// A response with the fields of an answer that has not got its body. It is stored instead of the old one, unless
    /// what it says now forbids that.
    fn update(
        &self,
        key: &Key,
        request: &Request<'_>,
        stored: &Stored,
        policy: &Policy,
        response: &Response<'_>,
        ticket: &Ticket,
    ) -> Stored {
        let mut news = response.headers.clone();
        if !policy.store_set_cookie {
            for name in [SET_COOKIE, SET_COOKIE2] {
                news.remove(name);
            }
        }
        let received = response.times.received;
        let own = ResponseDirectives::read(&news, &policy.targeted);
        let head = stored.head().updated(&news, &own, received);
        // What counts is what is stored now: an answer may say nothing of how long it is fresh.
        let mut headers = head.to_map(1);
        if let Some(age) = news.get(AGE) {
            headers.insert(AGE, age.clone());
        }
        let directives = ResponseDirectives::read(&headers, &policy.targeted);
        let merged = Response {
            status: head.view().status(),
            headers: &headers,
            times: response.times,
        };
        let selector = Selector::new(&headers, request.headers, policy);
        let labels = self.labels(key.as_bytes(), &merged);
        let may_be_stored = selector.is_ok() && labels.is_ok() && {
            check_status(merged.status, &directives).is_ok()
                && check_privacy(policy, request, &headers, &directives).is_ok()
        };
        let lifetime = lifetime(&directives, merged.status, &headers, policy, received, true);
        let updated = Record {
            key: key.as_bytes(),
            head: head.view(),
            selector: selector.unwrap_or_default().view(),
            labels: &labels.unwrap_or_default(),
            freshness: Freshness::new(&directives, &headers, lifetime, policy, response.times),
            epoch: ticket.epoch,
            used: received,
            body: &stored.share().1,
            forms: stored.forms(),
        }
        .store();
        let store = &self.inner().store;
        if may_be_stored {
            let most = policy.most_variants.max(1);
            if store.put(policy.share, &updated, Some(stored), most) {
                self.inner().tell_stored(&updated);
            }
        } else if !request.has_credentials() {
            self.inner().take_out(policy.share, stored);
        }
        updated
    }

    /// The backend has answered a `HEAD`: what is stored for `GET` is fresh again, or is known not to be right (RFC
    /// 9111 §4.3.5).
    pub fn answered_head(
        &self,
        key: &Key,
        request: &Request<'_>,
        policy: &Policy,
        response: &Response<'_>,
        ticket: &Ticket,
    ) {
        if *request.method != Method::HEAD || response.status != StatusCode::OK {
            return;
        }
        let Some(resource) = self.inner().store.get(policy.share, key.as_bytes()) else {
            return;
        };
        let mut matcher = Matcher::new(request.headers, policy);
        let mut variants = resource.variants().iter();
        let Some(stored) = variants.find(|it| matcher.matches(it.selector())) else {
            return;
        };
        if stored.head().status() == StatusCode::OK && is_same(response.headers, stored) {
            self.update(key, request, stored, policy, response, ticket);
        } else {
            stored.soften();
            self.inner().tell_removed(stored);
        }
    }

    /// The backend has answered a request that may have changed something: what is stored for its target, and for what
    /// the answer names, is taken out (RFC 9111 §4.4, RFC 9875 §3). Whether there was reason to.
    pub fn answered_unsafe(
        &self,
        recipe: &KeyRecipe,
        method: &Method,
        target: &Target<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool {
        if !invalidates(method, status) {
            return false;
        }
        let store = &self.inner().store;
        store.remove_url(recipe.url(target).as_bytes(), Manner::Hard);
        for location in locations(headers, target) {
            let named = Target {
                path: &location.path,
                query: location.query.as_deref(),
                ..*target
            };
            store.remove_url(recipe.url(&named).as_bytes(), Manner::Hard);
        }
        let groups = invalidated_groups(headers);
        if !groups.is_empty() {
            let mut origin = Vec::new();
            push_origin(&mut origin, target.scheme, target.host);
            for group in groups {
                store.purge(&PurgeRecord {
                    manner: Manner::Hard,
                    subject: Subject::Label(group_label(&origin, group.as_bytes())),
                });
            }
        }
        true
    }

    /// Purges. What is asked for from now on is not answered with what was asked for before.
    pub fn purge(&self, what: &Purge<'_>, manner: Manner) {
        let subject = match *what {
            Purge::Everything => Subject::Everything,
            Purge::Url(key) => Subject::Url(key.url().into()),
            Purge::Prefix {
                scheme,
                host,
                path_and_query,
            } => {
                let mut origin = Vec::new();
                push_origin(&mut origin, scheme, host);
                Subject::Prefix {
                    origin: origin.into(),
                    path_and_query: path_and_query.as_bytes().into(),
                }
            }
            Purge::Tag(tag) => Subject::Label(tag_label(tag.as_bytes())),
        };
        self.inner().store.purge(&PurgeRecord { manner, subject });
    }

    /// Gives back the memory of what has been purged, which otherwise happens as room is needed. It looks at all that
    /// is stored, and is not for a thread that serves requests.
    pub fn sweep(&self) {
        self.inner().store.sweep();
    }
}

/// Whether a head is that of what is stored, by all that both say (RFC 9111 §4.3.5).
fn is_same(headers: &HeaderMap, stored: &Stored) -> bool {
    [ETAG, LAST_MODIFIED, CONTENT_LENGTH].iter().all(|name| {
        headers
            .get(name)
            .is_none_or(|new| stored.head().get(name.as_str()) == Some(new.as_bytes()))
    })
}
