//! Making tokens: for people at the command line, and for programs at the token endpoint (RFC 6749 §4.4).

mod endpoint;
mod form;

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use wire::Body;

use super::jose::SigningKey;

/// What the gateway itself answers on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Tokens for consumers that show their password (RFC 6749 §4.4).
    Token,
    /// The keys that verify our tokens (RFC 7517 §5).
    Jwks,
    /// Where the two are (RFC 8414).
    Metadata,
}

/// Makes tokens.
#[derive(Debug)]
pub(crate) struct TokenIssuer {
    pub(crate) key: SigningKey,
    /// `iss`.
    pub(crate) issuer: Box<str>,
    /// Where nothing else is said.
    pub(crate) lifetime: Duration,
}

/// A token cannot be made: the system has no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be signed: the system gives no random numbers")]
pub(crate) struct IssueError;

impl Service {
    /// As it stands in routes files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Jwks => "jwks",
            Self::Metadata => "metadata",
        }
    }

    /// The methods that it answers.
    pub(crate) fn methods(self) -> Vec<Method> {
        match self {
            Self::Token => vec![Method::POST],
            Self::Jwks | Self::Metadata => vec![Method::GET],
        }
    }
}

impl TokenIssuer {
    /// A token with `claims`, and ours: who has made it, when, until when, and a number of its own (RFC 7519 §4.1).
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn issue(
        &self,
        mut claims: Map<String, Value>,
        lifetime: Duration,
        now: u64,
    ) -> Result<String, IssueError> {
        let mut number = [0; 16];
        SystemRandom::new()
            .fill(&mut number)
            .map_err(|_| IssueError)?;
        for (name, value) in [
            ("iss", (*self.issuer).into()),
            ("iat", now.into()),
            ("exp", now.saturating_add(lifetime.as_secs()).into()),
            ("jti", URL_SAFE_NO_PAD.encode(number).into()),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.key.sign(&claims).map_err(|_| IssueError)
    }

    /// The answer of [`Service::Jwks`]: no key where tokens are signed with a secret.
    pub(crate) fn key_set(&self) -> Response<Body> {
        let keys: Vec<&Value> = self.key.jwk().into_iter().collect();
        let mut answer = json_answer(StatusCode::OK, &json!({ "keys": keys }));
        // Keys change rarely, and who verifies looks again at one that it does not know.
        answer.headers_mut().insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        );
        answer
    }

    /// The answer of [`Service::Metadata`] (RFC 8414 §3.2), for endpoints at these paths.
    pub(crate) fn metadata(
        &self,
        token_path: Option<&str>,
        keys_path: Option<&str>,
    ) -> Response<Body> {
        let base = self.issuer.trim_end_matches('/');
        let mut metadata = json!({
            "issuer": self.issuer,
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        });
        for (name, path) in [("token_endpoint", token_path), ("jwks_uri", keys_path)] {
            if let Some(path) = path {
                metadata[name] = format!("{base}{path}").into();
            }
        }
        json_answer(StatusCode::OK, &metadata)
    }
}

fn json_answer(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(document.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
