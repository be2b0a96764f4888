//! `helloop lab`: a greeting server that can be paused, stepped and looked at from a page.
//!
//! Reading order: `link` is what the two threads share; `watcher` sits on the watched loop; `server`
//! is the lab's own, on a loop and a thread of its own; `pages` are who look on; `traffic` are
//! clients to look at, `lessons` what they ask for.

mod link;
mod watcher;
mod snapshot;
mod server;
mod commands;
mod access;
mod pages;
mod message;
mod listings;
mod page;
mod traffic;
mod client;
mod lessons;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use clap::{ArgAction, Args};
use helloop::event_loop::EventLoop;
use helloop::limits::{DRAIN_TIMEOUT, Limits};
use helloop::server::{Attached, Server};

use super::{logging, usage};
use crate::command::addresses;
use crate::command::run::{Companion, Outcome, Plan, Turns, run_service};
use crate::command::stderr::StandardError;
use lessons::Lessons;
use link::Link;
use server::{Facts, Running};

const AFTER_HELP: &str = "\
The page is for this machine alone, and its address has a secret part. A pause lasts until it is
ended, and so does slow motion; if the last page is closed meanwhile, the loop goes on by itself
after 30 seconds. While the loop is held its clock stands still: no timer fires, and no limit of a
client comes nearer. A signal that drains also drains a loop that is held.

Examples:
  helloop lab                        greet on http://localhost:8080/, and print the page's address
  helloop lab --paused               begin before the first turn
  helloop lab --listen localhost:0   greet on a port that the system chooses
  helloop serve --lab localhost:0    a lab beside an ordinary server

Exit codes: as those of `helloop serve`.";

/// Pause, step and watch a live event loop from a page in the browser
///
/// Greets like `helloop serve`, and has some more paths for the lessons of the page: /sleep/2,
/// /block/, /big/ and /gather/.
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

    /// The page shows, and does nothing: it cannot pause the loop or make traffic
    #[arg(long)]
    read_only: bool,

    /// Begin with the loop held before its first turn
    #[arg(long, conflicts_with = "read_only")]
    paused: bool,

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
    logging::install(arguments.verbose, stderr.out());
    let own_address = Rc::<Cell<Option<SocketAddr>>>::default();
    let options = Options { is_read_only: arguments.read_only, is_paused: arguments.paused };
    let lab = match Lab::bind(&arguments.page, options, Some(Rc::clone(&own_address))) {
        Ok(lab) => lab,
        Err(CannotBegin::Usage(text)) => return Err(usage("lab", text)),
        Err(CannotBegin::Outcome(outcome)) => return Ok(outcome.conclude(stderr.out())),
    };
    let plan = Plan {
        addresses: arguments.listen.clone(),
        loops: NonZeroUsize::MIN,
        limits: Limits::default(),
        builder: &Server::builder,
        drain_timeout: DRAIN_TIMEOUT,
        run_for: None,
        observers: Vec::new(),
        companion: Some(lab.companion()),
        stderr: &|| stderr.out(),
    };
    let outcome = run_service(plan, Lessons { own_address });
    lab.finish();
    Ok(outcome.conclude(stderr.out()))
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

/// A lab beside a server.
pub(crate) struct Lab {
    options: Options,
    token: String,
    link: Arc<Link>,
    /// Until it begins.
    server: Cell<Option<Server>>,
    running: RefCell<Option<Running>>,
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
        let server = server::bind(address)
            .map_err(|error| CannotBegin::Outcome(Outcome::CannotBind(error)))?;
        if let Some(open) = server.local_addrs().iter().find(|bound| !bound.ip().is_loopback()) {
            let text = format!(
                "the lab's page at {address} would be open to other machines ({open}): it is for \
                 this one alone, for example at localhost:0"
            );
            return Err(CannotBegin::Usage(text));
        }
        let failed = |error| CannotBegin::Outcome(Outcome::Failed(error));
        Ok(Lab {
            options,
            token: access::token().map_err(failed)?,
            link: Link::new(options.is_paused),
            server: Cell::new(Some(server)),
            running: RefCell::default(),
            own_address,
        })
    }

    /// What makes it begin.
    pub(crate) fn companion(&self) -> Companion<'_> {
        Box::new(|event_loop, attached, stderr| self.begin(event_loop, attached, stderr))
    }

    /// Puts an observer on the loop, and starts the lab's own. Gives the loop's turns, with a gate.
    ///
    /// # Errors
    /// When the system refuses a thread.
    fn begin(
        &self,
        event_loop: &mut EventLoop,
        attached: &Attached,
        stderr: &mut dyn Write,
    ) -> io::Result<Option<Turns>> {
        let Some(server) = self.server.take() else { return Ok(None) };
        let Some(&bound) = attached.local_addrs().first() else { return Ok(None) };
        let target = reachable(bound);
        if let Some(own_address) = &self.own_address {
            own_address.set(Some(target));
        }
        let (turns, observer) = watcher::watchers(&self.link);
        let observers: Vec<_> = event_loop.observe(None).into_iter().chain([observer]).collect();
        event_loop.observe(Some(Box::new(observers)));
        self.link.attach(event_loop.remote());
        let facts = Facts {
            token: self.token.clone(),
            url: format!("http://{target}/"),
            target,
            is_read_only: self.options.is_read_only,
            has_lessons: self.own_address.is_some(),
        };
        let page = server.local_addrs().into_iter().min_by_key(SocketAddr::is_ipv6);
        self.running.replace(Some(Running::start(server, &self.link, facts)?));
        if let Some(page) = page {
            let text = format!("Lab at http://{page}/{}/\n", self.token);
            let _ = stderr.write_all(text.as_bytes());
        }
        Ok(Some(turns))
    }

    /// Ends the lab, after its server.
    pub(crate) fn finish(&self) {
        if let Some(running) = self.running.take() {
            running.finish();
        }
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
