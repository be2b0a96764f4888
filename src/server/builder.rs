//! What is said of a server before it has sockets.

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::drain::Control;
use super::preface::{Preface, Reader};
use super::progress::Ending;
use super::{Access, AccessLog, Attached, BindError, Server, Service, attach, bind};
use crate::event_loop::Handle;
use crate::http::{ClientRule, Headers};
use crate::limits::Limits;
use crate::world::Listener;

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
    pub(super) limits: Limits,
    pub(super) access_log: Option<AccessLog>,
    pub(super) preface: Option<Reader>,
    pub(super) client_rule: Option<Box<ClientRule>>,
    pub(super) how: bind::How,
    #[cfg(feature = "twin")]
    pub(super) connections: Connections,
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
    /// ([`Request::client_addr`](crate::http::Request::client_addr)).
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

    /// Says how the fields of a request name its client, for
    /// [`Request::client_addr`](crate::http::Request::client_addr): `rule` is given the address that is known
    /// without them (the peer's, or what a [preface](Builder::preface) has said), and returns another one if that
    /// may be believed. It is asked only when somebody wants to know.
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
    /// // In the end, tell all of them to drain before waiting for one.
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

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
