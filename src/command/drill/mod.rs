//! `helloop drill`: proves or refutes that a server can be restarted without the loss of a request.
//!
//! Reading order: `verdict` judges what a client saw, `ledger` keeps it; `connection` and `clients` see it; `server`,
//! `front` and `rounds` are what happens meanwhile, `report` is what is said in the end. It is all coroutines of one
//! loop, on raw streams.

mod clients;
mod connection;
mod front;
mod habit;
mod ids;
mod ledger;
mod processes;
mod report;
mod rounds;
mod said;
mod server;
mod trouble;
mod verdict;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use helloop::PrintableLines;
use helloop::coroutine::{Either, race};
use helloop::event_loop::EventLoop;
use helloop::signals::on_signals;

use super::units::{PositiveSpan, Span};
use super::usage;
use crate::command::run::{complain, raise_descriptor_limit, signals_that_drain};
use front::Behind;
use habit::Method;
use ids::Processed;
use report::Report;
use rounds::{Drill, Plan};
use server::{EndingSignal, Limits, Way};
use trouble::Trouble;

const AFTER_HELP: &str = "\
The server is started on a free port of 127.0.0.1, which stands for {port}, and restarted while
clients of several habits ask it: keep-alive, one-each (a connection for each request), pipelined
(four at once), post (never sent again), waking (a POST on a connection that was idle when the
restart began), slow-reader, and with --idle-timeout idle (a GET at that time, and 1 ms before and
after it). Each request that was lost or doubled is told with its story.

A GET whose kept connection is closed before the first byte of an answer is sent once more, as
RFC 9112 section 9.3.1 foresees: it counts as repeated. --strict counts it as lost, as behind a
balancer that repeats nothing.

Examples:
  helloop drill -- helloop serve --listen 127.0.0.1:{port}
  helloop drill --restart 'helloop upgrade {pid}' -- helloop serve --listen 127.0.0.1:{port}
  helloop drill --behind haproxy --health-path /healthz -- \\
      helloop serve --listen 127.0.0.1:{port} --health-path /healthz --drain-delay 2s
  helloop drill --restart 'kill -HUP {pid}' --port 8080 -- nginx -c /srv/nginx.conf -g 'daemon off;'
  helloop drill --access-log - --idle-timeout 5s -- node server.js {port}

Exit codes:
  0    nothing was lost or doubled
  1    something was
  2    usage
  3    it could not be carried out: the server did not come up or back, ended by itself, or was
       not restarted
  130  interrupted";

/// Exit codes; see [`AFTER_HELP`].
const LOSSES: u8 = 1;
const USAGE: u8 = 2;
const NOT_CARRIED_OUT: u8 = 3;
const INTERRUPTED: u8 = 130;

/// How long it may take to read what servers have printed last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes of a line of an access log that are looked at.
const LOG_LINE_BYTES_MAX: u64 = 64 * 1024;

/// Restart a server under load, and tell each request that is lost or doubled
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How to restart it: a command for the shell. {pid} is the server's process, {port} its port [default: a
    /// signal, see --signal, and then it is started anew]
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,

    /// What ends the server, if there is no --restart
    #[arg(long, value_enum, value_name = "SIGNAL", default_value_t, ignore_case = true)]
    #[arg(conflicts_with = "restart")]
    signal: EndingSignal,

    /// So many restarts
    #[arg(long, value_name = "N", default_value = "10")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// What stands in front: with a balancer there are two servers, which are restarted in turn
    #[arg(long, value_enum, default_value_t)]
    behind: Behind,

    /// What haproxy asks of each server every 500 ms
    #[arg(long, value_name = "PATH", default_value = "/")]
    health_path: String,

    /// After this time without a request, the server closes a connection: ask at that moment, too
    #[arg(long, value_name = "DURATION")]
    idle_timeout: Option<PositiveSpan>,

    /// What is asked for; {id} is a word that is another one in each request
    #[arg(long, value_name = "PATH", default_value = "/{id}")]
    path: String,

    /// What slow readers ask for, best something of 100 kB or more [default: what --path says]
    #[arg(long, value_name = "PATH")]
    slow_path: Option<String>,

    /// A file in which the server writes a line with the target of each request: it is looked up which of them were
    /// processed, and which POSTs twice; - is what the server prints
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// The port, if SERVER cannot be told one [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Clients of each habit that asks all the time
    #[arg(long, value_name = "N", default_value = "2")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,

    /// Before each restart, and after the last one
    #[arg(long, value_name = "DURATION", default_value = "500ms")]
    pause: Span,

    /// A request without a whole answer is lost after this time
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    answer_timeout: PositiveSpan,

    /// The server has to listen after this time
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    start_timeout: PositiveSpan,

    /// After the signal the server, or else the command of --restart, has to end within this time
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    stop_timeout: PositiveSpan,

    /// Count a request that had to be repeated as lost
    #[arg(long)]
    strict: bool,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,

    /// The program and its arguments; {port} is where the port belongs
    #[arg(value_name = "SERVER", required = true, last = true)]
    server: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed makes no sense.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    let plan = arguments.plan().map_err(|text| usage("drill", text))?;
    Ok(match arguments.run(plan) {
        Ok(code) => code.into(),
        Err(error) => {
            complain(format_args!("{error}"));
            NOT_CARRIED_OUT.into()
        }
    })
}

impl Arguments {
    fn plan(&self) -> Result<Plan, String> {
        let has_port = self.server.iter().any(|text| text.contains("{port}"));
        if !has_port && self.port.is_none() {
            return Err("SERVER has no {port}: write it where the port belongs, or say with --port which one it is".into());
        }
        if self.port.is_some() && self.behind != Behind::None {
            return Err(
                "--port is for one server, and --behind has two: write {port} in SERVER".into()
            );
        }
        let slow_path = self.slow_path.as_ref().unwrap_or(&self.path);
        for (flag, path) in [
            ("--path", &self.path),
            ("--slow-path", slow_path),
            ("--health-path", &self.health_path),
        ] {
            clients::ask_for(Method::Get, path, "localhost", "1").map_err(|error| {
                format!("{flag} is `{path}`: {error} (it looks like /api/{{id}})")
            })?;
        }
        if !self.path.contains("{id}") {
            return Err(format!(
                "--path is `{}`: without {{id}} no answer can be told from another; /search?q={{id}} will do, too",
                self.path
            ));
        }
        Ok(Plan {
            typed: self.server.clone(),
            port: self.port,
            way: match &self.restart {
                Some(command) => Way::Command(command.clone()),
                None => Way::Anew(self.signal),
            },
            rounds: self.rounds,
            behind: self.behind,
            health_path: self.health_path.clone(),
            path: self.path.clone(),
            slow_path: slow_path.clone(),
            idle_timeout: self.idle_timeout.map(|span| span.0),
            answer_limit: self.answer_timeout.0,
            limits: Limits { start: self.start_timeout.0, stop: self.stop_timeout.0 },
            pause: self.pause.0,
            clients: self.clients,
            prints_log: self.access_log.as_ref().is_some_and(|path| path.as_os_str() == "-"),
        })
    }

    fn run(&self, plan: Plan) -> io::Result<u8> {
        raise_descriptor_limit();
        processes::adopt_orphans()?;
        let mut event_loop = EventLoop::new()?;
        let handle = event_loop.handle().clone();
        let interrupted = handle.promise();
        let interrupts = interrupted.clone();
        on_signals(&handle, &signals_that_drain(), move |_| {
            // Of those that follow, nothing is to be heard.
            let _ = interrupts.set(());
        })?;
        let drill = Rc::new(Drill::new(&handle, plan));
        let running = Rc::clone(&drill);
        let ended = event_loop.run_until_complete(async move {
            match race(running.run(tell), interrupted.wait()).await {
                Either::Left(outcome) => Some(outcome),
                Either::Right(_) => None,
            }
        });
        // Whatever happened, nothing that was started stays.
        processes::kill_all();
        // What was printed last may still be in a pipe, whose writers are all gone.
        let (said, clock) = (Rc::clone(&drill.said), handle.clone());
        event_loop
            .run_until_complete(handle.timeout(LAST_WORDS, async move {
                while said.borrow().open_pipes > 0 {
                    clock.sleep(Duration::from_millis(1)).await;
                }
            }))?
            .ok();
        let outcome = ended?;
        let trouble = outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
        let notes = self.look_into_the_log(&drill);
        let code = self.report(&drill, trouble, notes)?;
        Ok(if outcome.is_none() { INTERRUPTED } else { code })
    }

    /// Adds to the stories what the access log says.
    fn look_into_the_log(&self, drill: &Drill) -> Vec<String> {
        let Some(path) = &self.access_log else { return Vec::new() };
        let Some(scene) = &*drill.scene.borrow() else { return Vec::new() };
        let read = match drill.said.borrow_mut().processed.take() {
            Some(processed) => Ok(processed),
            None => read_log(path, drill.ids.processed()),
        };
        match read {
            Ok(processed) if processed.is_empty() => {
                vec![format!(
                    "none of the requests stands in {}: nothing is known from it",
                    path.display()
                )]
            }
            Ok(processed) => {
                scene.ledger.borrow_mut().compare(&processed);
                Vec::new()
            }
            Err(error) => vec![format!("cannot read {}: {error}", path.display())],
        }
    }

    fn report(
        &self,
        drill: &Drill,
        trouble: Option<&Trouble>,
        notes: Vec<String>,
    ) -> io::Result<u8> {
        if let Some(trouble @ Trouble::CannotRun { .. }) = trouble {
            complain(format_args!("{trouble}"));
            return Ok(USAGE);
        }
        let scene = drill.scene.borrow();
        let ledger = scene.as_ref().map(|scene| scene.ledger.borrow());
        let by = match &self.restart {
            Some(command) => format!("by `{command}`"),
            None => format!("by {} and a new start", self.signal.name()),
        };
        let behind = match self.behind {
            Behind::None => String::new(),
            behind => format!(", two servers behind {} in turn", behind.name()),
        };
        let report = Report {
            server: self.server.join(" "),
            how: by + &behind,
            rounds: self.rounds,
            restarts: drill.restarts.get(),
            ledger: ledger.as_deref(),
            trouble,
            is_strict: self.strict,
            notes,
        };
        let mut out = io::stdout().lock();
        let written = match self.json {
            true => writeln!(out, "{}", report.json()),
            false => write!(out, "{}", PrintableLines(&report)),
        };
        written.and_then(|()| out.flush())?;
        Ok(match (trouble, report.has_losses()) {
            (Some(_), _) => NOT_CARRIED_OUT,
            (None, true) => LOSSES,
            (None, false) => 0,
        })
    }
}

/// How far it is. Whoever does not want to know closes standard error.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Looks through a log. Of a line that is too long, the rest counts as another one.
fn read_log(path: &std::path::Path, mut processed: Processed) -> io::Result<Processed> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.by_ref().take(LOG_LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        processed.line(&line);
        line.clear();
    }
    Ok(processed)
}
