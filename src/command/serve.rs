//! `helloop serve`.

use std::cell::{Cell, RefCell};
use std::num::{NonZeroU16, NonZeroUsize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum, value_parser};
use helloop::event_loop::Handle;
use helloop::events::Observer;
use helloop::limits::{DRAIN_TIMEOUT, Limits, TRACE_BYTES_MAX};
use helloop::server::{Builder, Connections, Server};

use super::access::AccessArguments;
use super::admin::{self, Admin};
use super::agent::Agent;
use super::content::{Content, ContentArguments};
use super::incumbent::{Incumbent, Sockets};
use super::lab::{CannotBegin, Lab, Options};
use super::limits::LimitArguments;
use super::listening::Listening;
use super::logging::{self, LogFormat};
use super::metrics::Figures;
use super::supervisor::{Pulse, Supervisor, beat};
use super::takeover::{Predecessor, Successor};
use super::tracing::Tracing;
use super::trust::TrustArguments;
use super::units::{Size, Span};
use super::{explain, usage};
use crate::command::addresses;
use crate::command::loops::{LOOPS_MAX, Own, Pace};
use crate::command::run::{Outcome, Plan, run};
use crate::command::stderr::StandardError;

const AFTER_HELP: &str = "\
Each option but -v can be set by its environment variable, too; the command line wins. A variable
that is empty counts as unset.
Durations and sizes have a unit: 25s, 500ms, 1h 30m; 512B, 16KiB, 1MB.
The limit of open descriptors is raised as far as the system allows.

Examples:
  helloop serve                              greet on http://localhost:8080/
  helloop serve --listen [::]:80             on every address of this machine, port 80
  helloop serve --listen localhost:0         on a port that the system chooses
  helloop serve --listen unix:/run/hello.sock  on a Unix socket
  helloop serve --explain                    and watch the loop while `curl` asks
  helloop serve --access-log combined >log   and keep a log
  helloop serve --text 'ok\n'                answer every path with a text of your own
  helloop serve --trace loop.trace           record; then `helloop explain loop.trace`
  kill -USR1 $(pidof helloop)                which tasks are there, and what does each wait for?

Exit codes:
  0  drained: every request was answered
  1  something broke while it ran
  2  usage
  3  cannot listen
  4  the drain took longer than --drain-timeout, and busy connections were cut
  5  SIGINT came while it drained, and ended it at once";

/// Greet over HTTP: GET /World is answered `Hello, World!`
///
/// SIGTERM, SIGINT, SIGQUIT and SIGHUP drain: after --drain-delay nothing new is accepted, requests
/// that have come are answered, then the server ends. During a drain, SIGINT ends it at once; the others change nothing.
///
/// SIGUSR1 prints the tasks, SIGUSR2 starts a successor (see `helloop upgrade`), and with
/// --access-log-file SIGHUP opens that anew.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Listen here: HOST:PORT, unix:PATH, or fd:NUMBER for a socket that is open already; may be
    /// repeated, or a list with commas [default: what systemd hands over (LISTEN_FDS), else
    /// localhost:8080, or [::]:$PORT if only the environment variable PORT is set]
    #[arg(short, long, env = "HELLOOP_LISTEN", value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<String>,

    /// The permissions of the files of Unix sockets: who may write to one, may connect [default: what
    /// the umask leaves of 777]
    #[arg(long, env = "HELLOOP_UNIX_MODE", value_name = "OCTAL", value_parser = octal)]
    unix_mode: Option<u32>,

    /// Other programs may listen at the same address, if they ask for it as well (SO_REUSEPORT)
    #[arg(long, env = "HELLOOP_REUSE_PORT", value_parser = FalseyValueParser::new())]
    reuse_port: bool,

    /// Run this many event loops, each on a thread of its own, so that as many cores are used.
    ///
    /// They share the port (SO_REUSEPORT), and nothing else: the kernel gives each new connection
    /// to one of them, and never moves it. They are drained together. --max-connections is divided
    /// among them; when one has its share, what comes to it waits, even if another has room.
    #[arg(long, env = "HELLOOP_LOOPS", value_name = "NUMBER", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u16).range(1..=i64::from(LOOPS_MAX)))]
    loops: u16,

    /// Drain by itself after this time [default: run until a signal comes]
    #[arg(long, env = "HELLOOP_RUN_FOR", value_name = "DURATION")]
    run_for: Option<Span>,

    /// Announce the end for this long before the drain, so that balancers notice.
    ///
    /// Readiness fails at once (--health-path), and every answer says `Connection: close`, but
    /// everything is still accepted and answered. It should be longer than a balancer takes to see that
    /// a server is not ready: the time between two checks, times the checks that have to fail.
    #[arg(long, env = "HELLOOP_DRAIN_DELAY", value_name = "DURATION")]
    #[arg(default_value_t = Span(Duration::ZERO))]
    drain_delay: Span,

    /// A drain may take this long; then busy connections are cut
    #[arg(long, env = "HELLOOP_DRAIN_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = Span(DRAIN_TIMEOUT))]
    drain_timeout: Span,

    #[command(flatten)]
    access: AccessArguments,

    /// How the log on standard error is written
    #[arg(long, env = "HELLOOP_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Answer here, on a second port, /live, /ready, /metrics (for Prometheus) and /version.
    ///
    /// It is for those who run the server: nothing of it is in the access log or in the figures. To count
    /// costs a request some 0.5 us.
    #[arg(long, env = "HELLOOP_ADMIN", value_name = "ADDRESS")]
    admin: Option<String>,

    /// Answer haproxy's agent-check here: the weight that the loop's lag leaves, or `drain`
    #[arg(long, env = "HELLOOP_AGENT", value_name = "HOST:PORT")]
    agent: Option<String>,

    #[command(flatten)]
    trust: TrustArguments,

    /// Say on standard error what the event loop does, turn by turn
    #[arg(long, env = "HELLOOP_EXPLAIN", value_parser = FalseyValueParser::new())]
    explain: bool,

    /// How connections are written; what they do is the same
    #[arg(long, env = "HELLOOP_CONNECTIONS", value_name = "HOW", default_value = "state-machine")]
    connections: Written,

    /// Record what the event loop does into this file, for `helloop explain` and `helloop trace`
    #[arg(long, env = "HELLOOP_TRACE", value_name = "FILE")]
    trace: Option<PathBuf>,

    /// The file and the older FILE.1 together have at most this size; the older half is deleted
    #[arg(long, env = "HELLOOP_TRACE_SIZE", value_name = "SIZE")]
    #[arg(default_value_t = Size(TRACE_BYTES_MAX))]
    trace_size: Size,

    /// Show a page here that can pause, step and watch the loop; see `helloop lab`
    #[arg(long, env = "HELLOOP_LAB", value_name = "HOST:PORT")]
    lab: Option<String>,

    /// The lab's page can only look: it cannot pause the loop or make traffic
    #[arg(long, env = "HELLOOP_LAB_READ_ONLY", value_parser = FalseyValueParser::new())]
    lab_read_only: bool,

    /// Log more: -v is debug, -vv trace [default: info, or what RUST_LOG says]
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    #[command(flatten)]
    content: ContentArguments,

    #[command(flatten)]
    limits: LimitArguments,
}

/// How connections are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Written {
    /// As explicit state machines
    StateMachine,
    /// As coroutines, whose state machines the compiler writes
    Coroutine,
}

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "permissions look like 660".into())
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed makes no sense; everything else is an exit code.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    let stderr = StandardError::start();
    logging::install(arguments.verbose, arguments.log_format, stderr.out());
    let out = || logging::beside(arguments.log_format, stderr.out());
    let listening = arguments.listening().map_err(|text| usage("serve", text))?;
    let limits = arguments.limits.limits().map_err(|text| usage("serve", text))?;
    arguments.trust.check().map_err(|text| usage("serve", text))?;
    let loops = arguments.loops(&limits).map_err(|text| usage("serve", text))?;
    let is_ending = Arc::default();
    let content = arguments.content.content(&is_ending).map_err(|text| usage("serve", text))?;
    let lab = match arguments.lab() {
        Ok(lab) => lab,
        Err(CannotBegin::Usage(text)) => return Err(usage("serve", text)),
        Err(CannotBegin::Outcome(outcome)) => return Ok(outcome.conclude(out())),
    };
    let typed = Typed { listening, loops, limits, content, is_ending };
    let outcome = arguments.run(typed, lab.as_ref(), &stderr);
    lab.iter().for_each(Lab::finish);
    Ok(outcome.conclude(out()))
}

/// What was typed, as far as it makes sense.
struct Typed {
    listening: Listening,
    loops: NonZeroUsize,
    limits: Limits,
    content: Content,
    is_ending: Arc<AtomicBool>,
}

/// Where it really listens.
struct Place {
    addresses: Vec<String>,
    taken: Vec<Vec<OwnedFd>>,
    admin: Vec<OwnedFd>,
    agent: Vec<OwnedFd>,
}

impl Place {
    /// What was handed over is all, if there is something: the addresses led to it before.
    ///
    /// # Errors
    /// When a descriptor is no listening socket.
    fn find(
        listening: Listening,
        inherited: Option<Sockets>,
        loops: NonZeroUsize,
    ) -> Result<Place, Outcome> {
        if let Some(Sockets { loops: taken, admin, agent }) = inherited {
            let taken = Sockets::for_loops(taken, loops.get());
            return Ok(Place { addresses: Vec::new(), taken, admin, agent });
        }
        let taken = Some(listening.take()?).filter(|taken| !taken.is_empty());
        let taken = taken.into_iter().collect();
        let (admin, agent) = Default::default();
        Ok(Place { addresses: listening.addresses, taken, admin, agent })
    }
}

impl Arguments {
    fn run(&self, typed: Typed, lab: Option<&Lab>, stderr: &StandardError) -> Outcome {
        let Typed { listening, loops, limits, content, is_ending } = typed;
        let (predecessor, inherited) = match Predecessor::from_environment() {
            Err(error) => return Outcome::Failed(error),
            Ok(found) => found.unzip(),
        };
        let Place { addresses, taken, admin, agent } =
            match Place::find(listening, inherited, loops) {
                Err(outcome) => return outcome,
                Ok(place) => place,
            };
        let successor = Successor::of_this_process();
        let started = self.access.start(self.content.health_path()).and_then(|log| {
            Tracing::start(self.trace.as_deref(), self.trace_size).map(|tracing| (log, tracing))
        });
        let (log, tracing) = match started {
            Err(error) => return Outcome::Failed(error),
            Ok(started) => started,
        };
        // Without anybody who looks at them, there are none.
        let is_looked_at = self.admin.is_some() || self.agent.is_some();
        let numbers = if is_looked_at { loops.get() } else { 0 };
        let figures: Vec<Arc<Figures>> = (0..numbers).map(|_| Arc::default()).collect();
        let bind = |address: &String| Admin::bind(address, admin, figures.clone(), &is_ending);
        let admin = self.admin.as_ref().map(bind).transpose();
        let bind = |address: &String| Agent::bind(address, agent, figures.clone(), &is_ending);
        let agent = self.agent.as_ref().map(bind).transpose();
        let (admin, agent) = match admin.and_then(|admin| Ok((admin, agent?))) {
            Err(error) => return Outcome::CannotBind(error),
            Ok(both) => both,
        };
        let fold = |number: usize| figures.get(number - 1).map(Figures::fold);
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        observers.extend(self.explain.then(|| explain::narrator(stderr.out())));
        observers.extend(tracing.observer());
        let supervisor = Rc::new(Supervisor::from_environment());
        let pulses: Vec<Pulse> = (1..loops.get()).map(|_| Pulse::default()).collect();
        let plan = Plan {
            addresses,
            taken,
            loops,
            limits,
            builder: &|| self.trust.attach(log.attach(self.builder())),
            pace: Pace { delay: self.drain_delay.0, timeout: self.drain_timeout.0 },
            is_ending,
            run_for: self.run_for.map(|span| span.0),
            observers,
            fold: fold(1).map(|fold| Box::new(fold) as Box<dyn Observer>),
            descriptors_beside: if is_looked_at { admin::DESCRIPTORS } else { 0 },
            on_hangup: log.on_hangup(),
            on_end: Some({
                let supervisor = Rc::clone(&supervisor);
                Box::new(move || supervisor.stopping("Draining"))
            }),
            can_hand_over: true,
            companion: Some(Box::new(|event_loop, served, stderr| {
                let admin = admin.map(|admin| admin.attach(event_loop, stderr)).transpose()?;
                let handle = event_loop.handle();
                let agent = agent.map(|agent| agent.attach(handle, stderr)).transpose()?;
                let lab = lab.map(Lab::companion);
                let turns = lab.map_or(Ok(None), |begin| begin(event_loop, served, stderr));
                supervisor.feed_watchdog(event_loop.handle(), pulses.clone());
                let incumbent = Rc::new(Incumbent {
                    successor,
                    ending: Rc::clone(served.ending),
                    supervisor: Rc::clone(&supervisor),
                    admin: RefCell::new(admin),
                    agent: RefCell::new(agent),
                    is_busy: Cell::new(false),
                });
                incumbent.arrange(event_loop.handle())?;
                supervisor.ready("Serving");
                predecessor.iter().for_each(Predecessor::tell);
                turns
            })),
            stderr: &|| logging::beside(self.log_format, stderr.out()),
        };
        let own = |number| Own {
            service: content.clone(),
            observer: fold(number).map(|fold| Box::new(fold) as Box<dyn Observer + Send>),
            begin: supervisor.period().map(|period| {
                let pulse = Pulse::clone(&pulses[number - 2]);
                Box::new(move |handle: &Handle| beat(handle, period, pulse)) as Box<_>
            }),
        };
        let outcome = run(plan, content.clone(), own);
        log.finish();
        tracing.finish();
        outcome
    }

    fn builder(&self) -> Builder {
        let builder = Server::builder().reuse_port(self.reuse_port);
        let builder = self.unix_mode.into_iter().fold(builder, Builder::unix_mode);
        builder.connections(match self.connections {
            Written::StateMachine => Connections::StateMachine,
            Written::Coroutine => Connections::Coroutine,
        })
    }

    fn lab(&self) -> Result<Option<Lab>, CannotBegin> {
        let options = Options { is_read_only: self.lab_read_only, is_paused: false };
        self.lab.as_ref().map(|address| Lab::bind(address, options, None)).transpose()
    }

    fn listening(&self) -> Result<Listening, String> {
        let mut listening = Listening::new(&self.listen)?;
        listening.add_activated()?;
        if listening.is_empty() {
            listening.addresses.push(addresses::from_environment()?);
        }
        Ok(listening)
    }

    fn loops(&self, limits: &Limits) -> Result<NonZeroUsize, String> {
        let loops = NonZeroUsize::from(NonZeroU16::new(self.loops).unwrap_or(NonZeroU16::MIN));
        let for_one_loop = [
            (self.lab.is_some(), "--lab is for one event loop"),
            (self.explain, "--explain tells the story of one event loop"),
            (self.trace.is_some(), "--trace records one event loop"),
        ];
        if self.admin.is_some() && self.connections == Written::Coroutine {
            let text =
                "--admin counts state machines: it cannot be had with --connections coroutine";
            return Err(text.to_owned());
        }
        let asked = for_one_loop.into_iter().find(|(is_asked, _)| *is_asked);
        if let Some((_, what)) = asked.filter(|_| self.loops > 1) {
            return Err(format!("{what}: it cannot be had with --loops {loops}"));
        }
        match limits.connections_max {
            Some(connections) if connections < loops.get() => Err(format!(
                "--max-connections is {connections}: each of the {loops} loops needs at least one"
            )),
            _ => Ok(loops),
        }
    }
}
