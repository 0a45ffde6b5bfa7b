//! `api-gateway dashboards`.

use std::io::Write;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{CliError, load};
use crate::config::Settings;
use crate::dashboards::{Scope, all, pretty};

/// The command's arguments.
pub(super) fn command() -> Command {
    Command::new("dashboards")
        .about("Write dashboards for Grafana, made for the routes file")
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("DIR")
                .default_value(".")
                .help("Where to write them"),
        )
        .arg(
            Arg::new("any-routes")
                .long("any-routes")
                .action(ArgAction::SetTrue)
                .help("With all panels, and the names that Prometheus has, instead of those of the routes file"),
        )
}

/// Writes the dashboards, and says which.
pub(super) fn dashboards(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let scope = if matches.get_flag("any-routes") {
        Scope::any()
    } else {
        Scope::of(&load(settings)?.snapshot)
    };
    let folder = matches.get_one::<String>("output").map_or(".", |it| it);
    let folder = Path::new(folder);
    let failed = |path: &Path, error: std::io::Error| {
        CliError::Argument(format!("{}: cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (file, dashboard) in all(&scope) {
        let path = folder.join(file);
        std::fs::write(&path, pretty(&dashboard)).map_err(|error| failed(&path, error))?;
        writeln!(std::io::stdout().lock(), "{}", path.display())?;
    }
    Ok(())
}
