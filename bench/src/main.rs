//! Measures the gateway against its peers, and against what the kernel alone costs, in one run on one machine.
//!
//! The program under test has one CPU to itself; load and backend share another. What counts is the CPU time that a
//! request costs, as a ratio to nginx and to a blind TCP forwarder measured in the same rounds.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod backend;
mod floor;
mod goals;
mod load;
mod machine;
mod measure;
mod process;
mod programs;
mod report;
mod scenario;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use programs::Program;
use scenario::Scenario;

#[derive(Parser)]
#[command(about = "Measures the gateway against its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The gateway to measure.
    #[arg(long, default_value = "target/dist/api-gateway")]
    gateway: PathBuf,
    /// Measure these programs only; comma-separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    programs: Vec<Program>,
    /// Measure these scenarios only; comma-separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// How often each program takes its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that a turn is measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where configurations and logs of the programs go.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Write the report here, and its plot beside it.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The parts of the bench that run as processes of their own.
#[derive(Subcommand)]
enum Command {
    /// The blind TCP forwarder: what the kernel alone costs.
    Floor {
        /// Where to listen.
        listen: SocketAddr,
        /// Where to forward to.
        backend: SocketAddr,
    },
    /// The backend of all programs.
    Backend {
        /// Where to listen.
        listen: SocketAddr,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Floor { listen, backend }) => Ok(floor::run(listen, backend)?),
        Some(Command::Backend { listen }) => Ok(backend::run(listen)?),
        None => measure::run(&measure::Plan {
            gateway: arguments.gateway,
            programs: or_all(arguments.programs),
            scenarios: or_all(arguments.scenarios),
            rounds: arguments.rounds.max(1),
            seconds: arguments.seconds,
            folder: arguments.folder,
            report: arguments.report,
        }),
    }
}

/// All there are, when none are named.
fn or_all<T: clap::ValueEnum>(named: Vec<T>) -> Vec<T> {
    if named.is_empty() {
        T::value_variants()
            .iter()
            .filter_map(|variant| T::from_str(variant.to_possible_value()?.get_name(), false).ok())
            .collect()
    } else {
        named
    }
}
