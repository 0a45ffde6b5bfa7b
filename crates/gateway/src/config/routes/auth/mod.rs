//! What a routes file says of authentication: whose tokens are believed, and what a route asks for.

mod access;
mod issuers;
mod written;

pub(super) use access::CheckedAccess;
pub(super) use issuers::Issuers;
pub(super) use written::{Auth, ForwardClaims, Issuer};
