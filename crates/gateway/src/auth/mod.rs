//! Who may pass, and who a request is from.
//!
//! [`Access`] is what a route asks for; an [`Authenticator`], one for each worker, says whether a request has it, and
//! whose it is. A client may show a token (`issuer`: whose are believed; `jose`: signatures), an API key or a password
//! (`consumers`), or have another service speak for it (`forward`). Whatever it was, the result is an [`Identity`] with
//! claims, and rights are judged by those. `issuing` makes tokens.

mod access;
mod answer_body;
mod authenticator;
mod authority;
mod cause;
mod claims;
mod consumers;
mod credentials;
mod error;
mod forward;
mod identity;
mod issuer;
mod issuing;
mod jose;
mod known;
mod remote_keys;
mod rule;

pub(crate) use access::{Access, ForwardedClaim, Kind};
pub(crate) use authenticator::{Asked, Authenticator};
pub(crate) use authority::Authority;
pub(crate) use claims::{ClaimPath, Claims};
pub(crate) use consumers::{
    Consumer, ConsumerKey, Consumers, KeyHasher, PasswordError, hash_password,
};
pub(crate) use credentials::{Hidden, Place};
pub(crate) use error::AuthError;
pub(crate) use forward::{ByPath, ForwardAuth, OnError};
pub(crate) use identity::{
    CLIENT_CERTIFICATE, CONSUMERS, FORWARD, GATEWAY, Identity, Subject, check_scope,
};
pub(crate) use issuer::{Issuer, Keys};
pub(crate) use issuing::{IssueError, Service, TokenIssuer};
pub(crate) use jose::{Algorithm, Key, KeyError, KeySet, SigningKey, public_keys};
pub(crate) use remote_keys::{RemoteKeys, Source};
pub(crate) use rule::Rule;
