//! Whether a fallback makes sense, and what it means.

use http::{HeaderValue, StatusCode};

use super::Upstreams;
use super::written::Fallback as Written;
use crate::config::FixedAnswer;
use crate::config::document::Step;
use crate::config::routes::check::Check;

const KEY: Step<'static> = Step::Key("fallback");

/// What stands in for an upstream.
pub(in crate::config::routes) enum CheckedFallback {
    /// Another one, by its name.
    Named(String),
    Answer(FixedAnswer),
    /// What is cached, however old.
    Stale,
}

impl Check<'_> {
    pub(in crate::config::routes) fn fallback(
        &mut self,
        written: &Written,
        upstreams: &Upstreams,
        is_cached: bool,
    ) -> Option<CheckedFallback> {
        match (&written.upstream, written.status, written.stale) {
            (None, None, Some(true)) => {
                if !is_cached {
                    let message = "needs a route that is \"cacheable\"";
                    self.say(&[KEY, Step::Key("stale")], message);
                }
                Some(CheckedFallback::Stale)
            }
            (Some(name), None, None) => match upstreams.named(name) {
                Ok(_) => Some(CheckedFallback::Named(name.clone())),
                Err(message) => {
                    self.say(&[KEY, Step::Key("upstream")], &message);
                    None
                }
            },
            (None, Some(status), None) => {
                let usual = "text/plain; charset=utf-8";
                let content_type = written.content_type.as_deref().unwrap_or(usual);
                let parsed = HeaderValue::from_str(content_type);
                if parsed.is_err() {
                    let message = format!("\"{content_type}\" cannot be the value of a field");
                    self.say(&[KEY, Step::Key("contentType")], &message);
                }
                let body = written.body.clone().unwrap_or_default();
                Some(CheckedFallback::Answer(FixedAnswer {
                    status: StatusCode::from_u16(status).ok()?,
                    content_type: parsed.ok().filter(|_| !body.is_empty()),
                    body: body.into(),
                }))
            }
            _ => {
                self.say(
                    &[KEY],
                    "must have one of \"upstream\", \"status\" and \"stale\": true",
                );
                None
            }
        }
    }
}
