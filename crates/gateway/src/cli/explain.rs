//! `api-gateway explain`.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::admin::ask;
use super::{CliError, load};
use crate::config::Settings;
use crate::explain::{Asked, Gateway, Question, explain};
use crate::server;

/// The arguments of `explain`.
pub(super) fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("explain")
        .about("Say what would become of a request: its route and why, each step, what the backend would get")
        .arg(Arg::new("method").value_name("METHOD").required(true).help("GET, POST, …"))
        .arg(Arg::new("url").value_name("URL").required(true).help("http://host/path?query, or /path"))
        .arg(
            Arg::new("header")
                .short('H')
                .long("header")
                .value_name("NAME: VALUE")
                .action(ArgAction::Append)
                .help("A field of the request; may be repeated"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("ADDRESS")
                .value_parser(value_parser!(IpAddr))
                .help("The address that it comes from [default: 127.0.0.1]"),
        )
        .arg(switch("running", "Ask the gateway at ADMIN_ADDR, which knows limits, cache, breakers and health"))
        .arg(switch("json", "Print JSON"))
}

/// Explains by the routes file, or has the running gateway explain.
pub(super) fn explained(settings: Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let headers = matches.get_many::<String>("header");
    let asked = Asked {
        method: text("method"),
        url: text("url"),
        headers: headers
            .map(|fields| fields.cloned().collect())
            .unwrap_or_default(),
        from: matches.get_one::<IpAddr>("from").copied(),
    };
    let question =
        Question::try_from(&asked).map_err(|error| CliError::Argument(error.to_string()))?;
    let is_json = matches.get_flag("json");
    let out = if matches.get_flag("running") {
        let path = if is_json { "/explain" } else { "/explain?text" };
        ask(&settings, path, &asked)?
    } else {
        let snapshot = Arc::new(load(&settings)?.snapshot);
        let gateway = Gateway {
            settings: &settings,
            snapshot: &snapshot,
            cache: None,
            is_running: false,
        };
        let explanation = server::control_runtime()?.block_on(explain(gateway, question));
        if is_json {
            let mut json = serde_json::to_string_pretty(&explanation).unwrap_or_default();
            json.push('\n');
            json
        } else {
            explanation.to_string()
        }
    };
    Ok(std::io::stdout().lock().write_all(out.as_bytes())?)
}
