//! The `helloop` command: exit codes and nothing else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(not(feature = "cli"))]
use bare as command;
#[cfg(feature = "cli")]
use cli as command;

#[cfg(feature = "cli")]
mod cli;
#[cfg(not(feature = "cli"))]
mod bare;
mod run;
mod loops;
mod addresses;

fn main() -> ExitCode {
    command::main()
}
