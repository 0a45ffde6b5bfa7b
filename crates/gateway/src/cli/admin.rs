//! Asking the gateway that runs, at its admin listener.

use std::time::Duration;

use serde::Serialize;

use super::CliError;
use crate::admin::known_token;
use crate::config::Settings;
use crate::server;

/// A gateway that does not answer by then will not.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the gateway at `ADMIN_ADDR` answers to `question`, at `path`.
///
/// # Errors
/// When there is none, or it refuses; what it says is told.
pub(super) fn ask(
    settings: &Settings,
    path: &str,
    question: &impl Serialize,
) -> Result<String, CliError> {
    let Some(address) = settings.admin_addr else {
        let message = "ADMIN_ADDR is off: the gateway cannot be asked";
        return Err(CliError::Argument(message.to_owned()));
    };
    let body = serde_json::to_vec(question).unwrap_or_default();
    server::control_runtime()?.block_on(async {
        let failed = |error: reqwest::Error| {
            CliError::Admin(format!("the gateway at {address} does not answer: {error}"))
        };
        let client = server::http_client()?;
        let mut request = client
            .post(format!("http://{address}{path}"))
            .header("content-type", "application/json")
            .timeout(PATIENCE)
            .body(body);
        if let Some(token) = known_token(settings, address) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        let error: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let error = error["error"].as_str().unwrap_or(&text);
        Err(CliError::Admin(format!("{address} says {status}: {error}")))
    })
}
