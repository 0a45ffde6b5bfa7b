//! Programs that tests start.

use std::io::ErrorKind;

use tokio::process::{Child, Command};

/// Starts a program, which ends with the value; `cure` is said when it is not there.
pub(crate) fn spawn(command: &mut Command, cure: &str) -> Child {
    match command.kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{cure}"),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Sends a running program a signal, by its name without "SIG".
pub(crate) async fn signal(child: &Child, name: &str) {
    signal_process(child.id().expect("a running program"), name).await;
}

/// The same for a program that somebody else has started.
pub(crate) async fn signal_process(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .await;
    assert!(status.expect("kill").success());
}
