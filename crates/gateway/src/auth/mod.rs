//! Who may pass: tokens in `Authorization: Bearer` (RFC 6750), verified and issued.

mod claims;
mod error;
mod known;
mod verifier;

pub(crate) use claims::issue;
pub(crate) use error::AuthError;
pub(crate) use verifier::Verifier;
