//! `api-gateway schema`.

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::CliError;
use crate::config;

/// The command's arguments.
pub(super) fn command() -> Command {
    Command::new("schema")
        .about("Print the JSON Schema of the routes file, of the consumers file, or of the listeners file")
        .arg(
            Arg::new("file")
                .value_parser(["routes", "consumers", "listeners"])
                .default_value("routes")
                .help("Of which file"),
        )
        .arg(
            Arg::new("markdown")
                .long("markdown")
                .action(ArgAction::SetTrue)
                .help("The routes file's as a page for people: docs/routes-reference.md"),
        )
}

/// Prints a JSON Schema, or what is made of it.
pub(super) fn schema(matches: &ArgMatches) -> Result<(), CliError> {
    let schema = match matches.get_one::<String>("file").map(String::as_str) {
        _ if matches.get_flag("markdown") => config::routes_reference(),
        Some("consumers") => config::consumers_schema(),
        Some("listeners") => config::listeners_schema(),
        _ => config::schema(),
    };
    Ok(std::io::stdout().lock().write_all(schema.as_bytes())?)
}
