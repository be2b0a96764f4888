//! Running the server as a program: what the command line and its bare version have in common.

use std::cell::Cell;
#[cfg(feature = "cli")]
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use helloop::PrintableLines;
use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Observer;
use helloop::limits::{DRAIN_TIMEOUT, Limits};
#[cfg(feature = "cli")]
use helloop::server::Handover;
use helloop::server::{Attached, BindError, Builder, Report, Server, Service};
use helloop::signals::{SIGHUP, SIGINT, on_signal, on_signals};
use helloop::watch::SlowCallbacks;

use crate::command::addresses;
use crate::command::loops::{Everybody, Others, Own, Pace, divide, log_report};

#[cfg_attr(not(feature = "cli"), path = "run/no_inquiry.rs")]
mod inquiry;
mod signals;

use inquiry::Inquiry;
pub(crate) use signals::signals_that_drain;

/// What is to be run.
pub(crate) struct Plan<'a> {
    /// `HOST:PORT` or `unix:PATH`.
    pub(crate) addresses: Vec<String>,
    /// Sockets that others have opened: for the first loop, and for the next ones as far as there are any. A loop
    /// without any listens where the first one does.
    pub(crate) taken: Vec<Vec<OwnedFd>>,
    /// Event loops, each on a thread of its own; the first on this one.
    pub(crate) loops: NonZeroUsize,
    /// Those of all loops together.
    pub(crate) limits: Limits,
    /// Begins a server, with its access log, for each loop.
    pub(crate) builder: &'a dyn Fn() -> Builder,
    pub(crate) pace: Pace,
    /// Set as soon as a drain begins.
    pub(crate) is_ending: Arc<AtomicBool>,
    /// After this time a drain begins by itself.
    pub(crate) run_for: Option<Duration>,
    /// The observers of the first loop.
    pub(crate) observers: Vec<Box<dyn Observer>>,
    /// One more, whose presence alone does not make the last events be recorded.
    pub(crate) fold: Option<Box<dyn Observer>>,
    /// Descriptors that something beside the servers may need.
    pub(crate) descriptors_beside: usize,
    /// What SIGHUP does instead of beginning a drain.
    pub(crate) on_hangup: Option<Box<dyn FnMut()>>,
    /// Called when a drain begins because of a signal, or of the time.
    pub(crate) on_end: Option<Box<dyn FnOnce()>>,
    /// Another process may take the sockets over: they are held once more until a drain begins.
    #[cfg(feature = "cli")]
    pub(crate) can_hand_over: bool,
    /// Called once the server is on the loop, before the first turn.
    pub(crate) companion: Option<Companion<'a>>,
    /// Ways to standard error.
    pub(crate) stderr: &'a dyn Fn() -> Box<dyn Write + Send>,
}

impl<'a> Plan<'a> {
    /// One loop that listens there and drains at a signal, with nothing beside it.
    pub(crate) fn new(
        addresses: Vec<String>,
        stderr: &'a dyn Fn() -> Box<dyn Write + Send>,
    ) -> Plan<'a> {
        Plan {
            addresses,
            taken: Vec::new(),
            loops: NonZeroUsize::MIN,
            limits: Limits::default(),
            builder: &Server::builder,
            pace: Pace { delay: Duration::ZERO, timeout: DRAIN_TIMEOUT },
            is_ending: Arc::default(),
            run_for: None,
            observers: Vec::new(),
            fold: None,
            descriptors_beside: 0,
            on_hangup: None,
            on_end: None,
            #[cfg(feature = "cli")]
            can_hand_over: false,
            companion: None,
            stderr,
        }
    }
}

/// What works beside a server, and may take the turns of its loop.
pub(crate) type Companion<'a> =
    Box<dyn FnOnce(&mut EventLoop, &Served<'_>, &mut dyn Write) -> io::Result<Option<Turns>> + 'a>;

/// The server beside which it works.
pub(crate) struct Served<'a> {
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "there is no companion"))]
    pub(crate) attached: &'a Attached,
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "there is no companion"))]
    pub(crate) ending: &'a Rc<Ending>,
}

/// Takes one turn at each call.
pub(crate) type Turns = Box<dyn FnMut(&mut EventLoop, &mut SlowCallbacks) -> io::Result<()>>;

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything that was asked was answered.
    Drained,
    /// The drain's deadline came, and some connections were still busy.
    Cut { report: Report, drain_timeout: Duration },
    /// SIGINT came during the drain, when some connections may still have been busy.
    Forced { report: Report },
    /// It could not begin: none of the addresses is listened on.
    CannotBind(BindError),
    /// The same, for a socket that was to be taken over: a sentence.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "it takes none over"))]
    CannotListen(String),
    /// It broke.
    Failed(io::Error),
}

impl Outcome {
    /// The exit codes of the command. 2 is that of every usage error, clap's included.
    fn exit_code(&self) -> u8 {
        match self {
            Outcome::Drained => 0,
            Outcome::Failed(_) => 1,
            Outcome::CannotBind(error) if error.is_not_an_address() => 2,
            Outcome::CannotBind(_) | Outcome::CannotListen(_) => 3,
            Outcome::Cut { .. } => 4,
            Outcome::Forced { .. } => 5,
        }
    }

    /// Says on `stderr` what is to be said, and returns the exit code.
    pub(crate) fn conclude(&self, mut stderr: impl Write) -> ExitCode {
        if !matches!(self, Outcome::Drained) {
            // If that is closed, there is nowhere to report it.
            let _ = stderr.write_all(format!("helloop: {}\n", PrintableLines(self)).as_bytes());
        }
        ExitCode::from(self.exit_code())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Drained => write!(f, "drained"),
            Outcome::Cut { report, drain_timeout } => {
                let were = were_cut(report);
                write!(f, "the drain took longer than {}: {were}", Shown(*drain_timeout))
            }
            Outcome::Forced { report } => {
                write!(f, "SIGINT ended the drain: {}", were_cut(report))
            }
            Outcome::CannotBind(error) if error.is_in_use() => write!(
                f,
                "{error}\nEnd that program, or listen on another port; port 0 lets the system \
                 choose a free one."
            ),
            Outcome::CannotBind(error) if error.is_privileged() => write!(
                f,
                "{error}\nPorts below 1024 are for the superuser: listen on another one, for example \
                 8080. Linux can allow them: `setcap cap_net_bind_service=+ep` for this program, \
                 `sysctl net.ipv4.ip_unprivileged_port_start=0` for all."
            ),
            Outcome::CannotBind(error) => write!(f, "{error}"),
            Outcome::CannotListen(text) => f.write_str(text),
            Outcome::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// A duration in a sentence. `Debug` has "0ns" for nothing.
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("0s") } else { write!(f, "{:?}", self.0) }
    }
}

fn were_cut(report: &Report) -> String {
    let cut = match report.cut {
        0 => "no busy connection was cut".into(),
        1 => "1 busy connection was cut".into(),
        connections => format!("{connections} busy connections were cut"),
    };
    match report.cut_unaccepted {
        0 => cut,
        unaccepted => format!("{cut}, {unaccepted} of them before there was room to accept them"),
    }
}

/// Writes `helloop: <text>` to standard error, unless that is closed. Nothing in it reaches a
/// terminal that the terminal would obey: the name of a file, and what stands in it, may be foreign.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "helloop: {}", PrintableLines(text));
}

/// What Linux allows a process, if the limit cannot be read.
const DESCRIPTORS_IF_UNKNOWN: u64 = 1024;

/// Listens, serves, and returns once the server has ended: after a signal, or after its time. `service` is that of the
/// first loop, `own` makes what each of the others has.
pub(crate) fn run<S: Service + Send + 'static>(
    plan: Plan<'_>,
    service: impl Service + 'static,
    own: impl Fn(usize) -> Own<S>,
) -> Outcome {
    if let Err(error) = signals::outlive_user_signals() {
        return Outcome::Failed(error);
    }
    let descriptors = raise_descriptor_limit();
    serve(plan, descriptors, service, own).unwrap_or_else(|outcome| outcome)
}

/// `Err` is an end as well, that of a run which did not come far.
fn serve<S: Service + Send + 'static>(
    mut plan: Plan<'_>,
    descriptors: u64,
    service: impl Service + 'static,
    own: impl Fn(usize) -> Own<S>,
) -> Result<Outcome, Outcome> {
    let addresses = mem::take(&mut plan.addresses);
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let taken = mem::take(&mut plan.taken);
    // Before the signals are caught: the name of a host may take long to resolve, and until then
    // Ctrl-C does what it always does.
    let mut servers = bind(&plan, &addresses, taken, descriptors).map_err(Outcome::CannotBind)?;
    let paths = servers[0].local_paths();
    #[cfg(feature = "cli")]
    let held = held_for_another(plan.can_hand_over, &servers).map_err(Outcome::Failed)?;
    let everybody = Everybody::new(&servers, Arc::clone(&plan.is_ending));
    let mut event_loop = EventLoop::new().map_err(Outcome::Failed)?;
    event_loop.observe(plan.fold);
    let inquiry = Inquiry::new(&mut event_loop, plan.observers, (plan.stderr)());
    let handle = event_loop.handle().clone();
    let attached = servers.remove(0).attach(&handle, service).map_err(Outcome::Failed)?;
    let ending = Ending::new(everybody.clone(), plan.pace, plan.on_end);
    #[cfg(feature = "cli")]
    ending.held.replace(held);
    ending.arrange(&handle, plan.run_for, plan.on_hangup).map_err(Outcome::Failed)?;
    inquiry.arrange().map_err(Outcome::Failed)?;
    let others = Others::start(servers, &everybody, plan.pace, own).map_err(Outcome::Failed)?;
    let mut turns: Turns = Box::new(|event_loop, slow| slow.turn(event_loop, None).map(drop));
    let mut theirs = Vec::new();
    if let Some(companion) = plan.companion {
        let served = Served { attached: &attached, ending: &ending };
        let taken = companion(&mut event_loop, &served, &mut theirs).map_err(Outcome::Failed)?;
        turns = taken.unwrap_or(turns);
    }
    // When all of it is there: what has heard of the server may ask anything of it.
    let mut stderr = (plan.stderr)();
    announce(&addresses, &attached, &paths, &mut stderr);
    let _ = stderr.write_all(&theirs);
    let mut slow = SlowCallbacks::new(&event_loop);
    // This loop turns until all have ended: it is the one that hears signals.
    let is_finished = || attached.is_finished() && others.are_finished();
    let ran = inquiry.run(&mut event_loop, is_finished, |event_loop| turns(event_loop, &mut slow));
    // What is left on the loop is dropped now, and no story. If it broke, its listeners must not
    // be given connections any more.
    event_loop.observe(None);
    match slow.count() {
        0 => {}
        stalls => log::info!("resumes and turns that took too long: {stalls}"),
    }
    drop(event_loop);
    everybody.drain(plan.pace);
    let of_others = others.join();
    ran.and(of_others).map_err(Outcome::Failed).map(|of_others| {
        if plan.loops.get() > 1 {
            log_report(1, &attached.report());
        }
        ending.outcome([attached.report(), of_others].into_iter().sum())
    })
}

#[cfg(feature = "cli")]
fn held_for_another(can_hand_over: bool, servers: &[Server]) -> io::Result<Vec<Handover>> {
    let servers = if can_hand_over { servers } else { &[] };
    servers.iter().map(Server::handover).collect()
}

/// A server for each loop, all of them at the same addresses.
fn bind(
    plan: &Plan<'_>,
    addresses: &[&str],
    taken: Vec<Vec<OwnedFd>>,
    descriptors: u64,
) -> Result<Vec<Server>, BindError> {
    let mut servers: Vec<Server> = Vec::new();
    let mut taken = taken.into_iter();
    let listeners = addresses.len() + taken.as_slice().first().map_or(0, Vec::len);
    let beside = plan.descriptors_beside;
    for limits in divide(&plan.limits, plan.loops, descriptors, listeners, beside) {
        let builder = (plan.builder)().limits(limits);
        servers.push(match (servers.first(), taken.next()) {
            (None, None) => builder.bind_all(addresses)?,
            (None, Some(taken)) => builder.bind_all(addresses)?.with_listeners(taken)?,
            (Some(_), Some(taken)) => builder.listeners(taken)?,
            (Some(first), None) => builder.bind_beside(first)?,
        });
    }
    Ok(servers)
}

/// Where to greet: one line for each URL, once the sockets listen.
fn announce(listen: &[&str], attached: &Attached, paths: &[PathBuf], stderr: &mut dyn Write) {
    let urls = addresses::urls(listen, attached.local_addrs());
    for place in urls.into_iter().chain(addresses::unix(paths)) {
        // Whole lines, because others may write there as well.
        let _ = stderr.write_all(format!("Server started at {place}\n").as_bytes());
    }
    if std::process::id() == 1
        && let Some(advice) = addresses::advice_for_a_container(attached.local_addrs())
    {
        log::warn!("{advice}");
    }
}

/// How the servers come to their end.
pub(crate) struct Ending {
    /// The sockets of each loop.
    #[cfg(feature = "cli")]
    held: RefCell<Vec<Handover>>,
    everybody: Everybody,
    pace: Pace,
    on_end: Cell<Option<Box<dyn FnOnce()>>>,
    is_draining: Cell<bool>,
    /// SIGINT came while it drained.
    is_forced: Cell<bool>,
}

impl Ending {
    fn new(everybody: Everybody, pace: Pace, on_end: Option<Box<dyn FnOnce()>>) -> Rc<Ending> {
        let (is_draining, is_forced) = Default::default();
        let on_end = Cell::new(on_end);
        Rc::new(Ending {
            #[cfg(feature = "cli")]
            held: RefCell::default(),
            everybody,
            pace,
            on_end,
            is_draining,
            is_forced,
        })
    }

    /// From now on signals, and the time, end the servers.
    fn arrange(
        self: &Rc<Self>,
        handle: &Handle,
        run_for: Option<Duration>,
        on_hangup: Option<Box<dyn FnMut()>>,
    ) -> io::Result<()> {
        let ending = Rc::clone(self);
        let mut draining = signals_that_drain();
        if let Some(on_hangup) = on_hangup {
            draining.retain(|signal| *signal != SIGHUP);
            on_signal(handle, SIGHUP, on_hangup)?;
        }
        on_signals(handle, &draining, move |signal| ending.signal(signal))?;
        if let Some(run_for) = run_for {
            let ending = Rc::clone(self);
            let why = format!("the time to run ({}) is over", Shown(run_for));
            handle.call_later(run_for, move |_| ending.drain(&why));
        }
        Ok(())
    }

    /// The first one drains. Later ones change nothing, because supervisors repeat themselves
    /// (timeout(1) sends SIGTERM to the process and then to its group); but a user who presses
    /// Ctrl-C while it drains wants no drain.
    fn signal(&self, signal: i32) {
        let name = signals::name(signal);
        if !self.is_draining.get() {
            self.drain(name);
        } else if signal == SIGINT {
            log::warn!("{name}, and it drains already: stopping now");
            self.is_forced.set(true);
            self.everybody.shutdown();
        } else {
            log::info!("{name}, and it drains already: that goes on; SIGINT would stop it now");
        }
    }

    fn drain(&self, why: &str) {
        if self.is_draining.replace(true) {
            return;
        }
        let (delay, timeout) = (Shown(self.pace.delay), Shown(self.pace.timeout));
        if self.pace.delay.is_zero() {
            log::info!("{why}: draining for at most {timeout}");
        } else {
            log::info!("{why}: not ready any more; draining in {delay}, for at most {timeout}");
        }
        #[cfg(feature = "cli")]
        self.held.take();
        self.on_end.take().into_iter().for_each(|on_end| on_end());
        self.everybody.drain(self.pace);
    }

    #[cfg(feature = "cli")]
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// The sockets of each loop, once more.
    ///
    /// # Errors
    /// When no descriptor is left.
    #[cfg(feature = "cli")]
    pub(crate) fn sockets(&self) -> io::Result<Vec<Vec<OwnedFd>>> {
        let held = self.held.borrow();
        held.iter()
            .map(|held| held.descriptors().map(|fd| fd.try_clone_to_owned()).collect())
            .collect()
    }

    /// Another process serves the sockets by now. So nothing has to be announced, and nobody is turned away.
    #[cfg(feature = "cli")]
    pub(crate) fn hand_over(&self, pid: u32) {
        if self.is_draining.replace(true) {
            return;
        }
        let timeout = self.pace.timeout;
        log::info!("process {pid} has taken over: draining for at most {}", Shown(timeout));
        self.held.take().into_iter().for_each(Handover::done);
        self.everybody.drain(Pace { delay: Duration::ZERO, timeout });
    }

    fn outcome(&self, report: Report) -> Outcome {
        let (requests, connections) = (report.requests, report.connections);
        log::info!("requests answered: {requests}, connections: {connections}");
        match report.cut {
            _ if self.is_forced.get() => Outcome::Forced { report },
            0 => Outcome::Drained,
            _ => Outcome::Cut { report, drain_timeout: self.pace.timeout },
        }
    }
}

/// Raises the soft limit of open descriptors to the hard one. Every connection needs one, and soft
/// limits are low for the sake of select(2), which is not used here. A program may decide this, a
/// library may not. Returns the limit that there is now.
pub(crate) fn raise_descriptor_limit() -> u64 {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => {
            log::debug!("the limit of open descriptors is {limit}");
            limit
        }
        Err(error) => {
            log::debug!("the limit of open descriptors stays as it is: {error}");
            rlimit::Resource::NOFILE.get_soft().unwrap_or(DESCRIPTORS_IF_UNKNOWN)
        }
    }
}
