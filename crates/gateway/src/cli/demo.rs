//! `api-gateway demo`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{CliError, Everything, load_everything, routes};
use crate::config::Settings;
use crate::demo;
use crate::diagnostics;
use crate::server;

/// The arguments of `demo`.
pub(super) fn command() -> Command {
    Command::new("demo")
        .about("Serve, with sample backends in the same process")
        .arg(
            Arg::new("backends")
                .long("backends")
                .action(ArgAction::SetTrue)
                .help("Only the sample backends, on HOST, for a gateway elsewhere"),
        )
}

/// Serves, with sample backends in the same process, and says what to try.
pub(super) fn demo(settings: Settings, matches: &ArgMatches) -> Result<(), CliError> {
    if matches.get_flag("backends") {
        return backends(&settings);
    }
    let Everything {
        loaded,
        mut listeners,
    } = load_everything(&settings)?;
    diagnostics::start(&settings);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let https = demo::add_https(&mut listeners, &settings)?;
    let runtime = server::control_runtime()?;
    runtime.block_on(async {
        demo::start(Ipv4Addr::LOCALHOST.into()).await?;
        show(&routes::table(&loaded.snapshot));
        show(&demo::banner(
            &settings,
            https,
            &loaded.snapshot.authority.issuer,
        ));
        Ok(server::run_on(Arc::new(settings), loaded, listeners).await?)
    })
}

/// The sample backends alone, until a signal.
fn backends(settings: &Settings) -> Result<(), CliError> {
    diagnostics::start(settings);
    server::control_runtime()?.block_on(async {
        let stopped = server::stop_signal()?;
        demo::start(settings.host).await?;
        tracing::info!(host = %settings.host, "sample backends listen");
        stopped.await;
        Ok(())
    })
}

/// For people at a terminal. Standard output may be the access log's; this comes before its first line.
#[allow(clippy::print_stdout)]
fn show(text: &str) {
    println!("{text}");
}
