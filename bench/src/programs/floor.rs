//! The blind TCP forwarder of this bench.

use std::process::Command;

use super::Site;

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("floor")
        .arg(site.listen.to_string())
        .arg(site.backend.to_string());
    Ok(command)
}
