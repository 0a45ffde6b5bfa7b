//! Whose tokens are believed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::written::Issuer as Written;
use crate::auth::{
    Algorithm, CONSUMERS, Consumers, FORWARD, GATEWAY, Issuer, Key, KeyError, KeySet, Keys,
    RemoteKeys, Source, TokenIssuer, public_keys,
};
use crate::config::document::{Document, Step};
use crate::config::routes::compile::{Credentials, Sources};
use crate::config::routes::written::Period;
use crate::config::source_files::{SourceFiles, digest};
use crate::config::{Finding, Settings};

const KEY: &str = "issuers";
/// Who else says who somebody is: limits must not take their clients for one another's.
const AUTHORITIES: [(&str, &str); 3] = [
    (GATEWAY, "the gateway itself"),
    (CONSUMERS, "the consumers file"),
    (FORWARD, "forward auth"),
];
/// Where roles are said to be, if nothing else is.
const ROLES: &str = "roles";
/// As in Envoy.
const REFRESH: Duration = Duration::from_secs(10 * 60);
const SHORTEST_REFRESH: Duration = Duration::from_secs(10);

/// All issuers, and what else routes need to know who somebody is.
#[derive(Debug, Default)]
pub(in crate::config::routes) struct Issuers {
    /// None of those that are wrong.
    by_name: HashMap<Box<str>, Option<Arc<Issuer>>>,
    /// In the order of the file, ours last.
    all: Vec<Arc<Issuer>>,
    pub(in crate::config::routes) consumers: Option<Arc<Consumers>>,
    /// Why tokens of ours could be made by others.
    weakness: Option<&'static str>,
}

impl Issuers {
    /// Those of the file, and ourselves.
    pub(in crate::config::routes) fn new(
        document: &Document<'_>,
        root: &Value,
        settings: &Settings,
        credentials: &Credentials,
        Sources { carried, files }: Sources<'_>,
        findings: &mut Vec<Finding>,
        warnings: &mut Vec<Finding>,
    ) -> Self {
        let mut issuers = Self {
            consumers: credentials.consumers.as_ref().map(|(_, it)| Arc::clone(it)),
            weakness: weakness(settings),
            ..Self::default()
        };
        let folder = settings
            .routes_config_path
            .parent()
            .unwrap_or(Path::new(""));
        let named = root.get(KEY).and_then(Value::as_object);
        for (name, value) in named.into_iter().flatten() {
            let mut check = IssuerCheck {
                document,
                name,
                folder,
                files,
                findings: &mut *findings,
                warnings: &mut *warnings,
            };
            // An issuer whose structure is wrong has its findings already.
            let issuer = Written::deserialize(value)
                .ok()
                .and_then(|written| check.issuer(&written, settings, &issuers.all))
                .map(|issuer| carried.issuer(issuer));
            issuers.all.extend(issuer.clone());
            issuers.by_name.insert(name.as_str().into(), issuer);
        }
        // A secret that everybody knows must not open what others' keys protect.
        if issuers.by_name.is_empty() || !settings.jwt.is_default() {
            let own = carried.issuer(ourselves(settings, &credentials.issuer, files));
            for other in issuers.all.iter().filter(|it| it.issuer == own.issuer) {
                let at = [Step::Key(KEY), Step::Key(&other.name), Step::Key("issuer")];
                let message =
                    "is what the gateway calls itself in its own tokens; set JWT_ISSUER to another";
                findings.push(document.about(&at, message));
            }
            issuers
                .by_name
                .insert(GATEWAY.into(), Some(Arc::clone(&own)));
            issuers.all.push(own);
        }
        issuers
    }

    /// All issuers, for routes that name none.
    pub(in crate::config::routes) fn all(&self) -> Vec<Arc<Issuer>> {
        self.all.clone()
    }

    /// The issuer of that name.
    ///
    /// # Errors
    /// When there is none. One that is wrong is passed over: it has its findings.
    pub(super) fn named(&self, name: &str) -> Result<Option<Arc<Issuer>>, String> {
        if let Some(issuer) = self.by_name.get(name) {
            return Ok(issuer.clone());
        }
        let mut known: Vec<&str> = self.by_name.keys().map(|name| &**name).collect();
        known.sort_unstable();
        let hint = if name == GATEWAY {
            "; it is one where JWT_SECRET or JWT_SIGNING_KEY is set"
        } else {
            ""
        };
        Err(format!(
            "there is no issuer \"{name}\" in \"{KEY}\"; there are {}{hint}",
            known.join(", ")
        ))
    }

    /// Those whose keys are fetched.
    pub(in crate::config::routes) fn remote_keys(&self) -> Vec<Arc<RemoteKeys>> {
        self.all
            .iter()
            .filter_map(|issuer| match &issuer.keys {
                Keys::Remote(keys) => Some(Arc::clone(keys)),
                Keys::Fixed(_) => None,
            })
            .collect()
    }

    /// Why tokens of ours could be made by others: the secret is known, or can be found.
    pub(in crate::config::routes) fn weakness(&self) -> Option<&'static str> {
        self.weakness
    }
}

/// What is wrong with the secret, where tokens are signed with it.
fn weakness(settings: &Settings) -> Option<&'static str> {
    let jwt = &settings.jwt;
    if jwt.is_default() {
        Some("JWT_SECRET is the documented default: anybody can make such tokens; set your own")
    } else if !jwt.secret.is_default() && jwt.secret.expose().len() < 32 {
        // RFC 7518 §3.2: a key for HS256 has 256 bits at least.
        Some(
            "JWT_SECRET is shorter than 32 bytes: who has a token can try secrets; make one by: openssl rand -base64 32",
        )
    } else {
        None
    }
}

/// Tokens that we make ourselves: by the signing key where there is one, and by the secret where that has been set or is
/// all there is.
fn ourselves(settings: &Settings, own: &TokenIssuer, files: &SourceFiles) -> Issuer {
    let mut keys: Vec<Key> = own.key.verifier().into_iter().collect();
    if keys.is_empty() || !settings.jwt.secret.is_default() {
        let secret = settings.jwt.secret.expose().as_bytes();
        let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        keys.extend(
            algorithms
                .into_iter()
                .flat_map(|it| Key::secret(it, secret)),
        );
    }
    Issuer {
        name: GATEWAY.into(),
        issuer: settings.jwt.issuer.as_str().into(),
        keys: Keys::Fixed(KeySet::new(keys)),
        audiences: [].into(),
        leeway: settings.jwt.leeway.as_secs_f64(),
        roles: ROLES.into(),
        // Settings stay; the key's file may change.
        made_of: settings
            .jwt
            .signing_key
            .as_deref()
            .map_or([0; 32], |path| files.digest_of(path).unwrap_or_default()),
    }
}

/// Checks one issuer.
struct IssuerCheck<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    folder: &'a Path,
    files: &'a SourceFiles,
    findings: &'a mut Vec<Finding>,
    warnings: &'a mut Vec<Finding>,
}

impl IssuerCheck<'_> {
    fn say(&mut self, path: &[Step<'_>], message: &str) {
        self.findings.push(self.about(path, message));
    }

    fn warn(&mut self, path: &[Step<'_>], message: &str) {
        self.warnings.push(self.about(path, message));
    }

    fn about(&self, path: &[Step<'_>], message: &str) -> Finding {
        let whole = [&[Step::Key(KEY), Step::Key(self.name)], path].concat();
        self.document.about(&whole, message)
    }

    fn issuer(
        &mut self,
        written: &Written,
        settings: &Settings,
        others: &[Arc<Issuer>],
    ) -> Option<Issuer> {
        let before = self.findings.len();
        for (name, whose) in AUTHORITIES {
            if self.name == name {
                let message = format!("\"{name}\" is the name of {whose}; choose another");
                self.say(&[], &message);
            }
        }
        if others.iter().any(|other| *other.issuer == *written.issuer) {
            self.say(
                &[Step::Key("issuer")],
                "another issuer has the same \"issuer\"",
            );
        }
        let algorithms = self.algorithms(written.algorithms.as_deref().unwrap_or_default());
        let keys = self.keys(written, algorithms);
        let keys = keys.filter(|_| self.findings.len() == before)?;
        let file = written.keys.as_ref().map(|path| self.folder.join(path));
        let file = file.and_then(|path| self.files.digest_of(&path));
        Some(Issuer {
            made_of: digest(format!("{written:?} {file:?}").as_bytes()),
            name: self.name.into(),
            issuer: written.issuer.as_str().into(),
            keys,
            audiences: written
                .audiences
                .as_deref()
                .unwrap_or_default()
                .iter()
                .map(|text| text.as_str().into())
                .collect(),
            leeway: written.leeway.unwrap_or(settings.jwt.leeway.as_secs_f64()),
            roles: written.roles_claim.as_deref().unwrap_or(ROLES).into(),
        })
    }

    fn algorithms(&mut self, names: &[String]) -> Box<[Algorithm]> {
        let mut algorithms = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Algorithm::named(name).filter(|algorithm| !algorithm.is_symmetric()) {
                Some(algorithm) => algorithms.push(algorithm),
                None => {
                    let known: Vec<&str> = Algorithm::ALL
                        .iter()
                        .filter(|algorithm| !algorithm.is_symmetric())
                        .map(|algorithm| algorithm.name())
                        .collect();
                    self.say(
                        &[Step::Key("algorithms"), Step::Index(index)],
                        &format!(
                            "\"{name}\" is not an algorithm for published keys; there are {}",
                            known.join(", ")
                        ),
                    );
                }
            }
        }
        algorithms.into()
    }

    fn keys(&mut self, written: &Written, algorithms: Box<[Algorithm]>) -> Option<Keys> {
        if let Some(path) = &written.keys {
            if written.jwks.is_some() {
                self.say(
                    &[Step::Key("jwks")],
                    "\"keys\" and \"jwks\" stand together; use one of the two",
                );
            }
            for (key, is_there) in [
                ("refresh", written.refresh.is_some()),
                ("allowHttp", written.allow_http),
            ] {
                if is_there {
                    let message = format!("\"{key}\" has no effect beside \"keys\"");
                    self.warn(&[Step::Key(key)], &message);
                }
            }
            return self.keys_of_file(path, &algorithms).map(Keys::Fixed);
        }
        let refresh = self.refresh(written.refresh.as_ref());
        let source = match &written.jwks {
            Some(text) => Source::Keys(self.url("jwks", text, written.allow_http)?),
            None => {
                let url = format!(
                    "{}/.well-known/openid-configuration",
                    written.issuer.trim_end_matches('/')
                );
                Source::Metadata {
                    url: self.url("issuer", &url, written.allow_http)?,
                    issuer: written.issuer.as_str().into(),
                    allow_http: written.allow_http,
                }
            }
        };
        let keys = RemoteKeys::new(self.name, source, algorithms, refresh);
        Some(Keys::Remote(Arc::new(keys)))
    }

    fn keys_of_file(&mut self, path: &str, algorithms: &[Algorithm]) -> Option<KeySet> {
        let path = self.folder.join(path);
        let read = self.files.read_text(&path);
        let keys = read
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
            .and_then(|text| {
                parse_keys(&text).map_err(|error| format!("{}: {error}", path.display()))
            });
        let mut keys = keys
            .map_err(|message| self.say(&[Step::Key("keys")], &message))
            .ok()?;
        keys.restrict(algorithms);
        if keys.passed_over.contains(&KeyError::Private) {
            let message = format!("{}: {}", path.display(), KeyError::Private);
            self.say(&[Step::Key("keys")], &message);
        } else if keys.len() == 0 {
            let reason = match keys.passed_over.first() {
                Some(reason) => format!(": {reason}"),
                None if !algorithms.is_empty() => " by these \"algorithms\"".to_owned(),
                None => String::new(),
            };
            let message = format!(
                "{}: none of the keys can verify tokens{reason}",
                path.display()
            );
            self.say(&[Step::Key("keys")], &message);
        }
        Some(keys)
    }

    fn url(&mut self, key: &'static str, text: &str, allow_http: bool) -> Option<Url> {
        let message = match Url::parse(text) {
            Ok(url) if url.scheme() == "https" => return Some(url),
            Ok(url) if url.scheme() == "http" && allow_http => return Some(url),
            Ok(url) if url.scheme() == "http" => {
                "keys over plain http can be replaced by anybody on the way; use https, or say \"allowHttp\": true"
            }
            Ok(_) => "must start with https://",
            Err(_) if key == "issuer" => {
                "must be a URL, so that keys are found by its metadata; or say where they are by \"keys\" or \"jwks\""
            }
            Err(_) => "must be a URL",
        };
        self.say(&[Step::Key(key)], message);
        None
    }

    fn refresh(&mut self, written: Option<&Period>) -> Duration {
        let Some(written) = written else {
            return REFRESH;
        };
        written
            .time()
            .filter(|time| *time >= SHORTEST_REFRESH)
            .unwrap_or_else(|| {
                self.say(
                    &[Step::Key("refresh")],
                    "must be a time of at least 10 seconds, such as \"10m\"",
                );
                REFRESH
            })
    }
}

/// Public keys as PEM or as a JSON Web Key Set.
fn parse_keys(text: &str) -> Result<KeySet, KeyError> {
    if text.trim_start().starts_with('{') {
        KeySet::from_json(text.as_bytes())
    } else {
        public_keys(text).map(KeySet::new)
    }
}
