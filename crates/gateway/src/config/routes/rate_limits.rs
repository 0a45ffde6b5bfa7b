//! What a routes file says of rate limits: shared ones by name, and those of single routes.

use std::collections::{HashMap, HashSet};

use http::HeaderValue;
use load_balancer::identity;
use serde::Deserialize;
use serde_json::Value;

use super::check::Check;
use super::limit::{LimitCheck, Redis, no_parameter};
use super::written::{RateLimit as Written, RateLimitItem, RateLimits as WrittenLimits};
use crate::config::Finding;
use crate::config::document::{Document, Step};
use crate::middleware::rate_limit::{
    Owner, RateLimit, RouteLimit, RouteLimits, StagedLimits, counter_name,
};
use crate::router::PathPattern;

const SHARED: &str = "rateLimits";
const OF_ROUTE: &str = "rateLimit";

/// All limits of a file.
pub(super) struct Limits {
    pub(super) all: Vec<RateLimit>,
    /// Indices of the shared ones; none of those that are wrong.
    by_name: HashMap<String, Option<usize>>,
    redis: Redis,
}

impl Limits {
    /// Those that the file names.
    pub(super) fn shared(
        document: &Document<'_>,
        root: &Value,
        redis: Redis,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut limits = Self {
            all: Vec::new(),
            by_name: HashMap::new(),
            redis,
        };
        let named = root.get(SHARED).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            // A limit whose structure is wrong has its findings already.
            let written = Written::deserialize(value).ok();
            let mut check = LimitCheck {
                document,
                at: vec![Step::Key(SHARED), Step::Key(name)],
                pattern: None,
                redis,
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
                .map(|mut limit| {
                    name_counter(&mut limit, Owner::File);
                    limits.add(limit)
                });
            limits.by_name.insert(name.clone(), index);
        }
        limits
    }

    /// Gives the limits that a route has of its own their identity, and a name in Redis, now that the route has one.
    pub(super) fn name_counters(&mut self, route: &str, limits: &StagedLimits) {
        let stages = [&limits.on_arrival, &limits.once_known];
        for of_route in stages.into_iter().flatten().flat_map(|stage| &stage.limits) {
            name_counter(&mut self.all[of_route.limit], Owner::Route(route));
        }
    }

    /// Gives a limit its index.
    fn add(&mut self, limit: RateLimit) -> usize {
        self.all.push(limit);
        self.all.len() - 1
    }

    /// Those of a route that are counted together; none where there is none.
    fn stage(&self, limits: Vec<RouteLimit>) -> Option<RouteLimits> {
        let all = || limits.iter().map(|of_route| &self.all[of_route.limit]);
        let enforced = all().filter(|limit| !limit.shadow);
        let items: Vec<String> = enforced.map(RateLimit::policy_item).collect();
        let policy_field = (!items.is_empty())
            .then(|| HeaderValue::from_str(&items.join(", ")).ok())
            .flatten();
        let need_redis = all().any(|limit| limit.shared.is_some());
        (!limits.is_empty()).then(|| RouteLimits {
            need_redis,
            policy_field,
            limits: limits.into(),
        })
    }
}

impl Check<'_> {
    /// The limits of a route with this path; new ones join `limits`.
    pub(super) fn rate_limits(
        &mut self,
        written: Option<WrittenLimits>,
        path: Option<&PathPattern>,
        limits: &mut Limits,
    ) -> StagedLimits {
        let key = Step::Key(OF_ROUTE);
        let Some(written) = written else {
            return StagedLimits::default();
        };
        let items: Vec<(Vec<Step<'static>>, RateLimitItem)> = match written {
            WrittenLimits::Name(name) => vec![(vec![key], RateLimitItem::Name(name))],
            WrittenLimits::Limit(limit) => vec![(vec![key], RateLimitItem::Limit(limit))],
            WrittenLimits::Several(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (vec![key, Step::Index(index)], item))
                .collect(),
        };
        if items.is_empty() {
            self.say(&[key], "must not be empty");
        }
        let (mut of_route, mut names) = (Vec::new(), HashSet::new());
        for (number, (at, item)) in items.into_iter().enumerate() {
            let found = match item {
                RateLimitItem::Name(name) => self.shared_limit(&name, &at, path, limits),
                RateLimitItem::Limit(limit) => {
                    let name = limit.name.clone().unwrap_or_else(|| default_name(number));
                    let mut check = self.own_limit(&at, path, limits.redis);
                    check.limit(*limit, &name).map(|limit| limits.add(limit))
                }
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
        let needs_identity = |of_route: &RouteLimit| limits.all[of_route.limit].needs_identity();
        let (once_known, on_arrival) = of_route.into_iter().partition(needs_identity);
        StagedLimits {
            on_arrival: limits.stage(on_arrival),
            once_known: limits.stage(once_known),
        }
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

    /// Checks a limit of the route's own, which stands at `at`.
    fn own_limit<'a>(
        &'a mut self,
        at: &[Step<'a>],
        path: Option<&'a PathPattern>,
        redis: Redis,
    ) -> LimitCheck<'a> {
        let mut place = vec![Step::Key("routes"), Step::Index(self.index)];
        place.extend_from_slice(at);
        LimitCheck {
            document: self.document,
            at: place,
            pattern: path,
            redis,
            findings: &mut *self.findings,
        }
    }
}

/// What a limit is called that has been given no name, by its place among those of its route.
fn default_name(number: usize) -> String {
    match number {
        0 => "default".to_owned(),
        _ => format!("default-{}", number + 1),
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

/// Gives a limit its identity, and its name in Redis where it is to have one, if it has none.
fn name_counter(limit: &mut RateLimit, owner: Owner<'_>) {
    if limit.identity != 0 {
        return;
    }
    let name = counter_name(owner, &limit.name, &limit.policy);
    let by = limit
        .by
        .iter()
        .fold(String::new(), |by, part| format!("{by}\n{part}"));
    limit.identity = identity(&format!("{name}{by}")).max(1);
    if let Some(shared) = &mut limit.shared {
        shared.name = name;
    }
}
