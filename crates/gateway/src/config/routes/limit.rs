//! Whether one rate limit makes sense in itself, and what it means.

use http::HeaderName;
use rate_limiter::Policy;

use super::written::{By, OnError, RateLimit as Written, Store};
use crate::config::document::{Document, Step};
use crate::config::network::networks;
use crate::config::{Finding, Settings};
use crate::middleware::rate_limit::{self as middleware, Part, RateLimit, Shared};
use crate::router::PathPattern;

/// Whether there is a Redis to count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redis {
    Given,
    Missing,
}

impl Redis {
    pub(super) fn of(settings: &Settings) -> Self {
        match settings.redis.server {
            Some(_) => Self::Given,
            None => Self::Missing,
        }
    }
}

/// Checks one limit.
pub(super) struct LimitCheck<'a> {
    pub(super) document: &'a Document<'a>,
    /// The place of the limit.
    pub(super) at: Vec<Step<'a>>,
    /// Of the limit's route. A shared limit has many; they are held against it one by one.
    pub(super) pattern: Option<&'a PathPattern>,
    pub(super) redis: Redis,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl LimitCheck<'_> {
    pub(super) fn say(&mut self, path: &[Step<'_>], message: &str) {
        let whole = [&self.at, path].concat();
        self.findings.push(self.document.about(&whole, message));
    }

    /// What the limit means; its counts have no name yet.
    pub(super) fn limit(&mut self, written: Written, name: &str) -> Option<RateLimit> {
        let before = self.findings.len();
        if name.len() > 64
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            let at: &[Step<'_>] = if written.name.is_some() {
                &[Step::Key("name")]
            } else {
                &[]
            };
            self.say(at, &format!("\"{name}\" is not a name for a limit: letters, digits, \"-\", \"_\" and \".\", up to 64 of them"));
        }
        let policy = self.policy(&written);
        // That a limit or a cost is 0 has been found already.
        if written.cost > written.limit.max(1) {
            self.say(
                &[Step::Key("cost")],
                "no request can pass: \"cost\" is more than \"limit\"",
            );
        }
        let by = self.parts(written.by);
        let exempt = networks(&written.exempt, |index, message| {
            self.say(&[Step::Key("exempt"), Step::Index(index)], message);
        });
        let shared = self.shared(written.store, written.on_error, &by);
        let policy = policy.filter(|_| self.findings.len() == before)?;
        Some(RateLimit {
            name: name.into(),
            identity: 0,
            policy,
            by,
            cost: written.cost,
            exempt,
            shadow: written.shadow,
            shared,
        })
    }

    fn policy(&mut self, written: &Written) -> Option<Policy> {
        let Some(window) = written.window.time() else {
            self.say(
                &[Step::Key("window")],
                "must be a time: seconds such as 60, or a text such as \"1m\", \"1h\" or \"1d\"",
            );
            return None;
        };
        Policy::new(written.limit.max(1), window)
            .map_err(|error| self.say(&[Step::Key("window")], &error.to_string()))
            .ok()
    }

    fn parts(&mut self, by: Option<By>) -> Box<[Part]> {
        let (one, items) = match by {
            None => return [Part::Address].into(),
            Some(By::One(item)) => (true, vec![item]),
            Some(By::Several(items)) => (false, items),
        };
        let mut parts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if item == "all" && items.len() == 1 {
                break;
            }
            let at = [Step::Key("by"), Step::Index(index)];
            match self.part(item) {
                Ok(part) => parts.push(part),
                Err(message) => self.say(if one { &at[..1] } else { &at }, &message),
            }
        }
        parts.into()
    }

    fn part(&self, item: &str) -> Result<Part, String> {
        let missing = |name: &str| {
            let path = self.pattern?;
            path.parameter(name)
                .is_none()
                .then(|| no_parameter(name, path))
        };
        match item.split_once(':') {
            None if item == "ip" => return Ok(Part::Address),
            None if item == "consumer" => return Ok(Part::Consumer),
            None if item == "apiKey" => return Ok(Part::ApiKey),
            Some(("claim", name)) if !name.is_empty() => return Ok(Part::Claim(name.into())),
            Some(("header", name)) => {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    return Ok(Part::Header(name));
                }
            }
            Some(("param", name)) if !name.is_empty() => {
                return missing(name).map_or_else(|| Ok(Part::Parameter(name.into())), Err);
            }
            _ => {}
        }
        Err(format!(
            "\"{item}\" must be \"ip\", \"consumer\", \"apiKey\", \"claim:\" and a claim's name, \"header:\" and a field's \
             name, \"param:\" and the name of a path parameter, or \"all\" by itself"
        ))
    }

    fn shared(
        &mut self,
        store: Option<Store>,
        on_error: Option<OnError>,
        by: &[Part],
    ) -> Option<Shared> {
        if (store, self.redis) == (Some(Store::Redis), Redis::Missing) {
            self.say(
                &[Step::Key("store")],
                "\"redis\" needs REDIS_URL, which is not set: set it, or leave \"store\" out to count in each gateway by itself",
            );
        }
        if store == Some(Store::Local) && on_error.is_some() {
            self.say(
                &[Step::Key("onError")],
                "\"onError\" is about Redis, and the limit is not counted there: remove it, or \"store\": \"local\"",
            );
        }
        if store == Some(Store::Local) || self.redis == Redis::Missing {
            return None;
        }
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        Some(Shared {
            name: "".into(),
            by: by.join(",").into(),
            on_error: match on_error.unwrap_or(OnError::Local) {
                OnError::Local => middleware::OnError::Local,
                OnError::Open => middleware::OnError::Open,
                OnError::Closed => middleware::OnError::Closed,
            },
        })
    }
}

/// That a path has no such parameter, and which it has.
pub(super) fn no_parameter(name: &str, path: &PathPattern) -> String {
    let known: Vec<&str> = path.parameters().collect();
    if known.is_empty() {
        format!("the path \"{path}\" has no parameters")
    } else {
        format!(
            "the path \"{path}\" has no parameter \"{name}\"; it has {}",
            known.join(", ")
        )
    }
}
