//! The operating system as a [`World`]: epoll or kqueue, through `mio`, edge-triggered.

use std::cell::OnceCell;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker, net};
use socket2::SockRef;

use super::{Clock, NO_ADDRESS, Pollable, Readiness, Stream, Time, World};
use crate::event_loop::EventLoop;
use crate::id::SourceId;
use crate::world;

mod listening;

use listening::SocketFile;
pub use listening::{OnlyV6, listen, listen_beside, listen_sharing, listen_unix, take_listener};

// A `SourceId` (slot and generation) travels through the kernel in a `Token`.
const _: () = assert!(usize::BITS >= 64, "helloop needs a 64-bit target");

/// Events taken from the kernel by one wait; what does not fit comes with the next.
const EVENTS_PER_WAIT: usize = 1024;

/// The token of the alarm. No source has it: ids never have all bits set.
const ALARM: Token = Token(usize::MAX);

/// The operating system.
#[derive(Debug)]
pub struct Os {
    poll: Poll,
    events: Events,
    alarm: Arc<Waker>,
    began: Instant,
    /// When the last wait ended.
    ended: Time,
}

impl Os {
    /// A fresh poller (epoll_create1(2) or kqueue(2)) with its alarm (eventfd(2) on Linux).
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Os> {
        let poll = Poll::new()?;
        let alarm = Arc::new(Waker::new(poll.registry(), ALARM)?);
        Ok(Os {
            poll,
            events: Events::with_capacity(EVENTS_PER_WAIT),
            alarm,
            began: Instant::now(),
            ended: Time::ZERO,
        })
    }

    /// Waits until something happens, or `timeout` is over, which is at `until`.
    ///
    /// epoll_wait(2) counts milliseconds, and mio rounds up, because a timer must not fire early. So what is left below a
    /// millisecond is waited for with ppoll(2), which counts nanoseconds, on the poller itself: one that has
    /// something to report is readable. Only a wait that ends with a timer pays for that second call.
    #[cfg(feature = "fine-timers")]
    fn wait_for_events(&mut self, until: Time, timeout: Duration) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let below_a_millisecond =
            Duration::from_nanos(u64::from(timeout.subsec_nanos() % 1_000_000));
        let milliseconds = timeout - below_a_millisecond;
        if below_a_millisecond.is_zero() || !milliseconds.is_zero() {
            self.poll.poll(&mut self.events, Some(milliseconds))?;
            if below_a_millisecond.is_zero() || !self.events.is_empty() {
                return Ok(());
            }
        }
        // At most a millisecond, and nothing if the wait before took longer than it was told to.
        let left = until.since(self.clock().now());
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        poll(&mut [PollFd::new(self.poll.registry(), PollFlags::IN)], Some(&left))?;
        self.poll.poll(&mut self.events, Some(Duration::ZERO))
    }

    /// Waits until something happens, or `timeout` is over, rounded up to milliseconds by mio.
    #[cfg(not(feature = "fine-timers"))]
    fn wait_for_events(&mut self, _: Time, timeout: Duration) -> io::Result<()> {
        self.poll.poll(&mut self.events, Some(timeout))
    }
}

impl World for Os {
    fn wait(
        &mut self,
        until: Option<Time>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<Time> {
        let clock = self.clock();
        // The kernel wants a duration, so the clock is read before the wait, too. The time of the last wait will
        // not do: the tasks since then took a while, and a host may have been elsewhere for an hour, by which
        // every timer would be late. But what had come by then needs no clock: a busy loop reads it once a turn.
        let outcome = match until {
            None => self.poll.poll(&mut self.events, None),
            Some(until) if until <= self.ended => {
                self.poll.poll(&mut self.events, Some(Duration::ZERO))
            }
            Some(until) => self.wait_for_events(until, until.since(clock.now())),
        };
        match outcome {
            Ok(()) => {
                let sources = self.events.iter().filter(|event| event.token() != ALARM);
                arrived.extend(sources.map(|event| {
                    let id = SourceId::from_bits(event.token().0 as u64);
                    (id, readiness_of(event))
                }));
            }
            // A signal arrived. The caller comes back.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.ended = clock.now();
        Ok(self.ended)
    }

    fn clock(&self) -> Clock {
        Clock::Os(self.began)
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        let alarm = Arc::clone(&self.alarm);
        // It fails only if the poller is gone, and then nothing waits.
        Arc::new(move || drop(alarm.wake()))
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<world::Listener> {
        listen(address, OnlyV6::Always).map(world::Listener::Os)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream> {
        let stream = net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(TcpStream(stream)))
    }

    fn register(&mut self, pollable: Pollable<'_>, id: SourceId) -> io::Result<()> {
        let registry = self.poll.registry();
        let token = Token(usize::try_from(id.to_bits()).expect("usize has 64 bits, see above"));
        match pollable {
            Pollable::Stream(Stream::Tcp(it)) => registry.register(&mut it.0, token, OF_STREAMS),
            Pollable::Stream(Stream::Unix(it)) => registry.register(&mut it.0, token, OF_STREAMS),
            Pollable::Listener(world::Listener::Os(Listener::Tcp(it))) => {
                registry.register(&mut it.0, token, Interest::READABLE)
            }
            Pollable::Listener(world::Listener::Os(Listener::Unix(it))) => {
                registry.register(&mut it.socket, token, Interest::READABLE)
            }
            Pollable::Fd(descriptor, directions) => {
                let interest = match directions {
                    Readiness::READABLE => Interest::READABLE,
                    Readiness::WRITABLE => Interest::WRITABLE,
                    _ => Interest::READABLE.add(Interest::WRITABLE),
                };
                registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, interest)
            }
            Pollable::Stream(Stream::Sim(_)) | Pollable::Listener(world::Listener::Sim(_)) => Err(
                io::Error::new(io::ErrorKind::InvalidInput, "a simulated socket on a real loop"),
            ),
        }
    }

    fn deregister(&mut self, descriptor: BorrowedFd<'_>) {
        // If it fails, the descriptor was not registered any more.
        let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor.as_raw_fd()));
    }

    fn sockets_left(&self) -> usize {
        let (soft, _hard) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
        let open = fs::read_dir("/dev/fd").map(|descriptors| descriptors.count() as u64);
        // One of them was for reading the list.
        let open = open.map_or(DESCRIPTORS_IF_UNKNOWN, |open| open.saturating_sub(1));
        usize::try_from(soft.saturating_sub(open)).unwrap_or(usize::MAX)
    }

    fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        Some(self.poll.registry().as_fd().try_clone_to_owned())
    }
}

/// The poller of a loop once more, made when a host program first asks for it.
pub(crate) type LoopDescriptor = OnceCell<OwnedFd>;

/// The descriptor becomes readable when a turn would find something to do. It is the poller itself
/// (an epoll descriptor can be waited for by another epoll).
///
/// # Panics
/// In a simulated world, which has no descriptor, and when the process has none left.
impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // One of its own: what is lent must live as long as the loop, and the world is behind a cell.
        let made = self.descriptor.get_or_init(|| {
            let descriptor = self.handle().world().descriptor();
            descriptor.expect("the world has a descriptor").expect("the process has one left")
        });
        made.as_fd()
    }
}

/// Descriptors that are open where nobody can count them, as many as a server needs: standard streams, a poller
/// and its alarm, listeners, signals, log files.
const DESCRIPTORS_IF_UNKNOWN: u64 = 24;

/// What is reported of a stream. Urgent data also wakes a task that waits for ordinary data, so asking
/// for it as well (EPOLLPRI) does not make the kernel report anything more often: it adds a bit to the
/// reports of those sources that have some.
#[cfg(any(target_os = "linux", target_os = "android"))]
const OF_STREAMS: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const OF_STREAMS: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn readiness_of(event: &mio::event::Event) -> Readiness {
    let mut readiness = Readiness::empty();
    // A poller that does not say whether there is urgent data cannot promise that there is none.
    let has_priority = if cfg!(any(target_os = "linux", target_os = "android")) {
        event.is_priority()
    } else {
        event.is_readable()
    };
    readiness.set(Readiness::PRIORITY, has_priority);
    readiness.set(Readiness::READABLE, event.is_readable());
    readiness.set(Readiness::WRITABLE, event.is_writable());
    // After an error both directions return at once, with that error.
    readiness.set(Readiness::READ_CLOSED, event.is_read_closed() || event.is_error());
    readiness.set(Readiness::WRITE_CLOSED, event.is_write_closed() || event.is_error());
    readiness
}

/// A TCP connection that does not block.
#[derive(Debug)]
pub struct TcpStream(net::TcpStream);

/// A connection of Unix sockets (unix(7)) that does not block.
#[derive(Debug)]
pub struct UnixStream(net::UnixStream);

/// A listening socket that does not block.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// A Unix socket (unix(7)).
    Unix(UnixListener),
}

/// A TCP listener that does not block.
#[derive(Debug)]
pub struct TcpListener(net::TcpListener);

/// A listener on a Unix socket that does not block.
#[derive(Debug)]
pub struct UnixListener {
    socket: net::UnixListener,
    /// Of a socket that was bound here, and not taken over.
    file: Option<Arc<SocketFile>>,
}

// What both kinds of streams do. Types of our own, so that another poller, or another version of it, changes
// nothing for whoever uses them.
macro_rules! stream {
    ($stream:ident, $std:path, $inner:path) => {
        impl $stream {
            /// A stream of the standard library, which must not block: see its `set_nonblocking`.
            pub fn from_std(stream: $std) -> $stream {
                $stream(<$inner>::from_std(stream))
            }

            pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.0.shutdown(how)
            }

            pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.take_error()
            }
        }

        impl Read for $stream {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }

        impl Write for $stream {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl AsFd for $stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
    };
}

stream!(TcpStream, std::net::TcpStream, net::TcpStream);
stream!(UnixStream, std::os::unix::net::UnixStream, net::UnixStream);

impl TcpStream {
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Says whether the coming close is a reset.
    pub(super) fn abort_on_close(&self, aborts: bool) {
        // Best effort: without it, the close is an ordinary one.
        let _ = SockRef::from(self).set_linger(aborts.then_some(Duration::ZERO));
    }
}

impl Listener {
    /// See [`world::Listener::accept`].
    pub(super) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Listener::Tcp(TcpListener(listener)) => {
                listener.accept().map(|(stream, peer)| (Stream::Tcp(TcpStream(stream)), peer))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.socket.accept()?;
                Ok((Stream::Unix(UnixStream(stream)), NO_ADDRESS))
            }
        }
    }

    /// The address that it listens on, with the real port.
    ///
    /// # Errors
    /// When the socket cannot be asked. `Unsupported`: a Unix socket has a [path](Listener::path) instead.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Tcp(TcpListener(listener)) => listener.local_addr(),
            Listener::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Another one on the same queue. The file of a Unix socket stays until both are gone.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(crate) fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(it) => take_listener(it.0.as_fd().try_clone_to_owned()?),
            Listener::Unix(it) => it.try_clone().map(Listener::Unix),
        }
    }

    /// The file of a Unix socket stays from now on: another process serves it.
    pub(crate) fn leave_file(&self) {
        if let Listener::Unix(UnixListener { file: Some(file), .. }) = self {
            file.leave();
        }
    }

    /// The path that a Unix socket was bound to; `None` for one without a path (of an abstract address, for example).
    pub fn path(&self) -> Option<PathBuf> {
        let Listener::Unix(UnixListener { socket, .. }) = self else { return None };
        socket.local_addr().ok()?.as_pathname().map(PathBuf::from)
    }
}

impl UnixListener {
    fn new(listener: std::os::unix::net::UnixListener, file: Option<Arc<SocketFile>>) -> Self {
        UnixListener { socket: net::UnixListener::from_std(listener), file }
    }

    /// Another one on the same queue. The file stays until both are gone.
    fn try_clone(&self) -> io::Result<UnixListener> {
        let socket = self.socket.as_fd().try_clone_to_owned()?;
        Ok(UnixListener::new(socket.into(), self.file.clone()))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(TcpListener(listener)) => listener.as_fd(),
            Listener::Unix(UnixListener { socket, .. }) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
