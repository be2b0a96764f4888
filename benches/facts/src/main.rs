//! Asks event loops what they do, and holds the answers against the table in README.md.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use lexopt::prelude::*;

mod questions;
mod tools;
mod runtimes;
mod ask;
mod table;

use ask::Column;
use table::Table;
use tools::UNTIL_SIGINT;

const HELP: &str = "\
Asks event loops what they do, and compares with the table in benches/facts/README.md.

Usage: facts [--write] [--installed] [--only RUNTIME]...

  --write         write what was answered into the table
  --installed     install nothing: leave out the runtimes that are not there
  --only RUNTIME  ask this one only: asyncio, uvloop, trio, node, tokio, smol, helloop
  --answer RUNTIME
                  print the answers of tokio, smol or helloop, once";

#[derive(Default)]
struct Options {
    writes: bool,
    installs_nothing: bool,
    only: Vec<String>,
    answer: Option<String>,
    until_sigint: bool,
}

fn options() -> anyhow::Result<Option<Options>> {
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("write") => options.writes = true,
            Long("installed") => options.installs_nothing = true,
            Long("only") => options.only.push(arguments.value()?.string()?),
            Long("answer") => options.answer = Some(arguments.value()?.string()?),
            // For the child of fact 67.
            Long(word) if UNTIL_SIGINT.ends_with(word) => options.until_sigint = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if let Some(name) = options.only.iter().find(|name| !ask::NAMES.contains(&name.as_str())) {
        bail!("no runtime is called {name:?}: there are {}", ask::NAMES.join(", "));
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("facts: {error:#}; see --help");
            return ExitCode::from(2);
        }
    };
    let is_well = match &options.answer {
        Some(name) => answer(name, options.until_sigint).map(|()| true),
        None => compare(&options),
    };
    match is_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("facts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the answers of a runtime in Rust.
fn answer(name: &str, until_sigint: bool) -> anyhow::Result<()> {
    tools::report_panics();
    let answers = match name {
        "tokio" => runtimes::tokio::ANSWERS,
        "smol" => runtimes::smol::ANSWERS,
        "helloop" => runtimes::helloop::ANSWERS,
        _ => bail!("{name:?} is not in this program: it has tokio, smol, helloop"),
    };
    if until_sigint {
        (answers.until_sigint)();
        return Ok(());
    }
    let mut out = io::stdout().lock();
    for (id, why) in answers.no_meaning {
        writeln!(out, "{id}\t-\t{why}")?;
    }
    for (id, find_out) in answers.facts {
        writeln!(out, "{id}\t{}", find_out())?;
    }
    Ok(())
}

/// Asks all, reports, and says whether nothing has changed.
fn compare(options: &Options) -> anyhow::Result<bool> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let names = ask::NAMES.iter().copied();
    let asked =
        |name: &&str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let names: Vec<&str> = names.filter(asked).collect();
    let columns: Vec<(&str, anyhow::Result<Column>)> = ask::all(&names, options.installs_nothing);
    let mut table = Table::read(&page)?;
    let mut is_well = true;
    for (name, column) in &columns {
        match column {
            Ok(column) => {
                let faults = column.faults();
                let changes = table.update(name, column);
                for line in faults.iter().chain(&changes) {
                    println!("{name}: {line}");
                }
                is_well &= faults.is_empty() && (options.writes || changes.is_empty());
                let (answers, same) = (column.answers(), changes.is_empty() && faults.is_empty());
                println!("{name}: {answers} answers{}", if same { ", as recorded" } else { "" });
            }
            Err(error) if options.installs_nothing && error.is::<ask::Missing>() => {
                println!("{name}: not asked: {error:#}");
            }
            Err(error) => {
                println!("{name}: {error:#}");
                is_well = false;
            }
        }
    }
    if options.writes {
        fs::write(&path, table.written_into(&page)?)?;
        println!("written: {}", path.display());
    } else if !is_well {
        println!("something changed: look whether it should have, then run this with --write");
    }
    Ok(is_well)
}
