//! What a routes file says of rate limits: shared ones by name, and those of single routes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rate_limiter::Policy;
use serde::Deserialize;
use serde_json::Value;

use super::check::Check;
use super::written::{
    By, Period, RateLimit as Written, RateLimitItem, RateLimits as WrittenLimits,
};
use crate::config::document::{Document, Step};
use crate::config::network::network;
use crate::config::{Finding, duration};
use crate::middleware::rate_limit::{Part, RateLimit, RouteLimit, RouteLimits};
use crate::router::PathPattern;

const SHARED: &str = "rateLimits";
const OF_ROUTE: &str = "rateLimit";

/// All limits of a file.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) all: Vec<RateLimit>,
    /// Indices of the shared ones; none of those that are wrong.
    by_name: HashMap<String, Option<usize>>,
}

impl Limits {
    /// Those that the file names.
    pub(super) fn shared(
        document: &Document<'_>,
        root: &Value,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut limits = Self::default();
        let named = root.get(SHARED).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            // A limit whose structure is wrong has its findings already.
            let written = Written::deserialize(value).ok();
            let mut check = LimitCheck {
                document,
                at: vec![Step::Key(SHARED), Step::Key(name)],
                pattern: None,
                findings: &mut *findings,
            };
            if written
                .as_ref()
                .is_some_and(|written| written.name.is_some())
            {
                check.say(
                    &[Step::Key("name")],
                    "a shared limit has its name already; remove this one",
                );
            }
            let index = written
                .and_then(|written| check.limit(written, name))
                .map(|limit| limits.add(limit));
            limits.by_name.insert(name.clone(), index);
        }
        limits
    }

    /// Gives a limit its index.
    fn add(&mut self, limit: RateLimit) -> usize {
        self.all.push(limit);
        self.all.len() - 1
    }
}

impl Check<'_> {
    /// The limits of a route with this path; new ones join `limits`.
    pub(super) fn rate_limits(
        &mut self,
        written: Option<WrittenLimits>,
        path: Option<&PathPattern>,
        limits: &mut Limits,
    ) -> Option<RouteLimits> {
        let key = Step::Key(OF_ROUTE);
        let items: Vec<(Vec<Step<'static>>, RateLimitItem)> = match written? {
            WrittenLimits::Name(name) => vec![(vec![key], RateLimitItem::Name(name))],
            WrittenLimits::Limit(limit) => vec![(vec![key], RateLimitItem::Limit(limit))],
            WrittenLimits::Several(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (vec![key, Step::Index(index)], item))
                .collect(),
        };
        let (mut of_route, mut names) = (Vec::new(), HashSet::new());
        for (number, (at, item)) in items.into_iter().enumerate() {
            let found = match item {
                RateLimitItem::Name(name) => self.shared_limit(&name, &at, path, limits),
                RateLimitItem::Limit(limit) => self
                    .limit_of_its_own(*limit, number, &at, path)
                    .map(|limit| limits.add(limit)),
            };
            let Some(index) = found else { continue };
            let name = &limits.all[index].name;
            if !names.insert(name.clone()) {
                self.say(
                    &at,
                    &format!(
                        "the limit \"{name}\" stands here twice; give one of them another \"name\""
                    ),
                );
            }
            of_route.push(RouteLimit {
                limit: index,
                parameters: limits.all[index]
                    .parameters()
                    .filter_map(|name| path?.parameter(name))
                    .collect(),
            });
        }
        let enforced = of_route
            .iter()
            .map(|of_route| &limits.all[of_route.limit])
            .filter(|limit| !limit.shadow);
        let items: Vec<String> = enforced.map(RateLimit::policy_item).collect();
        let policy_field = (!items.is_empty())
            .then(|| HeaderValue::from_str(&items.join(", ")).ok())
            .flatten();
        Some(RouteLimits {
            limits: of_route.into(),
            policy_field,
        })
    }

    /// The index of the limit that a route calls by its name.
    fn shared_limit(
        &mut self,
        name: &str,
        at: &[Step<'_>],
        path: Option<&PathPattern>,
        limits: &Limits,
    ) -> Option<usize> {
        let Some(&index) = limits.by_name.get(name) else {
            let known = limits.by_name.keys().map(String::as_str).collect();
            self.say(at, &unknown(name, known));
            return None;
        };
        let parameters = limits.all[index?].parameters();
        let missing = |path: &PathPattern| {
            parameters
                .filter(|parameter| path.parameter(parameter).is_none())
                .map(|parameter| {
                    format!(
                        "the limit \"{name}\" counts by \"param:{parameter}\", and {}",
                        no_parameter(parameter, path)
                    )
                })
                .collect::<Vec<_>>()
        };
        for message in path.map(missing).unwrap_or_default() {
            self.say(at, &message);
        }
        index
    }

    fn limit_of_its_own(
        &mut self,
        limit: Written,
        number: usize,
        at: &[Step<'_>],
        path: Option<&PathPattern>,
    ) -> Option<RateLimit> {
        let name = limit.name.clone().unwrap_or_else(|| match number {
            0 => "default".to_owned(),
            _ => format!("default-{}", number + 1),
        });
        let mut place = vec![Step::Key("routes"), Step::Index(self.index)];
        place.extend_from_slice(at);
        let mut check = LimitCheck {
            document: self.document,
            at: place,
            pattern: path,
            findings: &mut *self.findings,
        };
        check.limit(limit, &name)
    }
}

fn unknown(name: &str, mut known: Vec<&str>) -> String {
    known.sort_unstable();
    if known.is_empty() {
        format!("there is no limit \"{name}\": \"{SHARED}\" names none")
    } else {
        format!(
            "there is no limit \"{name}\" in \"{SHARED}\"; there are {}",
            known.join(", ")
        )
    }
}

/// That a path has no such parameter, and which it has.
fn no_parameter(name: &str, path: &PathPattern) -> String {
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

/// Checks one limit.
struct LimitCheck<'a> {
    document: &'a Document<'a>,
    at: Vec<Step<'a>>,
    /// Of the limit's route. A shared limit has many; they are held against it one by one.
    pattern: Option<&'a PathPattern>,
    findings: &'a mut Vec<Finding>,
}

impl LimitCheck<'_> {
    fn say(&mut self, path: &[Step<'_>], message: &str) {
        let whole: Vec<Step<'_>> = self.at.iter().chain(path).copied().collect();
        let offset = self.document.offset(&whole);
        self.findings.push(self.document.finding(offset, message));
    }

    fn limit(&mut self, written: Written, name: &str) -> Option<RateLimit> {
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
        let exempt = self.networks(&written.exempt);
        let policy = policy.filter(|_| self.findings.len() == before)?;
        Some(RateLimit {
            name: name.into(),
            policy,
            by,
            cost: written.cost,
            exempt,
            shadow: written.shadow,
        })
    }

    fn policy(&mut self, written: &Written) -> Option<Policy> {
        let window = match &written.window {
            Period::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            Period::Text(text) => duration::parse(text),
        };
        let Some(window) = window else {
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
            "\"{item}\" must be \"ip\", \"header:\" and a field's name, \"param:\" and the name of a path parameter, \
             or \"all\" by itself"
        ))
    }

    fn networks(&mut self, exempt: &[String]) -> Box<[ipnet::IpNet]> {
        let mut networks = Vec::new();
        for (index, text) in exempt.iter().enumerate() {
            match network(text) {
                Ok(network) => networks.push(network),
                Err(message) => self.say(&[Step::Key("exempt"), Step::Index(index)], &message),
            }
        }
        networks.into()
    }
}
