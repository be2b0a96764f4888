//! `helloop lab`: a greeting server that can be paused, stepped and looked at from a page.
//!
//! The lab is the library's ([`helloop::lab`]). Here is what this one has besides: `guide` tells pages of the server, and
//! `traffic` are clients to look at, each a `client`; `shortage` is what one of them brings about. `simulated` is `--sim`.

mod guide;
mod traffic;
mod client;
mod shortage;
mod simulated;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use clap::{ArgAction, Args};
use helloop::event_loop::EventLoop;
use helloop::greeting::Greeting;
use helloop::lab::lessons::Lessons;
use helloop::lab::{self, Bound};
use helloop::server::Attached;

use super::logging::{self, LogFormat};
use super::usage;
use crate::command::addresses;
use crate::command::loops::Own;
use crate::command::run::{Companion, Outcome, Plan, Turns, run};
use crate::command::stderr::StandardError;

/// Bytes of the answer to `/big/`: more than the buffers of the kernel take.
const BIG_BYTES: usize = 8 * 1024 * 1024;

const AFTER_HELP: &str = "\
The page is for this machine alone, and its address has a secret part. A pause lasts until it is
ended, and so does slow motion; if the last page is closed meanwhile, the loop goes on by itself
after 30 seconds. While the loop is held its clock stands still: no timer fires, and no limit of a
client comes nearer. A signal that drains also drains a loop that is held.

Examples:
  helloop lab                        greet on http://localhost:8080/, and print the page's address
  helloop lab --paused               begin before the first turn
  helloop lab --listen localhost:0   greet on a port that the system chooses
  helloop lab --sim 7                a simulated world, which goes backwards as well
  helloop serve --lab localhost:0    a lab beside an ordinary server

Exit codes: as those of `helloop serve`.";

/// Pause, step and watch a live event loop from a page in the browser
///
/// Greets like `helloop serve`, and has some more paths for the lessons of the page: /sleep/2,
/// /block/, /big/, /thread/ and /gather/.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Greet here; may be repeated, or a list with commas
    #[arg(short, long, value_name = "HOST:PORT", value_delimiter = ',')]
    #[arg(default_value = addresses::DEFAULT)]
    listen: Vec<String>,

    /// Show the page here, on an address of this machine alone
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:0")]
    page: String,

    /// The page can only look: it cannot pause the loop or make traffic
    #[arg(long)]
    read_only: bool,

    /// Begin with the loop held before its first turn
    #[arg(long, conflicts_with = "read_only")]
    paused: bool,

    /// Show a simulated world instead, which also goes backwards: the one of a seed, or of a page's link
    #[arg(long, value_name = "SEED", value_parser = simulated::recipe)]
    #[arg(conflicts_with_all = ["listen", "paused"])]
    sim: Option<String>,

    /// Log more: -v is debug, -vv trace [default: info, or what RUST_LOG says]
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed makes no sense; everything else is an exit code.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    let stderr = StandardError::start();
    logging::install(arguments.verbose, LogFormat::Text, stderr.out());
    if let Some(recipe) = &arguments.sim {
        return simulated::main(arguments, recipe, &stderr);
    }
    let own_address = Rc::<Cell<Option<SocketAddr>>>::default();
    let options = Options { is_read_only: arguments.read_only, is_paused: arguments.paused };
    let lab = match Lab::bind(&arguments.page, options, Some(Rc::clone(&own_address))) {
        Ok(lab) => lab,
        Err(CannotBegin::Usage(text)) => return Err(usage("lab", text)),
        Err(CannotBegin::Outcome(outcome)) => return Ok(outcome.conclude(stderr.out())),
    };
    let out = || stderr.out();
    let companion = Some(lab.companion());
    let plan = Plan { companion, ..Plan::new(arguments.listen.clone(), &out) };
    // There is one loop.
    let own = |_| Own { service: Greeting, observer: None, begin: None };
    let outcome = run(plan, lessons(own_address), own);
    lab.finish();
    Ok(outcome.conclude(stderr.out()))
}

/// Greets, and serves the lessons.
fn lessons(own_address: Rc<Cell<Option<SocketAddr>>>) -> Lessons<Greeting> {
    Lessons {
        service: Greeting,
        big_bytes: BIG_BYTES,
        block: Box::new(thread::sleep),
        elsewhere: Rc::new(|handle, duration| {
            let work = handle.run_blocking(move || thread::sleep(duration));
            // It cannot panic; if no thread was to be had, there is nothing to wait for.
            Box::pin(async move { drop(work.await) })
        }),
        own_address: Box::new(move || own_address.get()),
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) is_read_only: bool,
    pub(crate) is_paused: bool,
}

/// Why there is no lab.
pub(crate) enum CannotBegin {
    /// What was typed makes no sense.
    Usage(String),
    Outcome(Outcome),
}

impl CannotBegin {
    fn of(error: lab::CannotBegin) -> CannotBegin {
        match error {
            lab::CannotBegin::Bind(error) => CannotBegin::Outcome(Outcome::CannotBind(error)),
            lab::CannotBegin::Open { .. } => CannotBegin::Usage(error.to_string()),
            error => CannotBegin::Outcome(Outcome::Failed(io::Error::other(error))),
        }
    }
}

/// A lab beside a server.
pub(crate) struct Lab {
    /// Until it begins.
    bound: Cell<Option<Bound>>,
    /// From then on.
    running: Rc<RefCell<Option<lab::Lab>>>,
    /// For the handlers of the lessons; `None` if the server has none.
    own_address: Option<Rc<Cell<Option<SocketAddr>>>>,
}

impl Lab {
    /// Listens for pages at `address`.
    ///
    /// # Errors
    /// When that is not possible, or is no address of this machine alone.
    pub(crate) fn bind(
        address: &str,
        options: Options,
        own_address: Option<Rc<Cell<Option<SocketAddr>>>>,
    ) -> Result<Lab, CannotBegin> {
        let builder = lab::Builder::default();
        let builder = builder.read_only(options.is_read_only).paused(options.is_paused);
        let bound = builder.bind(address).map_err(CannotBegin::of)?;
        Ok(Lab { bound: Cell::new(Some(bound)), running: Rc::default(), own_address })
    }

    /// What makes it begin.
    pub(crate) fn companion(&self) -> Companion<'_> {
        Box::new(|event_loop, served, stderr| self.begin(event_loop, served.attached, stderr))
    }

    /// Puts the lab beside the loop. Returns what takes the loop's turns, with a gate.
    ///
    /// # Errors
    /// When the system refuses a thread.
    fn begin(
        &self,
        event_loop: &mut EventLoop,
        attached: &Attached,
        stderr: &mut dyn Write,
    ) -> io::Result<Option<Turns>> {
        let Some(bound) = self.bound.take() else { return Ok(None) };
        let Some(&listens) = attached.local_addrs().first() else { return Ok(None) };
        let (target, has_lessons) = (reachable(listens), self.own_address.is_some());
        if let Some(own_address) = &self.own_address {
            own_address.set(Some(target));
        }
        let bound = bound.guided_by(move |stage| guide::of_server(target, has_lessons, stage));
        let lab = bound.attach(event_loop)?;
        let _ = stderr.write_all(format!("Lab at {}\n", lab.url()).as_bytes());
        self.running.replace(Some(lab));
        let running = Rc::clone(&self.running);
        Ok(Some(Box::new(move |event_loop, slow| match &*running.borrow() {
            Some(lab) => lab.turn(event_loop, slow),
            None => slow.turn(event_loop, None).map(drop),
        })))
    }

    /// Ends the lab, after its server.
    pub(crate) fn finish(&self) {
        drop(self.running.take());
    }
}

/// Where a server that listens on `bound` is reached from this machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}
