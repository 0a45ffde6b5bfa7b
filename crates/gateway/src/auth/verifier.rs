//! Verifying tokens: HS256 with one key, from one issuer.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

use super::AuthError;
use super::claims::Claims;
use super::known::KnownTokens;

/// How far clocks may be apart, in seconds.
const LEEWAY: f64 = 60.0;

/// Verifies tokens.
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    issuer: String,
    known: KnownTokens,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        formatter
            .debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Accepts tokens that `issuer` has signed with `secret`. The algorithm is fixed here, never by the token.
    pub(crate) fn new(secret: &[u8], issuer: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times and issuer are checked below, against a clock that is passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self {
            key: DecodingKey::from_secret(secret),
            validation,
            issuer: issuer.to_owned(),
            known: KnownTokens::default(),
        }
    }

    /// Whether a request with these fields may pass at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn verify(&self, headers: &HeaderMap, now: u64) -> Result<(), AuthError> {
        let token = bearer_token(headers)?;
        self.known.accept(
            token,
            || {
                decode(token, &self.key, &self.validation)
                    .map(|token| token.claims)
                    .map_err(|_| AuthError::Invalid)
            },
            |claims| self.judge(claims, now),
        )
    }

    /// Whether a token of ours with these claims is valid at `now`.
    fn judge(&self, claims: &Claims, now: u64) -> Result<(), AuthError> {
        #[allow(
            clippy::cast_precision_loss,
            reason = "a clock beyond 2^53 seconds is no clock"
        )]
        let now = now as f64;
        // A token without an end would be valid for ever.
        let expires = claims.exp.ok_or(AuthError::Invalid)?;
        if now >= expires + LEEWAY {
            return Err(AuthError::Expired);
        }
        if claims.nbf.is_some_and(|begins| now + LEEWAY < begins) {
            return Err(AuthError::Premature);
        }
        if claims.iss.as_deref() != Some(&*self.issuer) {
            return Err(AuthError::Issuer);
        }
        Ok(())
    }
}

/// The token of the only `Authorization` field (RFC 6750 §2.1); schemes are case-insensitive (RFC 9110 §11.1).
fn bearer_token(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(AuthError::Missing)?;
    if fields.next().is_some() {
        return Err(AuthError::Malformed);
    }
    let (scheme, token) = field
        .as_bytes()
        .split_at_checked(b"Bearer ".len())
        .ok_or(AuthError::Malformed)?;
    let token = token.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty() {
        Ok(token)
    } else {
        Err(AuthError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::super::issue;
    use super::*;

    const SECRET: &[u8] = b"a secret for tests";
    const NOW: u64 = 1_800_000_000;

    fn verify(authorization: &[String]) -> Result<(), AuthError> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Verifier::new(SECRET, "us").verify(&headers, NOW)
    }

    fn with_claims(claims: &Value) -> Result<(), AuthError> {
        let token = encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(SECRET),
        )
        .unwrap();
        verify(&[format!("Bearer {token}")])
    }

    #[test]
    fn an_issued_token_is_accepted() {
        let token = issue(SECRET, "us", "me", Duration::from_secs(60), NOW).unwrap();
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(verify(&[format!("{scheme} {token}")]), Ok(()));
        }
    }

    #[test]
    fn a_token_that_was_accepted_ends_all_the_same() {
        let token = issue(SECRET, "us", "me", Duration::from_secs(60), NOW).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let verifier = Verifier::new(SECRET, "us");
        assert_eq!(verifier.verify(&headers, NOW), Ok(()));
        assert_eq!(verifier.verify(&headers, NOW + 119), Ok(()));
        assert_eq!(
            verifier.verify(&headers, NOW + 120),
            Err(AuthError::Expired)
        );
    }

    #[test]
    fn credentials_must_be_one_bearer_token() {
        assert_eq!(verify(&[]), Err(AuthError::Missing));
        for malformed in [
            &["Basic YTpi".to_owned()][..],
            &["Bearer ".to_owned()],
            &["Bearer".to_owned()],
        ] {
            assert_eq!(verify(malformed), Err(AuthError::Malformed));
        }
        let token = format!(
            "Bearer {}",
            issue(SECRET, "us", "me", Duration::from_secs(60), NOW).unwrap()
        );
        assert_eq!(verify(&[token.clone(), token]), Err(AuthError::Malformed));
    }

    #[test]
    fn garbage_and_foreign_signatures_are_refused() {
        for token in ["x", "a.b.c", "..", "a.b.c.d"] {
            assert_eq!(
                verify(&[format!("Bearer {token}")]),
                Err(AuthError::Invalid)
            );
        }
        let foreign = issue(b"another secret", "us", "me", Duration::from_secs(60), NOW).unwrap();
        assert_eq!(
            verify(&[format!("Bearer {foreign}")]),
            Err(AuthError::Invalid)
        );
    }

    #[test]
    fn the_algorithm_is_not_the_tokens_choice() {
        let claims = json!({"iss": "us", "exp": NOW + 60});
        let token = encode(
            &Header::new(Algorithm::HS512),
            &claims,
            &EncodingKey::from_secret(SECRET),
        )
        .unwrap();
        assert_eq!(
            verify(&[format!("Bearer {token}")]),
            Err(AuthError::Invalid)
        );
        // {"alg":"none"} . {"iss":"us","exp":9999999999} . nothing
        let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ1cyIsImV4cCI6OTk5OTk5OTk5OX0.";
        assert_eq!(verify(&[format!("Bearer {none}")]), Err(AuthError::Invalid));
    }

    #[test]
    fn a_token_ends_after_its_expiry_and_the_leeway() {
        assert_eq!(with_claims(&json!({"iss": "us", "exp": NOW - 59})), Ok(()));
        assert_eq!(
            with_claims(&json!({"iss": "us", "exp": NOW - 60})),
            Err(AuthError::Expired)
        );
        assert_eq!(with_claims(&json!({"iss": "us"})), Err(AuthError::Invalid));
        assert_eq!(
            with_claims(&json!({"iss": "us", "exp": "soon"})),
            Err(AuthError::Invalid)
        );
    }

    #[test]
    fn a_token_begins_at_its_time_less_the_leeway() {
        assert_eq!(
            with_claims(&json!({"iss": "us", "exp": NOW + 600, "nbf": NOW + 60})),
            Ok(())
        );
        assert_eq!(
            with_claims(&json!({"iss": "us", "exp": NOW + 600, "nbf": NOW + 61})),
            Err(AuthError::Premature)
        );
    }

    #[test]
    fn the_issuer_must_be_ours() {
        assert_eq!(
            with_claims(&json!({"iss": "them", "exp": NOW + 60})),
            Err(AuthError::Issuer)
        );
        assert_eq!(
            with_claims(&json!({"exp": NOW + 60})),
            Err(AuthError::Issuer)
        );
    }

    #[test]
    fn debug_output_holds_no_key() {
        assert_eq!(
            format!("{:?}", Verifier::new(SECRET, "us")),
            "Verifier { issuer: \"us\", .. }"
        );
    }
}
