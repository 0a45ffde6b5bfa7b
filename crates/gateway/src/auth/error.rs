//! Why a request is not let pass.

/// Why somebody is not believed, or may not pass: the later one stands, the further a request has come. What the client
/// learns of it are [`of_token`](Self::of_token) and [`of_key`](Self::of_key).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum AuthError {
    /// No credentials.
    #[error("no credentials")]
    Missing,
    /// Several of them, or some that are not of the kind that is asked for.
    #[error("malformed credentials")]
    Malformed,
    /// Somebody else's.
    #[error("wrong issuer")]
    Issuer,
    /// A token that nobody we believe has signed, an unknown key, a wrong password.
    #[error("invalid credentials")]
    Invalid,
    /// For somebody else.
    #[error("wrong audience")]
    Audience,
    /// Their time is over.
    #[error("expired credentials")]
    Expired,
    /// Their time has not come.
    #[error("premature token")]
    Premature,
    /// The keys of the issuer, or the word of the service that decides, are not to be had.
    #[error("cannot be judged")]
    Unavailable,
    /// A scope that is needed has not been granted.
    #[error("insufficient scope")]
    Scope,
    /// None of the roles that may pass.
    #[error("insufficient role")]
    Role,
    /// The route's rule says no.
    #[error("against the rule")]
    Rule,
}

impl AuthError {
    /// As metrics have them, in the order of the variants.
    pub(crate) const NAMES: [&str; 11] = [
        "missing",
        "malformed",
        "issuer",
        "invalid",
        "audience",
        "expired",
        "premature",
        "unavailable",
        "scope",
        "role",
        "rule",
    ];

    /// The `error` and the `error_description` of a challenge (RFC 6750 §3.1): none where no token was sent, and
    /// never anything of what was sent.
    pub(super) const fn of_token(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Missing | Self::Unavailable => return None,
            Self::Malformed => ("invalid_request", "malformed credentials"),
            Self::Invalid => ("invalid_token", "the token is not valid"),
            Self::Expired => ("invalid_token", "the token has expired"),
            Self::Premature => ("invalid_token", "the token is not valid yet"),
            Self::Issuer => ("invalid_token", "the issuer is not accepted"),
            Self::Audience => ("invalid_token", "the token is for another audience"),
            Self::Scope => ("insufficient_scope", "a scope is missing"),
            Self::Role => ("insufficient_scope", "a role is missing"),
            Self::Rule => ("insufficient_scope", "the rule of the route refuses it"),
        })
    }

    /// The same of an API key.
    pub(super) const fn of_key(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Malformed => (
                "invalid_request",
                "the key is malformed, or there are several",
            ),
            Self::Invalid => ("invalid_key", "the key is not valid"),
            Self::Expired => ("invalid_key", "the key has expired"),
            _ => return self.of_token(),
        })
    }

    /// The same; tells the diagnostics, and nobody else, what is wrong with the token.
    pub(super) fn because(self, reason: &'static str) -> Self {
        tracing::debug!(reason, "token refused");
        self
    }

    /// Whether credentials were shown that nobody may have given.
    pub(super) const fn is_of_unknown_origin(self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::Issuer | Self::Invalid | Self::Unavailable
        )
    }

    /// Whether the client is known, and may not pass all the same.
    pub(crate) const fn is_forbidden(self) -> bool {
        matches!(self, Self::Scope | Self::Role | Self::Rule)
    }
}
