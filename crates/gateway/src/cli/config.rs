//! `api-gateway config history`, `diff` and `rollback`.

use std::io::Write;

use clap::{Arg, ArgMatches, Command};
use similar::TextDiff;

use super::CliError;
use super::admin::ask;
use crate::admin::Rollback;
use crate::config::{History, Kept, Settings, history_hash};

/// The arguments of `config`.
pub(super) fn command() -> Command {
    let version =
        |name: &'static str, help: &'static str| Arg::new(name).value_name("VERSION").help(help);
    Command::new("config")
        .about("See to the routes files that have been applied, which are kept in STATE_DIR")
        .subcommand_required(true)
        .subcommand(Command::new("history").about("List them, the latest first"))
        .subcommand(
            Command::new("diff")
                .about("Show what has changed from one to another, or to the present routes file")
                .arg(version("from", "Its number in the list, or the start of its hash").default_value("1"))
                .arg(version("to", "The other one; the present routes file where none is given")),
        )
        .subcommand(
            Command::new("rollback")
                .about("Have the gateway at ADMIN_ADDR serve one of them again; the routes file stays as it is")
                .arg(version("to", "Its number in the list, or the start of its hash").default_value("2")),
        )
}

/// Does what is asked for.
pub(super) fn config(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let text = |matches: &ArgMatches, name: &str| matches.get_one::<String>(name).cloned();
    match matches.subcommand() {
        Some(("diff", matches)) => diff(settings, text(matches, "from"), text(matches, "to")),
        Some(("rollback", matches)) => rollback(settings, text(matches, "to")),
        _ => history(settings),
    }
}

fn kept(settings: &Settings) -> Result<History, CliError> {
    let missing = "STATE_DIR is not set: no routes files are kept";
    let state_dir = settings.reload.state_dir.as_deref();
    let state_dir = state_dir.ok_or_else(|| CliError::Argument(missing.to_owned()))?;
    Ok(History::new(state_dir))
}

fn find(history: &History, version: &str) -> Result<Kept, CliError> {
    let missing = || {
        CliError::Argument(format!(
            "no routes file \"{version}\" is kept; \"api-gateway config history\" lists them"
        ))
    };
    history.find(version)?.ok_or_else(missing)
}

fn history(settings: &Settings) -> Result<(), CliError> {
    let present = std::fs::read_to_string(&settings.routes_config_path).ok();
    let present = present.as_deref().map(history_hash);
    let mut out = std::io::stdout().lock();
    for (number, kept) in (1..).zip(kept(settings)?.all()?) {
        let time = humantime::format_rfc3339_seconds(kept.time);
        let is_present = Some(&kept.hash) == present.as_ref();
        let note = if is_present {
            "  as the routes file"
        } else {
            ""
        };
        writeln!(out, "{number:>3}  {time}  {}{note}", kept.hash)?;
    }
    Ok(())
}

fn diff(settings: &Settings, from: Option<String>, to: Option<String>) -> Result<(), CliError> {
    let history = kept(settings)?;
    let from = find(&history, from.as_deref().unwrap_or("1"))?;
    let (name, text) = match to {
        Some(to) => {
            let to = find(&history, &to)?;
            (to.hash.clone(), to.text()?)
        }
        None => {
            let path = &settings.routes_config_path;
            (path.display().to_string(), std::fs::read_to_string(path)?)
        }
    };
    let before = from.text()?;
    let diff = TextDiff::from_lines(&before, &text);
    let mut unified = diff.unified_diff();
    let unified = unified.header(&from.hash, &name);
    Ok(std::io::stdout()
        .lock()
        .write_all(unified.to_string().as_bytes())?)
}

fn rollback(settings: &Settings, to: Option<String>) -> Result<(), CliError> {
    let kept = find(&kept(settings)?, to.as_deref().unwrap_or("2"))?;
    let question = Rollback {
        to: kept.hash.clone(),
    };
    ask(settings, "/config/rollback", &question)?;
    writeln!(
        std::io::stdout().lock(),
        "{} is served again. {} is as it was: its next change, SIGHUP or a restart has it served instead.",
        kept.hash,
        settings.routes_config_path.display()
    )?;
    Ok(())
}
