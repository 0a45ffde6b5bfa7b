//! Who may use a route, and what its backend learns of them.

pub(crate) mod fixtures;
mod forwarded_claims;
mod key_rotation;
mod malformed_tokens;
mod own_tokens;
mod protocols;
mod published_keys;
mod rights;
mod rules;
mod token_command;
mod tokens;
