//! The JSON Web Token that requests carry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// What the token is signed with.
pub(crate) const SECRET: &str = "a secret of the bench, long enough for HS256";
/// Who says so.
pub(crate) const ISSUER: &str = "bench";

/// A token that is valid for years.
pub(crate) fn token() -> anyhow::Result<String> {
    let claims = json!({
        "iss": ISSUER, "sub": "user-42", "name": "Ada Lovelace", "scope": "users:read orders:read",
        "iat": 1_760_000_000, "exp": 4_000_000_000_u32,
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

/// The key as a JSON Web Key Set (RFC 7517).
pub(crate) fn key_set() -> serde_json::Value {
    json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) }] })
}
