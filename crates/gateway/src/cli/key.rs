//! `api-gateway key new` and `api-gateway hash`.

use std::io::{BufRead, Write};

use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::{CliError, complain};
use crate::auth::{KeyHasher, hash_password};
use crate::config::Settings;

/// The arguments of `key`.
pub(super) fn command() -> Command {
    Command::new("key")
        .about("Make API keys")
        .subcommand_required(true)
        .subcommand(
            Command::new("new")
                .about("Print a new API key, and its entry for \"keys\" of a consumer in CONSUMERS_FILE")
                .arg(
                    Arg::new("id")
                        .long("id")
                        .value_name("NAME")
                        .default_value("default")
                        .help("The key's name in logs"),
                )
                .arg(
                    Arg::new("expires")
                        .long("expires")
                        .value_name("TIME")
                        .help("When it ends, as in 2027-06-30T00:00:00Z"),
                ),
        )
}

/// Prints a new key, once, and its entry.
pub(super) fn new(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let secret = settings.api_key_secret.as_ref().ok_or_else(|| {
        CliError::Argument(
            "API_KEY_SECRET is not set: set it to a long random text, here and where the gateway runs".to_owned(),
        )
    })?;
    let hasher = KeyHasher::new(secret.expose().as_bytes());
    let (key, hash) = hasher.new_key().ok_or(CliError::Random)?;
    let mut entry = json!({ "id": matches.get_one::<String>("id"), "hash": hash });
    if let Some(expires) = matches.get_one::<String>("expires") {
        if humantime::parse_rfc3339(expires).is_err() {
            return Err(CliError::Argument(format!(
                "--expires \"{expires}\": must be a time in UTC such as 2027-06-30T00:00:00Z"
            )));
        }
        entry["expires"] = expires.as_str().into();
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "key:   {key}\nentry: {entry}")?;
    complain(&"the key is shown this once; the entry belongs into \"keys\" of its consumer");
    Ok(())
}

/// Prints the hash of the password that stands in the first line of standard input.
pub(super) fn hash() -> Result<(), CliError> {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(CliError::Argument(
            "no password on standard input; try: printf %s \"$PASSWORD\" | api-gateway hash"
                .to_owned(),
        ));
    }
    writeln!(
        std::io::stdout().lock(),
        "{}",
        hash_password(password.as_bytes())?
    )?;
    Ok(())
}
