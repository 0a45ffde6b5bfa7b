//! Who makes tokens, who has credentials, and whose keys are fetched: what all routes share.

use std::sync::Arc;

use super::consumers::Consumers;
use super::issuer::Issuer;
use super::issuing::TokenIssuer;
use super::remote_keys::RemoteKeys;

/// What all routes share.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Makes our own tokens.
    pub(crate) issuer: TokenIssuer,
    /// Those of the consumers file, and a digest of it.
    pub(crate) consumers: Option<([u8; 32], Arc<Consumers>)>,
    /// Whose tokens are believed.
    pub(crate) issuers: Vec<Arc<Issuer>>,
    /// Keys that are to be kept fresh.
    pub(crate) remote_keys: Vec<Arc<RemoteKeys>>,
    /// The path of a route that gives tokens, where there is one.
    pub(crate) token_path: Option<Box<str>>,
    /// The path of a route that shows our keys, where there is one.
    pub(crate) keys_path: Option<Box<str>>,
}
