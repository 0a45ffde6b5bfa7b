//! Forward auth: another service decides.
//!
//! The service is asked with a GET that tells of the request: its method, host, path and query in `X-Forwarded-*`
//! fields, and some of its own fields. 2xx lets the request pass; a redirect or a refusal (3xx, 4xx) is the client's
//! answer; anything else, and no answer in time, is a failure, and `onError` says what that means. An answer that says
//! by `Cache-Control` for how long it holds (RFC 9111 §5.2.2) is not asked for again in that time, for requests that
//! would be told of in the same words.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, request};
use reqwest::{Client, Url};
use serde_json::Map;
use tokio::time::Instant;
use wire::Body;

use super::Asked;
use super::answer_body;
use super::cause::innermost;
use super::claims::Claims;
use super::identity::{self, Identity};
use super::known::Known;
use crate::error::ErrorCode;
use crate::proxy::strip_answer;
use crate::trace::{Attempt, Call, Purpose, TRACEPARENT, Trace};

/// Larger answers lose their bodies.
const LARGEST_BODY: usize = 64 * 1024;
/// No answer is remembered for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A service that decides.
pub(crate) struct ForwardAuth {
    pub(crate) url: Url,
    /// From the question to the end of the answer.
    pub(crate) timeout: Duration,
    pub(crate) on_error: OnError,
    /// The client's fields that the service is shown.
    pub(crate) shown: Box<[HeaderName]>,
    /// The fields of the service's answer that become claims, by their names.
    pub(crate) told: Box<[HeaderName]>,
    /// Whether the service is told, and decisions differ by, path and query.
    pub(crate) by_path: ByPath,
}

impl std::fmt::Debug for ForwardAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the whole URL, which may hold a password.
        formatter
            .debug_struct("ForwardAuth")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// What happens when the service does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The request is refused.
    Closed,
    /// The request passes.
    Open,
}

/// Whether a decision holds for one path or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByPath {
    /// For the path and query that were asked about.
    One,
    /// For all of the route's: the service is not told of them.
    All,
}

/// What the service has said.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    Pass(Arc<Identity>),
    Refuse(Arc<Answer>),
}

/// The service's answer, for the client.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: bytes::Bytes,
}

/// A decision that holds for a while.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    decision: Decision,
    until: Instant,
}

impl Remembered {
    /// Whether the decision holds.
    pub(super) fn is_current(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// The service has not decided.
#[derive(Debug, thiserror::Error)]
enum Undecided {
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer's status is {0}")]
    Status(u16),
}

impl ForwardAuth {
    /// What the service says of a request; none when it says nothing.
    pub(super) async fn decide(
        &self,
        client: &Client,
        remembered: &Known<Remembered>,
        asked: &Asked<'_>,
    ) -> Option<Decision> {
        let fields = self.question(asked);
        let key = key(&self.url, &self.told, &fields);
        let now = Instant::now();
        if let Some(known) = remembered.owner(&key, |known| known.is_current(now)) {
            return Some(known.decision);
        }
        match self.ask(client, fields, asked.trace).await {
            Ok((decision, lifetime)) => {
                if !lifetime.is_zero() {
                    let remember = Remembered {
                        decision: decision.clone(),
                        until: now + lifetime,
                    };
                    remembered.remember(&key, remember);
                }
                Some(decision)
            }
            Err(error) => {
                let port = self.url.port_or_known_default();
                tracing::warn!(
                    service = self.url.host_str(),
                    port,
                    path = self.url.path(),
                    error = %innermost(&error),
                    "forward auth has not decided"
                );
                None
            }
        }
    }

    /// The fields of the question.
    fn question(&self, asked: &Asked<'_>) -> HeaderMap {
        let head: &request::Parts = asked.head;
        let mut fields = HeaderMap::new();
        for name in &self.shown {
            for value in head.headers.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        let mut tell = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                fields.insert(HeaderName::from_static(name), value);
            }
        };
        tell(
            "x-forwarded-method",
            HeaderValue::from_str(head.method.as_str()).ok(),
        );
        // Where it is there, a trusted proxy has written it.
        let told = |name: &str| head.headers.get(name).cloned();
        let proto = told("x-forwarded-proto").unwrap_or(HeaderValue::from_static(asked.scheme));
        tell("x-forwarded-proto", Some(proto));
        let host = told("x-forwarded-host").or_else(|| told("host"));
        tell("x-forwarded-host", host);
        tell(
            "x-forwarded-for",
            HeaderValue::from_str(&asked.client.to_string()).ok(),
        );
        if self.by_path == ByPath::One {
            let query = head.uri.query().map(|query| format!("?{query}"));
            let uri = format!("{}{}", asked.path, query.unwrap_or_default());
            tell("x-forwarded-uri", HeaderValue::from_str(&uri).ok());
        }
        fields
    }

    async fn ask(
        &self,
        client: &Client,
        mut fields: HeaderMap,
        trace: Option<&Trace>,
    ) -> Result<(Decision, Duration), Undecided> {
        let call = trace.map_or_else(Call::untraced, |trace| trace.call(|| self.described()));
        if let Some(told) = call.field() {
            fields.insert(TRACEPARENT, told);
        }
        let question = client
            .get(self.url.clone())
            .headers(fields)
            .timeout(self.timeout);
        let mut answer = match question.send().await {
            Ok(answer) => answer,
            Err(error) => {
                call.failed(ErrorCode::AuthUnavailable.code());
                return Err(error.without_url().into());
            }
        };
        let status = answer.status();
        call.answered(status.as_u16());
        let lifetime = lifetime(answer.headers());
        if status.is_success() {
            return Ok((Decision::Pass(self.identity(answer.headers())), lifetime));
        }
        if !(status.is_redirection() || status.is_client_error()) {
            return Err(Undecided::Status(status.as_u16()));
        }
        let mut headers = answer.headers().clone();
        strip_answer(&mut headers, false);
        headers.remove(CONTENT_LENGTH);
        let body = answer_body::within(&mut answer, LARGEST_BODY).await?;
        if body.is_none() {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_ENCODING);
        }
        let answer = Answer {
            status,
            headers,
            body: body.unwrap_or_default().into(),
        };
        Ok((Decision::Refuse(Arc::new(answer)), lifetime))
    }

    /// What a span tells of the question.
    fn described(&self) -> Attempt<'_> {
        Attempt {
            purpose: Purpose::Auth,
            method: &Method::GET,
            scheme: if self.url.scheme() == "https" {
                "https"
            } else {
                "http"
            },
            host: self.url.host_str().unwrap_or_default().into(),
            port: self.url.port_or_known_default().unwrap_or_default(),
            path: self.url.path().to_owned(),
            peer: None,
            resends: 0,
        }
    }

    /// Who the service says it is.
    fn identity(&self, answer: &HeaderMap) -> Arc<Identity> {
        let claims: Map<_, _> = self
            .told
            .iter()
            .filter_map(|name| {
                let value = String::from_utf8_lossy(answer.get(name)?.as_bytes()).into_owned();
                Some((name.as_str().to_owned(), value.into()))
            })
            .collect();
        Arc::new(Identity::new(
            identity::FORWARD,
            Claims::new(claims),
            &"roles".into(),
        ))
    }
}

impl Answer {
    /// As the client gets it.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::full(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// All that a decision may depend on, and what is kept of it: routes may take different fields of one answer.
fn key(url: &Url, told: &[HeaderName], fields: &HeaderMap) -> Vec<u8> {
    let mut key = url.as_str().as_bytes().to_vec();
    for name in told {
        // No name holds a comma.
        key.push(b',');
        key.extend_from_slice(name.as_str().as_bytes());
    }
    for (name, value) in fields {
        // No value holds a line feed, and no name a colon.
        key.push(b'\n');
        key.extend_from_slice(name.as_str().as_bytes());
        key.push(b':');
        key.extend_from_slice(value.as_bytes());
    }
    key
}

/// How long an answer holds: as long as it says, and not at all where it says nothing. What is private is so to a client
/// whose credentials are in the key.
fn lifetime(headers: &HeaderMap) -> Duration {
    let mut lifetime = Duration::ZERO;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.as_bytes().split(|&byte| byte == b',') {
            let directive = String::from_utf8_lossy(directive.trim_ascii()).to_ascii_lowercase();
            let (name, argument) = directive.split_once('=').unwrap_or((&directive, ""));
            match name {
                "no-store" | "no-cache" => return Duration::ZERO,
                "max-age" => {
                    let seconds = argument.trim_matches('"').parse().unwrap_or(0);
                    lifetime = Duration::from_secs(seconds).min(LONGEST);
                }
                _ => {}
            }
        }
    }
    lifetime
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_as_long_as_it_says() {
        let seconds = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, value.parse().unwrap());
            }
            lifetime(&headers).as_secs()
        };
        assert_eq!(seconds(&[]), 0);
        assert_eq!(seconds(&["max-age=60"]), 60);
        assert_eq!(seconds(&["private, Max-Age=\"60\""]), 60);
        assert_eq!(seconds(&["max-age=60", "no-store"]), 0);
        assert_eq!(seconds(&["no-cache, max-age=60"]), 0);
        assert_eq!(seconds(&["max-age=x"]), 0);
        assert_eq!(seconds(&["max-age=99999999"]), LONGEST.as_secs());
    }

    #[test]
    fn decisions_are_for_the_same_question_only() {
        let url: Url = "http://a/".parse().unwrap();
        let key = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            super::key(&url, &[], &headers)
        };
        assert_eq!(
            key(&[("a", "1"), ("b", "2")]),
            key(&[("a", "1"), ("b", "2")])
        );
        assert_ne!(key(&[("a", "1"), ("b", "2")]), key(&[("a", "1")]));
        assert_ne!(key(&[("a", "1b:2")]), key(&[("a", "1"), ("b", "2")]));
    }
}
