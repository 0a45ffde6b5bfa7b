//! `api-gateway schema`.

use std::io::Write;

use super::CliError;

/// Prints the JSON Schema of the routes file.
pub(super) fn schema() -> Result<(), CliError> {
    Ok(std::io::stdout()
        .lock()
        .write_all(crate::config::schema().as_bytes())?)
}
