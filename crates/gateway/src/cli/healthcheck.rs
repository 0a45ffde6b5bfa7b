//! `api-gateway healthcheck`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::CliError;
use crate::config::Settings;
use crate::server;

/// Less than the time that containers are usually given for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The arguments of `healthcheck`.
pub(super) fn command() -> Command {
    Command::new("healthcheck")
        .about("Ask the gateway at ADMIN_ADDR whether it takes requests: exit 0 if it does, else 1")
        .arg(
            Arg::new("live")
                .long("live")
                .action(ArgAction::SetTrue)
                .help("Ask only whether it runs: also while it drains"),
        )
}

/// Asks the running gateway. An image without a shell has nothing else to ask with.
pub(super) fn healthcheck(settings: &Settings, matches: &ArgMatches) -> Result<(), CliError> {
    let Some(address) = settings.admin_addr else {
        let message = "ADMIN_ADDR is off: the gateway cannot be asked how it is";
        return Err(CliError::Argument(message.to_owned()));
    };
    let address = reachable(address);
    let path = if matches.get_flag("live") {
        "healthz"
    } else {
        "readyz"
    };
    server::control_runtime()?.block_on(async {
        let failed = |error: reqwest::Error| {
            CliError::Admin(format!("the gateway at {address} does not answer: {error}"))
        };
        let answer = server::http_client()?
            .get(format!("http://{address}/{path}"))
            .timeout(PATIENCE)
            .send()
            .await
            .map_err(failed)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(CliError::Admin(format!("{address} says {status}"))),
        }
    })
}

/// Where a listener on all addresses is found on this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9901", "127.0.0.1:9901"),
            ("[::]:9901", "[::1]:9901"),
            ("10.0.0.1:9901", "10.0.0.1:9901"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
