//! The HTTP/1.1 server: listeners and connections as tasks on an event loop.
//!
//! ```no_run
//! use helloop::http::{Request, Response};
//! use helloop::server::Server;
//!
//! let server = Server::builder().bind("localhost:8080")?;
//! server.serve(|request: &Request<'_>, response: &mut Response| {
//!     response.text(format_args!("You asked for {}\n", request.path()));
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server runs on the caller's thread ([`Server::serve`]), on a thread of its own
//! ([`Server::spawn`]), or on a loop that the host program turns ([`Server::attach`]). It has no
//! global state, and installs neither signal handlers nor a logger.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::event_loop::{Cause, EventLoop, Handle};
use crate::http::{ClientRule, DateCache, Response};
use crate::limits::{LimitError, Limits};
use crate::panics::caught;
use crate::world::{Listener, os};

mod acceptor;
mod asking;
mod bind;
mod builder;
mod connection;
mod coroutine;
mod drain;
#[cfg(feature = "json")]
mod json;
mod machine;
mod policy;
mod preface;
#[cfg(feature = "proxies")]
mod proxies;
mod progress;
mod room;
#[cfg(feature = "router")]
mod router;
mod streaming;
#[cfg(unix)]
mod handover;
#[cfg(unix)]
mod until_signal;
#[cfg(feature = "twin")]
mod twin;

pub use asking::{Access, Service, Start, service};
pub use bind::BindError;
pub use builder::Builder;
#[cfg(feature = "twin")]
pub use builder::Connections;
pub use coroutine::{
    BodyPart, BodyReceiver, BodySender, Coroutines, Gone, OwnedRequest, Part, Pending, Reply,
    coroutines, streamed_body,
};
pub use drain::ServerHandle;
#[cfg(unix)]
pub use handover::Handover;
#[cfg(feature = "json")]
pub use json::{Json, json};
pub use machine::{Machine, MachineState};
pub use policy::{WithBodyPolicy, with_body_policy};
pub use preface::Preface;
pub use progress::{Milestone, Report};
#[cfg(feature = "proxies")]
pub use proxies::{ForwardedField, ProxyVersion, TrustedProxies, TrustedProxiesError};
#[cfg(feature = "router")]
pub use router::Router;
pub use streaming::{RequestBody, Streaming, streaming};

use acceptor::Acceptor;
use drain::{Control, Drainer};
use preface::Prefaces;
use progress::Ending;
use room::Status;

/// A server that listens, and is not served yet: connections wait in the kernel's queue.
pub struct Server {
    builder: Builder,
    listeners: Vec<os::Listener>,
    control: Ending,
}

impl Server {
    fn new(builder: Builder, listeners: Vec<os::Listener>) -> Server {
        Server { builder, listeners, control: Ending(Control::new()) }
    }

    /// Begins with the default limits and no access log.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Also serves these listening sockets: see [`Builder::listeners`].
    ///
    /// # Errors
    /// If one of them is not a listening TCP or Unix socket.
    #[cfg(unix)]
    pub fn with_listeners(
        mut self,
        listeners: impl IntoIterator<Item: Into<OwnedFd>>,
    ) -> Result<Server, BindError> {
        self.listeners.extend(bind::take_all(listeners)?);
        Ok(self)
    }

    /// The addresses that are listened on, with their real ports. Unix sockets have [paths](Server::local_paths).
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The paths of the Unix sockets that are listened on.
    pub fn local_paths(&self) -> Vec<PathBuf> {
        self.listeners.iter().filter_map(os::Listener::path).collect()
    }

    /// Ends the server and looks at it, from any thread, also before it is served.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { control: Arc::clone(&self.control.0) }
    }

    /// Serves on this thread, on a loop of its own, until a [`ServerHandle`] ends it.
    ///
    /// # Errors
    /// When the limits contradict each other, or the process has no descriptor for a poller.
    pub fn serve(self, service: impl Service + 'static) -> io::Result<Report> {
        self.serve_with(|_| service)
    }

    fn serve_with<S: Service + 'static>(
        self,
        make: impl FnOnce(&Handle) -> S,
    ) -> io::Result<Report> {
        let mut event_loop = EventLoop::new()?;
        let service = make(event_loop.handle());
        let attached = self.attach(event_loop.handle(), service)?;
        event_loop.run_until(|| attached.is_finished())?;
        Ok(attached.report())
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// When the system refuses a thread. What [`serve`](Server::serve) says comes from
    /// [`Running::join`].
    pub fn spawn(self, service: impl Service + Send + 'static) -> io::Result<Running> {
        self.spawn_with(|_| service)
    }

    /// As [`spawn`](Server::spawn), for a service that is made on that thread: it need not be `Send`, and may use the
    /// loop.
    ///
    /// ```
    /// use helloop::server::{Server, service};
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// let running = Server::builder().bind("127.0.0.1:0")?.spawn_with(|_handle| {
    ///     let visits = Rc::new(Cell::new(0));
    ///     service(move |_, response| {
    ///         visits.set(visits.get() + 1);
    ///         response.text(visits.get());
    ///     })
    /// })?;
    /// # running.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Server::spawn). A panic of `make` comes from [`Running::join`].
    pub fn spawn_with<S: Service + 'static>(
        self,
        make: impl FnOnce(&Handle) -> S + Send + 'static,
    ) -> io::Result<Running> {
        let (handle, local_addrs) = (self.handle(), self.local_addrs());
        let serve = move || {
            caught(|| self.serve_with(make)).unwrap_or_else(|words| {
                Err(io::Error::other(format!("the server's thread panicked: {words}")))
            })
        };
        let thread = thread::Builder::new().name("helloop".into()).spawn(serve)?;
        Ok(Running { handle, local_addrs, thread })
    }

    /// Serves on a loop that the caller turns.
    ///
    /// # Errors
    /// When the limits contradict each other, or the loop cannot watch the listeners.
    pub fn attach(self, handle: &Handle, service: impl Service + 'static) -> io::Result<Attached> {
        let listeners = self.listeners.into_iter().map(Listener::Os).collect();
        attach(self.builder, handle, listeners, service, self.control)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addrs", &self.local_addrs()).finish_non_exhaustive()
    }
}

/// A server on a thread of its own. Dropping this leaves the server running.
#[derive(Debug)]
pub struct Running {
    handle: ServerHandle,
    local_addrs: Vec<SocketAddr>,
    thread: JoinHandle<io::Result<Report>>,
}

impl Running {
    /// Ends the server.
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// The addresses that are listened on, with their real ports.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Ready once nothing of the server is left: for a program that awaits its end beside others, on any runtime.
    /// [`join`](Running::join) then waits no more, and says how it ended.
    ///
    /// ```
    /// use helloop::greeting::Greeting;
    /// use helloop::server::Server;
    /// use std::time::Duration;
    ///
    /// let running = Server::builder().bind("127.0.0.1:0")?.spawn(Greeting)?;
    /// assert!(!running.is_draining() && running.open_connections() == 0);
    /// let finished = running.finished();
    /// running.handle().drain(Duration::from_secs(20));
    /// // Our runtime; any other would do.
    /// helloop::coroutine::run(|_| finished)?;
    /// assert_eq!(running.report(), running.join()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn finished(&self) -> Milestone {
        self.handle.finished()
    }

    /// See [`ServerHandle::is_draining`].
    pub fn is_draining(&self) -> bool {
        self.handle.is_draining()
    }

    /// What the server has done so far.
    pub fn report(&self) -> Report {
        self.handle.report()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.handle.open_connections()
    }

    /// Waits until the server has ended; it does not end it.
    ///
    /// # Errors
    /// See [`Server::serve`]. A panic of the thread becomes an error too.
    pub fn join(self) -> io::Result<Report> {
        self.thread.join().expect("the thread catches its panics")
    }
}

/// A server on a loop that its host turns.
///
/// ```
/// use helloop::event_loop::EventLoop;
/// use helloop::greeting::Greeting;
/// use helloop::server::{Attached, Server};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// let attached: Attached =
///     Server::builder().bind("127.0.0.1:0")?.attach(event_loop.handle(), Greeting)?;
/// // The program's own tasks are beside it.
/// let handle = attached.handle().clone();
/// event_loop.handle().call_soon(move |_| handle.drain(Duration::from_secs(20)));
/// event_loop.run_until(|| attached.is_finished())?;
/// assert_eq!(attached.report().cut, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Attached {
    handle: ServerHandle,
    local_addrs: Vec<SocketAddr>,
    status: Rc<Status>,
}

impl Attached {
    /// Ends the server.
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// The addresses that are listened on, with their real ports.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// True once nothing of the server is left on the loop.
    pub fn is_finished(&self) -> bool {
        self.status.finished.get()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.status.open()
    }

    /// What the server has done so far.
    pub fn report(&self) -> Report {
        self.status.report()
    }
}

/// The kinds of a server's tasks.
const ACCEPTOR: &str = "acceptor";
const CONNECTION: &str = "connection";

/// The state machines of a server, to be drawn.
pub const MACHINES: [Machine; 3] = [connection::states::MACHINE, acceptor::MACHINE, drain::MACHINE];

/// Called after each answer, for access logs.
type AccessLog = Box<dyn FnMut(&Access<'_>) + Send>;

/// What the tasks of one server share.
struct Shared<S> {
    service: S,
    limits: Limits,
    #[cfg(feature = "twin")]
    connections: Connections,
    #[cfg(feature = "twin")]
    spare: Cell<twin::Buffers>,
    /// Where connections that are coroutines read to.
    #[cfg(feature = "twin")]
    scratch: Cell<Vec<u8>>,
    status: Rc<Status>,
    /// `None` where connections begin with their first request.
    prefaces: Option<Prefaces>,
    client_rule: Option<Box<ClientRule>>,
    /// The one answer, reused for every request.
    response: RefCell<Response>,
    date: RefCell<DateCache>,
    access_log: RefCell<Option<AccessLog>>,
    /// True while there is an access log: times are taken then.
    is_logged: Cell<bool>,
}

fn attach<S: Service + 'static>(
    builder: Builder,
    handle: &Handle,
    listeners: Vec<Listener>,
    service: S,
    ending: Ending,
) -> io::Result<Attached> {
    let Builder { limits, access_log, preface, client_rule, .. } = builder;
    limits.check().map_err(|error: LimitError| invalid_input(error))?;
    let local_addrs: Vec<_> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let control = Arc::clone(&ending.0);
    let status = Status::new(handle.clone(), limits.connections_max, Arc::clone(&control));
    let idle_grace = limits.drain_idle_grace;
    let shared = Rc::new(Shared {
        service,
        limits,
        #[cfg(feature = "twin")]
        connections: builder.connections,
        #[cfg(feature = "twin")]
        spare: Cell::default(),
        #[cfg(feature = "twin")]
        scratch: Cell::default(),
        status: Rc::clone(&status),
        prefaces: preface.map(Prefaces::new),
        client_rule,
        response: RefCell::default(),
        date: RefCell::default(),
        is_logged: Cell::new(access_log.is_some()),
        access_log: RefCell::new(access_log),
    });
    for listener in listeners {
        let made = handle.try_spawn_task(Cause::SPAWNED, |task| -> io::Result<_> {
            Ok(Box::new(Acceptor::new(listener, &shared, task)?))
        });
        if let Err(error) = made {
            // Those that exist look at the phase, and finish.
            status.phase.set(drain::Phase::Cutting);
            drain::wake_all(handle, ACCEPTOR);
            return Err(error);
        }
    }
    let drainer =
        handle.spawn_task(|_| Box::new(Drainer::new(Rc::clone(&status), ending, idle_grace)));
    status.drainer.set(drainer);
    control.attach(handle.remote(), drainer);
    Ok(Attached { handle: ServerHandle { control }, local_addrs, status })
}

fn invalid_input(error: LimitError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

impl<S> Shared<S> {
    /// Tells the access log; one that panics is removed.
    fn log(&self, access: &Access<'_>) {
        let mut place = self.access_log.borrow_mut();
        let Some(log) = &mut *place else { return };
        if let Err(words) = caught(|| log(access)) {
            log::error!("the access log panicked, and was removed: {words}");
            self.is_logged.set(false);
            let log = place.take();
            drop(place);
            // Its drop may panic as well.
            let _ = caught(|| drop(log));
        }
    }
}
