//! Whether one route makes sense in itself, and what it means.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::adaptive::Priority;
use http::{HeaderName, Method};

use super::auth::{CheckedAccess, Issuers};
use super::rate_limits::Limits;
use super::upstreams::{CheckedFallback, CheckedSplit, GuardSpec, UpstreamSpec, Upstreams};
use super::written::{
    IpRules as WrittenRules, Matcher, Route as Written, Shadow, Size, WrittenTarget,
};
use crate::auth::Service;
use crate::caching::RouteCache;
use crate::config::document::{Document, Step};
use crate::config::network::networks;
use crate::config::{Finding, Policy, Settings, Shadowed, size};
use crate::middleware::compression::Compression;
use crate::middleware::cors::Cors;
use crate::middleware::ip_rules::IpRules;
use crate::middleware::rate_limit::StagedLimits;
use crate::proxy::{Hedge, Retry};
use crate::router::{
    HeaderMatch, HostPattern, PathPattern, QueryMatch, RouteMatch, ValueMatch, path,
};
use crate::upstream::{Endpoint, Target};

/// A route that is right in itself.
pub(super) struct Checked {
    /// Its place in the file, from 0.
    pub(super) index: usize,
    pub(super) name: Option<String>,
    pub(super) matched: RouteMatch,
    pub(super) destination: Option<CheckedDestination>,
    pub(super) retry: Option<Retry>,
    pub(super) hedge: Option<Hedge>,
    pub(super) guard: Option<GuardSpec>,
    pub(super) fallback: Option<CheckedFallback>,
    /// An upstream's name, and the share of the requests.
    pub(super) mirror: Option<(String, f64)>,
    pub(super) priority: Priority,
    pub(super) strip_prefix: Box<str>,
    pub(super) preserve_host: bool,
    pub(super) service: Option<Service>,
    pub(super) access: CheckedAccess,
    pub(super) ip: Option<IpRules>,
    pub(super) cache: Option<RouteCache>,
    pub(super) cors: Option<Arc<Cors>>,
    pub(super) rate_limits: StagedLimits,
    pub(super) max_body_size: u64,
    pub(super) timeout: Duration,
    pub(super) security_headers: bool,
    pub(super) compression: Option<Compression>,
    pub(super) shadowed: Shadowed,
}

/// Where a route's requests go.
pub(super) enum CheckedDestination {
    /// To an upstream of the file, by its name.
    Named(String),
    /// To several of them.
    Split(CheckedSplit),
    /// To one of its own.
    Own(Box<UpstreamSpec>),
}

/// What all routes of a file may refer to.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) limits: Limits,
    /// Bytes of the cache that are set aside for routes.
    pub(super) cache_shares: Vec<u64>,
    pub(super) issuers: &'a Issuers,
    pub(super) upstreams: &'a Upstreams,
}

/// Checks one route.
pub(super) struct Check<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) index: usize,
    pub(super) findings: &'a mut Vec<Finding>,
    pub(super) warnings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    pub(super) fn say(&mut self, path: &[Step<'_>], message: &str) {
        self.findings.push(self.about(path, message));
    }

    pub(super) fn warn(&mut self, path: &[Step<'_>], message: &str) {
        self.warnings.push(self.about(path, message));
    }

    fn about(&self, path: &[Step<'_>], message: &str) -> Finding {
        let whole = [&[Step::Key("routes"), Step::Index(self.index)], path].concat();
        self.document.about(&whole, message)
    }

    pub(super) fn route(
        &mut self,
        mut written: Written,
        shared: &mut Shared<'_>,
    ) -> Option<Checked> {
        let before = self.findings.len();
        let settings = shared.settings;
        let service = self.service(&written, shared);
        let path = PathPattern::parse(&written.path)
            .map_err(|error| self.say(&[Step::Key("path")], &error.to_string()));
        let hosts = self.hosts(written.hosts.as_deref().unwrap_or_default());
        let methods = match service {
            Some(service) => service.methods().into(),
            None => self.methods(written.methods.as_deref().unwrap_or_default()),
        };
        let headers = self.headers(&written);
        let query = self.query(&written);
        let destination = self.destination(&written, shared);
        let retry = written.retry.as_ref().map(|retry| self.retry(retry));
        let hedge = written.hedge.as_ref().map(|hedge| self.hedge(hedge));
        let guard = written.breaker.as_ref().map(|breaker| self.guard(breaker));
        let fallback = written
            .fallback
            .as_ref()
            .and_then(|fallback| self.fallback(fallback, shared.upstreams, written.is_cached()));
        let mirror = written.mirror.take().map(|mirror| {
            if let Err(message) = shared.upstreams.named(&mirror.upstream) {
                self.say(&[Step::Key("mirror"), Step::Key("upstream")], &message);
            }
            (mirror.upstream, mirror.percent.unwrap_or(100.0) / 100.0)
        });
        let priority = self.priority(written.priority.as_deref());
        let strip_prefix = self.strip_prefix(&written, path.as_ref().ok());
        let shadowed = self.shadowed(written.shadow.as_ref());
        let cors = self.cors(written.cors.as_ref(), shadowed, settings);
        let rate_limits = self.rate_limits(
            written.rate_limit.take(),
            path.as_ref().ok(),
            &mut shared.limits,
        );
        let ip = written.ip.as_ref().map(|rules| self.ip_rules(rules));
        let access = self.access(
            written.require_auth,
            written.auth.take(),
            &written.forward_claims,
            shared.issuers,
        );
        if access.access.is_none() && rate_limits.once_known.is_some() {
            self.say(
                &[Step::Key("rateLimit")],
                "\"consumer\", \"apiKey\" and \"claim:\" tell apart clients that are known, which needs \"requireAuth\": true",
            );
        }
        let max_body_size = self.max_body_size(&written, settings);
        if let Some(Shadow::Some(names)) = &written.shadow {
            let is_there = |name: &str| match name {
                "ip" => ip.is_some(),
                "auth" => access.access.is_some(),
                "rateLimit" => rate_limits.on_arrival.is_some() || rate_limits.once_known.is_some(),
                _ => true,
            };
            for (index, name) in names.iter().enumerate().filter(|(_, name)| !is_there(name)) {
                let message = format!("\"{name}\" has no effect: the route has no such policy");
                self.warn(&[Step::Key("shadow"), Step::Index(index)], &message);
            }
        }
        let shares = &mut shared.cache_shares;
        let cache = self.cache(&written, access.access.is_some(), settings, shares);
        let (Ok(path), true) = (path, self.findings.len() == before) else {
            return None;
        };
        Some(Checked {
            index: self.index,
            name: written.name,
            matched: RouteMatch {
                hosts,
                path,
                methods,
                headers,
                query,
            },
            destination,
            retry,
            hedge,
            guard,
            fallback,
            mirror,
            priority,
            strip_prefix,
            preserve_host: written.preserve_host,
            service,
            access,
            ip,
            cache,
            cors,
            rate_limits,
            max_body_size,
            timeout: written
                .timeout
                .map_or(settings.timeouts.request, Duration::from_secs_f64),
            security_headers: written
                .security_headers
                .unwrap_or(settings.security_headers),
            compression: written
                .compress
                .unwrap_or(settings.enable_compression)
                .then_some(settings.compression),
            shadowed,
        })
    }

    fn priority(&mut self, written: Option<&str>) -> Priority {
        match written {
            None | Some("normal") => Priority::Normal,
            Some("low") => Priority::Low,
            Some("high") => Priority::High,
            Some("critical") => Priority::Critical,
            Some(other) => {
                let message =
                    format!("\"{other}\" must be \"low\", \"normal\", \"high\" or \"critical\"");
                self.say(&[Step::Key("priority")], &message);
                Priority::Normal
            }
        }
    }

    fn shadowed(&mut self, written: Option<&Shadow>) -> Shadowed {
        const POLICIES: [(&str, Policy); 5] = [
            ("ip", Policy::Address),
            ("cors", Policy::Cors),
            ("rateLimit", Policy::RateLimit),
            ("maxBodySize", Policy::Size),
            ("auth", Policy::Auth),
        ];
        let mut shadowed = Shadowed::default();
        match written {
            None | Some(Shadow::Switch(false)) => {}
            Some(Shadow::Switch(true)) => {
                for (_, policy) in POLICIES {
                    shadowed = shadowed.with(policy);
                }
            }
            Some(Shadow::Some(names)) => {
                for (index, name) in names.iter().enumerate() {
                    match POLICIES.iter().find(|(known, _)| known == name) {
                        Some((_, policy)) => shadowed = shadowed.with(*policy),
                        None => {
                            let known = POLICIES.map(|(name, _)| name).join(", ");
                            let message =
                                format!("\"{name}\" cannot be tried out; there are {known}");
                            self.say(&[Step::Key("shadow"), Step::Index(index)], &message);
                        }
                    }
                }
            }
        }
        shadowed
    }

    fn ip_rules(&mut self, written: &WrittenRules) -> IpRules {
        let mut of = |key, texts: &[String]| {
            networks(texts, |index, message| {
                let at = [Step::Key("ip"), Step::Key(key), Step::Index(index)];
                self.say(&at, message);
            })
        };
        IpRules {
            allow: of("allow", written.allow.as_deref().unwrap_or_default()),
            deny: of("deny", &written.deny),
        }
    }

    fn hosts(&mut self, hosts: &[String]) -> Box<[HostPattern]> {
        let parsed = hosts.iter().enumerate().filter_map(|(index, host)| {
            HostPattern::parse(host)
                .map_err(|error| {
                    self.say(
                        &[Step::Key("hosts"), Step::Index(index)],
                        &error.to_string(),
                    )
                })
                .ok()
        });
        parsed.collect()
    }

    fn methods(&mut self, methods: &[String]) -> Box<[Method]> {
        let mut parsed: Vec<Method> = Vec::new();
        for (index, text) in methods.iter().enumerate() {
            let at = [Step::Key("methods"), Step::Index(index)];
            let upper = text.to_ascii_uppercase();
            match Method::from_bytes(text.as_bytes()) {
                Ok(_) if upper != *text => self.say(
                    &at,
                    &format!("methods are in capitals; did you mean \"{upper}\"?"),
                ),
                Ok(method) if parsed.contains(&method) => {
                    self.say(&at, &format!("\"{text}\" stands here twice"))
                }
                Ok(method) => parsed.push(method),
                Err(_) => self.say(&at, &format!("\"{text}\" is not a method")),
            }
        }
        parsed.into()
    }

    fn headers(&mut self, written: &Written) -> Box<[HeaderMatch]> {
        let mut matches = Vec::new();
        for (name, matcher) in &written.headers {
            let at = [Step::Key("headers"), Step::Key(name)];
            let value = self.matcher(&at, matcher);
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => matches.extend(value.map(|value| HeaderMatch { name, value })),
                Err(_) => self.say(
                    &at,
                    &format!("\"{name}\" is not the name of a header field"),
                ),
            }
        }
        matches.into()
    }

    fn query(&mut self, written: &Written) -> Box<[QueryMatch]> {
        let mut matches = Vec::new();
        for (name, matcher) in &written.query {
            let value = self.matcher(&[Step::Key("query"), Step::Key(name)], matcher);
            matches.extend(value.map(|value| QueryMatch {
                name: name.as_str().into(),
                value,
            }));
        }
        matches.into()
    }

    fn matcher(&mut self, at: &[Step<'_>], matcher: &Matcher) -> Option<ValueMatch> {
        match matcher {
            Matcher::Exact(value) => Some(ValueMatch::Exact(value.as_str().into())),
            Matcher::Present(true) => Some(ValueMatch::Present),
            Matcher::Present(false) => {
                self.say(at, "expected a string, or true for any value");
                None
            }
        }
    }

    fn destination(
        &mut self,
        written: &Written,
        shared: &Shared<'_>,
    ) -> Option<CheckedDestination> {
        let is_there = |key| match key {
            "split" => written.split.is_some(),
            "upstream" => written.upstream.is_some(),
            "targetURL" => written.target_url.is_some(),
            _ => written.targets.is_some(),
        };
        for (key, other) in [
            ("upstream", "targetURL"),
            ("upstream", "targets"),
            ("split", "targetURL"),
            ("split", "targets"),
            ("split", "upstream"),
        ] {
            if is_there(key) && is_there(other) {
                let message =
                    format!("\"{key}\" and \"{other}\" stand together; use one of the two");
                self.say(&[Step::Key(other)], &message);
            }
        }
        if let Some(split) = &written.split {
            return Some(CheckedDestination::Split(
                self.split(split, shared.upstreams),
            ));
        }
        let Some(name) = &written.upstream else {
            let targets = self.targets(written, shared.settings);
            let endpoints = targets
                .into_iter()
                .map(|(target, weight)| Endpoint::new(target, weight));
            let mut spec = UpstreamSpec::of(endpoints.collect());
            if spec.has_tls() {
                let key = written.targets.as_ref().map_or("targetURL", |_| "targets");
                match shared.upstreams.usual_tls() {
                    Ok(tls) => spec.tls = Some(tls),
                    Err(error) => self.say(&[Step::Key(key)], &error.to_string()),
                }
            }
            return Some(CheckedDestination::Own(Box::new(spec)));
        };
        match shared.upstreams.named(name) {
            Ok(Some(_)) => Some(CheckedDestination::Named(name.clone())),
            Ok(None) => None,
            Err(message) => {
                self.say(&[Step::Key("upstream")], &message);
                None
            }
        }
    }

    fn targets(&mut self, written: &Written, settings: &Settings) -> Vec<(Target, u32)> {
        if written.target_url.is_some() && written.targets.is_some() {
            self.say(
                &[Step::Key("targets")],
                "\"targetURL\" and \"targets\" stand together; use one of the two",
            );
        }
        if let Some(url) = &written.target_url {
            return self
                .target(&[Step::Key("targetURL")], url)
                .map(|target| (target, 1))
                .into_iter()
                .collect();
        }
        let Some(written) = &written.targets else {
            return settings
                .backends
                .iter()
                .map(|target| (target.clone(), 1))
                .collect();
        };
        if !written.is_empty() && written.iter().all(|target| target.weight() == 0) {
            self.say(
                &[Step::Key("targets")],
                "at least one weight must be greater than 0",
            );
        }
        let parsed = written.iter().enumerate().filter_map(|(index, target)| {
            let mut at = vec![Step::Key("targets"), Step::Index(index)];
            if matches!(target, WrittenTarget::Weighted(_)) {
                at.push(Step::Key("url"));
            }
            self.target(&at, target.url())
                .map(|url| (url, target.weight()))
        });
        parsed.collect()
    }

    fn target(&mut self, at: &[Step<'_>], url: &str) -> Option<Target> {
        Target::parse(url)
            .map_err(|error| self.say(at, &format!("\"{url}\" {error}")))
            .ok()
    }

    fn max_body_size(&mut self, written: &Written, settings: &Settings) -> u64 {
        match &written.max_body_size {
            None => settings.limits.max_request_body_size,
            Some(Size::Bytes(bytes)) => *bytes,
            Some(Size::Text(text)) => size::body_size(text).unwrap_or_else(|allowed| {
                self.say(
                    &[Step::Key("maxBodySize")],
                    &format!("\"{text}\" {allowed}"),
                );
                0
            }),
        }
    }

    fn strip_prefix(&mut self, written: &Written, path: Option<&PathPattern>) -> Box<str> {
        let at = [Step::Key("stripPrefix")];
        let Some(prefix) = written
            .strip_prefix
            .as_deref()
            .filter(|prefix| !prefix.is_empty())
        else {
            return "".into();
        };
        let normal = match path::normalise(prefix) {
            Ok(normal) => path::names(normal.trim_end_matches('/')),
            Err(error) => {
                self.say(
                    &at,
                    &format!("\"{prefix}\" cannot be the start of a path: {error}"),
                );
                return "".into();
            }
        };
        if let Some(literal) = path.map(PathPattern::literal_prefix) {
            let fits = literal
                .strip_prefix(&*normal)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !fits {
                let shown = if literal.is_empty() {
                    "empty".to_owned()
                } else {
                    format!("\"{literal}\"")
                };
                self.say(&at, &format!("\"{prefix}\" is not a start of the literal part of \"path\", which is {shown}"));
            }
        }
        normal.into()
    }
}
