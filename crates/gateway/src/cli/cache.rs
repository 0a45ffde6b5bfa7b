//! `api-gateway cache purge`.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::CliError;
use super::admin::ask;
use crate::caching::PurgeRequest;
use crate::config::Settings;

/// The arguments of `cache`.
pub(super) fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("cache")
        .about("Tend the cache of the gateway at ADMIN_ADDR")
        .subcommand_required(true)
        .subcommand(
            Command::new("purge")
                .about("Purge what is cached")
                .arg(text("url", "URL", "What is cached for this URL"))
                .arg(text(
                    "prefix",
                    "URL",
                    "What is cached for URLs that begin so",
                ))
                .arg(text("tag", "TAG", "What the backend has given this tag"))
                .arg(switch("all", "Everything"))
                .arg(switch("soft", "Make it stale instead of removing it"))
                .group(
                    ArgGroup::new("what")
                        .args(["url", "prefix", "tag", "all"])
                        .required(true),
                ),
        )
}

/// Asks the running gateway to purge.
pub(super) fn purge(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let request = PurgeRequest {
        url: text("url"),
        prefix: text("prefix"),
        tag: text("tag"),
        all: matches.get_flag("all"),
        soft: matches.get_flag("soft"),
    };
    let answer = ask(settings, "/cache/purge", &request)?;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    if answer["redis"] == "unreachable" {
        let message =
            "purged, but Redis cannot be asked: other gateways will hear of it when it can";
        return Err(CliError::Admin(message.to_owned()));
    }
    Ok(())
}
