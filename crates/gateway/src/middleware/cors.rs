//! Which web pages of other origins may use an answer: the CORS protocol of the Fetch standard (§3.3).
//!
//! The gateway speaks the protocol in place of the backends. It answers preflights itself, and what backends say of
//! CORS is replaced: two voices would contradict each other, and browsers refuse an answer with two origins.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode, request};
use wire::Body;

use super::origins::Origins;
use super::vary;
use crate::error::{ErrorCode, Refusal};
use crate::router::Criteria;

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// What web pages of other origins may do with a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Where they may come from.
    pub origins: Origins,
    /// The methods that they may use, as a list for the answer; none for whatever the routes take.
    pub methods: Option<HeaderValue>,
    /// The fields that they may send, as a list for the answer; none for any.
    pub headers: Option<HeaderValue>,
    /// The fields of an answer that they may read, as a list, besides those that are always theirs.
    pub exposed_headers: Option<HeaderValue>,
    /// Cookies and other credentials go with their requests. Never together with any origin.
    pub credentials: bool,
    /// Seconds for which a browser may remember the answer to a preflight.
    pub max_age: Option<HeaderValue>,
    /// Pages from the public network may use the route in a private one.
    pub private_network: bool,
    /// It is tried out: what is not allowed is allowed all the same.
    pub shadow: bool,
    /// Nobody has asked for it: a backend that says itself who may read an answer knows better.
    pub yields: bool,
}

/// A browser's question before a request (Fetch §3.3.2).
#[derive(Debug)]
pub(crate) struct Preflight<'a> {
    origin: &'a HeaderValue,
    method_name: &'a HeaderValue,
    /// The method of the request to come.
    pub(crate) method: Method,
}

impl<'a> Preflight<'a> {
    /// The question that a request asks, if it is one.
    pub(crate) fn of(head: &'a request::Parts) -> Option<Self> {
        if head.method != Method::OPTIONS {
            return None;
        }
        let origin = head.headers.get(ORIGIN)?;
        let method_name = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(method_name.as_bytes()).ok()?;
        Some(Self {
            origin,
            method_name,
            method,
        })
    }
}

impl Preflight<'_> {
    /// What decides the route of the request to come, by what decides that of this one.
    pub(crate) fn announced<'c>(&'c self, criteria: &Criteria<'c>) -> Criteria<'c> {
        Criteria {
            method: &self.method,
            ..*criteria
        }
    }
}

impl Cors {
    /// The answer to a preflight. The fields that [`decorate`](Self::decorate) adds are not yet there.
    ///
    /// # Errors
    /// When the origin is not allowed.
    pub(crate) fn answer(
        &self,
        preflight: &Preflight<'_>,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        if self.allowed(preflight.origin).is_none() {
            return Err(ErrorCode::OriginNotAllowed.into());
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        let methods = self.methods.as_ref().filter(|_| !self.shadow);
        let methods = methods.unwrap_or(preflight.method_name);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let asked = asked.filter(|names| are_names(names));
        if let Some(allowed) = self.headers.as_ref().filter(|_| !self.shadow).or(asked) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        if let Some(max_age) = &self.max_age {
            answer.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        if self.private_network && headers.get(REQUEST_PRIVATE_NETWORK) == Some(&TRUE) {
            answer.insert(ALLOW_PRIVATE_NETWORK, TRUE);
        }
        answer.insert(
            VARY,
            HeaderValue::from_static(
                "Access-Control-Request-Method, Access-Control-Request-Headers",
            ),
        );
        Ok(response)
    }

    /// Whether a page of `origin` would not be allowed to read answers, were the policy enforced.
    pub(crate) fn would_refuse(&self, origin: Option<&HeaderValue>) -> bool {
        self.shadow && origin.is_some_and(|origin| self.origins.allowed(origin).is_none())
    }

    /// Whether pages of `origin` may read answers.
    pub(crate) fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.are_any() || self.allowed(origin).is_some()
    }

    /// The origin as an answer names it, where it is allowed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let tried_out = self.shadow.then(|| origin.clone());
        self.origins.allowed(origin).or(tried_out)
    }

    /// Says on an answer, whatever it is, who may read it. `origin` is the request's.
    ///
    /// An answer that is the same for all origins says so to all, and one that is not tells caches that it depends on
    /// the origin, even where there was none (Fetch §3.3.5).
    pub(crate) fn decorate(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if self.yields && answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        for name in [
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            answer.remove(name);
        }
        let allowed = if self.origins.are_any() {
            Some(ANY)
        } else {
            vary::add(answer, "Origin");
            origin.and_then(|origin| self.allowed(origin))
        };
        let Some(allowed) = allowed else {
            return;
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(exposed) = &self.exposed_headers {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// Whether it lists names of fields.
fn are_names(list: &HeaderValue) -> bool {
    let mut items = list.as_bytes().split(|&byte| byte == b',');
    items.all(|item| {
        let item = item.trim_ascii();
        item.is_empty() || HeaderName::from_bytes(item).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let origins = origins.iter().map(|origin| origin.parse().unwrap());
        Cors {
            origins: Origins::new(origins),
            ..Cors::default()
        }
    }

    fn value(text: &str) -> HeaderValue {
        text.parse().unwrap()
    }

    fn decorated(cors: &Cors, origin: Option<&str>, fields: &[(&str, &str)]) -> Vec<String> {
        let mut answer: HeaderMap = fields
            .iter()
            .map(|(name, text)| (name.parse::<HeaderName>().unwrap(), value(text)))
            .collect();
        cors.decorate(origin.map(value).as_ref(), &mut answer);
        let mut lines: Vec<_> = answer
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    fn preflight(cors: &Cors, fields: &[(&str, &str)]) -> Result<HeaderMap, ErrorCode> {
        let mut request = http::Request::builder().method("OPTIONS");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let preflight = Preflight::of(&head).expect("a preflight");
        cors.answer(&preflight, &head.headers)
            .map(|response| response.headers().clone())
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn any_origin_is_told_to_all_and_depends_on_none() {
        let any = cors(&["*"]);
        let expected = ["access-control-allow-origin: *"];
        assert_eq!(decorated(&any, None, &[]), expected);
        assert_eq!(decorated(&any, Some("https://a.example"), &[]), expected);
        assert_eq!(decorated(&any, Some("null"), &[]), expected);
    }

    #[test]
    fn a_listed_origin_is_named_and_another_is_not() {
        let some = cors(&["https://a.example", "https://*.b.example"]);
        assert_eq!(
            decorated(&some, Some("https://x.b.example"), &[]),
            [
                "access-control-allow-origin: https://x.b.example",
                "vary: Origin"
            ]
        );
        for other in [None, Some("https://c.example"), Some("null")] {
            assert_eq!(decorated(&some, other, &[]), ["vary: Origin"]);
        }
    }

    #[test]
    fn what_a_backend_says_is_replaced_and_its_vary_is_kept() {
        let some = Cors {
            credentials: true,
            exposed_headers: Some(value("X-Total")),
            ..cors(&["https://a.example"])
        };
        let backend = [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "X-Backend"),
            ("vary", "Accept, ORIGIN"),
        ];
        assert_eq!(
            decorated(&some, Some("https://a.example"), &backend),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-origin: https://a.example",
                "access-control-expose-headers: X-Total",
                "vary: Accept, ORIGIN",
            ]
        );
        assert_eq!(
            decorated(&some, Some("https://evil.example"), &backend),
            ["vary: Accept, ORIGIN"]
        );
    }

    #[test]
    fn a_preflight_gets_what_it_asks_for_where_nothing_is_set() {
        let fields = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "x-a,x-b"),
            ("access-control-request-private-network", "true"),
        ];
        let answer = preflight(&cors(&["*"]), &fields).unwrap();
        assert_eq!(answer["access-control-allow-methods"], "DELETE");
        assert_eq!(answer["access-control-allow-headers"], "x-a,x-b");
        assert!(!answer.contains_key("access-control-allow-private-network"));
        assert!(!answer.contains_key("access-control-max-age"));
    }

    #[test]
    fn a_preflight_gets_what_is_set() {
        let set = Cors {
            methods: Some(value("GET, PUT")),
            headers: Some(value("X-A")),
            max_age: Some(value("600")),
            private_network: true,
            ..cors(&["https://a.example"])
        };
        let fields = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-private-network", "true"),
        ];
        let answer = preflight(&set, &fields).unwrap();
        assert_eq!(answer["access-control-allow-methods"], "GET, PUT");
        assert_eq!(answer["access-control-allow-headers"], "X-A");
        assert_eq!(answer["access-control-max-age"], "600");
        assert_eq!(answer["access-control-allow-private-network"], "true");
        let foreign = [
            ("origin", "https://b.example"),
            ("access-control-request-method", "GET"),
        ];
        assert_eq!(
            preflight(&set, &foreign).unwrap_err(),
            ErrorCode::OriginNotAllowed
        );
    }

    #[test]
    fn a_preflight_has_an_origin_and_a_method() {
        let head = |method: &str, fields: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            request.body(()).unwrap().into_parts().0
        };
        let origin = ("origin", "https://a.example");
        let method = ("access-control-request-method", "PUT");
        assert!(Preflight::of(&head("OPTIONS", &[origin, method])).is_some());
        for (name, fields) in [
            ("OPTIONS", &[origin][..]),
            ("OPTIONS", &[method]),
            ("GET", &[origin, method]),
            (
                "OPTIONS",
                &[origin, ("access-control-request-method", "a b")],
            ),
        ] {
            assert!(Preflight::of(&head(name, fields)).is_none());
        }
    }
}
