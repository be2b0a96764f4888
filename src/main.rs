//! The `helloop` command: exit codes and nothing else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::main()
}
