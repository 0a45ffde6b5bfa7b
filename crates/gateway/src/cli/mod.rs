//! The command line: parse, decide, do. One file a command.

mod admin;
mod cache;
mod check;
mod config;
mod dashboards;
mod demo;
mod explain;
mod healthcheck;
mod key;
mod routes;
mod run;
mod schema;
mod token;
mod upgrade;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::auth::{IssueError, PasswordError};
use crate::config::{
    ConfigErrors, Finding, Listeners, Loaded, SETTINGS, SettingError, Settings, Sources, listeners,
    load,
};
use crate::demo::DemoError;
use crate::server::StartError;

/// Where further settings are read from, in the working directory.
const ENV_FILE: &str = ".env";

/// Why a command fails. Displays as lines for people, one for each mistake.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{}", lines(.0))]
    Settings(Vec<SettingError>),
    #[error("{0}")]
    File(Finding),
    #[error("{0}")]
    Argument(String),
    #[error("{0}")]
    Admin(String),
    #[error("{0}")]
    Issue(#[from] IssueError),
    #[error("{0}")]
    Password(#[from] PasswordError),
    #[error("the system gives no random numbers")]
    Random,
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Demo(#[from] DemoError),
    #[error("standard input or output: {0}")]
    Output(#[from] std::io::Error),
}

fn lines(errors: &[SettingError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs the command that the arguments name; `run` where they name none.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    match dispatch(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("schema", matches)) => schema::schema(matches),
        Some(("token", matches)) => token::token(&settings(matches)?, matches),
        Some(("hash", _)) => key::hash(),
        Some(("key", matches)) => match matches.subcommand() {
            Some((_, matches)) => key::new(&settings(matches)?, matches),
            None => Ok(()),
        },
        Some(("cache", matches)) => match matches.subcommand() {
            Some((_, matches)) => cache::purge(&settings(matches)?, matches),
            None => Ok(()),
        },
        Some(("config", matches)) => config::config(&settings(matches)?, matches),
        Some(("explain", matches)) => explain::explained(settings(matches)?, matches),
        Some(("dashboards", matches)) => dashboards::dashboards(&settings(matches)?, matches),
        Some(("check", matches)) => check::check(&settings(matches)?),
        Some(("routes", matches)) => routes::routes(&settings(matches)?),
        Some(("demo", matches)) => demo::demo(settings(matches)?, matches),
        Some(("healthcheck", matches)) => healthcheck::healthcheck(&settings(matches)?, matches),
        Some(("upgrade", matches)) => upgrade::upgrade(&settings(matches)?),
        Some((_, matches)) => run::run(settings(matches)?),
        None => run::run(settings(matches)?),
    }
}

/// The command line as it is parsed and described.
fn command() -> Command {
    let subcommand = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("api-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An API gateway: routes HTTP and WebSocket requests, decides who may pass and how fast")
        .after_help("Every setting is also an environment variable, and may stand in a .env file. A flag goes before \
                     the environment, the environment before .env, .env before the default.")
        .subcommand(subcommand("run", "Serve (the default)"))
        .subcommand(subcommand("check", "Check settings and routes file: exit 1 and every error, or 0 and a summary"))
        .subcommand(subcommand("routes", "Print the routes in the order in which they are matched"))
        .subcommand(explain::command())
        .subcommand(schema::command())
        .subcommand(dashboards::command())
        .subcommand(token::command())
        .subcommand(key::command())
        .subcommand(cache::command())
        .subcommand(config::command())
        .subcommand(subcommand("upgrade", "Have the gateway at ADMIN_ADDR replaced by the program as it is now, without losing a request"))
        .subcommand(subcommand("hash", "Print the hash of the password on standard input, for CONSUMERS_FILE"))
        .subcommand(demo::command())
        .subcommand(healthcheck::command())
        .args(SETTINGS.iter().map(|setting| {
            let default = match (setting.secret, setting.default) {
                (_, "") => String::new(),
                (_, default) => format!(" [default: {default}]"),
            };
            Arg::new(setting.variable)
                .long(setting.flag())
                .value_name("VALUE")
                .global(true)
                .allow_hyphen_values(true)
                .help_heading(setting.group)
                .help(format!("{} [env: {}]{default}", setting.help, setting.variable))
        }))
}

/// All that is served. What is doubtful about it stands among the warnings of what was loaded.
struct Everything {
    loaded: Loaded,
    listeners: Listeners,
}

/// Loads all that is served, or tells everything that is wrong with it.
fn load_everything(settings: &Settings) -> Result<Everything, CliError> {
    with_listeners(settings, load(settings))
}

/// What was loaded, or is wrong with it, and where it is served.
fn with_listeners(
    settings: &Settings,
    loaded: Result<Loaded, ConfigErrors>,
) -> Result<Everything, CliError> {
    match (loaded, listeners(settings)) {
        (Ok(mut loaded), Ok((listeners, doubts))) => {
            loaded.warnings.extend(doubts);
            let doubts = listeners.doubts(&loaded.snapshot);
            loaded.warnings.extend(doubts);
            Ok(Everything { loaded, listeners })
        }
        (loaded, listeners) => {
            let errors = [loaded.err(), listeners.err()];
            let errors = errors.into_iter().flatten().flat_map(|errors| errors.0);
            Err(ConfigErrors(errors.collect()).into())
        }
    }
}

fn settings(matches: &ArgMatches) -> Result<Settings, CliError> {
    let environment =
        |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let flag =
        |setting: &crate::config::Setting| matches.get_one::<String>(setting.variable).cloned();
    let sources =
        Sources::gather(Path::new(ENV_FILE), environment, flag).map_err(CliError::File)?;
    Settings::read(&sources).map_err(CliError::Settings)
}

/// For lines to people at the end of a failed command; diagnostics may not have started.
#[allow(clippy::print_stderr)]
fn complain(message: &impl Display) {
    for line in message.to_string().lines() {
        eprintln!("api-gateway: {line}");
    }
}
