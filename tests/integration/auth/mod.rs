//! Who may use a route, and what its backend learns of them.

mod addresses;
mod api_keys_and_passwords;
mod consumers_file;
mod credential_places;
mod documented_examples;
pub(crate) mod fixtures;
mod forward_auth;
mod forward_auth_memory;
mod forwarded_claims;
mod key_rotation;
mod malformed_tokens;
mod mistakes;
mod own_tokens;
mod protocols;
mod published_keys;
mod rights;
mod rules;
mod secrets;
mod shadow;
mod token_command;
mod token_endpoint;
mod token_endpoint_errors;
mod tokens;
