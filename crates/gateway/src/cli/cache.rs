//! `api-gateway cache purge`.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::CliError;
use crate::caching::PurgeRequest;
use crate::config::Settings;
use crate::server;

/// A gateway that does not answer by then will not.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let Some(address) = settings.admin_addr else {
        let message = "ADMIN_ADDR is off: the gateway cannot be asked to purge";
        return Err(CliError::Argument(message.to_owned()));
    };
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let request = PurgeRequest {
        url: text("url"),
        prefix: text("prefix"),
        tag: text("tag"),
        all: matches.get_flag("all"),
        soft: matches.get_flag("soft"),
    };
    let body = serde_json::to_vec(&request).unwrap_or_default();
    server::control_runtime()?.block_on(async {
        let failed = |error: reqwest::Error| {
            CliError::Admin(format!("the gateway at {address} does not answer: {error}"))
        };
        let client = server::http_client()?;
        let answer = client
            .post(format!("http://{address}/cache/purge"))
            .header("content-type", "application/json")
            .timeout(PATIENCE)
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            return Ok(());
        }
        let error: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let error = error["error"].as_str().unwrap_or(&text);
        Err(CliError::Admin(format!("{address} says {status}: {error}")))
    })
}
