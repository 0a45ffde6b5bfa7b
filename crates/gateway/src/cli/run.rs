//! `api-gateway run`.

use std::sync::Arc;

use super::{CliError, load, start_diagnostics};
use crate::config::{Loaded, Settings};
use crate::server;

/// Serves until a signal says to stop.
pub(super) fn run(settings: Settings) -> Result<(), CliError> {
    let Loaded { snapshot, warnings } = load(&settings)?;
    start_diagnostics(&settings);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok(server::run(Arc::new(settings), Arc::new(snapshot))?)
}
