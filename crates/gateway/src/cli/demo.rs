//! `api-gateway demo`.

use std::sync::Arc;

use super::{CliError, load, routes};
use crate::config::{Loaded, Settings};
use crate::demo;
use crate::diagnostics;
use crate::server;

/// Serves, with sample backends in the same process, and says what to try.
pub(super) fn demo(settings: Settings) -> Result<(), CliError> {
    let Loaded { snapshot, warnings } = load(&settings)?;
    diagnostics::start(&settings);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let runtime = server::control_runtime()?;
    runtime.block_on(async {
        demo::start().await?;
        show(&routes::table(&snapshot));
        show(&demo::banner(&settings, &snapshot.authority.issuer));
        Ok(server::run_on(Arc::new(settings), Arc::new(snapshot)).await?)
    })
}

/// For people at a terminal. Standard output may be the access log's; this comes before its first line.
#[allow(clippy::print_stdout)]
fn show(text: &str) {
    println!("{text}");
}
