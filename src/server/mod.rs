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
use crate::http::{BodyPolicy, ClientRule, DateCache, Headers, Request, Response};
use crate::limits::{LimitError, Limits};
use crate::panics::caught;
use crate::world::{Listener, os};

mod acceptor;
mod asking;
mod bind;
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
mod status;
mod streaming;
#[cfg(unix)]
mod handover;
#[cfg(unix)]
mod until_signal;
#[cfg(feature = "twin")]
mod twin;

pub use asking::Access;
pub use bind::BindError;
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
pub use progress::Milestone;
#[cfg(feature = "proxies")]
pub use proxies::{ForwardedField, ProxyVersion, TrustedProxies, TrustedProxiesError};
#[cfg(feature = "router")]
pub use router::Router;
pub use status::Report;
pub use streaming::{RequestBody, Streaming, streaming};

use acceptor::Acceptor;
use drain::{Control, Drainer};
use preface::Prefaces;
use progress::Ending;
use status::Status;

/// What answers requests: a closure `Fn(&Request<'_>, &mut Response)`, or a type.
///
/// It runs on the loop's thread and must not block: nothing else happens meanwhile. One that panics
/// is logged; its peer is answered 500, and that connection is closed.
pub trait Service {
    /// Answers a complete request. `response` is empty, with status 200.
    fn call(&self, request: &Request<'_>, response: &mut Response);

    /// Begins to answer a complete request: by default, calls [`call`](Service::call). A service
    /// that takes its time returns what will be the answer; see [`coroutines`].
    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        let _ = handle;
        self.call(request, response);
        Start::Done
    }

    /// What to do with the body of a request of which only the head is here (by default: collect
    /// it, up to [`Limits::body_bytes_max`]).
    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        let _ = head;
        BodyPolicy::Collect
    }
}

/// How a service began to answer.
pub enum Start {
    /// The answer is in the response.
    Done,
    /// The answer comes later, from here.
    Later(Box<dyn Pending>),
}

impl<F: Fn(&Request<'_>, &mut Response)> Service for F {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        self(request, response);
    }
}

/// A plain closure as a service: it is `handler` itself. The compiler needs it to know the types of a closure's
/// arguments without being told.
///
/// ```no_run
/// use helloop::server::{Server, service};
///
/// Server::builder().bind("localhost:8080")?.serve_until_signal(service(|request, response| {
///     response.text_of(&["You asked for ", request.path(), ".\n"]);
/// }))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn service<F: Fn(&Request<'_>, &mut Response)>(handler: F) -> F {
    handler
}

/// Called after each answer, for access logs.
type AccessLog = Box<dyn FnMut(&Access<'_>) + Send>;

/// How the connections of a server are written. What they say is the same, byte for byte.
#[cfg(feature = "twin")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// As explicit state machines: small, and made for service.
    #[default]
    StateMachine,
    /// As coroutines, whose state machines the compiler writes: made for comparison.
    Coroutine,
}

/// What a server is to be, before it has sockets.
#[derive(Default)]
pub struct Builder {
    limits: Limits,
    access_log: Option<AccessLog>,
    preface: Option<preface::Reader>,
    client_rule: Option<Box<ClientRule>>,
    how: bind::How,
    #[cfg(feature = "twin")]
    connections: Connections,
}

impl Builder {
    /// Sets the limits; without this they are the defaults of [`crate::limits`].
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// Calls `log` after each answer, refusals included. One that panics is not called again.
    pub fn access_log(mut self, log: impl FnMut(&Access<'_>) + Send + 'static) -> Builder {
        self.access_log = Some(Box::new(log));
        self
    }

    /// Calls `read` with the peer and with all that has come of a new connection, before anything of it is taken for
    /// a request, until it says that the preface is whole, or that there is none ([`Preface`]). For what balancers
    /// put in front of a connection, such as the PROXY protocol.
    ///
    /// It decides by the bytes alone, however they were cut. It sees at most [`PREFACE_BYTES_MAX`], and the time
    /// that it waits for more counts as that of a head. What it says of the client, requests pass on
    /// ([`Request::client_addr`]).
    ///
    /// ```
    /// use helloop::server::{Preface, Server, service};
    /// use std::io::{Read, Write};
    /// use std::net::{SocketAddr, TcpStream};
    ///
    /// /// A line with an address.
    /// fn read(_peer: SocketAddr, input: &[u8]) -> Preface {
    ///     let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Preface::Partial };
    ///     let address = str::from_utf8(&input[..end]).ok().and_then(|text| text.parse().ok());
    ///     match address {
    ///         Some(client) => Preface::Whole { bytes: end + 1, client: Some(client) },
    ///         None => Preface::Wrong("the first line is no address"),
    ///     }
    /// }
    ///
    /// let server = Server::builder().preface(read).bind("127.0.0.1:0")?;
    /// let running = server.spawn(service(|request, response| {
    ///     response.text(request.client_addr().expect("it was said"));
    /// }))?;
    /// let mut stream = TcpStream::connect(running.local_addrs()[0])?;
    /// stream.write_all(b"192.0.2.1:50000\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer)?;
    /// assert!(answer.ends_with("\r\n\r\n192.0.2.1:50000"));
    /// # running.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`PREFACE_BYTES_MAX`]: crate::limits::PREFACE_BYTES_MAX
    pub fn preface(
        mut self,
        read: impl Fn(SocketAddr, &[u8]) -> Preface + Send + 'static,
    ) -> Builder {
        self.preface = Some(Box::new(read));
        self
    }

    /// Says how the fields of a request name its client, for [`Request::client_addr`]: `rule` is given the address
    /// that is known without them (the peer's, or what a [preface](Builder::preface) has said), and returns
    /// another one if that may be believed. It is asked only when somebody wants to know.
    ///
    /// ```
    /// use helloop::http::Headers;
    /// use helloop::server::{Server, service};
    /// use std::io::{Read, Write};
    /// use std::net::{SocketAddr, TcpStream};
    ///
    /// /// Believes programs on this machine.
    /// fn client(nearest: SocketAddr, headers: Headers<'_>) -> Option<SocketAddr> {
    ///     let text = headers.text("X-Real-IP").filter(|_| nearest.ip().is_loopback())?;
    ///     Some(SocketAddr::new(text.parse().ok()?, 0))
    /// }
    ///
    /// let server = Server::builder().client_addr(client).bind("127.0.0.1:0")?;
    /// let running = server.spawn(service(|request, response| {
    ///     response.text(request.client_addr().expect("it has an address").ip());
    /// }))?;
    /// let mut stream = TcpStream::connect(running.local_addrs()[0])?;
    /// stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 192.0.2.1\r\nConnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer)?;
    /// assert!(answer.ends_with("\r\n\r\n192.0.2.1"));
    /// # running.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn client_addr(
        mut self,
        rule: impl Fn(SocketAddr, Headers<'_>) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Builder {
        self.client_rule = Some(Box::new(rule));
        self
    }

    /// Sets how connections are written.
    #[cfg(feature = "twin")]
    pub fn connections(mut self, connections: Connections) -> Builder {
        self.connections = connections;
        self
    }

    /// Sets the permissions of the file of each Unix socket, `0o660` for example: whoever may write to it may
    /// connect. Without this they are what the umask of the process leaves of `0o777`.
    pub fn unix_mode(mut self, mode: u32) -> Builder {
        self.how.unix_mode = Some(mode);
        self
    }

    /// Lets other programs of the same user listen at the same address, if they ask for it as well (SO_REUSEPORT,
    /// socket(7)): the kernel gives each new connection to one of them. For the loops of one program there is
    /// [`bind_beside`](Builder::bind_beside).
    pub fn reuse_port(mut self, is_shared: bool) -> Builder {
        self.how.shares_port = is_shared;
        self
    }

    /// Listens on `address`, `HOST:PORT` or `unix:PATH`. See [`bind_all`](Builder::bind_all).
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(self, address: &str) -> Result<Server, BindError> {
        self.bind_all(&[address])
    }

    /// Listens on all of these addresses; if one is refused, on none.
    ///
    /// `localhost` is 127.0.0.1 and ::1 with the same port, even if the system is asked to choose
    /// it (port 0). `[::]` is every address of the machine, IPv4 included.
    ///
    /// `unix:` and a path with a slash is a Unix socket (unix(7)). A socket that is there already is replaced if
    /// nobody listens on it, as after a process that was killed. When the server stops listening, it removes the file.
    ///
    /// ```
    /// use helloop::server::{Server, service};
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// # let path = std::env::temp_dir().join(format!("helloop-doc-{}.sock", std::process::id()));
    /// # let path = path.to_str().unwrap();
    /// // let path = "/run/hello.sock";
    /// let server = Server::builder().unix_mode(0o600).bind(&format!("unix:{path}"))?;
    /// let running = server.spawn(service(|request, response| {
    ///     // A peer on a Unix socket has no address.
    ///     assert_eq!(request.peer(), None);
    ///     response.text("Hello, neighbour!\n");
    /// }))?;
    /// let mut client = UnixStream::connect(path)?;
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.ends_with("\r\n\r\nHello, neighbour!\n"));
    ///
    /// running.handle().shutdown();
    /// running.join()?;
    /// assert!(UnixStream::connect(path).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind_all(self, addresses: &[&str]) -> Result<Server, BindError> {
        let listeners = bind::bind_all(addresses, self.how)?;
        Ok(Server::new(self, listeners))
    }

    /// Serves listening sockets that somebody else has opened: a service manager, an older process that hands its
    /// socket over, or the standard library. TCP and Unix sockets may be mixed.
    ///
    /// They do not block from now on (O_NONBLOCK is a property of the socket: all processes that share it see it), are
    /// closed by execve(2), and accepted connections send small pieces at once (TCP_NODELAY).
    ///
    /// ```
    /// use helloop::greeting::Greeting;
    /// use helloop::server::Server;
    /// use std::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let running = Server::builder().listeners([listener])?.spawn(Greeting)?;
    /// assert_eq!(running.local_addrs(), [address]);
    ///
    /// // What does not listen is refused, and the error says what it is.
    /// let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let error = Server::builder().listeners([udp]).unwrap_err();
    /// assert!(error.to_string().contains("it is a socket without connections (UDP, for example)"));
    /// # running.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If one of them is not a listening TCP or Unix socket. All of them are closed then.
    #[cfg(unix)]
    pub fn listeners(
        self,
        listeners: impl IntoIterator<Item: Into<OwnedFd>>,
    ) -> Result<Server, BindError> {
        let listeners = bind::take_all(listeners)?;
        Ok(Server::new(self, listeners))
    }

    /// Listens where `first` does, too: for a loop of its own on another thread, so that more than
    /// one processor is used. The kernel gives each new connection to one of the servers
    /// (SO_REUSEPORT), and they share nothing else. Linux spreads connections evenly; other
    /// kernels may give all of them to one server.
    ///
    /// `first` has its port for itself until now, so starting a program twice is an error. Afterwards
    /// another program of the same user could listen there as well, if it asks for SO_REUSEPORT.
    ///
    /// Each server has limits of its own. That of connections, unless it is set, takes the whole
    /// descriptor limit of the process for one server.
    ///
    /// ```
    /// use helloop::greeting::Greeting;
    /// use helloop::server::{Report, Server};
    /// use std::time::Duration;
    ///
    /// let first = Server::builder().bind("127.0.0.1:0")?;
    /// let second = Server::builder().bind_beside(&first)?;
    /// assert_eq!(first.local_addrs(), second.local_addrs());
    /// let loops = [first.spawn(Greeting)?, second.spawn(Greeting)?];
    /// // In the end, all are told to drain before one is waited for.
    /// loops.iter().for_each(|server| server.handle().drain(Duration::from_secs(25)));
    /// let total: Report = loops.into_iter().map(|server| server.join()).sum::<Result<_, _>>()?;
    /// assert_eq!(total.cut, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind_beside(self, first: &Server) -> Result<Server, BindError> {
        let listeners = bind::bind_beside(&first.listeners)?;
        Ok(Server::new(self, listeners))
    }

    /// Serves listeners of any world on its loop, for example simulated ones.
    ///
    /// # Errors
    /// When the limits contradict each other, or the loop cannot watch the listeners.
    pub fn attach<S: Service + 'static>(
        self,
        handle: &Handle,
        listeners: Vec<Listener>,
        service: S,
    ) -> io::Result<Attached> {
        attach(self, handle, listeners, service, Ending(Control::new()))
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Start::Done => "Done",
            Start::Later(_) => "Later",
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

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

/// What the tasks of one server share.
struct Shared<S> {
    service: S,
    limits: Limits,
    #[cfg(feature = "twin")]
    connections: Connections,
    #[cfg(feature = "twin")]
    spare: twin::Spare,
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
        spare: twin::Spare::default(),
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
            status.phase.set(status::Phase::Cutting);
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
