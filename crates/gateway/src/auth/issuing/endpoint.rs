//! The token endpoint: client credentials (RFC 6749 §4.4), no other grant.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;
use wire::{Body, BodyError};

use super::form::{Form, Twice};
use super::{TokenIssuer, json_answer};
use crate::auth::credentials::{BASIC_CHALLENGE, authorization, name_and_password};
use crate::auth::{AuthError, Consumer, Consumers};

/// Why there is no token (RFC 6749 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    InvalidRequest(&'static str),
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
    /// Too many passwords wait to be checked, or nothing can be signed.
    TemporarilyUnavailable,
}

/// The name and the password of a client.
type Credentials = (String, String);

impl TokenIssuer {
    /// The answer to a request for a token.
    ///
    /// # Errors
    /// When the request's body does not come.
    pub(crate) async fn answer(
        &self,
        consumers: Option<&Consumers>,
        headers: &HeaderMap,
        body: Body,
        now: u64,
    ) -> Result<Response<Body>, BodyError> {
        let result = if is_form(headers) {
            match Form::read(body).await {
                Ok(form) => self.grant(consumers, headers, &form, now).await,
                Err(BodyError::TooLarge) => {
                    Err(TokenError::InvalidRequest("the form is too large"))
                }
                Err(error) => return Err(error),
            }
        } else {
            Err(TokenError::InvalidRequest(
                "the body must be application/x-www-form-urlencoded",
            ))
        };
        let mut answer = result.unwrap_or_else(TokenError::answer);
        // RFC 6749 §5.1.
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        Ok(answer)
    }

    async fn grant(
        &self,
        consumers: Option<&Consumers>,
        headers: &HeaderMap,
        form: &Form,
        now: u64,
    ) -> Result<Response<Body>, TokenError> {
        match form.get("grant_type")? {
            Some("client_credentials") => {}
            Some(_) => return Err(TokenError::UnsupportedGrantType),
            None => return Err(TokenError::InvalidRequest("grant_type is missing")),
        }
        let (name, password) = credentials(headers, form)?;
        let consumers = consumers.ok_or(TokenError::InvalidClient)?;
        #[allow(
            clippy::cast_precision_loss,
            reason = "a clock beyond 2^53 seconds is no clock"
        )]
        let (consumer, _) = consumers
            .by_password(&name, password.as_bytes(), now as f64)
            .await
            .map_err(|error| match error {
                AuthError::Unavailable => TokenError::TemporarilyUnavailable,
                _ => TokenError::InvalidClient,
            })?;
        let scope = scope(&consumer, form.get("scope")?)?;
        let lifetime = consumer.token_lifetime.unwrap_or(self.lifetime);
        let token = self
            .issue(claims(&consumer, &scope), lifetime, now)
            .map_err(|_| TokenError::TemporarilyUnavailable)?;
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": lifetime.as_secs(),
                "scope": scope,
            }),
        ))
    }
}

impl TokenError {
    fn answer(self) -> Response<Body> {
        let (status, code, description) = match self {
            Self::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            Self::InvalidClient => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "no such client, or not its secret",
            ),
            Self::UnsupportedGrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "the only grant_type is client_credentials",
            ),
            Self::InvalidScope => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "the client may not have a scope that it asks for",
            ),
            Self::TemporarilyUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "too many clients ask at once",
            ),
        };
        let document = json!({ "error": code, "error_description": description });
        let mut answer = json_answer(status, &document);
        if self == Self::InvalidClient {
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC_CHALLENGE));
        }
        answer
    }
}

impl From<Twice> for TokenError {
    fn from(_: Twice) -> Self {
        Self::InvalidRequest("a parameter stands twice")
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).map(|value| {
        let bytes = value.as_bytes();
        let end = bytes
            .iter()
            .position(|&byte| byte == b';')
            .unwrap_or(bytes.len());
        bytes[..end].trim_ascii()
    });
    essence
        .is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"))
}

/// RFC 6749 §2.3.1: in `Authorization`, or in the body, not in both.
fn credentials(headers: &HeaderMap, form: &Form) -> Result<Credentials, TokenError> {
    let in_body = (form.get("client_id")?, form.get("client_secret")?);
    if !headers.contains_key(AUTHORIZATION) {
        return match in_body {
            (Some(name), Some(password)) => Ok((name.to_owned(), password.to_owned())),
            _ => Err(TokenError::InvalidClient),
        };
    }
    if in_body.1.is_some() {
        return Err(TokenError::InvalidRequest(
            "the client shows its secret twice",
        ));
    }
    let encoded = authorization(headers, "Basic").map_err(|_| TokenError::InvalidClient)?;
    let (name, password) = name_and_password(encoded).map_err(|_| TokenError::InvalidClient)?;
    let name = unescape(&name);
    if in_body.0.is_some_and(|other| other != name) {
        return Err(TokenError::InvalidRequest("the client has two names"));
    }
    Ok((name, unescape(&password)))
}

/// Both halves are encoded as in a form before they are joined.
fn unescape(text: &str) -> String {
    let encoded = format!("x={}", text.replace('&', "%26").replace('=', "%3D"));
    let decoded = form_urlencoded::parse(encoded.as_bytes()).next();
    decoded
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// What is asked for, if the consumer may have it; all that it may have where nothing is asked for (RFC 6749 §3.3).
fn scope(consumer: &Consumer, asked: Option<&str>) -> Result<String, TokenError> {
    let Some(asked) = asked else {
        return Ok(consumer.scopes.join(" "));
    };
    let mut scopes: Vec<&str> = Vec::new();
    for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
        if !consumer.scopes.iter().any(|own| **own == *scope) {
            return Err(TokenError::InvalidScope);
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes.join(" "))
}

fn claims(consumer: &Arc<Consumer>, scope: &str) -> serde_json::Map<String, serde_json::Value> {
    let mut claims = consumer.claims.clone();
    claims.insert("sub".to_owned(), (*consumer.name).into());
    claims.insert("client_id".to_owned(), (*consumer.name).into());
    if !scope.is_empty() {
        claims.insert("scope".to_owned(), scope.into());
    }
    if let Some(audience) = &consumer.audience {
        claims.insert("aud".to_owned(), audience.clone());
    }
    claims
}
