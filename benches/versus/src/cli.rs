//! What was typed, and what is said at the end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::case;
use crate::compare;
use crate::gate;
use crate::held;
use crate::manifest::Manifest;
use crate::page;
use crate::record::Record;
use crate::session::{Plan, Session, Unfit};
use crate::table;

/// At least one run was refused.
const REFUSED: u8 = 3;
/// Something became dearer.
const DEARER: u8 = 4;
/// The machine is not fit.
const UNFIT: u8 = 5;

/// Before this, a server that is compiled as it runs is not what it will be.
const WARM_UP_MIN: Duration = Duration::from_millis(100);
/// Restarts of each server under load.
const RESTARTS: u32 = 10;
/// The same for a look.
const RESTARTS_QUICK: u32 = 2;

const AFTER_HELP: &str = "\
Exit codes:
  0  every run counts
  1  something broke
  2  usage
  3  at least one run was refused; the tables say which and why
  4  --hold: a figure has grown; --compare: there is a regression
  5  the machine is not fit: it is busy, stolen or throttled";

/// helloop against other servers: how much CPU each spends on a request, and more.
///
/// Servers that are not installed, or do not build, are reported as absent.
#[derive(Debug, Parser)]
#[command(name = "versus", after_help = AFTER_HELP)]
struct Arguments {
    /// Short runs, few rounds: for a look, not for figures to show around
    #[arg(long)]
    quick: bool,

    /// Only these servers, separated by commas
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    only: Vec<String>,

    /// Only these cases, separated by commas
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    case: Vec<String>,

    /// Rounds of each case [default: 8, with --quick 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// Length of a run, milliseconds [default: 2000, with --quick 200]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(50..))]
    window: Option<u32>,

    /// The servers [default: versus.toml beside the program's sources]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Where the reports go
    #[arg(long, value_name = "FOLDER", default_value = "out")]
    out: PathBuf,

    /// Take the servers as they were built last
    #[arg(long)]
    no_build: bool,

    /// Measure even if the machine is busy, stolen or throttled: its figures cannot be believed
    #[arg(long)]
    anyway: bool,

    /// Go on with a session that was interrupted: the same command, and the same --out
    #[arg(long)]
    resume: bool,

    /// Compare this commit of helloop with the work tree, pair by pair: more than 2 % is a regression
    #[arg(long, value_name = "REV")]
    compare: Option<String>,

    /// Fail if a figure in this file has grown by more than 3 %
    #[arg(long, value_name = "FILE")]
    hold: Option<PathBuf>,

    /// Write the figures of this session into this file
    #[arg(long, value_name = "FILE", conflicts_with = "hold")]
    renew: Option<PathBuf>,

    /// Hold the server at this address, which echoes, against the cases of Http11Probe and h1spec; print the
    /// table, and end
    #[arg(long, value_name = "ADDRESS")]
    controls: Option<SocketAddr>,

    /// Say which servers and cases there are, and end
    #[arg(long)]
    list: bool,
}

/// Runs the command.
///
/// # Errors
/// When nothing can be measured at all; what is wrong with single runs is in the report.
pub(crate) fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.controls {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("controls");
        print!("{}", gate::hold_controls(&folder, address)?);
        return Ok(ExitCode::SUCCESS);
    }
    let file = match &arguments.manifest {
        Some(file) => file.clone(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("versus.toml"),
    };
    let manifest = Manifest::read(&file)?;
    if arguments.list {
        list(&manifest);
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    // A terminal that is closed in the second hour interrupts, too.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let here: PathBuf =
        fs::canonicalize(&file)?.parent().context("the manifest is in no folder")?.into();
    let (rounds, millis) = if arguments.quick { (5, 200) } else { (8, 2_000) };
    let mut servers = match arguments.quick && arguments.only.is_empty() {
        true => manifest.quick(),
        false => manifest.select(&arguments.only)?,
    };
    let mut names = arguments.case.clone();
    let mut pair = None;
    if let Some(revision) = &arguments.compare {
        if arguments.only.is_empty() {
            servers = manifest.select(&[compare::SERVER.to_owned()])?;
        }
        ensure!(servers.len() == 1, "--compare takes one server: --only {}", compare::SERVER);
        servers.insert(0, compare::at_commit(&servers[0], &here, revision)?);
        pair = Some([servers[0].name.clone(), servers[1].name.clone()]);
    }
    if names.is_empty() && (arguments.quick || pair.is_some()) {
        let chosen = if pair.is_some() { &compare::CASES[..] } else { case::QUICK };
        names = chosen.iter().map(|&name| name.to_owned()).collect();
    }
    let window = Duration::from_millis(arguments.window.unwrap_or(millis).into());
    let plan = Plan {
        here,
        servers,
        cases: case::select(&names).map_err(|text| anyhow!(text))?,
        rounds: arguments.rounds.map_or(rounds, usize::from),
        warm_up: (window / 4).max(WARM_UP_MIN),
        window,
        counted: if arguments.quick { 2_000 } else { 10_000 },
        build: !arguments.no_build,
        command: command(),
        anyway: arguments.anyway,
        out: arguments.out.clone(),
        resume: arguments.resume,
        drill: manifest.drill.clone(),
        restarts: if arguments.quick { RESTARTS_QUICK } else { RESTARTS },
        counts_again: pair.is_some() || arguments.hold.is_some() || arguments.renew.is_some(),
    };
    let session = match Session::new(plan, interrupted) {
        Ok(session) => session,
        Err(error) if error.is::<Unfit>() => {
            eprintln!("versus: {error}");
            return Ok(ExitCode::from(UNFIT));
        }
        Err(error) => return Err(error),
    };
    let record = session.run()?;
    write(&record, &arguments.out)?;
    let refused = record.runs.iter().filter(|run| !run.refused.is_empty()).count();
    if refused > 0 {
        eprintln!("{refused} of {} runs were refused, see above", record.runs.len());
        return Ok(ExitCode::from(REFUSED));
    }
    let mut is_dearer = false;
    if let Some([earlier, later]) = &pair {
        let compared = compare::compare(&record, earlier, later);
        ensure!(!compared.is_empty(), "there is nothing to compare: see what is absent or refused");
        println!("{}", compare::lines(&compared, earlier, later));
        is_dearer |= compared.iter().any(compare::Compared::is_regression);
    }
    if let Some(file) = &arguments.renew {
        held::renew(&record, file)?;
    }
    if let Some(file) = &arguments.hold {
        let (lines, all_kept) = held::check(&record, file)?;
        println!("{lines}");
        is_dearer |= !all_kept;
    }
    Ok(if is_dearer { ExitCode::from(DEARER) } else { ExitCode::SUCCESS })
}

fn list(manifest: &Manifest) {
    println!("Servers:");
    for stanza in &manifest.servers {
        println!("  {:<16} {}", stanza.name, stanza.what);
    }
    println!("Cases:");
    for case in case::ALL {
        println!("  {:<16} {}", case.name, case.title);
    }
}

/// What reproduces the session, from the folder above.
fn command() -> String {
    let start = "cargo run --release --manifest-path benches/versus/Cargo.toml --".to_owned();
    env::args().skip(1).fold(start, |text, argument| format!("{text} {argument}"))
}

fn write(record: &Record, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let json = serde_json::to_string_pretty(record)?;
    let reports = [
        ("versus.json", json),
        ("versus.md", table::markdown(record)),
        ("versus.html", page::page(record)?),
    ];
    for (name, text) in reports {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
