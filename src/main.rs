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
mod stderr;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "some of it is for the access log"))]
mod line_writer;

fn main() -> ExitCode {
    command::main()
}
