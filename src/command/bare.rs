//! The command without clap: everything by environment variables, for the smallest binary.

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use helloop::greeting::Greeting;

use crate::command::addresses;
use crate::command::loops::{LOOPS_MAX, Own};
use crate::command::run::{Plan, complain, run};
use crate::command::stderr::StandardError;

mod logger;

const HELP: &str = "\
Greets over HTTP: GET /World is answered `Hello, World!`.

Usage: helloop [serve]

This helloop was built without its command line (`--no-default-features`). Environment:
  HELLOOP_LISTEN  addresses to listen on, HOST:PORT, separated by commas
  PORT            without HELLOOP_LISTEN: listens on [::]:PORT
  HELLOOP_LOOPS   event loops, each on a thread of its own, 1 to 256; without it 1
  RUST_LOG        what is logged: off, error, warn, info, debug or trace; without it info
A variable that is empty counts as unset. Without the first two it listens on localhost:8080.

SIGTERM, SIGINT, SIGQUIT and SIGHUP end it gracefully, within 25 s; SIGINT ends it at once while it
does that. The exit codes are those of the full `helloop serve`.
";

/// The variable that says how many loops there are.
const LOOPS: &str = "HELLOOP_LOOPS";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Serve,
    Help,
    Version,
    /// Something that only the full command knows.
    Unknown(String),
}

/// Runs the command.
pub(crate) fn main() -> ExitCode {
    match asked(std::env::args_os().skip(1)) {
        Asked::Serve => serve(),
        Asked::Help => say(HELP),
        Asked::Version => say(concat!("helloop ", env!("CARGO_PKG_VERSION"), "\n")),
        Asked::Unknown(argument) => usage(&format!(
            "{argument:?} is not understood: this helloop was built without its command line. Its \
             only argument is `serve`, which may be left out, and it is told everything else by \
             environment variables, see --help"
        )),
    }
}

/// `serve` may stand here because it must stand in the full command, which this one can take the place
/// of.
fn asked(arguments: impl Iterator<Item = OsString>) -> Asked {
    let arguments: Vec<String> =
        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = words.strip_prefix(&["serve"]).unwrap_or(&words);
    match options {
        [] => Asked::Serve,
        ["--help" | "-h"] => Asked::Help,
        ["--version" | "-V"] => Asked::Version,
        [first @ .., last] => Asked::Unknown(first.first().unwrap_or(last).to_string()),
    }
}

fn serve() -> ExitCode {
    let stderr = StandardError::start();
    logger::install(stderr.out());
    match listen().and_then(|addresses| Ok((addresses, loops()?))) {
        Ok((addresses, loops)) => {
            let out = || stderr.out();
            let plan = Plan { loops, ..Plan::new(addresses, &out) };
            let own = |_| Own { service: Greeting, observer: None, begin: None };
            run(plan, Greeting, own).conclude(stderr.out())
        }
        Err(error) => usage(&error),
    }
}

fn listen() -> Result<Vec<String>, String> {
    match addresses::variable("HELLOOP_LISTEN") {
        Some(list) => Ok(list.to_string_lossy().split(',').map(str::to_owned).collect()),
        None => addresses::from_environment().map(|address| vec![address]),
    }
}

fn loops() -> Result<NonZeroUsize, String> {
    addresses::variable(LOOPS)
        .map_or(Ok(NonZeroUsize::MIN), |text| loops_from(&text.to_string_lossy()))
}

fn loops_from(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number| (1..=LOOPS_MAX.into()).contains(number));
    number.and_then(NonZeroUsize::new).ok_or_else(|| {
        format!("the environment variable {LOOPS} is {text:?}: a number from 1 to {LOOPS_MAX} was expected")
    })
}

fn usage(text: &str) -> ExitCode {
    complain(format_args!("{text}"));
    ExitCode::from(2)
}

/// If standard output is closed, that is no error.
fn say(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serve_help_and_version_are_understood() {
        let of = |arguments: &[&str]| asked(arguments.iter().map(OsString::from));
        assert_eq!(of(&[]), Asked::Serve);
        assert_eq!(of(&["--help"]), Asked::Help);
        assert_eq!(of(&["--version"]), Asked::Version);
        assert_eq!(of(&["serve", "--version"]), Asked::Version);
        assert_eq!(of(&["serve"]), Asked::Serve);
        for (arguments, unknown) in [
            (&["fetch"][..], "fetch"),
            (&["serve", "--loops", "2"], "--loops"),
            (&["serve", "serve"], "serve"),
            (&["--help", "serve"], "--help"),
            (&[""], ""),
        ] {
            assert_eq!(of(arguments), Asked::Unknown(unknown.into()));
        }
    }

    #[test]
    fn loops_are_a_number_within_the_limit() {
        assert_eq!(loops_from("1").unwrap().get(), 1);
        assert_eq!(loops_from("256").unwrap().get(), 256);
        for text in ["0", "257", "-1", "two", "", "1 "] {
            assert!(loops_from(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
    }
}
