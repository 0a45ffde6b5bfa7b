//! `api-gateway run`.

use std::sync::Arc;

use super::{CliError, Everything, load, with_listeners};
use crate::config::{ConfigErrors, History, Loaded, RoutesSource, Settings, load_first};
use crate::diagnostics;
use crate::server;

/// Serves until a signal says to stop.
pub(super) fn run(settings: Settings) -> Result<(), CliError> {
    let loaded = match load(&settings) {
        Err(errors) if settings.reload.start_from_last_good => {
            diagnostics::start(&settings);
            Ok(last_good(&settings, errors)?)
        }
        loaded => loaded,
    };
    let Everything { loaded, listeners } = with_listeners(&settings, loaded)?;
    diagnostics::start(&settings);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(server::run(Arc::new(settings), loaded, listeners)?)
}

/// The routes file that was applied last, in place of one that is broken.
fn last_good(settings: &Settings, errors: ConfigErrors) -> Result<Loaded, CliError> {
    let history = settings.reload.state_dir.as_deref().map(History::new);
    let kept = match history {
        Some(history) => history.all()?.into_iter().next(),
        None => None,
    };
    let Some(kept) = kept else {
        return Err(errors.into());
    };
    for error in errors.to_string().lines() {
        tracing::error!("{error}");
    }
    let source = RoutesSource::Text(kept.text()?);
    let loaded = load_first(settings, &source);
    tracing::error!(
        hash = kept.hash,
        applied = %humantime::format_rfc3339_seconds(kept.time),
        "THE ROUTES FILE IS BROKEN: the last one that was applied is served in its place (START_FROM_LAST_GOOD)"
    );
    Ok(loaded?)
}
