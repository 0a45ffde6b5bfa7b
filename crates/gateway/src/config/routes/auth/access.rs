//! What a route asks of its clients.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, TRAILER};
use reqwest::Url;

use super::Issuers;
use super::written::{Auth, Forward, ForwardClaims};
use crate::auth::{
    Access, ByPath, ForwardAuth, ForwardedClaim, GATEWAY, Hidden, Issuer, Kind, OnError, Place,
    Rule, check_scope,
};
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::middleware::underscores::alike;
use crate::proxy::ends_at_the_gateway;

const KEY: Step<'static> = Step::Key("auth");
/// As in Envoy.
const FORWARD_TIMEOUT: Duration = Duration::from_millis(200);
const KINDS: [(&str, Kind); 5] = [
    ("jwt", Kind::Token),
    ("apiKey", Kind::Key),
    ("basic", Kind::Basic),
    ("clientCert", Kind::Certificate),
    ("forward", Kind::Forward),
];
/// What a route asks, and what its backend learns.
#[derive(Debug, Default)]
pub(in crate::config::routes) struct CheckedAccess {
    pub(in crate::config::routes) access: Option<Access>,
    pub(in crate::config::routes) claims: Box<[ForwardedClaim]>,
    pub(in crate::config::routes) hidden: Hidden,
}

impl Check<'_> {
    /// What a route asks of its clients; nothing where it says nothing.
    pub(in crate::config::routes) fn access(
        &mut self,
        required: Option<bool>,
        written: Option<Auth>,
        forward_claims: &ForwardClaims,
        issuers: &Issuers,
    ) -> CheckedAccess {
        if required == Some(false) && written.is_some() {
            self.say(&[KEY], "\"requireAuth\" is false; remove it, or \"auth\"");
        }
        let mut claims = self.forwarded_claims(forward_claims);
        if required != Some(true) && written.is_none() {
            if !claims.is_empty() {
                let message = "only routes with \"requireAuth\": true know claims";
                self.say(&[Step::Key("forwardClaims")], message);
            }
            return CheckedAccess::default();
        }
        let written = written.unwrap_or_default();
        let forward = written
            .forward
            .as_ref()
            .and_then(|forward| self.forward(forward));
        let kinds = self.kinds(&written);
        let accepts = |kind| kinds.contains(&kind);
        let own: Vec<Arc<Issuer>> = if accepts(Kind::Token) {
            self.issuers(&written, issuers)
        } else {
            Vec::new()
        };
        if own.iter().any(|issuer| &*issuer.name == GATEWAY)
            && let Some(message) = issuers.weakness()
        {
            self.warn(&[Step::Key("requireAuth")], message);
        }
        self.ineffective(&written, &kinds);
        if (accepts(Kind::Key) || accepts(Kind::Basic)) && issuers.consumers.is_none() {
            let message = "API keys and passwords are those of consumers; set CONSUMERS_FILE";
            self.say(&[KEY, Step::Key("accept")], message);
        }
        let token_places = self.places("tokenFrom", written.token_from.as_deref(), Place::Bearer);
        let key_header = Place::Header(HeaderName::from_static("x-api-key"));
        let key_places = self.places("keyFrom", written.key_from.as_deref(), key_header);
        self.distinct_places(&kinds, &token_places, &key_places);
        let hidden = if written.forward_credentials {
            Hidden::default()
        } else {
            hidden(&kinds, &token_places, &key_places, forward.as_ref())
        };
        for field in forward.as_ref().map_or(&[][..], |forward| &forward.told) {
            if let Some(other) = claims.iter().find(|other| alike(&other.field, field)) {
                let message = format!("the field \"{}\" is written twice", other.field);
                self.say(&[KEY], &message);
            }
            claims.push(ForwardedClaim {
                field: field.clone(),
                claim: field.as_str().into(),
            });
        }
        CheckedAccess {
            claims: claims.into(),
            hidden,
            access: Some(Access {
                kinds,
                token_places,
                key_places,
                issuers: own.into(),
                consumers: issuers.consumers.clone(),
                forward,
                audiences: boxed(written.audiences.as_deref().unwrap_or_default()),
                scopes: self.scopes(&written.scopes),
                roles: boxed(written.roles.as_deref().unwrap_or_default()),
                rule: written.require.as_deref().and_then(|text| self.rule(text)),
            }),
        }
    }

    fn kinds(&mut self, written: &Auth) -> Box<[Kind]> {
        let Some(names) = &written.accept else {
            return match written.forward {
                Some(_) => [Kind::Forward].into(),
                None => [Kind::Token].into(),
            };
        };
        let (mut kinds, mut seen) = (Vec::new(), BTreeSet::new());
        for (index, name) in names.iter().enumerate() {
            let at = [KEY, Step::Key("accept"), Step::Index(index)];
            match KINDS.iter().find(|(known, _)| known == name) {
                Some((_, Kind::Forward)) if written.forward.is_none() => {
                    self.say(&at, "\"forward\" needs an object \"forward\" beside it");
                }
                Some((known, kind)) if seen.insert(known) => kinds.push(*kind),
                Some(_) => self.say(&at, &format!("\"{name}\" stands here twice")),
                None => {
                    let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                    self.say(
                        &at,
                        &format!(
                            "\"{name}\" is not a kind of credentials; there are {}",
                            known.join(", ")
                        ),
                    );
                }
            }
        }
        if written.forward.is_some() && !names.iter().any(|name| name == "forward") {
            self.say(
                &[KEY, Step::Key("forward")],
                "\"accept\" does not name \"forward\"",
            );
        }
        kinds.into()
    }

    /// Says which keys are about credentials that are not accepted.
    fn ineffective(&mut self, written: &Auth, kinds: &[Kind]) {
        for (key, is_there, kind) in [
            ("keyFrom", written.key_from.is_some(), Kind::Key),
            ("tokenFrom", written.token_from.is_some(), Kind::Token),
            ("issuers", written.issuers.is_some(), Kind::Token),
            ("audiences", written.audiences.is_some(), Kind::Token),
        ] {
            if is_there && !kinds.contains(&kind) {
                let needed = KINDS.iter().find(|(_, known)| *known == kind);
                let needed = needed.map_or("", |(name, _)| name);
                let message = format!("\"{key}\" has no effect: \"{needed}\" is not accepted");
                self.warn(&[KEY, Step::Key(key)], &message);
            }
        }
    }

    fn issuers(&mut self, written: &Auth, issuers: &Issuers) -> Vec<Arc<Issuer>> {
        let Some(names) = &written.issuers else {
            return issuers.all();
        };
        let mut own = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match issuers.named(name) {
                Ok(issuer) => own.extend(issuer),
                Err(message) => {
                    self.say(&[KEY, Step::Key("issuers"), Step::Index(index)], &message);
                }
            }
        }
        own
    }

    fn places(
        &mut self,
        key: &'static str,
        written: Option<&[String]>,
        usual: Place,
    ) -> Box<[Place]> {
        let Some(written) = written else {
            return [usual].into();
        };
        let mut places = Vec::new();
        for (index, text) in written.iter().enumerate() {
            match text.parse() {
                Ok(place) => places.push(place),
                Err(error) => self.say(
                    &[KEY, Step::Key(key), Step::Index(index)],
                    &format!("\"{text}\" {error}"),
                ),
            }
        }
        places.into()
    }

    fn scopes(&mut self, scopes: &[String]) -> Box<[Box<str>]> {
        for (index, scope) in scopes.iter().enumerate() {
            if let Err(error) = check_scope(scope) {
                let at = [KEY, Step::Key("scopes"), Step::Index(index)];
                self.say(&at, &format!("\"{scope}\" {error}"));
            }
        }
        boxed(scopes)
    }

    /// Says where a place is for credentials of two kinds: those of one would be forged ones of the other.
    fn distinct_places(&mut self, kinds: &[Kind], tokens: &[Place], keys: &[Place]) {
        let accepts = |kind| kinds.contains(&kind);
        let authorization = Place::Header(AUTHORIZATION);
        let same = |one: &Place, other: &Place| match (one, other) {
            (Place::Header(one), Place::Header(other)) => alike(one, other),
            (Place::Bearer, other) | (other, Place::Bearer) if *other == authorization => true,
            _ => one == other,
        };
        let shared = |one: &[Place], other: &[Place]| {
            one.iter()
                .any(|one| other.iter().any(|other| same(one, other)))
        };
        if accepts(Kind::Token) && accepts(Kind::Key) && shared(tokens, keys) {
            let message = "tokens are looked for there too: each kind needs places of its own";
            self.say(&[KEY, Step::Key("keyFrom")], message);
        }
        if accepts(Kind::Basic) {
            for (kind, key, places) in [
                (Kind::Token, "tokenFrom", tokens),
                (Kind::Key, "keyFrom", keys),
            ] {
                if accepts(kind) && places.contains(&authorization) {
                    let message = "the field Authorization is where \"basic\" credentials are";
                    self.say(&[KEY, Step::Key(key)], message);
                }
            }
        }
    }

    fn rule(&mut self, text: &str) -> Option<Rule> {
        Rule::parse(text)
            .map_err(|error| self.say(&[KEY, Step::Key("require")], &format!("\"{text}\" {error}")))
            .ok()
    }

    fn forward(&mut self, written: &Forward) -> Option<ForwardAuth> {
        const FORWARD: [Step<'static>; 2] = [KEY, Step::Key("forward")];
        let at = |key| [FORWARD[0], FORWARD[1], Step::Key(key)];
        let url = Url::parse(&written.url)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()));
        if url.is_none() {
            let message = format!(
                "\"{}\" must be a URL such as http://auth.internal/check",
                written.url
            );
            self.say(&at("url"), &message);
        }
        let on_error = match written.on_error.as_deref() {
            None | Some("closed") => OnError::Closed,
            Some("open") => OnError::Open,
            Some(other) => {
                let message = format!("\"{other}\" must be \"closed\" or \"open\"");
                self.say(&at("onError"), &message);
                OnError::Closed
            }
        };
        let shown = match &written.request_headers {
            None => [AUTHORIZATION, COOKIE].into(),
            Some(names) => self.names(&at("requestHeaders"), names),
        };
        let told = self.names(&at("responseHeaders"), &written.response_headers);
        Some(ForwardAuth {
            url: url?,
            timeout: written
                .timeout
                .map_or(FORWARD_TIMEOUT, Duration::from_secs_f64),
            on_error,
            shown,
            told,
            by_path: if written.by_path {
                ByPath::One
            } else {
                ByPath::All
            },
        })
    }

    fn names(&mut self, at: &[Step<'_>], names: &[String]) -> Box<[HeaderName]> {
        let mut parsed = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let at: Vec<Step<'_>> = at.iter().copied().chain([Step::Index(index)]).collect();
            parsed.extend(self.own_field(&at, name));
        }
        parsed.into()
    }

    fn forwarded_claims(&mut self, written: &ForwardClaims) -> Vec<ForwardedClaim> {
        let mut claims: Vec<ForwardedClaim> = Vec::new();
        for (name, claim) in written {
            let at = [Step::Key("forwardClaims"), Step::Key(name)];
            if claim.is_empty() {
                self.say(&at, "must name a claim");
            }
            let Some(field) = self.own_field(&at, name) else {
                continue;
            };
            if let Some(other) = claims.iter().find(|other| alike(&other.field, &field)) {
                let message = format!("\"{name}\" is the same field as \"{}\"", other.field);
                self.say(&at, &message);
            }
            claims.push(ForwardedClaim {
                field,
                claim: claim.as_str().into(),
            });
        }
        claims
    }

    /// The name of a field that is not the gateway's to write.
    fn own_field(&mut self, at: &[Step<'_>], name: &str) -> Option<HeaderName> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == TRAILER || ends_at_the_gateway(&name) => {
                self.say(
                    at,
                    &format!("\"{name}\" is written by the gateway; choose another field"),
                );
                None
            }
            Ok(name) => Some(name),
            Err(_) => {
                self.say(at, &format!("\"{name}\" is not the name of a header field"));
                None
            }
        }
    }
}

/// Whatever credentials may be shown in.
fn hidden(
    kinds: &[Kind],
    token_places: &[Place],
    key_places: &[Place],
    forward: Option<&ForwardAuth>,
) -> Hidden {
    let mut hidden = Hidden::default();
    for kind in kinds {
        match kind {
            Kind::Token => token_places.iter().for_each(|place| hidden.hide(place)),
            Kind::Key => key_places.iter().for_each(|place| hidden.hide(place)),
            Kind::Basic => hidden.hide(&Place::Header(AUTHORIZATION)),
            // LISTENERS_FILE says what backends learn of it.
            Kind::Certificate => {}
            Kind::Forward => {
                for name in forward.map_or(&[][..], |forward| &forward.shown) {
                    hidden.hide(&Place::Header(name.clone()));
                }
            }
        }
    }
    hidden
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}
