//! Answers from what is stored.

use std::ops::Range;

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG, EXPIRES,
    HeaderName, LAST_MODIFIED, VARY,
};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::{Body, Content};
use crate::cache::Cache;
use crate::conditional::is_not_modified;
use crate::forms::Forms;
use crate::policy::Policy;
use crate::range::Wanted;
use crate::request::Request;
use crate::status::CacheStatus;
use crate::stored::Stored;
use crate::time::Timestamp;
use crate::vary::Matcher;
use crate::verdict::{Verdict, judge};

/// A stored response that answers a request.
#[derive(Debug, Clone)]
pub struct Hit {
    stored: Stored,
    form: Form,
    age: u32,
    ttl: i64,
}

/// How much of the response the client is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Whole,
    /// All but the body: for `HEAD`.
    Head,
    Part(Range<u64>),
    /// It has it already.
    NotModified,
    Unsatisfiable,
}

/// What 304 has of the head (RFC 9110 §15.4.5), and what cannot do harm.
const OF_NOT_MODIFIED: [HeaderName; 7] = [
    CACHE_CONTROL,
    CONTENT_LOCATION,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    VARY,
];

impl Hit {
    /// Answers `request` with `stored`, whether it is fresh or not: that has been decided.
    #[must_use]
    pub fn new(stored: Stored, request: &Request<'_>, now: Timestamp) -> Self {
        let form = form(&stored, request, now);
        stored.touch(now);
        Self {
            age: stored.age(now),
            ttl: stored.ttl(now),
            form,
            stored,
        }
    }

    /// Answers `request` if `stored` is for it and fresh enough.
    pub(crate) fn if_usable(
        stored: Stored,
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Self> {
        let wishes = policy.wishes(request.headers);
        let is_for_it = Matcher::new(request.headers, policy).matches(stored.selector());
        let verdict = judge(&stored.freshness(), false, &wishes, now);
        (is_for_it && verdict == Verdict::Usable).then(|| Self::new(stored, request, now))
    }

    /// What is stored.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The status that the client gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.form {
            Form::Whole | Form::Head => self.stored.head().status(),
            Form::Part(_) => StatusCode::PARTIAL_CONTENT,
            Form::NotModified => StatusCode::NOT_MODIFIED,
            Form::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    /// Whether the client gets head and body as they are stored: then the head's [lines](crate::Head::lines) can be
    /// sent as they are, with an `Age`.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.form == Form::Whole
    }

    /// Its body in other codings.
    #[must_use]
    pub fn forms(&self, cache: &Cache, policy: &Policy) -> Forms {
        Forms::new(cache, policy.share, &self.stored)
    }

    /// Its age, in seconds.
    #[must_use]
    pub fn age(&self) -> u32 {
        self.age
    }

    /// What is to be said of it in `Cache-Status`.
    #[must_use]
    pub fn cache_status(&self) -> CacheStatus<'static> {
        CacheStatus {
            hit: true,
            ttl: Some(self.ttl),
            ..CacheStatus::default()
        }
    }

    /// The answer. Its fields and its body share the memory of what is stored.
    #[must_use]
    pub fn response(&self) -> Response<Content> {
        let (head, body) = self.stored.share();
        let mut response = Response::new(self.read(&body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        *headers = match self.form {
            Form::NotModified => head.to_map_of(|name| {
                OF_NOT_MODIFIED
                    .iter()
                    .any(|it| it.as_str().as_bytes() == name)
            }),
            _ => head.to_map(6),
        };
        headers.insert(AGE, HeaderValue::from(self.age));
        let length = self.stored.body_length();
        match &self.form {
            Form::Whole | Form::Head | Form::NotModified => {}
            Form::Part(part) => {
                let last = part.end.saturating_sub(1);
                let range = format!("bytes {}-{last}/{length}", part.start);
                insert(headers, CONTENT_RANGE, range);
                headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            }
            Form::Unsatisfiable => {
                insert(headers, CONTENT_RANGE, format!("bytes */{length}"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
        }
        response
    }

    /// The body of the answer.
    #[must_use]
    pub fn content(&self) -> Content {
        self.read(&self.stored.share().1)
    }

    fn read(&self, body: &Body) -> Content {
        match &self.form {
            Form::Whole => body.read(0..body.length()),
            Form::Part(part) => body.read(part.clone()),
            Form::Head | Form::NotModified | Form::Unsatisfiable => Content::default(),
        }
    }
}

fn insert(headers: &mut http::HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn form(stored: &Stored, request: &Request<'_>, now: Timestamp) -> Form {
    if is_not_modified(request.headers, stored.head(), now) {
        return Form::NotModified;
    }
    if *request.method == Method::HEAD {
        return Form::Head;
    }
    // Ranges are for `GET` and for whole representations (RFC 9110 §14.2).
    if *request.method != Method::GET || stored.head().status() != StatusCode::OK {
        return Form::Whole;
    }
    match Wanted::read(request.headers, stored.head(), stored.body_length(), now) {
        Wanted::Everything => Form::Whole,
        Wanted::Part(part) => Form::Part(part),
        Wanted::Unsatisfiable => Form::Unsatisfiable,
    }
}
