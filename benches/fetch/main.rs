//! What a fetch costs, beside other clients: `cargo bench --bench fetch`. (`-- --help` tells the
//! rest.)
//!
//! Server and clients are processes of their own, the server on the first core of those that this
//! process may use, the client on the second. Clients take turns, and every second round goes
//! through them backwards, so that what drifts with time does not favour one. Every client fetches
//! `/0`, `/1`, … and checks every body. Absolute figures are those of the machine at hand; compare
//! rows of one run, and believe no difference smaller than that between `bare` and `bare, again`.

mod bare;
mod measure;
mod options;
mod roles;
mod table;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use measure::{Figures, measure};
use options::{Options, Role};
use roles::ServerProcess;
use table::Table;

/// What one client has to do.
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    pub(crate) fetches: usize,
    /// Connections at a time.
    pub(crate) limit: usize,
}

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Manner {
    /// At once.
    Quick,
    /// At once, and closes.
    Closing,
    /// After [`roles::DELAY`].
    Slow,
}

/// A line of the table: a client.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// The program and its first arguments; those of the job follow. Else: how to get it.
    command: Result<Vec<String>, String>,
    /// Speaks for itself: prints its wall time and peak. Else the process is watched from outside.
    reports: bool,
}

/// A part of the table: what is fetched.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) manner: Manner,
    pub(crate) fetches: usize,
    pub(crate) limit: usize,
}

/// Whether the body of fetch `number` is what it should be.
pub(crate) fn check(number: usize, body: &[u8]) -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    let (mut expected, room) = ([0; 32], 32);
    let mut rest = &mut expected[..];
    writeln!(rest, "Hello, {number}!")?;
    let length = room - rest.len();
    if body == &expected[..length] {
        return Ok(());
    }
    Err(format!("fetch {number}: the body is `{}`", body.escape_ascii()).into())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(Role::Server { manner, core }) => roles::serve(*manner, *core),
        Some(Role::Client { name, address, fetches, limit }) => {
            roles::fetch(name, &Job { address: *address, fetches: *fetches, limit: *limit })
        }
        None => compare(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every case with every client, and prints the tables.
fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let cores = measure::cores()?;
    let (server_core, client_core) = (cores[0], cores[1 % cores.len()]);
    if server_core == client_core {
        eprintln!("only one core: server and client share it");
    }
    let clients = clients(options);
    for case in cases(options) {
        if let Err(why) = roles::raise_descriptor_limit(case.limit) {
            println!("\n{}\n  refused: {why}", case.title);
            continue;
        }
        let server = ServerProcess::start(case.manner, server_core)?;
        let mut table = Table::new(&case, &clients);
        for round in 0..options.rounds() {
            let mut order: Vec<usize> = (0..clients.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let Ok(command) = &clients[index].command else { continue };
                let command = clients[index].arguments(command, &case, server.address());
                let figures = measure(&command, client_core, server_core, clients[index].reports)
                    .map_err(|error| {
                    format!("{}, {}: {error}", case.name, clients[index].name)
                })?;
                clients[index].check_output(&case, &figures)?;
                if options.json {
                    table.print_run(index, round, &figures);
                }
                table.add(index, figures);
            }
        }
        table.print(options.json);
    }
    Ok(())
}

fn cases(options: &Options) -> Vec<Case> {
    let fetches = options.fetches();
    let case = |name, title: &str, manner, limit: usize| {
        let limit = limit.min(fetches);
        let title = format!("{fetches} fetches, {title}");
        Case { name, title, manner, fetches, limit }
    };
    let mut cases = vec![
        case("reuse", "100 connections, kept", Manner::Quick, 100),
        case("close", "100 connections at a time, each for one fetch", Manner::Closing, 100),
        case("all", "all at once", Manner::Quick, fetches),
        case("slow", "all at once, answers after 100 ms", Manner::Slow, fetches),
    ];
    cases.retain(|case| options.cases.is_empty() || options.cases.iter().any(|c| c == case.name));
    cases
}

fn clients(options: &Options) -> Vec<Client> {
    let own = |name: &str| {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(vec![program.display().to_string(), "client".into(), name.into()])
    };
    let mut clients = vec![
        Client { name: "bare", command: own("bare"), reports: true },
        Client { name: "helloop", command: own("helloop"), reports: true },
        Client { name: "helloop, pulling", command: own("pulling"), reports: true },
        Client { name: "hyper", command: peer(options, "hyper"), reports: true },
        Client { name: "reqwest", command: peer(options, "reqwest"), reports: true },
        Client { name: "curl", command: curl(), reports: false },
        Client { name: "aiohttp", command: aiohttp(options), reports: true },
        Client { name: "bare, again", command: own("bare"), reports: true },
    ];
    let is_wanted = |client: &Client| {
        options.clients.is_empty() || options.clients.iter().any(|c| client.name.starts_with(c))
    };
    clients.retain(is_wanted);
    clients
}

impl Client {
    fn arguments(&self, program: &[String], case: &Case, address: SocketAddr) -> Vec<String> {
        let (fetches, limit) = (case.fetches, case.limit);
        let job = if self.name == "curl" {
            vec![limit.to_string(), format!("http://{address}/[0-{}]", fetches - 1)]
        } else {
            vec![address.to_string(), fetches.to_string(), limit.to_string()]
        };
        program.iter().cloned().chain(job).collect()
    }

    /// A client that cannot check its bodies has printed them.
    fn check_output(&self, case: &Case, figures: &Figures) -> Result<(), Box<dyn Error>> {
        if self.reports {
            return Ok(());
        }
        let mut lines: Vec<&str> = figures.output.lines().collect();
        let mut expected: Vec<_> = (0..case.fetches).map(|n| format!("Hello, {n}!")).collect();
        lines.sort_unstable();
        expected.sort_unstable();
        if lines != expected {
            return Err(format!("{}: {} bodies, or wrong ones", self.name, lines.len()).into());
        }
        Ok(())
    }
}

/// A program of `benches/peers`, if it was asked for.
fn peer(options: &Options, name: &str) -> Result<Vec<String>, String> {
    if !options.peers {
        return Err("not asked for: add --peers, which builds benches/peers".into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let built = std::process::Command::new("cargo")
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("benches/peers does not build".into());
    }
    let program: PathBuf =
        [folder.as_path(), Path::new("target/release"), name.as_ref()].iter().collect();
    Ok(vec![program.display().to_string()])
}

fn curl() -> Result<Vec<String>, String> {
    is_there(&["curl", "--version"], "not installed: apt-get install curl")?;
    let fixed = ["curl", "--silent", "--show-error", "--fail", "--parallel"];
    let fixed = fixed.into_iter().chain(["--parallel-immediate", "--parallel-max"]);
    Ok(fixed.map(str::to_owned).collect())
}

fn aiohttp(options: &Options) -> Result<Vec<String>, String> {
    let python = options.python.as_str();
    let hint = "not installed: python3 -m venv V; V/bin/pip install aiohttp; --python V/bin/python";
    is_there(&[python, "-c", "import aiohttp"], hint)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fetch/fetch_aiohttp.py");
    Ok(vec![python.to_owned(), script.to_owned()])
}

fn is_there(command: &[&str], hint: &str) -> Result<(), String> {
    let output = std::process::Command::new(command[0]).args(&command[1..]).output();
    if output.is_ok_and(|output| output.status.success()) { Ok(()) } else { Err(hint.to_owned()) }
}
