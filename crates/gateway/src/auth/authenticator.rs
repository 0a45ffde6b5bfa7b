//! Finding out who a request is from.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

use http::request;
use tokio::time::Instant;

use super::AuthError;
use super::access::{Access, Errors, Kind};
use super::claims::Claims;
use super::consumers;
use super::credentials::{authorization, name_and_password, taken};
use super::forward::{Decision, ForwardAuth, OnError, Remembered};
use super::identity::Identity;
use super::issuer::{Keys, Unverified, Verified};
use super::jose::Compact;
use super::known::Known;
use crate::counters::AuthResult;
use crate::error::Refusal;
use crate::tls::ClientCertificate;
use crate::trace::Trace;

/// A request whose client is to be found out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a request::Parts,
    /// Normalised.
    pub(crate) path: &'a str,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The certificate that the client has shown in the TLS handshake, and that has been checked there.
    pub(crate) certificate: Option<&'a ClientCertificate>,
    /// That of the URL that the client has asked for.
    pub(crate) scheme: &'static str,
    /// Seconds since 1970.
    pub(crate) now: f64,
    /// What it is a part of.
    pub(crate) trace: Option<&'a Trace>,
}

/// Finds out who requests are from, for one worker.
#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    tokens: Known<Arc<Verified>>,
    passwords: Known<consumers::Known>,
    decisions: Known<Remembered>,
    /// Who passes because a service that decides cannot be asked.
    nobody: Identity,
    /// For services that decide, where a route has one. Its connections are this worker's.
    client: OnceCell<reqwest::Client>,
}

/// A request that may not pass.
pub(crate) struct Refused {
    /// Who it is from, where that is known.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) refusal: Refusal,
    /// The kind of the credentials that came furthest.
    pub(crate) kind: Option<Kind>,
    pub(crate) result: AuthResult,
}

/// Why a client may not pass.
enum Denial {
    /// For this reason.
    Error(AuthError),
    /// The service that was asked has said so itself.
    Decision(Decision),
}

impl From<AuthError> for Denial {
    fn from(error: AuthError) -> Self {
        Self::Error(error)
    }
}

impl Authenticator {
    /// Gets ready to ask services.
    pub(crate) fn ask_services(&self) {
        if self.client.get().is_some() {
            return;
        }
        match crate::server::http_client() {
            Ok(client) => {
                self.client.get_or_init(|| client);
            }
            // Requests are refused as if the services did not answer.
            Err(error) => tracing::error!(%error, "services that decide cannot be asked"),
        }
    }

    /// Who the request is from, if that one may use what `access` guards. None where it may pass without being known.
    ///
    /// # Errors
    /// When the request may not pass. Of several kinds of credentials that were tried, the answer is about the one that
    /// came furthest. Credentials that may be forged are not made good by good ones of another kind.
    pub(crate) async fn admit(
        &self,
        access: &Access,
        asked: &Asked<'_>,
    ) -> Result<Option<Arc<Identity>>, Refused> {
        let (mut errors, mut answer) = (Errors::default(), None);
        let (mut passed, mut forged, mut known) = (None, None, None);
        for &kind in &access.kinds {
            if kind == Kind::Forward && passed.is_some() {
                continue;
            }
            let shown = match kind {
                Kind::Token => self.by_token(access, asked).await.map(Some),
                Kind::Key => by_key(access, asked).map(Some),
                Kind::Basic => Box::pin(self.by_password(access, asked)).await.map(Some),
                Kind::Certificate => by_certificate(asked).map(Some),
                Kind::Forward => match &access.forward {
                    Some(forward) => Box::pin(self.by_service(forward, asked)).await,
                    None => Err(AuthError::Missing.into()),
                },
            };
            if let Err(Denial::Error(error)) = &shown
                && kind != Kind::Forward
                && error.is_of_unknown_origin()
            {
                forged = forged.max(Some(*error));
            }
            let judged = shown.and_then(|shown| {
                let identity = shown.as_deref().unwrap_or(&self.nobody);
                let judged = access.judge(kind, identity, asked.head, asked.path);
                if judged.is_err_and(AuthError::is_forbidden) {
                    known.clone_from(&shown);
                }
                judged?;
                Ok(shown)
            });
            match judged {
                Ok(identity) => passed = passed.or(Some(identity)),
                Err(Denial::Error(error)) => errors.add(kind, error),
                Err(Denial::Decision(decision)) => answer = Some(decision),
            }
        }
        let mut result = match (&answer, errors.furthest_of()) {
            (Some(_), _) => (Some(Kind::Forward), AuthResult::RefusedByService),
            (None, Some((kind, error))) => (Some(kind), AuthResult::Refused(error)),
            (None, None) => (None, AuthResult::Refused(AuthError::Missing)),
        };
        let refusal = match (passed, forged) {
            (Some(identity), None) => return Ok(identity),
            // The backend would see them beside the good ones, and might believe them.
            (Some(_), Some(error)) => {
                result.1 = AuthResult::Refused(error);
                refusal(access, error, &errors, None)
            }
            (None, _) => refusal(access, errors.furthest(), &errors, answer),
        };
        Err(Refused {
            identity: known.filter(|_| errors.furthest().is_forbidden()),
            refusal,
            kind: result.0,
            result: result.1,
        })
    }

    /// Forgets tokens and decisions whose time is over, and keys that have been withdrawn.
    pub(crate) fn sweep(&self, now: f64) {
        self.tokens.retain(|verified| is_current(verified, now));
        self.passwords.retain(|known| known.is_valid(now));
        let now = Instant::now();
        self.decisions.retain(|decision| decision.is_current(now));
    }

    /// RFC 6750 §2.
    async fn by_token(&self, access: &Access, asked: &Asked<'_>) -> Result<Arc<Identity>, Denial> {
        let mut shown = Shown::default();
        for token in taken(&access.token_places, asked.head) {
            shown.add(match token {
                Ok(token) => self.verified(access, &token, asked).await,
                Err(error) => Err(error),
            })?;
        }
        Ok(shown.first()?)
    }

    async fn verified(
        &self,
        access: &Access,
        token: &[u8],
        asked: &Asked<'_>,
    ) -> Result<Arc<Identity>, AuthError> {
        let known = self
            .tokens
            .owner(token, |verified| is_current(verified, asked.now));
        // Another configuration may have other keys for it.
        let known = known.filter(|verified| !access.has_replaced(&verified.issuer));
        if let Some(verified) = known {
            if !access.believes(&verified.issuer) {
                return Err(AuthError::Issuer);
            }
            verified.judge(asked.now)?;
            return Ok(Arc::clone(&verified.identity));
        }
        let verified = Box::pin(check(access, token)).await?;
        verified.judge(asked.now)?;
        if is_current(&verified, asked.now) {
            self.tokens.remember(token, Arc::clone(&verified));
        }
        Ok(Arc::clone(&verified.identity))
    }

    /// RFC 7617 §2.
    async fn by_password(
        &self,
        access: &Access,
        asked: &Asked<'_>,
    ) -> Result<Arc<Identity>, Denial> {
        let credentials = authorization(&asked.head.headers, "Basic")?;
        let consumers = access.consumers.as_ref().ok_or(AuthError::Invalid)?;
        let fingerprint = consumers.fingerprint(credentials);
        let known = self
            .passwords
            .owner(&fingerprint, |known| known.is_valid(asked.now));
        if let Some(known) = known {
            return Ok(known.identity);
        }
        let (name, password) = name_and_password(credentials)?;
        let (_, known) = consumers
            .by_password(&name, password.as_bytes(), asked.now)
            .await?;
        self.passwords.remember(&fingerprint, known.clone());
        Ok(known.identity)
    }

    async fn by_service(
        &self,
        forward: &ForwardAuth,
        asked: &Asked<'_>,
    ) -> Result<Option<Arc<Identity>>, Denial> {
        let decided = match self.client.get() {
            Some(client) => forward.decide(client, &self.decisions, asked).await,
            None => None,
        };
        match (decided, forward.on_error) {
            (Some(Decision::Pass(identity)), _) => Ok(Some(identity)),
            (Some(refusal), _) => Err(Denial::Decision(refusal)),
            // Instead of the service's yes. What the route asks for besides must be so all the same.
            (None, OnError::Open) => Ok(None),
            (None, OnError::Closed) => Err(AuthError::Unavailable.into()),
        }
    }
}

/// Whether what was found out about a token holds at `now` without another look.
fn is_current(verified: &Arc<Verified>, now: f64) -> bool {
    now < verified.validity.until && verified.generation == verified.issuer.generation()
}

/// Checks a token that is not known.
async fn check(access: &Access, token: &[u8]) -> Result<Arc<Verified>, AuthError> {
    let malformed = "it is malformed, or its header asks for what is not supported";
    let parsed = Compact::parse(token).ok_or_else(|| AuthError::Invalid.because(malformed))?;
    let ambiguous = "its claims are no JSON object, or one stands there twice";
    let parse_claims =
        || Claims::parse(&parsed.payload).ok_or_else(|| AuthError::Invalid.because(ambiguous));
    let claims = parse_claims()?;
    let issuer = claims
        .text("iss")
        .and_then(|name| access.issuer(name))
        .ok_or_else(|| AuthError::Issuer.because("its iss is no issuer of the route"))?;
    let mut result = issuer.verify(&parsed, claims);
    if let (Err(Unverified::UnknownKey), Keys::Remote(keys)) = (&result, &issuer.keys) {
        if keys.refetched().await {
            result = issuer.verify(&parsed, parse_claims()?);
        }
        if matches!(result, Err(Unverified::UnknownKey)) && keys.is_out_of_reach() {
            return Err(AuthError::Unavailable);
        }
    }
    result.map(Arc::new).map_err(|error| match error {
        Unverified::UnknownKey => {
            AuthError::Invalid.because("none of the issuer's keys fits its kid and alg")
        }
        Unverified::Refused(error) => error,
    })
}

fn by_key(access: &Access, asked: &Asked<'_>) -> Result<Arc<Identity>, Denial> {
    let consumers = access.consumers.as_ref().ok_or(AuthError::Invalid)?;
    let mut shown = Shown::default();
    for key in taken(&access.key_places, asked.head) {
        shown.add(key.and_then(|key| consumers.by_key(&key, asked.now)))?;
    }
    Ok(shown.first()?)
}

/// The handshake has checked the certificate; a connection may outlive it.
fn by_certificate(asked: &Asked<'_>) -> Result<Arc<Identity>, Denial> {
    let certificate = asked.certificate.ok_or(AuthError::Missing)?;
    if certificate.not_after < asked.now {
        return Err(AuthError::Expired.into());
    }
    Ok(Arc::clone(&certificate.identity))
}

/// What the credentials in several places come to. Those in the first place count; the backend sees the others too, so
/// that none of them may be forged.
#[derive(Default)]
struct Shown(Option<Result<Arc<Identity>, AuthError>>);

impl Shown {
    fn add(&mut self, found: Result<Arc<Identity>, AuthError>) -> Result<(), AuthError> {
        match found {
            Err(error) if error.is_of_unknown_origin() => Err(error),
            found => {
                self.0.get_or_insert(found);
                Ok(())
            }
        }
    }

    fn first(self) -> Result<Arc<Identity>, AuthError> {
        self.0.unwrap_or(Err(AuthError::Missing))
    }
}

fn refusal(
    access: &Access,
    error: AuthError,
    errors: &Errors,
    answer: Option<Decision>,
) -> Refusal {
    if error == AuthError::Unavailable {
        return Refusal::auth_unavailable();
    }
    if error.is_forbidden() {
        return Refusal::forbidden(access.challenge(errors));
    }
    if access.kinds[..] == [Kind::Certificate] {
        // There is no challenge for it, and no 401 without one (RFC 9110 §11.6.1).
        return Refusal::forbidden(None)
            .with_detail("A valid client certificate is needed.".to_owned());
    }
    match answer {
        Some(Decision::Refuse(answer)) => Refusal::answered(answer.response()),
        _ => Refusal::unauthorized(access.challenge(errors)),
    }
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
