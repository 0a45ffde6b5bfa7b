//! What a token says, and making one.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Deserialize;

/// The registered claims (RFC 7519 §4.1) that are looked at. Times are seconds since 1970; fractions are allowed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: Option<String>,
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
}

/// A token for `subject` that [`Verifier`](super::Verifier) accepts for `lifetime` from `now` on, both in seconds.
///
/// # Errors
/// None that are known; the library's signature has room for some.
pub(crate) fn issue(
    secret: &[u8],
    issuer: &str,
    subject: &str,
    lifetime: Duration,
    now: u64,
) -> Result<String, jsonwebtoken::errors::Error> {
    let claims = serde_json::json!({ "iss": issuer, "sub": subject, "iat": now, "exp": now + lifetime.as_secs() });
    encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(secret),
    )
}
