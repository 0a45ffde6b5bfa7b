//! The chain: what each step says to a request, in the order in which they are taken.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Response;
use http::header::ORIGIN;
use serde_json::{Value, json};
use tokio::time::timeout;
use wire::Body;

use super::{Walk, told};
use crate::auth::{Access, Asked, Authenticator, Kind};
use crate::config::{Destination, Policy, Route};
use crate::error::Refusal;
use crate::middleware::cors::Cors;
use crate::middleware::rate_limit::{Room, RouteLimits};

/// Credentials whose issuer cannot be asked by then are not judged.
const PATIENCE: Duration = Duration::from_secs(2);

impl Walk<'_> {
    /// Takes the request with this route through the chain; what its backend gets, by lines.
    pub(super) async fn pass(&mut self, index: usize) -> Vec<String> {
        let snapshot = self.gateway.snapshot;
        let route = &snapshot.routes[index];
        self.cors(route);
        self.address(route);
        self.limits(route, route.rate_limits.on_arrival.as_ref());
        self.size(route);
        self.auth(route).await;
        self.limits(route, route.rate_limits.once_known.as_ref());
        match &route.destination {
            Destination::Service(service) => {
                self.say(
                    "service",
                    format!("the gateway answers itself: {}", service.name()),
                    &[],
                );
                Vec::new()
            }
            Destination::Upstream(upstream) => self.send(route, upstream),
            Destination::Split(split) => {
                let Some(upstream) = split.choose(&self.subject()) else {
                    return Vec::new();
                };
                let shares = split.shares.iter();
                let shares = shares
                    .map(|share| (share.upstream.name.to_string(), Value::from(share.weight)));
                let name = &upstream.name;
                let says = match split.is_certain(&self.subject()) {
                    true => format!("goes to {name}"),
                    false => format!("goes to one of them by lot, this time to {name}"),
                };
                let shares = Value::Object(shares.collect());
                self.say("split", says, &[("shares", shares)]);
                self.send(route, upstream)
            }
        }
    }

    /// Says what the gateway answers to a browser's question about CORS, which announces a request of `route`.
    pub(super) fn preflight(
        &mut self,
        route: Option<usize>,
        answer: &Result<Response<Body>, Refusal>,
    ) {
        let route = route.map(|index| &self.gateway.snapshot.routes[index]);
        let settings = [mode(route.and_then(|route| route.cors.as_deref()))];
        match answer {
            Ok(_) => self.say(
                "cors",
                "a preflight: the gateway answers 204 itself",
                &settings,
            ),
            Err(refusal) => {
                self.say("cors", told(refusal), &settings);
                self.refuse("cors", refusal);
            }
        }
    }

    /// Says what pages may do with the answer.
    fn cors(&mut self, route: &Route) {
        let says = match (&route.cors, self.head.headers.get(ORIGIN)) {
            (None, _) => "left to the backend",
            (Some(_), None) => "no page of another origin asks",
            (Some(cors), Some(origin)) if cors.allows(origin) => {
                "pages of this origin may read the answer"
            }
            (Some(_), Some(_)) => "browsers keep the answer from pages of this origin",
        };
        self.say("cors", says, &[mode(route.cors.as_deref())]);
    }

    fn address(&mut self, route: &Route) {
        let Some(rules) = &route.ip else {
            return;
        };
        let networks = |networks: &[ipnet::IpNet]| {
            let networks = networks.iter().map(ToString::to_string);
            Value::from(networks.collect::<Vec<_>>())
        };
        let checked = rules.check(self.address).map_err(Refusal::from);
        let settings = [
            ("allow", networks(&rules.allow)),
            ("deny", networks(&rules.deny)),
        ];
        self.judge(route, Policy::Address, "ip", checked, &settings);
    }

    fn limits(&mut self, route: &Route, limits: Option<&RouteLimits>) {
        let Some(limits) = limits else {
            return;
        };
        let rate_limits = &self.gateway.snapshot.rate_limits;
        let subject = self.subject();
        let outlook = rate_limits.outlook(limits, &subject, self.now);
        let is_running = self.gateway.is_running;
        let said: Vec<_> = outlook
            .iter()
            .map(|(limit, room)| {
                let by: Vec<String> = limit.by.iter().map(ToString::to_string).collect();
                let settings = [
                    ("name", json!(&*limit.name)),
                    ("limit", json!(limit.policy.limit())),
                    ("window", json!(limit.policy.window().as_secs_f64())),
                    ("by", json!(by)),
                    ("cost", json!(limit.cost)),
                ];
                let says = match room {
                    _ if !is_running => "counted when it comes",
                    Room::Left => "there is room",
                    Room::None if limit.shadow => "reached, and only tried out",
                    Room::None => "reached: refused with 429 rate-limited",
                    Room::Elsewhere => "counted in Redis, which has not been asked",
                };
                let refused = is_running && *room == Room::None && !limit.shadow;
                (settings, says, refused)
            })
            .collect();
        for (settings, says, refused) in said {
            self.say("rateLimit", says, &settings);
            if refused && !route.shadowed.contains(Policy::RateLimit) {
                self.refuse("rateLimit", &Refusal::rate_limited(1));
            }
        }
    }

    fn size(&mut self, route: &Route) {
        let bound = route.max_body_size;
        let says = match bound {
            u64::MAX => "any size".to_owned(),
            bound => format!("bodies of at most {bound} bytes"),
        };
        self.say("maxBodySize", says, &[]);
    }

    async fn auth(&mut self, route: &Route) {
        let Some(access) = &route.access else {
            self.say("auth", "anybody may pass", &[]);
            return;
        };
        let settings = settings_of(access);
        if access.kinds.contains(&Kind::Forward) {
            self.say(
                "auth",
                "another service decides, which has not been asked",
                &settings,
            );
            return;
        }
        if access.kinds[..] == [Kind::Certificate] {
            let says = "a client certificate decides, which is shown in a TLS handshake";
            self.say("auth", says, &settings);
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let asked = Asked {
            head: self.head,
            path: self.path,
            client: self.address,
            certificate: None,
            scheme: "http",
            now: now.unwrap_or_default().as_secs_f64(),
            trace: None,
        };
        let authenticator = Authenticator::default();
        let admitted = timeout(PATIENCE, authenticator.admit(access, &asked)).await;
        let Ok(admitted) = admitted else {
            self.say(
                "auth",
                "cannot be judged: the issuer's keys are not to be had",
                &settings,
            );
            return;
        };
        let judged = match admitted {
            Ok(identity) => {
                self.identity = identity;
                Ok(())
            }
            Err(refused) => {
                self.identity = refused.identity;
                Err(refused.refusal)
            }
        };
        self.judge(route, Policy::Auth, "auth", judged, &settings);
    }

    /// Says what a policy of the route has found. A policy that is tried out refuses nobody.
    fn judge(
        &mut self,
        route: &Route,
        policy: Policy,
        step: &'static str,
        found: Result<(), Refusal>,
        settings: &[(&str, Value)],
    ) {
        match found {
            Ok(()) => {
                let who = self.identity.as_ref().filter(|_| step == "auth");
                let subject = who.and_then(|identity| identity.subject.as_deref());
                let says = subject.map_or("passes".to_owned(), |it| format!("passes, as {it}"));
                self.say(step, says, settings);
            }
            Err(refusal) if route.shadowed.contains(policy) => {
                let says = format!("only tried out; would be {}", told(&refusal));
                self.say(step, says, settings);
            }
            Err(refusal) => {
                self.say(step, told(&refusal), settings);
                self.refuse(step, &refusal);
            }
        }
    }
}

/// Whether a policy is only tried out.
fn mode(cors: Option<&Cors>) -> (&'static str, Value) {
    let is_shadow = cors.is_some_and(|cors| cors.shadow);
    ("mode", is_shadow.then_some("shadow").into())
}

fn settings_of(access: &Access) -> [(&'static str, Value); 5] {
    let list = |items: &[Box<str>]| match items {
        [] => Value::Null,
        items => json!(items),
    };
    let kinds = access.kinds.iter().map(|kind| match kind {
        Kind::Token => "jwt",
        Kind::Key => "apiKey",
        Kind::Basic => "basic",
        Kind::Certificate => "clientCert",
        Kind::Forward => "forward",
    });
    let issuers = access.issuers.iter().map(|issuer| issuer.issuer.clone());
    [
        ("kinds", Value::from(kinds.collect::<Vec<_>>())),
        ("issuers", json!(issuers.collect::<Vec<_>>())),
        ("audiences", list(&access.audiences)),
        ("scopes", list(&access.scopes)),
        ("roles", list(&access.roles)),
    ]
}
