//! A lab beside a loop that runs.
//!
//! Reading order: `link` is what the two threads share; `watcher` sits on the watched loop; `stage` and `server` are
//! the lab's own, on a loop and a thread of its own; `pages` are the open pages, and `commands` what they may ask for.
//! `simulated` shows a world with a history instead.

mod link;
mod watcher;
mod stage;
mod pages;
mod server;
mod simulated;
mod commands;
mod access;
mod answers;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::event_loop::EventLoop;
use crate::lab::orders::Going;
use crate::server::{BindError, Server};
use crate::watch::SlowCallbacks;
use link::Link;
use server::{MakeGuide, Plan, Running};
pub use stage::{Guide, Stage};
use watcher::Watcher;

/// Puts a lab beside a loop, with its page at `address`, for example `localhost:0` for a port that the system
/// chooses.
///
/// The loop's turns must be taken by the lab from then on: by [`Lab::run`] and its like, or by [`Lab::turn`].
///
/// # Errors
/// When the address cannot be listened on, or is not of this machine alone, and when the system refuses the lab its
/// thread.
pub fn attach(event_loop: &mut EventLoop, address: &str) -> io::Result<Lab> {
    let bound = Builder::default().bind(address).map_err(io::Error::other)?;
    bound.attach(event_loop)
}

/// What a lab is to be like.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    is_read_only: bool,
    is_paused: bool,
}

impl Builder {
    /// Pages may look, and order nothing.
    pub fn read_only(self, is_read_only: bool) -> Builder {
        Builder { is_read_only, ..self }
    }

    /// The loop is held before its first turn, until a page lets it go.
    pub fn paused(self, is_paused: bool) -> Builder {
        Builder { is_paused, ..self }
    }

    /// Listens for pages.
    ///
    /// # Errors
    /// When that is not possible, or when the address is not of this machine alone.
    pub fn bind(self, address: &str) -> Result<Bound, CannotBegin> {
        let server = server::bind(address).map_err(CannotBegin::Bind)?;
        let bound = server.local_addrs();
        if let Some(&open) = bound.iter().find(|bound| !bound.ip().is_loopback()) {
            return Err(CannotBegin::Open { address: address.into(), bound: open });
        }
        let token = access::token().map_err(CannotBegin::Token)?;
        let Some(page) = bound.into_iter().min_by_key(SocketAddr::is_ipv6) else {
            return Err(CannotBegin::Token(io::ErrorKind::AddrNotAvailable.into()));
        };
        Ok(Bound {
            options: self,
            server,
            url: format!("http://{page}/{token}/"),
            token,
            guide: None,
        })
    }
}

/// Why there is no lab.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotBegin {
    /// The address cannot be listened on.
    Bind(BindError),
    /// It is open to other machines.
    Open {
        /// As it was asked for.
        address: String,
        /// What it came to.
        bound: SocketAddr,
    },
    /// The system has no randomness for the secret part of the address.
    Token(io::Error),
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotBegin::Bind(error) => error.fmt(f),
            CannotBegin::Open { address, bound } => write!(
                f,
                "the lab's page at {address} would be open to other machines ({bound}): it is for \
                 this one alone, for example at localhost:0"
            ),
            CannotBegin::Token(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CannotBegin {}

/// A lab that listens for pages, and has no loop to show yet.
pub struct Bound {
    options: Builder,
    server: Server,
    url: String,
    token: String,
    guide: Option<MakeGuide>,
}

impl Bound {
    /// Where its page will be. The address has a secret part.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds what a host has to show besides its loop. `make` is called on the lab's own thread, before the first page
    /// is answered.
    pub fn guided_by(
        self,
        make: impl FnOnce(Rc<Stage>) -> io::Result<Box<dyn Guide>> + Send + 'static,
    ) -> Bound {
        Bound { guide: Some(Box::new(make)), ..self }
    }

    /// Puts the lab beside a loop. Present observers stay.
    ///
    /// # Errors
    /// When the system refuses a thread, and what the guide says.
    pub fn attach(self, event_loop: &mut EventLoop) -> io::Result<Lab> {
        let Bound { options, server, url, token, guide } = self;
        let link = Link::new(options.is_paused);
        let watcher = Watcher::new(&link);
        let before = event_loop.observe(None);
        let observers: Vec<_> = before.into_iter().chain([watcher.observer()]).collect();
        event_loop.observe(Some(Box::new(observers)));
        link.attach(event_loop.handle().remote());
        let plan = Plan { token, is_read_only: options.is_read_only, guide };
        let running = Some(Running::start(server, &link, plan)?);
        Ok(Lab { url, link, watcher, running })
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address is a secret.
        f.debug_struct("Bound").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A lab beside a loop. Dropping it ends it: pages find that it is gone, and nothing holds the loop any more.
pub struct Lab {
    url: String,
    link: Arc<Link>,
    watcher: Rc<Watcher>,
    /// Until it ends.
    running: Option<Running>,
}

impl Lab {
    /// Where its page is. The address has a secret part: anyone who knows it may hold the loop.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Holds the loop from its next moment on, until a page lets it go: what a page's button does.
    pub fn pause(&self) {
        self.link.order(Going::Paused, "the program asked for it");
    }

    /// One turn, held where a page has ordered it; what takes too long is reported by `slow`.
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn turn(&self, event_loop: &mut EventLoop, slow: &mut SlowCallbacks) -> io::Result<()> {
        self.watcher.turn(event_loop, slow)
    }

    /// As [`EventLoop::run`].
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn run(&self, event_loop: &mut EventLoop) -> io::Result<()> {
        self.run_until(event_loop, || false).map(drop)
    }

    /// As [`EventLoop::run_until`].
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn run_until(
        &self,
        event_loop: &mut EventLoop,
        done: impl FnMut() -> bool,
    ) -> io::Result<bool> {
        let mut slow = SlowCallbacks::new(event_loop);
        event_loop.drive_until(done, |event_loop| self.turn(event_loop, &mut slow))
    }

    /// As [`EventLoop::run_until_complete`].
    ///
    /// # Errors
    /// See [`EventLoop::run_until_complete`].
    #[track_caller]
    pub fn run_until_complete<F: Future + 'static>(
        &self,
        event_loop: &mut EventLoop,
        main: F,
    ) -> io::Result<F::Output> {
        let mut slow = SlowCallbacks::new(event_loop);
        event_loop.drive_until_complete(main, |event_loop| self.turn(event_loop, &mut slow))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.finish();
        }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").finish_non_exhaustive()
    }
}
