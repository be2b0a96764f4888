//! `helloop manuals`: pages for man(1) and completions for shells, made from the same arguments as `--help`. For those
//! who make packages; it is not in ordinary builds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate_to};

use crate::command::run::complain;

/// The shells for which there are completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Write the pages of the manual, and completions for bash, zsh and fish
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Into this directory, which is made if it is not there
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Runs the subcommand, for the command line `cli`.
pub(crate) fn main(arguments: &Arguments, cli: Command) -> ExitCode {
    let directory = &arguments.directory;
    match write(directory, cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("cannot write into {}: {error}", directory.display()));
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path, cli: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // What our own environment holds is no part of a manual.
    let cli =
        cli.mut_subcommands(|command| command.mut_args(|argument| argument.hide_env_values(true)));
    let cli = cli.mut_subcommand("manuals", |command| command.hide(true));
    for shell in SHELLS {
        generate_to(shell, &mut cli.clone(), "helloop", directory)?;
    }
    let no_help = |command: Command| command.disable_help_subcommand(true);
    let mut cli = no_help(cli).mut_subcommands(no_help);
    cli.build();
    // `helloop.1`, and `helloop-serve.1` for each that is not hidden.
    clap_mangen::generate_to(cli, directory)
}
