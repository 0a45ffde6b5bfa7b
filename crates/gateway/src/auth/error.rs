//! Why a request is not let pass.

use http::HeaderValue;

/// Why a request is not let pass. What the client learns of it is [`AuthError::challenge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// No `Authorization` field.
    #[error("no credentials")]
    Missing,
    /// Several fields, another scheme than Bearer, or no token behind it.
    #[error("malformed credentials")]
    Malformed,
    /// Not a token of ours: malformed, another algorithm, or a signature that does not fit.
    #[error("invalid token")]
    Invalid,
    /// Its time is over.
    #[error("expired token")]
    Expired,
    /// Its time has not come.
    #[error("premature token")]
    Premature,
    /// Somebody else's.
    #[error("wrong issuer")]
    Issuer,
}

impl AuthError {
    /// The `WWW-Authenticate` field of the answer (RFC 6750 §3): no error where no credentials were sent, and never
    /// anything of what was sent.
    pub(crate) const fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Missing => "Bearer realm=\"api-gateway\"",
            Self::Malformed => {
                "Bearer realm=\"api-gateway\", error=\"invalid_request\", error_description=\"malformed credentials\""
            }
            Self::Invalid => {
                "Bearer realm=\"api-gateway\", error=\"invalid_token\", error_description=\"the token is not valid\""
            }
            Self::Expired => {
                "Bearer realm=\"api-gateway\", error=\"invalid_token\", error_description=\"the token has expired\""
            }
            Self::Premature => {
                "Bearer realm=\"api-gateway\", error=\"invalid_token\", error_description=\"the token is not valid yet\""
            }
            Self::Issuer => {
                "Bearer realm=\"api-gateway\", error=\"invalid_token\", error_description=\"the issuer is not accepted\""
            }
        })
    }
}
