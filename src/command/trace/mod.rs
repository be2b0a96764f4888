//! `helloop trace`: what to do with a trace file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::file_id::FileId;
use super::usage;
use crate::command::run::complain;
use input::Input;

pub(crate) mod input;
mod convert;

const AFTER_HELP: &str = "\
Examples:
  helloop serve --trace loop.trace                  record; stop it with Ctrl-C
  helloop trace convert loop.trace | head           its events, a line of JSON each
  helloop trace perfetto loop.trace -o loop.json    open that file on ui.perfetto.dev
  helloop explain loop.trace                        tell what happened

Exit codes:
  0  everything was read and written
  1  the trace is truncated or damaged (the readable part was written), or writing failed
  2  usage, a file that cannot be read, and one that is input and output at once";

/// Convert a recorded trace of an event loop into other formats
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// A trace file into lines of JSON, an event each; or such lines into a trace file
    Convert(Files),
    /// A trace as JSON that ui.perfetto.dev and chrome://tracing open
    Perfetto(Files),
}

#[derive(Args, Debug)]
struct Files {
    /// A trace of `serve --trace`, or lines of JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,

    /// Write here [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed makes no sense; everything else is an exit code.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    let (Command::Convert(files) | Command::Perfetto(files)) = &arguments.command;
    let input = Input::open(&files.input).map_err(|text| usage("trace", text))?;
    let output = match &files.output {
        Some(path) => FileId::at(path),
        None => FileId::of(&io::stdout()),
    };
    input.keep_apart_from(output).map_err(|text| usage("trace", text))?;
    let makes_binary = matches!(arguments.command, Command::Convert(_)) && !input.is_binary();
    if makes_binary && files.output.is_none() && io::stdout().is_terminal() {
        return Err(usage("trace", "a trace file is not for a terminal: give --output a file"));
    }
    let name =
        files.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
    let done = files.open().and_then(|out| match arguments.command {
        Command::Convert(_) => convert::convert(input, out),
        Command::Perfetto(_) => convert::into_perfetto(input, out),
    });
    Ok(match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(format_args!("{error}"));
            ExitCode::from(1)
        }
        // The reader has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("cannot write {name}: {error}"));
            ExitCode::from(1)
        }
    })
}

impl Files {
    fn open(&self) -> io::Result<Box<dyn Write>> {
        Ok(match &self.output {
            Some(path) => Box::new(BufWriter::new(File::create(path)?)),
            None => Box::new(BufWriter::new(io::stdout().lock())),
        })
    }
}
