//! What was typed.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

use crate::Manner;

/// Compares HTTP clients: CPU per fetch, wall time, peak memory.
#[derive(Debug, Parser)]
#[command(name = "fetch", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// Fewer fetches and one round: shows that it works, not what it costs.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds; medians of them are shown [default: 6, with --quick 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Fetches per client and round [default: 10000, with --quick 1000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    fetches: Option<u32>,
    /// Only these cases.
    #[arg(long = "case", value_parser = ["reuse", "close", "all", "slow"])]
    pub(crate) cases: Vec<String>,
    /// Only clients whose name begins so.
    #[arg(long = "client")]
    pub(crate) clients: Vec<String>,
    /// Builds hyper and reqwest (in benches/peers), and runs them, too.
    #[arg(long)]
    pub(crate) peers: bool,
    /// The Python that has aiohttp.
    #[arg(long, default_value = "python3")]
    pub(crate) python: String,
    /// JSON lines instead of tables: one per run, one per median.
    #[arg(long)]
    pub(crate) json: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What a process is that the comparison has started.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    #[command(hide = true)]
    Server { manner: Manner, core: usize },
    #[command(hide = true)]
    Client { name: String, address: SocketAddr, fetches: usize, limit: usize },
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 6 })
    }

    pub(crate) fn fetches(&self) -> usize {
        let standard = if self.quick { 1_000 } else { 10_000 };
        self.fetches.map_or(standard, |fetches| fetches as usize)
    }
}
