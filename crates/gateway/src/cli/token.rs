//! `api-gateway token`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use super::{CliError, complain};
use crate::config::{Settings, parse_duration, token_issuer};

/// Claims that the gateway sets itself.
const OURS: [&str; 4] = ["iss", "iat", "exp", "jti"];

/// The command's arguments.
pub(super) fn command() -> Command {
    Command::new("token")
        .about("Print a token of the gateway's own, for trying out protected routes")
        .arg(
            Arg::new("sub")
                .long("sub")
                .value_name("NAME")
                .required(true)
                .help("Whom the token is for: the claim \"sub\""),
        )
        .arg(
            Arg::new("claim")
                .long("claim")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A further claim; a value that is JSON is taken as such, and any other as text"),
        )
        .arg(
            Arg::new("ttl")
                .long("ttl")
                .value_name("TIME")
                .help("How long it is valid: seconds, or with a unit such as 15m; JWT_EXPIRATION where none is given"),
        )
}

/// Prints a token.
pub(super) fn token(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let issuer = token_issuer(settings).map_err(CliError::File)?;
    if settings.jwt.is_default() {
        complain(&"warning: JWT_SECRET is the documented default: anybody can make such tokens");
    }
    let lifetime = match matches.get_one::<String>("ttl") {
        None => issuer.lifetime,
        Some(text) => parse_duration(text)
            .filter(|time| time.as_secs() > 0)
            .ok_or_else(|| {
                CliError::Argument(format!(
                    "--ttl \"{text}\": must be a time of at least a second, such as 3600 or 15m"
                ))
            })?,
    };
    let mut claims = Map::new();
    for text in matches.get_many::<String>("claim").into_iter().flatten() {
        let (name, value) = claim(text)?;
        claims.insert(name, value);
    }
    let subject = matches.get_one::<String>("sub").map_or("", String::as_str);
    claims.insert("sub".to_owned(), subject.into());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let token = issuer.issue(claims, lifetime, now)?;
    writeln!(std::io::stdout().lock(), "{token}")?;
    Ok(())
}

fn claim(text: &str) -> Result<(String, Value), CliError> {
    let bad = |what: &str| CliError::Argument(format!("--claim \"{text}\": {what}"));
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| bad("must be a name, \"=\" and a value"))?;
    if OURS.contains(&name) || name == "sub" {
        return Err(bad("this claim has another source; use --sub or --ttl"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
