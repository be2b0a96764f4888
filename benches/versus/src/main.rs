//! The referee: helloop against other servers.
//!
//! `cargo run --release --manifest-path benches/versus/Cargo.toml -- --help` says how to use it,
//! METHODOLOGY.md what it does and what it cannot say.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;
mod session;
mod manifest;
mod building;
mod case;
mod gate;
mod drill;
mod measure;
mod server;
mod cores;
mod processes;
mod script;
mod generator;
mod wrk;
mod counting;
mod figures;
mod statistics;
mod audit;
mod record;
mod machine;
mod fitness;
mod journal;
mod compare;
mod held;
mod table;
mod plot;
mod page;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("versus: {error:#}");
            ExitCode::FAILURE
        }
    }
}
