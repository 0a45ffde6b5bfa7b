//! What routes files say of authentication.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::routes::written::Period;

/// Somebody whose tokens are believed. Its keys are in a file ("keys"), at an address ("jwks"), or found by way of the
/// issuer's OpenID Connect metadata where neither is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Issuer {
    /// The claim "iss" of its tokens, exactly; a URL where keys are found by metadata.
    #[schemars(length(min = 1))]
    pub(super) issuer: String,
    /// A file with its public keys, PEM or a JSON Web Key Set; a relative path starts at the folder of this file.
    #[schemars(length(min = 1))]
    pub(super) keys: Option<String>,
    /// The address of its JSON Web Key Set.
    pub(super) jwks: Option<String>,
    /// A token must be for one of these: its claim "aud". For anybody where none is given.
    #[schemars(length(min = 1))]
    pub(super) audiences: Option<Vec<String>>,
    /// The only algorithms to be accepted; those that its keys are for where none is given.
    #[schemars(length(min = 1))]
    pub(super) algorithms: Option<Vec<String>>,
    /// Seconds by which clocks may be apart; JWT_LEEWAY where none is given.
    #[schemars(range(min = 0, max = 3600))]
    pub(super) leeway: Option<f64>,
    /// The claim that lists roles, with dots on the way to one inside another.
    pub(super) roles_claim: Option<String>,
    /// Between two looks at published keys; 10 minutes where none is given.
    pub(super) refresh: Option<Period>,
    /// Keys may be fetched over plain http, where anybody on the way can replace them.
    #[serde(default)]
    pub(super) allow_http: bool,
}

/// What a client must show, and what must be true of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Auth {
    /// The kinds of credentials that are accepted, any of them: "jwt", "apiKey", "basic", "clientCert", "forward". "forward" where
    /// "forward" is given, else "jwt".
    #[schemars(length(min = 1))]
    pub(super) accept: Option<Vec<String>>,
    /// The issuers whose tokens are accepted, by their names in "issuers", and "gateway" for our own; all where none is
    /// given.
    #[schemars(length(min = 1))]
    pub(super) issuers: Option<Vec<String>>,
    /// A token must be for one of these.
    #[schemars(length(min = 1))]
    pub(super) audiences: Option<Vec<String>>,
    /// All of these must have been granted.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    /// One of these must be held.
    #[schemars(length(min = 1))]
    pub(super) roles: Option<Vec<String>>,
    /// What else must be true, in the Common Expression Language, of "claims", "method", "path" and "headers".
    pub(super) require: Option<String>,
    /// Where tokens are looked for: "bearer", "cookie:name", "header:Name", "query:name"; "bearer" where none is given.
    #[schemars(length(min = 1))]
    pub(super) token_from: Option<Vec<String>>,
    /// Where API keys are looked for; "header:X-API-Key" where none is given.
    #[schemars(length(min = 1))]
    pub(super) key_from: Option<Vec<String>>,
    /// The backend gets the credentials too.
    #[serde(default = "yes")]
    pub(super) forward_credentials: bool,
    /// The service that decides.
    pub(super) forward: Option<Forward>,
}

/// A service that decides whether a request may pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::config::routes) struct Forward {
    /// Its URL.
    pub(super) url: String,
    /// Seconds that it may take; 0.2 where none is given.
    #[schemars(range(min = 0.001, max = 60.0))]
    pub(super) timeout: Option<f64>,
    /// What happens when it does not decide: "closed" refuses the request, "open" lets it pass; "closed" where none is
    /// given.
    pub(super) on_error: Option<String>,
    /// The client's fields that it is shown; "Authorization" and "Cookie" where none is given.
    pub(super) request_headers: Option<Vec<String>>,
    /// The fields of its answer that become claims and go to the backend, in place of the client's own.
    #[serde(default)]
    pub(super) response_headers: Vec<String>,
    /// It is told of path and query; without, a decision that it lets us remember holds for all of the route's.
    #[serde(default = "yes")]
    pub(super) by_path: bool,
}

const fn yes() -> bool {
    true
}

/// Fields for the backend, each with the claim that it holds.
pub(in crate::config::routes) type ForwardClaims = BTreeMap<String, String>;
