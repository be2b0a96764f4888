//! The world outside the loop: readiness, sockets and clocks, as one small trait.
//!
//! [`World`] is the waist of the program. [`os`] implements it with the operating system (it is the
//! only file that names `mio`), [`sim`] with memory, one seed, and a clock that jumps. Sockets are
//! the enums [`Stream`] and [`Listener`], so that no task has a type parameter for its world.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::ops::Add;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bitflags::bitflags;

use crate::id::SourceId;

mod clock;
#[cfg(unix)]
pub mod os;
#[cfg(not(unix))]
#[path = "no_os.rs"]
pub mod os;
pub mod sim;

pub use clock::Clock;
pub(crate) use clock::LoopClock;

/// A moment on a loop's monotonic clock: nanoseconds since the loop began.
///
/// Read once a turn and passed down. 64 bits last for 584 years, and arithmetic saturates there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment at which the loop began.
    pub const ZERO: Time = Time(0);
    /// Later than any other moment: a deadline that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `nanos` nanoseconds after the loop began.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the loop began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero if it lies in the future.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        // Not `as_nanos`, which counts in 128 bits; this is done for every resume.
        let nanos = duration.as_secs().saturating_mul(1_000_000_000);
        Time(self.0.saturating_add(nanos).saturating_add(duration.subsec_nanos().into()))
    }
}

/// Seconds with six digits: `12.000345`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

bitflags! {
    /// What a source is ready for. Edge-triggered worlds report a bit once; the loop keeps it until
    /// an operation would have blocked ("readiness is sticky").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// A read (or an accept) will not block.
        const READABLE = 1;
        /// A write will not block.
        const WRITABLE = 2;
        /// The peer sends no more, or the source failed: reads return what is left, then the end.
        const READ_CLOSED = 4;
        /// Writing is over, or the source failed: writes return an error.
        const WRITE_CLOSED = 8;
        /// The peer has sent urgent data. A read ends at their mark, although there may be more
        /// after it: from now on a read that came back short does not mean that nothing is left.
        const PRIORITY = 16;
    }
}

impl Readiness {
    /// Both directions.
    pub const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);

    /// True if a read would return at once, even if only with the end or an error.
    pub fn is_readable(self) -> bool {
        self.intersects(Readiness::READABLE | Readiness::READ_CLOSED)
    }

    /// True if a write would return at once, even if only with an error.
    pub fn is_writable(self) -> bool {
        self.intersects(Readiness::WRITABLE | Readiness::WRITE_CLOSED)
    }
}

/// What the loop needs from outside.
///
/// Contract of readiness: a registered source is reported when a direction *becomes* ready, and
/// again whenever more arrives; a world may report too often (spurious), never too rarely. Both
/// directions are registered once and for all; closing a source ends its registration.
///
/// A read that does not fill its buffer has taken all that was there; where that may be untrue, the
/// world has reported `PRIORITY` before, or together with what is read.
pub trait World {
    /// Waits until something is ready, at most until the monotonic clock has reached `until` (`None`: for ever;
    /// a moment that has come: not at all), and appends what is ready to `arrived`. May return early with
    /// nothing. Returns the time at which the wait ended.
    ///
    /// # Errors
    /// Only where waiting itself is impossible, for example when nothing can ever happen again
    /// in a simulated world.
    fn wait(
        &mut self,
        until: Option<Time>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<Time>;

    /// The clocks of this world.
    fn clock(&self) -> Clock;

    /// Makes a present or the next [`wait`](World::wait) return; callable from every thread.
    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync>;

    /// Opens a listening socket. Port 0 asks the world to choose one.
    ///
    /// # Errors
    /// What bind(2) and listen(2) say, for example that the address is in use.
    fn listen(&mut self, address: SocketAddr) -> io::Result<Listener>;

    /// Begins to connect. The stream becomes writable when it is connected, or has failed:
    /// [`Stream::take_error`] says which.
    ///
    /// # Errors
    /// What socket(2) and connect(2) say at once.
    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream>;

    /// Begins to report the readiness of `pollable` under the name `id`.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket belongs to another world.
    fn register(&mut self, pollable: Pollable<'_>, id: SourceId) -> io::Result<()>;

    /// Ends the registration of a descriptor that may stay open.
    #[cfg(unix)]
    fn deregister(&mut self, _: BorrowedFd<'_>) {}

    /// Sockets for which there is room beside those that are open: of the process's descriptors, for
    /// example. In a world without such a limit, any number.
    fn sockets_left(&self) -> usize {
        usize::MAX
    }

    /// A descriptor that becomes readable when [`wait`](World::wait) would return something, for
    /// host programs with a loop of their own. `None` where the world has no descriptor.
    #[cfg(unix)]
    fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        None
    }
}

/// Something that [`World::register`] takes.
#[derive(Debug)]
pub enum Pollable<'a> {
    /// A stream: readable and writable.
    Stream(&'a mut Stream),
    /// A listener: readable when a connection waits.
    Listener(&'a mut Listener),
    /// Any other descriptor that can be polled, and for which of `READABLE` and `WRITABLE`.
    #[cfg(unix)]
    Fd(BorrowedFd<'a>, Readiness),
}

impl Pollable<'_> {
    /// What it can become ready for.
    pub fn directions(&self) -> Readiness {
        match self {
            Pollable::Stream(_) => Readiness::BOTH,
            Pollable::Listener(_) => Readiness::READABLE,
            #[cfg(unix)]
            Pollable::Fd(_, directions) => *directions,
        }
    }
}

/// A connected, or connecting, byte stream that never blocks.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(os::TcpStream),
    /// One end of a pair of connected Unix sockets (the loop's end of a self-pipe).
    Unix(os::UnixStream),
    /// A connection in a simulated world (boxed, so that it does not make real ones bigger).
    Sim(Box<sim::SimStream>),
}

impl Stream {
    /// Ends one or both directions (shutdown(2)). After the write side, the peer reads the end.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
            Stream::Sim(stream) => stream.shutdown(how),
        }
    }

    /// Says whether the coming close is a reset, which frees the kernel's buffers at once (SO_LINGER
    /// of zero). So it is if the process ends first.
    pub fn abort_on_close(&self, aborts: bool) {
        match self {
            Stream::Tcp(stream) => stream.abort_on_close(aborts),
            Stream::Unix(_) => {}
            Stream::Sim(stream) => stream.abort_on_close(aborts),
        }
    }

    /// The peer's address; an error as long as the stream is not connected.
    ///
    /// # Errors
    /// `NotConnected`: not yet, or not any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr(),
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
            Stream::Sim(stream) => stream.peer_addr(),
        }
    }

    /// The error that a connection attempt, or the connection, ran into (SO_ERROR), once.
    ///
    /// # Errors
    /// When the socket cannot be asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Stream::Tcp(stream) => stream.take_error(),
            Stream::Unix(stream) => stream.take_error(),
            Stream::Sim(stream) => Ok(stream.take_error()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Sim(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Sim(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stands for the address of a peer that has none: one of a Unix socket. No connection over TCP comes from 0.0.0.0.
pub const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A listening socket that never blocks.
#[derive(Debug)]
pub enum Listener {
    /// A socket of the operating system.
    Os(os::Listener),
    /// A listener in a simulated world.
    Sim(sim::SimListener),
}

impl Listener {
    /// Takes the oldest connection from the accept queue: the stream and the peer's address, which is
    /// [`NO_ADDRESS`] on a Unix socket.
    ///
    /// # Errors
    /// `WouldBlock` when the queue is empty, else what accept(2) says; most of it concerns one
    /// connection only (ECONNABORTED) or passes (EMFILE).
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Listener::Os(listener) => listener.accept(),
            Listener::Sim(listener) => {
                listener.accept().map(|(stream, peer)| (Stream::Sim(Box::new(stream)), peer))
            }
        }
    }

    /// The address that it listens on, with the real port.
    ///
    /// # Errors
    /// When the socket cannot be asked. `Unsupported`: a Unix socket has a [path](os::Listener::path) instead.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Os(listener) => listener.local_addr(),
            Listener::Sim(listener) => Ok(listener.local_addr()),
        }
    }
}

/// accept(2): the connection was dead before it was taken, or the firewall forbids it. The next one
/// may be fine.
pub(crate) fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_saturates_and_prints_microseconds() {
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time::ZERO + Duration::MAX, Time::NEVER);
        assert_eq!(Time::ZERO.since(Time::NEVER), Duration::ZERO);
        assert_eq!((Time::ZERO + Duration::from_micros(12_000_345)).to_string(), "12.000345");
    }

    #[test]
    fn a_closed_direction_is_ready_in_it() {
        assert!(Readiness::READ_CLOSED.is_readable());
        assert!(!Readiness::READ_CLOSED.is_writable());
        assert!(Readiness::WRITE_CLOSED.is_writable());
    }
}
