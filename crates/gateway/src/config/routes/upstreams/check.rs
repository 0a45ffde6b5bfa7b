//! Whether an upstream makes sense in itself, and what it means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::adaptive::{self, AdaptiveLimit};
use load_balancer::health::Thresholds;
use load_balancer::{HashTable, Locality, Policy, Settings as Balancing, SlowStart, outlier};
use serde::Deserialize;
use serde_json::Value;

use super::spec::{TlsSpec, UpstreamSpec, default_outliers};
use super::tls::UsualTls;
use super::written::{
    Adaptive, Balance, Endpoint as WrittenEndpoint, HashBalance, HealthCheck as WrittenHealth,
    OutlierRules, Outliers, Upstream as Written,
};
use crate::config::document::{Document, Step};
use crate::config::routes::written::Period;
use crate::config::{Finding, Settings};
use crate::router::path;
use crate::tls::TlsError;
use crate::upstream::{Check, Endpoint, HashKey, HealthCheck, Sticky, Target};

const KEY: &str = "upstreams";
/// As in Envoy Gateway.
const HEALTH_INTERVAL: Duration = Duration::from_secs(3);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// The usual size of a Maglev table.
const MAGLEV: HashTable = HashTable::Maglev { size: 65_537 };
const RING: HashTable = HashTable::Ring { min_size: 1024 };
const POLICIES: [(&str, Policy); 5] = [
    ("roundRobin", Policy::RoundRobin),
    ("random", Policy::Random),
    ("leastConnections", Policy::LeastConnections),
    ("twoChoices", Policy::TwoChoices),
    ("peakEwma", Policy::PeakEwma),
];

/// All upstreams of a file, by name.
#[derive(Debug, Default)]
pub(in crate::config::routes) struct Upstreams {
    /// None of those that are wrong.
    by_name: BTreeMap<String, Option<UpstreamSpec>>,
    usual_tls: UsualTls,
}

impl Upstreams {
    pub(in crate::config::routes) fn new(
        document: &Document<'_>,
        root: &Value,
        settings: &Settings,
        findings: &mut Vec<Finding>,
        warnings: &mut Vec<Finding>,
    ) -> Self {
        let mut upstreams = Self::default();
        let named = root.get(KEY).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            let mut check = UpstreamCheck {
                document,
                name,
                findings: &mut *findings,
                warnings: &mut *warnings,
            };
            // An upstream whose structure is wrong has its findings already.
            let spec = Written::deserialize(value)
                .ok()
                .and_then(|written| check.upstream(&written, &upstreams.usual_tls, settings));
            upstreams.by_name.insert(name.clone(), spec);
        }
        upstreams
    }

    /// All of them, with their names.
    pub(in crate::config::routes) fn into_specs(
        self,
    ) -> impl Iterator<Item = (String, UpstreamSpec)> {
        let named = self.by_name.into_iter();
        named.filter_map(|(name, spec)| Some((name, spec?)))
    }

    /// How connections of a route's own targets are encrypted: as is usual.
    ///
    /// # Errors
    /// When the system has no authorities.
    pub(in crate::config::routes) fn usual_tls(&self) -> Result<TlsSpec, TlsError> {
        self.usual_tls.get()
    }

    /// The upstream of that name; none of one that is wrong.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::config::routes) fn named(
        &self,
        name: &str,
    ) -> Result<Option<&UpstreamSpec>, String> {
        if let Some(upstream) = self.by_name.get(name) {
            return Ok(upstream.as_ref());
        }
        let known: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        Err(if known.is_empty() {
            format!("there is no upstream \"{name}\": \"{KEY}\" names none")
        } else {
            format!(
                "there is no upstream \"{name}\" in \"{KEY}\"; there are {}",
                known.join(", ")
            )
        })
    }
}

/// Checks one upstream.
pub(super) struct UpstreamCheck<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    findings: &'a mut Vec<Finding>,
    warnings: &'a mut Vec<Finding>,
}

impl UpstreamCheck<'_> {
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// How many there are.
    pub(super) fn findings(&self) -> usize {
        self.findings.len()
    }

    /// Warns of what is possible, and rarely meant.
    pub(super) fn warn(&mut self, path: &[Step<'_>], message: &str) {
        let whole = [&[Step::Key(KEY), Step::Key(self.name)], path].concat();
        self.warnings.push(self.document.about(&whole, message));
    }

    pub(super) fn say(&mut self, path: &[Step<'_>], message: &str) {
        let whole = [&[Step::Key(KEY), Step::Key(self.name)], path].concat();
        self.findings.push(self.document.about(&whole, message));
    }

    /// As [`time`].
    pub(super) fn time(
        &mut self,
        at: &[Step<'_>],
        written: Option<&Period>,
        usual: Duration,
    ) -> Duration {
        time(&mut |at, message| self.say(at, message), at, written, usual)
    }

    fn upstream(
        &mut self,
        written: &Written,
        usual_tls: &UsualTls,
        settings: &Settings,
    ) -> Option<UpstreamSpec> {
        let before = self.findings.len();
        let endpoints = self.endpoints(&written.endpoints);
        let (policy, hash_key) = self.balance(written.balance.as_ref());
        let slow_start = written.slow_start.as_ref().map(|window| {
            let at = [Step::Key("slowStart")];
            SlowStart::over(self.time(&at, Some(window), Duration::from_secs(30)))
        });
        let mut spec = UpstreamSpec {
            endpoints,
            balance: Balancing {
                policy,
                slow_start,
                panic_threshold: written.panic_threshold.unwrap_or(50),
                locality: settings.locality.clone(),
                ..Balancing::default()
            },
            hash_key,
            sticky: written.sticky.as_ref().map(|sticky| {
                let at = [Step::Key("sticky"), Step::Key("ttl")];
                let ttl = sticky.ttl.as_ref();
                let ttl = ttl.map(|ttl| self.time(&at, Some(ttl), Duration::from_secs(1)));
                Sticky::new(&sticky.cookie, ttl)
            }),
            outliers: self.outliers(written.outliers.as_ref()),
            health: written.health.as_ref().map(|health| self.health(health)),
            guard: written.breaker.as_ref().map(|breaker| self.guard(breaker)),
            pool: written.pool.as_ref().map(|pool| self.pool(pool, settings)),
            tls: None,
            max_requests: written.max_requests,
            adaptive: written
                .adaptive
                .as_ref()
                .and_then(|adaptive| self.adaptive(adaptive)),
        };
        spec.tls = self.tls(written.tls.as_ref(), &spec, usual_tls, settings);
        (self.findings.len() == before).then_some(spec)
    }

    fn endpoints(&mut self, written: &[WrittenEndpoint]) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for (index, endpoint) in written.iter().enumerate() {
            let mut at = vec![Step::Key("endpoints"), Step::Index(index)];
            if matches!(endpoint, WrittenEndpoint::Described(_)) {
                at.push(Step::Key("url"));
            }
            let target = match Target::parse(endpoint.url()) {
                Ok(target) => target,
                Err(error) => {
                    self.say(&at, &format!("\"{}\" {error}", endpoint.url()));
                    continue;
                }
            };
            if endpoints.iter().any(|other| *other.target == target) {
                self.say(
                    &at,
                    &format!("\"{target}\" stands here twice; use \"weight\""),
                );
            }
            endpoints.push(match endpoint {
                WrittenEndpoint::Url(_) => Endpoint::new(target, 1),
                WrittenEndpoint::Described(described) => Endpoint {
                    target: Arc::new(target),
                    weight: described.weight,
                    priority: described.priority,
                    locality: Locality {
                        zone: described.zone.as_deref().map(Arc::from),
                        region: described.region.as_deref().map(Arc::from),
                    },
                    counts: Arc::default(),
                },
            });
        }
        if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0) {
            self.say(
                &[Step::Key("endpoints")],
                "at least one weight must be greater than 0",
            );
        }
        endpoints
    }

    fn balance(&mut self, written: Option<&Balance>) -> (Policy, Option<HashKey>) {
        const AT: Step<'static> = Step::Key("balance");
        match written {
            None => (Policy::default(), None),
            Some(Balance::Name(name)) => {
                let known = POLICIES.iter().find(|(known, _)| known == name);
                if known.is_none() {
                    let names = POLICIES.map(|(name, _)| name).join(", ");
                    let message = if name == "consistentHash" {
                        "\"consistentHash\" needs to know by what: {\"policy\": \"consistentHash\", \"by\": \"ip\"}".to_owned()
                    } else {
                        format!("\"{name}\" is not a policy; there are {names}, consistentHash")
                    };
                    self.say(&[AT], &message);
                }
                (known.map_or(Policy::default(), |(_, policy)| *policy), None)
            }
            Some(Balance::Hash(hash)) => self.hash(hash),
        }
    }

    fn hash(&mut self, written: &HashBalance) -> (Policy, Option<HashKey>) {
        let at = |key| [Step::Key("balance"), Step::Key(key)];
        if written.policy != "consistentHash" {
            let message = format!(
                "\"{}\" must be \"consistentHash\" where \"by\" is given; other policies are written by their names alone",
                written.policy
            );
            self.say(&at("policy"), &message);
        }
        let table = match written.table.as_deref() {
            None | Some("maglev") => MAGLEV,
            Some("ring") => RING,
            Some(other) => {
                self.say(
                    &at("table"),
                    &format!("\"{other}\" must be \"maglev\" or \"ring\""),
                );
                MAGLEV
            }
        };
        let key = written
            .by
            .parse()
            .map_err(|error| self.say(&at("by"), &format!("\"{}\" {error}", written.by)));
        let policy = Policy::ConsistentHash {
            table,
            balance_factor: written.bound,
        };
        (policy, key.ok())
    }

    fn outliers(&mut self, written: Option<&Outliers>) -> Option<outlier::Settings> {
        match written {
            None => Some(default_outliers()),
            Some(Outliers::Switch(false)) => None,
            Some(Outliers::Switch(true)) => Some(outlier::Settings::default()),
            Some(Outliers::Rules(rules)) => Some(self.outlier_rules(rules)),
        }
    }

    fn outlier_rules(&mut self, rules: &OutlierRules) -> outlier::Settings {
        let usual = outlier::Settings::default();
        let at = [Step::Key("outliers"), Step::Key("ejectionTime")];
        let base = self.time(&at, rules.ejection_time.as_ref(), usual.base_ejection_time);
        outlier::Settings {
            consecutive_server_errors: rules
                .consecutive_errors
                .unwrap_or(usual.consecutive_server_errors),
            consecutive_gateway_failures: rules
                .consecutive_gateway_errors
                .unwrap_or(usual.consecutive_gateway_failures),
            success_rate: usual
                .success_rate
                .filter(|_| rules.success_rate.unwrap_or(true)),
            base_ejection_time: base,
            max_ejection_time: usual.max_ejection_time.max(base),
            max_ejection_percent: rules.max_ejected.unwrap_or(usual.max_ejection_percent),
            ..usual
        }
    }

    fn adaptive(&mut self, written: &Adaptive) -> Option<adaptive::Policy> {
        let usual = adaptive::Policy::default();
        let policy = match written {
            Adaptive::Switch(false) => return None,
            Adaptive::Switch(true) => usual,
            Adaptive::Rules(rules) => adaptive::Policy {
                min_concurrency: rules.min.unwrap_or(usual.min_concurrency),
                max_limit: rules.max.unwrap_or(usual.max_limit),
                ..usual
            },
        };
        if let Err(error) = AdaptiveLimit::new(&policy, 0) {
            self.say(&[Step::Key("adaptive")], &error.to_string());
        }
        Some(policy)
    }

    fn health(&mut self, written: &WrittenHealth) -> HealthCheck {
        let at = |key| [Step::Key("health"), Step::Key(key)];
        let check = match &written.path {
            None => Check::Tcp,
            Some(text) => match path::normalise(text) {
                Ok(path) => Check::Http((*path).into()),
                Err(error) => {
                    self.say(
                        &at("path"),
                        &format!("\"{text}\" cannot be a path: {error}"),
                    );
                    Check::Tcp
                }
            },
        };
        let usual = Thresholds::default();
        HealthCheck {
            check,
            interval: self.time(&at("interval"), written.interval.as_ref(), HEALTH_INTERVAL),
            timeout: self.time(&at("timeout"), written.timeout.as_ref(), HEALTH_TIMEOUT),
            thresholds: Thresholds {
                healthy: written.healthy.unwrap_or(usual.healthy),
                unhealthy: written.unhealthy.unwrap_or(usual.unhealthy),
            },
        }
    }
}

/// The time that is written, which is more than none; the usual one where there is none.
pub(super) fn time(
    say: &mut dyn FnMut(&[Step<'_>], &str),
    at: &[Step<'_>],
    written: Option<&Period>,
    usual: Duration,
) -> Duration {
    let Some(written) = written else {
        return usual;
    };
    let allowed = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
    let time = written.time().filter(|time| allowed.contains(time));
    time.unwrap_or_else(|| {
        let message =
            "must be a time from 1ms to 24h: seconds such as 0.5, or a text such as \"10s\"";
        say(at, message);
        usual
    })
}
