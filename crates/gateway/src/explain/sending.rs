//! What lies behind the chain: the cache, the breaker, the endpoint, and what is sent there.

use std::sync::Arc;

use http::header::EXPECT;
use serde_json::{Value, json};
use wire::server::Client;

use super::Walk;
use crate::caching;
use crate::config::{Fallback, Route};
use crate::proxy::{Beside, Routed, asks_for_websocket, head_for};
use crate::upstream::{MemberStatus, Upstream, UpstreamStatus};

impl Walk<'_> {
    /// Says what is done with a request that is let pass; what its backend gets, by lines.
    pub(super) fn send(&mut self, route: &Route, upstream: &Arc<Upstream>) -> Vec<String> {
        let identity = self.identity.clone();
        let client = Client::default();
        let routed = Routed {
            head: self.head,
            path: self.path,
            route,
            upstream,
            identity: identity.as_deref(),
            side: self.side,
            client: &client,
            address: self.address,
            started: self.now,
            admitted: self.now,
        };
        self.cache(route, &routed);
        let status = upstream.status(self.now);
        self.breaker(&status);
        let member = self.endpoint(upstream, &status);
        self.forwarding(route);

        let target = member.and_then(|member| {
            let endpoints = upstream.endpoints().iter();
            let mut targets = endpoints.map(|endpoint| &endpoint.target);
            targets.find(|target| target.to_string() == member.target)
        });
        let Some(target) = target.or_else(|| Some(&upstream.endpoints().first()?.target)) else {
            return Vec::new();
        };
        let beside = Beside {
            length: Some(0),
            upgrades: asks_for_websocket(&self.head.headers),
            expects_continue: self.head.headers.contains_key(EXPECT),
        };
        let head = head_for(&routed, target, beside);
        let text = String::from_utf8_lossy(&head);
        text.lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn cache(&mut self, route: &Route, routed: &Routed<'_>) {
        let Some(rules) = &route.cache else {
            self.say("cache", "not cached", &[]);
            return;
        };
        let explained = caching::explain(rules, routed, route, self.gateway.cache);
        let says = if self.gateway.is_running {
            explained.outcome
        } else {
            "may be cached".to_owned()
        };
        let settings = [
            ("url", json!(explained.url)),
            ("key", json!(explained.key)),
            ("byConsumer", json!(explained.isolated)),
        ];
        self.say("cache", says, &settings);
    }

    fn breaker(&mut self, status: &UpstreamStatus) {
        let of_members = status.members.iter().any(|member| member.breaker.is_some());
        let says = match (status.breaker, of_members) {
            (Some(state), _) if self.gateway.is_running => state,
            (Some(_), _) => "one for the upstream",
            (None, true) => "one for each endpoint",
            (None, false) => return,
        };
        self.say("breaker", says, &[]);
    }

    /// The member that the request goes to, where that is certain.
    fn endpoint<'a>(
        &mut self,
        upstream: &Upstream,
        status: &'a UpstreamStatus,
    ) -> Option<&'a MemberStatus> {
        let certain = upstream.certain_member(&self.subject());
        let member = certain.and_then(|id| status.members.iter().find(|it| it.id == id));
        let says = match member {
            Some(member) => format!("goes to {}", member.address),
            None if status.members.is_empty() && self.gateway.is_running => {
                "its name leads nowhere".to_owned()
            }
            None if status.members.is_empty() => "its name has not been looked up".to_owned(),
            None => "goes to one of them".to_owned(),
        };
        let members = match self.gateway.is_running {
            true => serde_json::to_value(&status.members).unwrap_or_default(),
            false => {
                let targets = upstream.endpoints().iter();
                let targets = targets.map(|endpoint| endpoint.target.to_string());
                json!(targets.collect::<Vec<_>>())
            }
        };
        let settings = [
            ("upstream", json!(status.name)),
            ("policy", json!(upstream.policy())),
            ("endpoints", members),
        ];
        self.say("upstream", says, &settings);
        member
    }

    fn forwarding(&mut self, route: &Route) {
        let retry = route.retry.as_ref().map(|retry| json!(retry.attempts));
        let hedge = route.hedge.is_some().then_some(Value::Bool(true));
        let fallback = route.fallback.as_ref().map(|fallback| match fallback {
            Fallback::Upstream(upstream) => json!(upstream.name),
            Fallback::Answer(answer) => json!(answer.status.as_u16()),
            Fallback::Stale => json!("stale"),
        });
        let mirror = route.mirror.as_ref().map(|mirror| json!(mirror.share));
        let settings = [
            ("timeout", json!(route.timeout.as_secs_f64())),
            ("retries", retry.unwrap_or_default()),
            ("hedge", hedge.unwrap_or_default()),
            ("fallback", fallback.unwrap_or_default()),
            ("mirror", mirror.unwrap_or_default()),
            (
                "stripPrefix",
                match &*route.strip_prefix {
                    "" => Value::Null,
                    prefix => json!(prefix),
                },
            ),
            ("compress", json!(route.compression.is_some())),
        ];
        self.say("forward", "is sent as below", &settings);
    }
}
