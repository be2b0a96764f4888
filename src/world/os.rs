//! The operating system as a [`World`]: epoll or kqueue, through `mio`, edge-triggered.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Clock, Listener, Pollable, Readiness, Stream, World};
use crate::id::SourceId;
use crate::limits::LISTEN_BACKLOG;

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
        })
    }
}

impl World for Os {
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal arrived. The caller works out a new timeout and comes back.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let sources = self.events.iter().filter(|event| event.token() != ALARM);
        arrived.extend(sources.map(|event| {
            let id = SourceId::from_bits(event.token().0 as u64);
            (id, readiness_of(event))
        }));
        Ok(())
    }

    fn clock(&self) -> Clock {
        Clock::Os(self.began)
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        let alarm = Arc::clone(&self.alarm);
        // It fails only if the poller is gone, and then nothing waits.
        Arc::new(move || drop(alarm.wake()))
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<Listener> {
        listen(address, OnlyV6::Always).map(Listener::Tcp)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    fn register(&mut self, pollable: Pollable<'_>, id: SourceId) -> io::Result<()> {
        let registry = self.poll.registry();
        let token = Token(usize::try_from(id.to_bits()).expect("usize has 64 bits, see above"));
        match pollable {
            Pollable::Stream(Stream::Tcp(stream)) => registry.register(stream, token, OF_STREAMS),
            Pollable::Stream(Stream::Unix(stream)) => registry.register(stream, token, OF_STREAMS),
            Pollable::Listener(Listener::Tcp(listener)) => {
                registry.register(listener, token, Interest::READABLE)
            }
            Pollable::Fd(descriptor, directions) => {
                let interest = match directions {
                    Readiness::READABLE => Interest::READABLE,
                    Readiness::WRITABLE => Interest::WRITABLE,
                    _ => Interest::READABLE.add(Interest::WRITABLE),
                };
                registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, interest)
            }
            Pollable::Stream(Stream::Sim(_)) | Pollable::Listener(Listener::Sim(_)) => Err(
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

/// Whether an IPv6 listener takes IPv6 only (IPV6_V6ONLY, ipv6(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyV6 {
    /// IPv6 only, so that an IPv4 listener can have the same port.
    Always,
    /// `[::]` takes IPv4 as well ("dual stack").
    Never,
}

/// Opens a TCP listener: SO_REUSEADDR, and TCP_NODELAY, which accepted sockets inherit.
///
/// # Errors
/// What socket(2), bind(2) and listen(2) say.
pub fn listen(address: SocketAddr, only_v6: OnlyV6) -> io::Result<TcpListener> {
    open_listener(address, only_v6 == OnlyV6::Always, false)
}

/// Opens another listener at the address of `first` (SO_REUSEPORT, socket(7)): from now on the
/// kernel gives each new connection to one of the two. Connections in the queue of `first` stay there.
///
/// Linux spreads connections evenly; other kernels may give all of them to one listener.
///
/// # Errors
/// What setsockopt(2), socket(2), bind(2) and listen(2) say.
pub fn listen_beside(first: &TcpListener) -> io::Result<TcpListener> {
    let socket = SockRef::from(first);
    // Not earlier: `first` was refused its port if another program had it, so no other program is ever
    // joined by mistake.
    socket.set_reuse_port(true)?;
    let address = first.local_addr()?;
    let only_v6 = address.is_ipv6() && socket.only_v6()?;
    open_listener(address, only_v6, true)
}

fn open_listener(address: SocketAddr, only_v6: bool, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

pub(super) fn abort_on_close(stream: &TcpStream, aborts: bool) {
    // Best effort: without it, the close is an ordinary one.
    let _ = SockRef::from(stream).set_linger(aborts.then_some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn readiness_within_a_second(world: &mut Os, wanted: SourceId) -> Readiness {
        let mut arrived = Vec::new();
        let mut seen = Readiness::empty();
        for _ in 0..10 {
            world.wait(Some(Duration::from_millis(100)), &mut arrived).unwrap();
            for (id, readiness) in arrived.drain(..) {
                assert_eq!(id, wanted);
                seen |= readiness;
            }
            if !seen.is_empty() {
                break;
            }
        }
        seen
    }

    #[test]
    fn a_listener_becomes_readable_and_accepts_with_nodelay() {
        let mut world = Os::new().unwrap();
        let mut listener = world.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let id = SourceId::from_bits(1 << 32 | 1);
        world.register(Pollable::Listener(&mut listener), id).unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(readiness_within_a_second(&mut world, id).is_readable());
        let (mut stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let Stream::Tcp(tcp) = &stream else { panic!("not a TCP stream") };
        assert!(tcp.nodelay().unwrap(), "TCP_NODELAY is inherited from the listener");
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        stream.write_all(b"hello").unwrap();
        let mut got = [0; 5];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
    }

    #[test]
    fn the_alarm_ends_a_wait_from_another_thread() {
        let mut world = Os::new().unwrap();
        let alarm = world.alarm();
        let waker = std::thread::spawn(move || alarm());
        let mut arrived = Vec::new();
        world.wait(None, &mut arrived).unwrap();
        assert_eq!(arrived, []);
        waker.join().unwrap();
    }

    /// Everything that is reported until nothing more is.
    fn reports(world: &mut Os) -> Vec<Readiness> {
        let mut arrived = Vec::new();
        while arrived.is_empty() {
            world.wait(None, &mut arrived).unwrap();
        }
        world.wait(Some(Duration::ZERO), &mut arrived).unwrap();
        arrived.into_iter().map(|(_, readiness)| readiness).collect()
    }

    /// On Linux; elsewhere it cannot be known, and every report says so.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn urgent_data_is_reported_and_nothing_is_reported_more_often_for_it() {
        let mut world = Os::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let mut stream = Stream::Tcp(TcpStream::from_std(accepted));
        world.register(Pollable::Stream(&mut stream), SourceId::from_bits(1 << 32 | 1)).unwrap();
        assert_eq!(reports(&mut world), [Readiness::WRITABLE]);
        let ordinary = Readiness::READABLE | Readiness::WRITABLE;
        let mut buffer = [0; 8];
        for _ in 0..100 {
            client.write_all(b"abc").unwrap();
            assert_eq!(reports(&mut world), [ordinary], "one report for each piece");
            assert_eq!(stream.read(&mut buffer).unwrap(), 3);
        }
        client.write_all(b"abc").unwrap();
        SockRef::from(&client).send_out_of_band(b"!").unwrap();
        client.write_all(b"def").unwrap();
        let all = reports(&mut world).into_iter().collect::<Readiness>();
        assert_eq!(all, ordinary | Readiness::PRIORITY);
        assert_eq!(stream.read(&mut buffer).unwrap(), 3, "it stops at the mark");
        assert_eq!(stream.read(&mut buffer).unwrap(), 3, "and goes on behind it");
        assert_eq!(&buffer[..3], b"def");
    }

    #[test]
    fn a_half_closed_peer_is_read_closed() {
        let mut world = Os::new().unwrap();
        let listener = world.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let (mut stream, _) = loop {
            match listener.accept() {
                Ok(accepted) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let id = SourceId::from_bits(1 << 32 | 1);
        world.register(Pollable::Stream(&mut stream), id).unwrap();
        let mut seen = Readiness::empty();
        while !seen.contains(Readiness::READ_CLOSED) {
            seen |= readiness_within_a_second(&mut world, id);
        }
        assert!(seen.contains(Readiness::WRITABLE));
        assert!(!seen.contains(Readiness::WRITE_CLOSED));
    }
}
