//! Whether one route makes sense in itself, and what it means.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use load_balancer::WeightedRoundRobin;

use super::document::{Document, Step};
use super::rate_limits::Limits;
use super::written::{Matcher, Route as Written, Size, WrittenTarget};
use crate::config::{Finding, Settings, size};
use crate::middleware::cors::Cors;
use crate::middleware::rate_limit::RouteLimits;
use crate::router::{
    HeaderMatch, HostPattern, PathPattern, QueryMatch, RouteMatch, ValueMatch, path,
};
use crate::upstream::Target;

/// A route that is right in itself.
pub(super) struct Checked {
    /// Its place in the file, from 0.
    pub(super) index: usize,
    pub(super) name: Option<String>,
    pub(super) matched: RouteMatch,
    pub(super) targets: Vec<(Target, u32)>,
    pub(super) strip_prefix: Box<str>,
    pub(super) preserve_host: bool,
    pub(super) require_auth: bool,
    pub(super) cacheable: bool,
    pub(super) cors: Option<Arc<Cors>>,
    pub(super) rate_limits: Option<RouteLimits>,
    pub(super) max_body_size: u64,
    pub(super) timeout: Duration,
}

/// Checks one route.
pub(super) struct Check<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) index: usize,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    /// A finding about the value at `path` inside the route.
    pub(super) fn finding(&self, path: &[Step<'_>], message: &str) -> Finding {
        let mut whole = vec![Step::Key("routes"), Step::Index(self.index)];
        whole.extend_from_slice(path);
        self.document.finding(self.document.offset(&whole), message)
    }

    pub(super) fn say(&mut self, path: &[Step<'_>], message: &str) {
        let finding = self.finding(path, message);
        self.findings.push(finding);
    }

    pub(super) fn route(
        &mut self,
        mut written: Written,
        settings: &Settings,
        limits: &mut Limits,
    ) -> Option<Checked> {
        let before = self.findings.len();
        let path = PathPattern::parse(&written.path)
            .map_err(|error| self.say(&[Step::Key("path")], &error.to_string()));
        let hosts = self.hosts(written.hosts.as_deref().unwrap_or_default());
        let methods = self.methods(written.methods.as_deref().unwrap_or_default());
        let headers = self.headers(&written);
        let query = self.query(&written);
        let targets = self.targets(&written, settings);
        let strip_prefix = self.strip_prefix(&written, path.as_ref().ok());
        let cors = self.cors(written.cors.as_ref(), settings);
        let rate_limits = self.rate_limits(written.rate_limit.take(), limits);
        let max_body_size = self.max_body_size(&written, settings);
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
            targets,
            strip_prefix,
            preserve_host: written.preserve_host,
            require_auth: written.require_auth,
            cacheable: written.cacheable,
            cors,
            rate_limits,
            max_body_size,
            timeout: written
                .timeout
                .map_or(settings.timeouts.request, Duration::from_secs_f64),
        })
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
        let weights: Vec<u32> = written.iter().map(WrittenTarget::weight).collect();
        if let Err(error) = WeightedRoundRobin::new(&weights) {
            self.say(&[Step::Key("targets")], &error.to_string());
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
