//! `--explain`, and `helloop explain`: the narrator, in colours if that is a terminal.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::Args;
use helloop::events::Observer;
use helloop::watch::trace::Record;
use helloop::watch::{Narrator, Palette};

use super::file_id::FileId;
use super::trace::input::Input;
use super::{compare, usage};
use crate::command::run::complain;

const AFTER_HELP: &str = "\
With two files it says where they first differ, and what led there. It ignores times, and the form of
the files.

Examples:
  helloop explain loop.trace | less            tell the whole story
  cat loop.trace.1 loop.trace | helloop explain -
  helloop explain good.trace bad.trace         say where they differ

Exit codes:
  0  told to the end; with two files: they are alike
  1  a trace is truncated or damaged (the readable part was told)
  2  usage, and a file that cannot be read
  3  the two files differ";

/// Say what an event loop did, from a recorded trace
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A trace of `serve --trace`, or its lines of JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Another one to compare it with
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When a file cannot be read; everything else is an exit code.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    let wrong = |text| usage("explain", text);
    let open = |path: &PathBuf| {
        let input = Input::open(path)?;
        input.keep_apart_from(FileId::of(&io::stdout())).map(|()| input)
    };
    let is_stdin = |path: &Path| path.as_os_str() == "-";
    if is_stdin(&arguments.file) && arguments.other.as_deref().is_some_and(is_stdin) {
        return Err(wrong("standard input (-) can be read only once".to_owned()));
    }
    let first = open(&arguments.file).map_err(wrong)?;
    let Some(other) = &arguments.other else { return Ok(tell(first)) };
    let other = open(other).map_err(wrong)?;
    Ok(compare::main(first, other))
}

fn tell(mut input: Input) -> ExitCode {
    let out = BufWriter::new(io::stdout().lock());
    let mut narrator = Narrator::with_palette(out, palette(&io::stdout()));
    if !input.begins_with_the_loop() {
        narrator = narrator.from_the_middle();
    }
    for record in input {
        match record {
            Ok(Record::Event(at, event)) => narrator.event(at, &event),
            Ok(Record::Gap(events)) => narrator.gap(events),
            Err(error) => {
                // The story comes before the error.
                drop(narrator);
                complain(format_args!("{error}"));
                return ExitCode::from(1);
            }
        }
        if narrator.is_deaf() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// A narrator for people; `out` leads to standard error.
pub(crate) fn narrator(out: impl Write + 'static) -> Box<dyn Observer> {
    Box::new(Narrator::with_palette(out, palette(&io::stderr())))
}

/// `NO_COLOR` and `CLICOLOR_FORCE` are honoured.
pub(crate) fn palette(stream: &impl RawStream) -> Palette {
    match AutoStream::choice(stream) {
        ColorChoice::Never => Palette::default(),
        _ => colours(),
    }
}

fn colours() -> Palette {
    let text = |style: Style| style.render().to_string();
    Palette {
        heading: text(Style::new().bold()),
        time: text(Style::new().dimmed()),
        phase: text(AnsiColor::Cyan.on_default()),
        purpose: text(AnsiColor::Green.on_default()),
        reset: anstyle::Reset.render().to_string(),
    }
}
