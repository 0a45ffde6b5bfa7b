//! What clients notice when backends fail behind the gateway.
//!
//! Each scenario starts the real program, backends in processes of their own (`testkit::faults`) and an open-loop load
//! (`testkit::load`), lets something go wrong, and counts. What the gateway is told about its upstreams is in
//! [`routes`], for all scenarios.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod report;
mod routes;
mod scenario;
mod stage;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use scenario::Scenario;

/// What clients notice when backends fail behind the gateway.
#[derive(Parser, Debug)]
#[command(name = "resilience")]
struct Arguments {
    /// The gateway to look at.
    #[arg(long, default_value = "target/dist/api-gateway")]
    gateway: PathBuf,
    /// Run these scenarios only; comma-separated.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scenario::ALL)]
    scenarios: Vec<Scenario>,
    /// Threads of the gateway that serve requests.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Requests per second.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// Seconds of load in scenarios that do not say themselves how long they take.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// POSTs to the server that closes idle connections, rounded up to whole bursts.
    #[arg(long, default_value_t = 100_000)]
    posts: usize,
    /// How many of them come at once.
    #[arg(long, default_value_t = 1000)]
    burst: usize,
    /// Seconds after which that server closes them.
    #[arg(long, default_value_t = 5.0)]
    keep_alive: f64,
    /// Seconds that the full outage takes.
    #[arg(long, default_value_t = 30.0)]
    outage: f64,
    /// WebSockets that are open while routes are replaced.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// How often they are.
    #[arg(long, default_value_t = 500)]
    reloads: usize,
    /// How requests are balanced while one endpoint is slow.
    #[arg(long, default_value = "peakEwma")]
    balancing: String,
    /// Write the report here, in place of standard output.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The arguments as meant.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The program, by its whole path.
    gateway: PathBuf,
    scenarios: Vec<Scenario>,
    workers: usize,
    rate: f64,
    duration: Duration,
    posts: usize,
    burst: usize,
    keep_alive: Duration,
    outage: Duration,
    sockets: usize,
    reloads: usize,
    balancing: String,
}

impl TryFrom<&Arguments> for Plan {
    type Error = anyhow::Error;

    fn try_from(given: &Arguments) -> anyhow::Result<Self> {
        let seconds = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds).with_context(|| format!("--{name} {seconds}"))
        };
        let duration = seconds("seconds", given.seconds)?;
        ensure!(given.workers > 0, "--workers is at least 1");
        ensure!(
            (1.0..=20_000.0).contains(&given.rate),
            "--rate is 1 to 20000"
        );
        ensure!(
            (4.0..=60.0).contains(&given.seconds),
            "--seconds is 4 to 60"
        );
        ensure!(
            (1..=1_000_000).contains(&given.posts),
            "--posts is 1 to 1000000"
        );
        ensure!(
            (1..=2000).contains(&given.burst),
            "--burst is 1 to 2000: each is a connection"
        );
        ensure!(
            (0.5..=60.0).contains(&given.keep_alive),
            "--keep-alive is 0.5 to 60"
        );
        ensure!(
            (1.0..=600.0).contains(&given.outage),
            "--outage is 1 to 600"
        );
        ensure!(
            (1..=25_000).contains(&given.sockets),
            "--sockets is 1 to 25000: each is a connection, there and back"
        );
        ensure!(
            (1..=10_000).contains(&given.reloads),
            "--reloads is 1 to 10000"
        );
        let gateway = std::fs::canonicalize(&given.gateway).with_context(|| {
            let path = given.gateway.display();
            format!("{path}: please run: cargo build --profile dist --bin api-gateway")
        })?;
        Ok(Self {
            gateway,
            scenarios: given.scenarios.clone(),
            workers: given.workers,
            rate: given.rate,
            duration,
            posts: given.posts,
            burst: given.burst,
            keep_alive: seconds("keep-alive", given.keep_alive)?,
            outage: seconds("outage", given.outage)?,
            sockets: given.sockets,
            reloads: given.reloads,
            balancing: given.balancing.clone(),
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan::try_from(&arguments)?;
    // Clients, here, are connections of one process.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run(&plan, arguments.report) => done,
        // What has been started is ended by going out of scope.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(plan: &Plan, report: Option<PathBuf>) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    for scenario in &plan.scenarios {
        let outcome = scenario.run(plan).await;
        eprintln!("{}", report::text(&outcome));
        outcomes.push(outcome);
    }
    let markdown = report::markdown(plan, &outcomes);
    match report {
        Some(path) => {
            std::fs::write(&path, markdown).with_context(|| format!("{}", path.display()))?;
        }
        None => print!("{markdown}"),
    }
    Ok(())
}
