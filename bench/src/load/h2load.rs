//! Load over HTTP/2 and over TLS, by `h2load` from nghttp2.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Figures;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct H2load {
    pub(crate) protocol: Protocol,
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2, with prior knowledge.
    Http2,
    /// HTTP/1.1 over TLS 1.3.
    TlsHttp1 {
        /// Connections, with one request at a time.
        connections: usize,
    },
    /// HTTP/2 over TLS 1.3.
    TlsHttp2,
}

/// Where a program takes what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    pub(crate) http2: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// Connections with HTTP/2, and streams on each.
const CONNECTIONS: usize = 16;
const STREAMS: usize = 4;

impl H2load {
    /// Loads one of `targets` for `duration`.
    pub(crate) fn run(
        &self,
        targets: Targets,
        duration: Duration,
        folder: &Path,
    ) -> anyhow::Result<Figures> {
        let log = folder.join("h2load.log");
        let _old = std::fs::remove_file(&log);
        let (connections, streams, base) = match self.protocol {
            Protocol::Http2 => (CONNECTIONS, STREAMS, format!("http://{}", targets.http2)),
            Protocol::TlsHttp1 { connections } => {
                (connections, 1, format!("https://{}", targets.tls))
            }
            Protocol::TlsHttp2 => (CONNECTIONS, STREAMS, format!("https://{}", targets.tls)),
        };
        let mut command = Command::new("h2load");
        command
            .args(["-c", &connections.to_string(), "-m", &streams.to_string()])
            .args(["-t", "1", "-D", &duration.as_secs_f64().round().to_string()])
            .arg(format!("--log-file={}", log.display()));
        if matches!(self.protocol, Protocol::TlsHttp1 { .. }) {
            command.arg("--h1");
        }
        for (name, value) in &self.fields {
            command.args(["-H", &format!("{name}: {value}")]);
        }
        let output = command
            .arg(format!("{base}{}", self.path))
            .output()
            .context("h2load is needed: apt-get install nghttp2-client")?;
        ensure!(output.status.success(), "h2load failed: {output:?}");
        figures(&log, duration).with_context(|| format!("{output:?}"))
    }
}

/// What the log tells of each request.
fn figures(log: &Path, duration: Duration) -> anyhow::Result<Figures> {
    let mut times = Vec::new();
    for line in std::fs::read_to_string(log)?.lines() {
        // Start, status, time taken; in microseconds.
        let mut columns = line.split('\t').skip(1);
        let (status, taken) = (columns.next(), columns.next());
        ensure!(status == Some("200"), "h2load saw status {status:?}");
        times.push(taken.unwrap_or_default().parse::<u64>()?);
    }
    ensure!(!times.is_empty(), "h2load made no request");
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
