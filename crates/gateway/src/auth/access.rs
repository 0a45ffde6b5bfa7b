//! Who may use a route.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, request};

use super::AuthError;
use super::claims::{ClaimPath, Claims};
use super::consumers::Consumers;
use super::credentials::{BASIC_CHALLENGE, Place};
use super::forward::ForwardAuth;
use super::identity::Identity;
use super::issuer::Issuer;
use super::rule::Rule;

/// What a client must show to use a route, and what must be true of it. Compiled from `requireAuth` and `auth`.
#[derive(Debug)]
pub struct Access {
    /// Any of these will do; they are tried in this order.
    pub(crate) kinds: Box<[Kind]>,
    /// Where tokens are looked for.
    pub(crate) token_places: Box<[Place]>,
    /// Where API keys are looked for.
    pub(crate) key_places: Box<[Place]>,
    /// Whose tokens are believed.
    pub(crate) issuers: Box<[Arc<Issuer>]>,
    /// Who has API keys and passwords.
    pub(crate) consumers: Option<Arc<Consumers>>,
    /// Who else decides.
    pub(crate) forward: Option<ForwardAuth>,
    /// A token must be for one of these; for anybody where there are none.
    pub(crate) audiences: Box<[Box<str>]>,
    /// All of these must have been granted.
    pub(crate) scopes: Box<[Box<str>]>,
    /// One of these must be held.
    pub(crate) roles: Box<[Box<str>]>,
    /// What else must be true.
    pub(crate) rule: Option<Rule>,
}

/// What was wrong with the credentials of each kind.
#[derive(Debug, Default)]
pub(crate) struct Errors([Option<AuthError>; 5]);

/// How a client can show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A JWT.
    Token,
    /// An API key.
    Key,
    /// Name and password (RFC 7617).
    Basic,
    /// A certificate, shown in the TLS handshake.
    Certificate,
    /// Whatever another service makes of the request.
    Forward,
}

/// A claim that the backend is told in a field of its own.
#[derive(Debug)]
pub struct ForwardedClaim {
    /// The field; what a client sends in it ends at the gateway.
    pub(crate) field: HeaderName,
    pub(crate) claim: ClaimPath,
}

impl Access {
    /// The issuer that is called so.
    pub(crate) fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| *issuer.issuer == *name)
    }

    /// Whether tokens of this issuer are believed no more as they were checked, but perhaps as it is now.
    pub(crate) fn has_replaced(&self, issuer: &Arc<Issuer>) -> bool {
        !self.believes(issuer) && self.issuers.iter().any(|own| own.issuer == issuer.issuer)
    }

    /// Whether tokens of that issuer are believed here.
    pub(crate) fn believes(&self, issuer: &Arc<Issuer>) -> bool {
        self.issuers.iter().any(|own| Arc::ptr_eq(own, issuer))
    }

    /// Whether somebody who is known may pass.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge(
        &self,
        kind: Kind,
        identity: &Identity,
        head: &request::Parts,
        path: &str,
    ) -> Result<(), AuthError> {
        if kind == Kind::Token && !identity.claims.are_for(&self.audiences) {
            return Err(AuthError::Audience);
        }
        if !identity.has_scopes(&self.scopes) {
            return Err(AuthError::Scope);
        }
        if !identity.has_a_role(&self.roles) {
            return Err(AuthError::Role);
        }
        match &self.rule {
            Some(rule) if !rule.allows(identity, head, path) => Err(AuthError::Rule),
            _ => Ok(()),
        }
    }

    /// `WWW-Authenticate` of a refusal: a challenge for each kind of credentials that is accepted (RFC 9110 §11.6.1), with
    /// what was wrong with those of that kind.
    pub(crate) fn challenge(&self, errors: &Errors) -> Option<HeaderValue> {
        let challenges: Vec<String> = self
            .kinds
            .iter()
            .filter_map(|&kind| match kind {
                Kind::Token => Some(self.bearer(errors.of(kind))),
                Kind::Basic => Some(BASIC_CHALLENGE.to_owned()),
                Kind::Key => Some(challenge("ApiKey", errors.of(kind).of_key())),
                // There is no scheme for them: a client shows them before it is asked by HTTP.
                Kind::Certificate | Kind::Forward => None,
            })
            .collect();
        HeaderValue::from_str(&challenges.join(", "))
            .ok()
            .filter(|value| !value.is_empty())
    }

    /// RFC 6750 §3.
    fn bearer(&self, error: AuthError) -> String {
        let mut challenge = challenge("Bearer", error.of_token());
        if error == AuthError::Scope {
            challenge += &format!(", scope=\"{}\"", self.scopes.join(" "));
        }
        challenge
    }
}

impl Errors {
    pub(crate) fn add(&mut self, kind: Kind, error: AuthError) {
        if let Some(own) = self.0.get_mut(kind as usize) {
            *own = Some(error);
        }
    }

    fn of(&self, kind: Kind) -> AuthError {
        let own = self.0.get(kind as usize).copied().flatten();
        own.unwrap_or(AuthError::Missing)
    }

    /// What was tried, and why it was not enough: the kind that came furthest.
    pub(crate) fn furthest_of(&self) -> Option<(Kind, AuthError)> {
        let kinds = [Kind::Token, Kind::Key, Kind::Basic, Kind::Forward];
        let errors = kinds.into_iter().zip(self.0.iter().copied());
        let errors = errors.filter_map(|(kind, error)| Some((kind, error?)));
        errors.max_by_key(|(_, error)| *error)
    }

    /// The one that came furthest.
    pub(crate) fn furthest(&self) -> AuthError {
        let errors = self.0.iter().copied().flatten();
        errors.max().unwrap_or(AuthError::Missing)
    }
}

fn challenge(scheme: &str, error: Option<(&str, &str)>) -> String {
    let mut challenge = format!("{scheme} realm=\"api-gateway\"");
    if let Some((error, description)) = error {
        challenge += &format!(", error=\"{error}\", error_description=\"{description}\"");
    }
    challenge
}

impl ForwardedClaim {
    /// The claim as the value of a field: text as it is, numbers and booleans as JSON has them, lists of them joined
    /// by commas, objects as JSON. None for what is not there, or holds what no field may, for blanks at either end, which
    /// a backend would not see (RFC 9110 §5.5), and for lists with an item that holds a comma itself.
    pub(crate) fn value(&self, claims: &Claims) -> Option<Vec<u8>> {
        use serde_json::Value;
        let scalar = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = match claims.find(&self.claim)? {
            Value::Null => return None,
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scalar).collect();
                // The backend would take one item for several.
                if items.iter().any(|item| item.contains(',')) {
                    return None;
                }
                items.join(",")
            }
            other => scalar(other),
        };
        let fits = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let text = text.into_bytes();
        let is_whole = text.trim_ascii().len() == text.len();
        (is_whole && text.iter().all(|&byte| fits(byte))).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_becomes_a_field_value() {
        let claims = json!({
            "text": "a b", "number": 7, "yes": true, "list": ["a", 1], "object": {"a": [1]},
            "nothing": null, "evil": "a\r\nX-Admin: 1", "umlaut": "ü", "blank": " admin", "tab": "admin\t",
        });
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        let value = |claim: &str| {
            let forwarded = ForwardedClaim {
                field: HeaderName::from_static("x"),
                claim: claim.into(),
            };
            forwarded
                .value(&claims)
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        for (claim, expected) in [
            ("text", Some("a b")),
            ("number", Some("7")),
            ("yes", Some("true")),
            ("list", Some("a,1")),
            ("object", Some("{\"a\":[1]}")),
            ("umlaut", Some("ü")),
            ("nothing", None),
            ("missing", None),
            ("evil", None),
            ("blank", None),
            ("tab", None),
        ] {
            assert_eq!(value(claim).as_deref(), expected, "{claim}");
        }
    }
}
