//! Who a request is from, once that is known.

use std::net::IpAddr;
use std::sync::OnceLock;

use http::request;

use super::access::Kind;
use super::claims::{ClaimPath, Claims};

/// Who a request is from, and what that one may do. However somebody has shown who they are, rights are judged by
/// the same names: those of a token's claims. By default nobody, of whom nothing is known.
#[derive(Default)]
pub(crate) struct Identity {
    /// Who says so: the name of an issuer, or [`CONSUMERS`], [`CLIENT_CERTIFICATE`] or [`FORWARD`].
    pub(crate) authority: Box<str>,
    /// Who it is there.
    pub(crate) subject: Option<Box<str>>,
    /// The name of the API key that was shown, if one was.
    pub(crate) key: Option<Box<str>>,
    pub(crate) claims: Claims,
    /// `scope` or `scp`, in words.
    scopes: Box<[Box<str>]>,
    roles: Box<[Box<str>]>,
    /// The claims as rules read them; made for the first rule.
    for_rules: OnceLock<cel::Value>,
}

/// A request, and who it is from: what limits tell clients apart by, and what balancing goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) head: &'a request::Parts,
    /// Normalised.
    pub(crate) path: &'a str,
    /// The client's address, whoever has forwarded the request.
    pub(crate) client: IpAddr,
    /// Who it is from, once that is known.
    pub(crate) identity: Option<&'a Identity>,
}

/// The gateway itself, as an authority: its own tokens.
pub(crate) const GATEWAY: &str = "gateway";
/// The authority of the consumers file.
pub(crate) const CONSUMERS: &str = "consumers";
/// The authority of certificates that clients show.
pub(crate) const CLIENT_CERTIFICATE: &str = "clientCert";
/// The authority of a service that has been asked.
pub(crate) const FORWARD: &str = "forward";

/// Whether `text` can be a scope (RFC 6749 §3.3).
///
/// # Errors
/// What a scope is.
pub(crate) fn check_scope(text: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if text.is_empty() || !text.bytes().all(fits) {
        return Err("is not a scope: visible ASCII without spaces, quotes and backslashes");
    }
    Ok(())
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the claims, which may be confidential.
        formatter
            .debug_struct("Identity")
            .field("authority", &self.authority)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Of somebody with these claims, whose roles are in the claim that `roles` names.
    pub(crate) fn new(authority: &str, claims: Claims, roles: &ClaimPath) -> Self {
        let scope = claims.find(&"scope".into());
        Self {
            authority: authority.into(),
            subject: claims.text("sub").map(Into::into),
            key: None,
            scopes: Claims::words(scope.or_else(|| claims.find(&"scp".into()))),
            roles: Claims::texts(claims.find(roles)),
            claims,
            for_rules: OnceLock::new(),
        }
    }

    /// What has been shown, as far as who says so tells.
    pub(crate) fn kind(&self) -> Kind {
        match &*self.authority {
            CONSUMERS if self.key.is_some() => Kind::Key,
            CONSUMERS => Kind::Basic,
            FORWARD => Kind::Forward,
            _ => Kind::Token,
        }
    }

    /// Whether all of `scopes` have been granted.
    pub(crate) fn has_scopes(&self, scopes: &[Box<str>]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }

    /// Whether one of `roles` is held; yes where none is asked for.
    pub(crate) fn has_a_role(&self, roles: &[Box<str>]) -> bool {
        roles.is_empty() || roles.iter().any(|role| self.roles.contains(role))
    }

    /// The claims as rules read them.
    pub(crate) fn for_rules(&self) -> &cel::Value {
        self.for_rules
            .get_or_init(|| super::rule::object(self.claims.as_map()))
    }
}
