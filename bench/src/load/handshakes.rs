//! TLS handshakes, one after the other, by `openssl s_time`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Figures;
use crate::scenario::PATH;

/// What kind of handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshakes {
    /// Each is a first one.
    Full,
    /// Each goes on with the session of the first. There is a request on each connection, without which there are no
    /// tickets.
    Resumed,
}

impl Handshakes {
    /// Has as many of them with `target` as are possible in `duration`.
    pub(crate) fn run(self, target: SocketAddr, duration: Duration) -> anyhow::Result<Figures> {
        let seconds = duration.as_secs_f64().ceil();
        let mut command = Command::new("openssl");
        command
            .args(["s_time", "-tls1_3", "-connect", &target.to_string()])
            .args(["-time", &seconds.to_string()]);
        match self {
            Self::Full => command.arg("-new"),
            Self::Resumed => command.args(["-reuse", "-www", PATH]),
        };
        let output = command.output().context("openssl is needed")?;
        ensure!(output.status.success(), "openssl failed: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        // "1234 connections in 3 real seconds, ..."
        let (count, elapsed) = text
            .lines()
            .find_map(|line| {
                let (count, rest) = line.split_once(" connections in ")?;
                let (seconds, _) = rest.split_once(" real seconds")?;
                Some((count.parse::<u64>().ok()?, seconds.parse::<u64>().ok()?))
            })
            .with_context(|| format!("openssl says: {text}"))?;
        ensure!(count > 0, "openssl made no connection: {text}");
        let elapsed = Duration::from_secs(elapsed);
        // One after the other; openssl tells no more of the time each one took.
        let mean = elapsed / u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Figures {
            requests: count,
            elapsed,
            p50: mean,
            p99: Duration::ZERO,
            p999: Duration::ZERO,
        })
    }
}
