//! Shows what users notice while backends fail: runs scenarios against the real gateway, with backends in processes of
//! their own, under a constant rate of requests that does not wait for slow answers.
#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod backend;
mod load;
mod node;
mod scenarios;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Shows what users notice while backends fail")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The gateway.
    #[arg(long, default_value = "target/release/api-gateway")]
    gateway: PathBuf,
    /// Requests a second.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// POSTs to the Node server.
    #[arg(long, default_value_t = 100_000)]
    posts: u32,
    /// Seconds of the full outage.
    #[arg(long, default_value_t = 30)]
    outage: u64,
}

/// What runs as a process of its own.
#[derive(Subcommand)]
enum Command {
    /// A backend.
    Backend {
        /// Where it listens.
        #[arg(long)]
        port: u16,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Some(Command::Backend { port }) => backend::serve(port).await,
            None => scenarios::all(&arguments).await,
        }
    })
}
