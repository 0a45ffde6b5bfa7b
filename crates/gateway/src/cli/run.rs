//! `api-gateway run`.

use std::sync::Arc;

use super::{CliError, load};
use crate::config::{Loaded, Settings};
use crate::diagnostics;
use crate::server;

/// Serves until a signal says to stop.
pub(super) fn run(settings: Settings) -> Result<(), CliError> {
    let Loaded { snapshot, warnings } = load(&settings)?;
    diagnostics::start(&settings);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok(server::run(Arc::new(settings), Arc::new(snapshot))?)
}
