//! The command line as it is typed, and which subcommand that is.
//!
//! What was typed is one type (`Arguments`, which clap fills), what it means another (the plan that
//! [`crate::command::run`] takes). Usage errors, clap's and ours, look alike and exit with 2.

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use helloop::PrintableLines;

use super::{check, explain, fetch, lab, ps, serve, trace, version};

/// An event loop that can be watched, and on it a greeting HTTP server and a fetcher of URLs.
#[derive(Parser, Debug)]
#[command(version, long_version = version::LONG.as_str(), max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(Box<serve::Arguments>),
    Fetch(Box<fetch::Arguments>),
    Explain(explain::Arguments),
    Trace(trace::Arguments),
    Lab(lab::Arguments),
    Ps(ps::Arguments),
    Check(check::Arguments),
    #[cfg(target_os = "linux")]
    Upgrade(super::upgrade::Arguments),
    #[cfg(target_os = "linux")]
    Drill(Box<super::drill::Arguments>),
    #[cfg(feature = "manuals")]
    Manuals(super::manuals::Arguments),
}

/// Runs the command.
pub(crate) fn main() -> ExitCode {
    let done = parse().and_then(|cli| match cli.command {
        Command::Serve(arguments) => serve::main(&arguments),
        Command::Fetch(arguments) => fetch::main(&arguments),
        Command::Explain(arguments) => explain::main(&arguments),
        Command::Trace(arguments) => trace::main(&arguments),
        Command::Lab(arguments) => lab::main(&arguments),
        Command::Ps(arguments) => ps::main(&arguments),
        Command::Check(arguments) => Ok(check::main(&arguments)),
        #[cfg(target_os = "linux")]
        Command::Upgrade(arguments) => Ok(super::upgrade::main(&arguments)),
        #[cfg(target_os = "linux")]
        Command::Drill(arguments) => super::drill::main(&arguments),
        #[cfg(feature = "manuals")]
        Command::Manuals(arguments) => Ok(super::manuals::main(&arguments, Cli::command())),
    });
    done.unwrap_or_else(|error| {
        // Help and version come here, too. If the output is closed, that is no error.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

fn parse() -> Result<Cli, clap::Error> {
    let command = Cli::command().mut_subcommands(|command| command.mut_args(unset_if_empty));
    let typed = command.try_get_matches()?;
    Cli::from_arg_matches(&typed).map_err(|error| error.format(&mut Cli::command()))
}

/// A variable that is empty counts as unset: that is what templates make of a value that was not given.
fn unset_if_empty(argument: Arg) -> Arg {
    let is_empty = argument.get_env().is_some_and(|name| {
        let value = std::env::var_os(name);
        value.is_some_and(|value| value.is_empty())
    });
    if is_empty { argument.env(Resettable::Reset) } else { argument }
}

/// A usage error of the subcommand `name` that clap could not see.
pub(super) fn usage(name: &str, text: impl std::fmt::Display) -> clap::Error {
    let mut cli = Cli::command();
    cli.build();
    let command = cli.find_subcommand_mut(name).expect("the caller names itself");
    command.error(ErrorKind::ValueValidation, PrintableLines(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_of_a_server_has_an_environment_variable_except_the_verbosity() {
        let mut cli = Cli::command();
        cli.build();
        let serve = cli.find_subcommand("serve").unwrap();
        let ours = |id: &str| !["help", "version", "verbose"].contains(&id);
        for argument in serve.get_arguments().filter(|argument| ours(argument.get_id().as_str())) {
            let flag = argument.get_long().unwrap();
            let expected = format!("HELLOOP_{}", flag.to_uppercase().replace('-', "_"));
            let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            assert_eq!(variable, Some(expected), "--{flag}");
        }
    }
}
