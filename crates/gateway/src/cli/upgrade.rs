//! `api-gateway upgrade`.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::CliError;
use crate::admin::ProcessReport;
use crate::config::Settings;
use crate::server;

/// How long a single answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the upgrade may take: a little longer than the gateway waits for the new process.
const WHOLE: Duration = Duration::from_secs(70);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Has the running gateway replaced by the program as it lies on disk now, and waits until that serves.
#[allow(clippy::print_stdout, reason = "it is for people")]
pub(super) fn upgrade(settings: &Settings) -> Result<(), CliError> {
    let Some(address) = settings.admin_addr else {
        let message = "ADMIN_ADDR is off: send the gateway SIGUSR2";
        return Err(CliError::Argument(message.to_owned()));
    };
    let url = format!("http://{address}/process");
    server::control_runtime()?.block_on(async {
        let client = server::http_client()?;
        let before = ask(&client, &url).await.map_err(|error| {
            CliError::Admin(format!("the gateway at {address} does not answer: {error}"))
        })?;
        let pid = Pid::from_raw(before.pid).ok_or_else(|| {
            CliError::Admin(format!(
                "the gateway at {address} does not say which process it is"
            ))
        })?;
        kill_process(pid, Signal::USR2).map_err(|error| {
            let message = format!("process {} cannot be sent SIGUSR2: {error}", before.pid);
            CliError::Admin(message)
        })?;
        let due = Instant::now() + WHOLE;
        while Instant::now() < due {
            sleep(PAUSE).await;
            // While one takes over from the other, a connection may be cut off.
            let Ok(now) = ask(&client, &url).await else {
                continue;
            };
            if now.pid != before.pid {
                println!(
                    "process {} ({}) has taken over from process {} ({})",
                    now.pid, now.version, before.pid, before.version
                );
                return Ok(());
            }
            if now.failed_upgrades > before.failed_upgrades {
                let message = format!(
                    "not upgraded; process {} goes on, and its diagnostics tell why",
                    before.pid
                );
                return Err(CliError::Admin(message));
            }
        }
        Err(CliError::Admin(
            "no process has taken over in time".to_owned(),
        ))
    })
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<ProcessReport, String> {
    let failed = |error: reqwest::Error| error.without_url().to_string();
    let answer = client.get(url).timeout(PATIENCE).send().await;
    let text = answer.map_err(failed)?.text().await.map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}
