//! Load over HTTP/2, by `h2load` from nghttp2.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Figures;

/// Connections, and streams on each.
const CONNECTIONS: &str = "16";
const STREAMS: &str = "4";

/// Loads `target` with requests for `path` with these fields, for `duration`.
pub(crate) fn run(
    target: SocketAddr,
    path: &str,
    fields: &[(String, String)],
    duration: Duration,
    folder: &Path,
) -> anyhow::Result<Figures> {
    let log = folder.join("h2load.log");
    let _old = std::fs::remove_file(&log);
    let mut command = Command::new("h2load");
    command
        .args(["-c", CONNECTIONS, "-m", STREAMS, "-t", "1"])
        .args(["-D", &duration.as_secs_f64().round().to_string()])
        .arg(format!("--log-file={}", log.display()));
    for (name, value) in fields {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    let output = command
        .arg(format!("http://{target}{path}"))
        .output()
        .context("h2load is needed: apt-get install nghttp2-client")?;
    ensure!(output.status.success(), "h2load failed: {output:?}");
    let mut times = Vec::new();
    for line in std::fs::read_to_string(&log)?.lines() {
        // Start, status, time taken; in microseconds.
        let mut columns = line.split('\t').skip(1);
        let (status, taken) = (columns.next(), columns.next());
        ensure!(status == Some("200"), "h2load saw status {status:?}");
        times.push(taken.unwrap_or_default().parse::<u64>()?);
    }
    ensure!(!times.is_empty(), "h2load made no request: {output:?}");
    times.sort_unstable();
    let at =
        |of_thousand: usize| Duration::from_micros(times[(times.len() - 1) * of_thousand / 1000]);
    Ok(Figures {
        requests: times.len() as u64,
        elapsed: duration,
        p50: at(500),
        p99: at(990),
        p999: at(999),
    })
}
