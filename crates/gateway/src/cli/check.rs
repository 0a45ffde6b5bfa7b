//! `api-gateway check`.

use std::io::Write;

use super::{CliError, complain, load_everything};
use crate::config::{Loaded, Settings};

/// Says that all is well, and what could be better; the errors of [`load_everything`] say what is not.
pub(super) fn check(settings: &Settings) -> Result<(), CliError> {
    let Loaded {
        snapshot, warnings, ..
    } = load_everything(settings)?.loaded;
    for warning in &warnings {
        complain(&format_args!("warning: {warning}"));
    }
    let endpoints: usize = snapshot
        .upstreams
        .iter()
        .map(|upstream| upstream.endpoints().len())
        .sum();
    writeln!(
        std::io::stdout().lock(),
        "{}: {}, {}, {}",
        settings.routes_config_path.display(),
        count(snapshot.routes.len(), "route"),
        count(endpoints, "target"),
        count(warnings.len(), "warning"),
    )?;
    Ok(())
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
