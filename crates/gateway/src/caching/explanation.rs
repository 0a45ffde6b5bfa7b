//! What the cache would do with a request, without doing it.

use bytes::Bytes;
use cache::{Cache, Key, Lookup, Timestamp};
use http::Method;

use super::asked::{View, is_overridden, write_key};
use super::query::{Question, is_query};
use super::route::RouteCache;
use crate::config::Route;
use crate::proxy::Routed;

/// What the cache would do with a request.
#[derive(Debug)]
pub(crate) struct Explained {
    /// What the request is for, as the cache sees it: behind trusted proxies, what they say.
    pub(crate) url: String,
    /// All that tells it from other requests, with what is no printable ASCII escaped.
    pub(crate) key: String,
    /// Whether each consumer has answers of their own.
    pub(crate) isolated: bool,
    /// As `Cache-Status` begins (RFC 9211): `hit`, or why the backend would be asked.
    pub(crate) outcome: String,
}

/// What would be done with a request without content; nothing is stored where there is no `cache`.
pub(crate) fn explain(
    rules: &RouteCache,
    routed: &Routed<'_>,
    route: &Route,
    cache: Option<(&Cache, Timestamp)>,
) -> Explained {
    let view = View::of(routed, route);
    let target = view.target(routed);
    let request = view.request(routed, route, &target);
    let (policy, isolated) = rules.policy_for(routed.identity);
    let mut key = Key::default();
    // The content is part of what is asked for, and there is none.
    let question = if is_query(request.method) {
        Question::of(Bytes::new())
    } else {
        Question::default()
    };
    let content = question.digest();
    write_key(rules, routed, route, &request, isolated, content, &mut key);
    let is_read = question.is_known() || [Method::GET, Method::HEAD].contains(request.method);
    let outcome = if is_overridden(&routed.head.headers) {
        "fwd=bypass".to_owned()
    } else if !is_read {
        "fwd=method".to_owned()
    } else {
        match cache.map(|(cache, now)| cache.lookup(&key, &request, policy, now)) {
            None => "fwd=uri-miss".to_owned(),
            Some(Lookup::Hit(_)) => "hit".to_owned(),
            Some(Lookup::OnlyIfCached) => "504, only-if-cached".to_owned(),
            Some(Lookup::Bypass(why)) => format!("fwd={}", why.as_str()),
            Some(Lookup::Miss(miss)) => format!("fwd={}", miss.why().as_str()),
            Some(Lookup::Stale(stale)) if stale.serves_meanwhile() => {
                "hit; detail=stale-while-revalidate".to_owned()
            }
            Some(Lookup::Stale(stale)) => format!("fwd={}", stale.why().as_str()),
        }
    };
    let query = target.query.map(|query| format!("?{query}"));
    Explained {
        url: format!(
            "{}://{}{}{}",
            target.scheme,
            target.host,
            target.path,
            query.unwrap_or_default()
        ),
        key: key.as_bytes().escape_ascii().to_string(),
        isolated,
        outcome,
    }
}
