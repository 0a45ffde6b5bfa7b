//! The client for requests of the gateway's own: to issuers of tokens, and to services that decide.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use super::StartError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that checks certificates and follows no redirect. Its connections belong to the runtime that uses it.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn new() -> Result<Client, StartError> {
    Client::builder()
        .user_agent(concat!("api-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .build()
        .map_err(StartError::HttpClient)
}
