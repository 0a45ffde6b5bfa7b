//! The consumers file: who may show an API key or a password, and what for.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::document::{Document, Step};
use super::routes::Sources;
use super::source_files::{Digest, SourceFiles, digest};
use super::structure::Structure;
use super::{Finding, Settings, schema};
use crate::auth::{Consumer, ConsumerKey, Consumers, KeyHasher, check_scope};

const KEY: &str = "consumers";
/// Claims that are made from other keys, or by the gateway.
const RESERVED: [&str; 11] = [
    "aud",
    "client_id",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "roles",
    "scope",
    "sub",
    "tier",
];

/// Who may show an API key or a password, and what for.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(title = "Consumers file of api-gateway")]
struct ConsumersFile {
    /// The JSON Schema of this file, for editors.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "it is for editors")]
    schema: Option<String>,
    /// The consumers.
    #[allow(dead_code, reason = "they are read one by one")]
    consumers: Vec<Written>,
}

/// A program or a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct Written {
    /// Its name, unique: the claim "sub", the user name with a password, the "client_id" at the token endpoint.
    #[schemars(length(min = 1))]
    name: String,
    /// The claim "tier", for rules and rate limits.
    tier: Option<String>,
    /// What it may do: the claim "scope".
    #[serde(default)]
    scopes: Vec<String>,
    /// What it is: the claim "roles".
    #[serde(default)]
    roles: Vec<String>,
    /// Further claims.
    #[serde(default)]
    claims: Map<String, Value>,
    /// Whom the tokens that it gets at the token endpoint are for: their claim "aud".
    #[serde(default)]
    audiences: Vec<String>,
    /// Seconds for which those tokens are valid; JWT_EXPIRATION where none is given.
    #[schemars(range(min = 1, max = 31_536_000))]
    token_lifetime: Option<u32>,
    /// When it ends, as in "2027-06-30T00:00:00Z".
    expires: Option<String>,
    /// Its API keys.
    #[serde(default)]
    keys: Vec<WrittenKey>,
    /// The hash of its password, as "api-gateway hash" prints it.
    password: Option<String>,
}

/// An API key, as "api-gateway key new" prints it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct WrittenKey {
    /// Its name in logs.
    #[schemars(length(min = 1))]
    id: String,
    /// The hash of the key.
    hash: String,
    /// When it ends, as in "2027-06-30T00:00:00Z".
    expires: Option<String>,
}

/// The JSON Schema of the consumers file, as text.
#[must_use]
pub fn consumers_schema() -> String {
    schema::text(&schema::of::<ConsumersFile>())
}

/// Reads and checks the consumers file, where there is one. With those in it comes a digest of the file.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn load(
    settings: &Settings,
    Sources { carried, files }: Sources<'_>,
) -> Result<Option<(Digest, Arc<Consumers>)>, Vec<Finding>> {
    let Some(path) = &settings.consumers_file else {
        return Ok(None);
    };
    let text = read(path, files).map_err(|finding| vec![finding])?;
    let content = digest(text.as_bytes());
    if let Some(known) = carried.consumers(&content) {
        return Ok(Some((content, known)));
    }
    let file = path.display().to_string();
    let document = Document::parse(&file, &text).map_err(|finding| vec![finding])?;
    let schema = schema::of::<ConsumersFile>();
    let mut findings = Structure::new(&document, &schema).check();
    let written: Vec<Value> = serde_json::from_str(&text)
        .ok()
        .and_then(|mut root: Value| match root.get_mut(KEY)?.take() {
            Value::Array(consumers) => Some(consumers),
            _ => None,
        })
        .unwrap_or_default();
    let mut check = Check {
        document: &document,
        index: 0,
        findings: &mut findings,
        names: HashSet::new(),
        hashes: HashSet::new(),
    };
    let mut consumers = Vec::new();
    for (index, value) in written.into_iter().enumerate() {
        check.index = index;
        // A consumer whose structure is wrong has its findings already.
        consumers.extend(Written::deserialize(value).map(|written| check.consumer(written)));
    }
    let has_keys = consumers.iter().any(|consumer| !consumer.keys.is_empty());
    let secret = settings.api_key_secret.as_ref();
    if has_keys && secret.is_none() {
        let message = "API_KEY_SECRET is not set: without it no API key can be checked";
        findings.push(document.about(&[Step::Key(KEY)], message));
    }
    if !findings.is_empty() {
        findings.sort_by_key(|finding| finding.position);
        return Err(findings);
    }
    let secret = secret.map_or("", |secret| secret.expose());
    let consumers = Consumers::new(consumers, KeyHasher::new(secret.as_bytes()));
    Ok(Some((content, Arc::new(consumers))))
}

fn read(path: &Path, files: &SourceFiles) -> Result<String, Finding> {
    files.read_text(path).map_err(|error| Finding {
        file: path.display().to_string(),
        position: None,
        message: format!("CONSUMERS_FILE cannot be read: {error}"),
    })
}

/// Checks consumers, one after the other.
struct Check<'a> {
    document: &'a Document<'a>,
    index: usize,
    findings: &'a mut Vec<Finding>,
    names: HashSet<String>,
    hashes: HashSet<String>,
}

impl Check<'_> {
    fn say(&mut self, path: &[Step<'_>], message: &str) {
        let whole = [&[Step::Key(KEY), Step::Index(self.index)], path].concat();
        self.findings.push(self.document.about(&whole, message));
    }

    fn consumer(&mut self, written: Written) -> Consumer {
        if !self.names.insert(written.name.clone()) {
            let message = format!("the name \"{}\" is used by another consumer", written.name);
            self.say(&[Step::Key("name")], &message);
        }
        // RFC 7617 §2: a colon ends a user name.
        if written.name.contains(':') {
            self.say(&[Step::Key("name")], "must not hold a colon");
        }
        let password = written.password.as_deref().and_then(|text| {
            text.parse()
                .map_err(|error: &str| self.say(&[Step::Key("password")], error))
                .ok()
        });
        Consumer {
            scopes: self.scopes(&written.scopes),
            audience: match &written.audiences[..] {
                [] => None,
                [one] => Some(one.as_str().into()),
                several => Some(json!(several)),
            },
            token_lifetime: written
                .token_lifetime
                .map(|seconds| Duration::from_secs(seconds.into())),
            expires: self.time(&[Step::Key("expires")], written.expires.as_deref()),
            keys: self.keys(&written.keys),
            password,
            name: written.name.as_str().into(),
            claims: self.claims(written),
        }
    }

    fn claims(&mut self, written: Written) -> Map<String, Value> {
        for reserved in RESERVED {
            if written.claims.contains_key(reserved) {
                let message =
                    format!("\"{reserved}\" is made from other keys, or by the gateway; remove it");
                self.say(&[Step::Key("claims"), Step::Key(reserved)], &message);
            }
        }
        let mut claims = written.claims;
        if let Some(tier) = written.tier {
            claims.insert("tier".to_owned(), tier.into());
        }
        if !written.roles.is_empty() {
            claims.insert("roles".to_owned(), json!(written.roles));
        }
        claims
    }

    fn scopes(&mut self, scopes: &[String]) -> Box<[Box<str>]> {
        for (index, scope) in scopes.iter().enumerate() {
            if let Err(error) = check_scope(scope) {
                let message = format!("\"{scope}\" {error}");
                self.say(&[Step::Key("scopes"), Step::Index(index)], &message);
            }
        }
        scopes.iter().map(|scope| scope.as_str().into()).collect()
    }

    fn keys(&mut self, written: &[WrittenKey]) -> Vec<ConsumerKey> {
        let mut keys = Vec::new();
        for (index, key) in written.iter().enumerate() {
            let at = |name| [Step::Key("keys"), Step::Index(index), Step::Key(name)];
            let expires = self.time(&at("expires"), key.expires.as_deref());
            match key.hash.parse() {
                Ok(_) if !self.hashes.insert(key.hash.clone()) => {
                    self.say(&at("hash"), "the same key stands here twice");
                }
                Ok(hash) => keys.push(ConsumerKey {
                    id: key.id.as_str().into(),
                    hash,
                    expires,
                }),
                Err(error) => self.say(&at("hash"), error),
            }
        }
        keys
    }

    /// RFC 3339, in seconds since 1970.
    fn time(&mut self, at: &[Step<'_>], text: Option<&str>) -> Option<f64> {
        let parsed = humantime::parse_rfc3339(text?)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        if parsed.is_none() {
            self.say(at, "must be a time in UTC such as \"2027-06-30T00:00:00Z\"");
        }
        parsed.map(|since| since.as_secs_f64())
    }
}

#[cfg(test)]
#[path = "consumers_tests.rs"]
mod tests;
