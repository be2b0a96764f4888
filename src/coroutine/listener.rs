//! Coroutines that accept connections: asyncio's `start_server`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::budget::give_way;
use super::listen_on::ListenOn;
use super::sleep::Sleep;
use super::spawn::JoinHandle;
use super::stream::Stream;
use super::waits::{Awaited, Waiting, Waits};
use crate::accepting::Failures;
use crate::event_loop::{Handle, Source};
use crate::id::TaskId;
use crate::limits::ACCEPTS_PER_RESUME_MAX;
use crate::world::{self, Readiness};

impl Handle {
    /// Listens at an address, and spawns `connected` for every connection, with its stream and its
    /// peer: asyncio's `start_server`. Port 0 asks the system to choose one; `localhost` is both
    /// loopback addresses, with the same port. See [`Server`](crate::server::Server) for HTTP.
    ///
    /// ```no_run
    /// # use helloop::coroutine;
    /// coroutine::run(|handle| async move {
    ///     let echo = handle.start_server("localhost:7777", |mut stream, _| async move {
    ///         let mut buffer = [0; 1024];
    ///         while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
    ///             if stream.write_all(&buffer[..bytes]).await.is_err() {
    ///                 break;
    ///             }
    ///         }
    ///     })?;
    ///     echo.serve_forever().await;
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Listener::bind`]; `InvalidInput` for a text that is not an [address](ListenOn).
    #[track_caller]
    pub fn start_server<F, C>(
        &self,
        address: impl ListenOn,
        connected: F,
    ) -> io::Result<StreamServer>
    where
        F: Fn(Stream, SocketAddr) -> C + 'static,
        C: Future<Output = ()> + 'static,
    {
        let (site, connected) = (Location::caller(), Rc::new(connected));
        let (mut addresses, mut accepting) = (Vec::new(), Vec::new());
        for mut listener in bind_all(self, &address.addresses()?)? {
            let address = listener.local_addr()?;
            let (handle, connected) = (self.clone(), Rc::clone(&connected));
            let name = format!("accept at {address}");
            addresses.push(address);
            accepting.push(self.spawn_for(site, Some(name), async move {
                loop {
                    let (stream, peer) = listener.accept().await;
                    let connected = Rc::clone(&connected);
                    // Called in the new task: if it panics, only that one ends.
                    let name = format!("connection of {peer}");
                    let task = handle.spawn_for(site, Some(name), async move {
                        connected(stream, peer).await;
                    });
                    drop(task);
                }
            }));
        }
        Ok(StreamServer { addresses, accepting })
    }
}

/// Listens on all of these addresses, with one port if the first leaves the choice to the system. An address of a
/// family that the machine does not have is left out, if there is another.
fn bind_all(handle: &Handle, addresses: &[SocketAddr]) -> io::Result<Vec<Listener>> {
    let mut attempts_left = SAME_PORT_ATTEMPTS;
    'again: loop {
        let mut listeners: Vec<Listener> = Vec::new();
        for &address in addresses {
            let mut address = address;
            let first = listeners.first().map(Listener::local_addr).transpose()?;
            if let Some(first) = first
                && address.port() == 0
            {
                address.set_port(first.port());
            }
            match Listener::bind(handle, address) {
                Ok(listener) => listeners.push(listener),
                Err(error) if lacks_family(&error) && first.is_some() => {}
                // Taken on this address: another port.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && first.is_some()
                        && addresses[0].port() == 0
                        && attempts_left > 0 =>
                {
                    attempts_left -= 1;
                    continue 'again;
                }
                Err(error) => return Err(error),
            }
        }
        return Ok(listeners);
    }
}

/// EAFNOSUPPORT, or EADDRNOTAVAIL of a loopback address.
fn lacks_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(97)
}

/// Attempts to find a port that is free on all addresses, when the system may choose.
const SAME_PORT_ATTEMPTS: usize = 16;

/// A server that was [started](Handle::start_server). Dropping this leaves it listening.
///
/// ```
/// use helloop::coroutine::{self, StreamServer};
///
/// coroutine::run(|handle| async move {
///     let server: StreamServer = handle.start_server("localhost:0", |mut stream, _| async move {
///         let _ = stream.write_all(b"hello").await;
///     })?;
///     let mut client = handle.open_connection(server.local_addr()).await?;
///     let mut buffer = [0; 8];
///     assert_eq!(client.read(&mut buffer).await?, 5);
///     server.close();
///     server.serve_forever().await;
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct StreamServer {
    /// At least one.
    addresses: Vec<SocketAddr>,
    /// One for each address.
    accepting: Vec<JoinHandle<()>>,
}

impl StreamServer {
    /// The address that it listens on, with the real port; the first, if there are more.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses that it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening, one turn later. The connections that it has accepted go on.
    pub fn close(&self) {
        for accepting in &self.accepting {
            accepting.cancel();
        }
    }

    /// Waits until it has stopped listening: for ever, unless it is closed. Dropped while it waits, it
    /// stops.
    pub async fn serve_forever(self) {
        for accepting in self.accepting {
            // It never ends by itself, so how it ended is known.
            let _ = accepting.await;
        }
    }
}

/// A socket that coroutines accept connections from. Dropping it closes it, and resets the
/// connections that were not accepted.
///
/// ```
/// use helloop::coroutine::{self, Listener};
///
/// coroutine::run(|handle| async move {
///     let mut listener = Listener::bind(&handle, ([127, 0, 0, 1], 0).into())?;
///     let _client = handle.open_connection(listener.local_addr()?).await?;
///     // A loop of your own, in the place of `start_server`.
///     let (_stream, peer) = listener.accept().await;
///     assert!(peer.ip().is_loopback());
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Listener {
    handle: Handle,
    source: Source<world::Listener>,
    waits: Waits,
    /// Nothing is tried before it is over.
    pause: Option<Sleep>,
    /// Accepts that were tried in this turn of the loop.
    tried: (u64, usize),
    failures: Failures,
}

impl Listener {
    /// Listens at an address. Port 0 asks the system to choose one.
    ///
    /// # Errors
    /// What bind(2) and listen(2) say, for example that the address is in use.
    pub fn bind(handle: &Handle, address: SocketAddr) -> io::Result<Listener> {
        // Nothing waits yet: the task that does will become the owner.
        let source = Source::listener(handle, handle.listen(address)?, TaskId::default())?;
        Ok(Listener {
            handle: handle.clone(),
            source,
            waits: Waits::default(),
            pause: None,
            tried: (0, 0),
            failures: Failures::default(),
        })
    }

    /// The address that it listens on, with the real port.
    ///
    /// # Errors
    /// When the socket cannot be asked.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.socket().local_addr()
    }

    /// Waits for a connection: its stream, and the peer's address.
    ///
    /// It does not fail. A connection that was gone before is skipped. When there is no descriptor or no
    /// memory, this is logged, and the next attempt is made after [`ACCEPT_BACKOFF`](crate::limits::ACCEPT_BACKOFF). After
    /// [`ACCEPTS_PER_RESUME_MAX`] attempts in one turn, it gives up control for a turn, so that a
    /// queue which is never empty does not stop the loop.
    pub async fn accept(&mut self) -> (Stream, SocketAddr) {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_accept(cx)).await
    }

    /// As [`accept`](Listener::accept), for state machines inside of futures.
    ///
    /// # Panics
    /// If another task waits for the same listener: one of the two would never hear of a connection. One
    /// task accepts, and spawns one for each connection.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, SocketAddr)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            if !self.may_try() {
                give_way(&self.handle, cx);
                return Poll::Pending;
            }
            match self.source.accept() {
                Ok((socket, peer)) => {
                    self.failures.gone_in_a_row = 0;
                    self.waits.is_over(&self.handle, Readiness::READABLE);
                    match Stream::accepted(&self.handle, socket) {
                        Ok(stream) => return Poll::Ready((stream, peer)),
                        // This one is closed; later there may be room for the next.
                        Err(error) => self.rest("cannot watch a new connection", &error),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.want(cx);
                    return Poll::Pending;
                }
                Err(error) => {
                    if self.failures.call_for_a_pause(&error, ACCEPTS_PER_RESUME_MAX) {
                        self.rest("cannot accept", &error);
                    }
                }
            }
        }
    }

    fn want(&mut self, cx: &Context<'_>) {
        let remedy = "let one task accept, and spawn one for each connection";
        if let Err(error) = self.waits.wait_for(&self.source, cx, Readiness::READABLE, remedy) {
            panic!("two tasks accept from one listener: {error}");
        }
    }

    /// Counts attempts by turns.
    fn may_try(&mut self) -> bool {
        let turn = self.handle.turns();
        let before = if self.tried.0 == turn { self.tried.1 } else { 0 };
        self.tried = (turn, before + 1);
        before < ACCEPTS_PER_RESUME_MAX
    }

    /// Logs it, but not too often, and tries nothing for a while.
    fn rest(&mut self, what: &str, error: &io::Error) {
        let why = || format!("{what}: {error}; trying again");
        let until = self.failures.pause(self.handle.clock(), why);
        self.pause = Some(self.handle.sleep_until(until));
    }
}

impl Awaited for Listener {
    fn waits(&mut self) -> &mut Waits {
        &mut self.waits
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paused = self.pause.is_some();
        f.debug_struct("Listener")
            .field("source", &self.source)
            .field("paused", &paused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::yield_now;
    use crate::event_loop::EventLoop;
    use crate::limits::ACCEPT_BACKOFF;
    use crate::world::sim::{Faults, Net, Peer, Sim};
    use rustix::io::Errno;
    use std::cell::Cell;
    use std::time::Duration;

    const EMFILE: i32 = Errno::MFILE.raw_os_error();
    const ECONNABORTED: i32 = Errno::CONNABORTED.raw_os_error();

    fn address() -> SocketAddr {
        "127.0.0.1:7".parse().unwrap()
    }

    fn simulated<F: Future + 'static>(
        faults: Faults,
        main: impl FnOnce(Handle, Net) -> F,
    ) -> F::Output {
        let world = Sim::with_faults(1, faults);
        let net = world.net();
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let main = main(event_loop.handle().clone(), net);
        event_loop.run_until_complete(main).unwrap()
    }

    async fn turns(count: usize) {
        for _ in 0..count {
            yield_now().await;
        }
    }

    async fn echo(mut stream: Stream, _: SocketAddr) {
        let mut buffer = [0; 100];
        while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..bytes]).await.unwrap();
        }
    }

    #[test]
    fn every_connection_is_a_task_of_its_own() {
        for faults in [Faults::NONE, Faults::ROUGH] {
            simulated(faults, |handle, net| async move {
                let server = handle.start_server(address(), echo).unwrap();
                assert_eq!(server.local_addr(), address());
                let peers: Vec<Peer> = (0..5).map(|_| net.connect(address())).collect();
                for (number, peer) in peers.iter().enumerate() {
                    peer.send(format!("this is number {number}").as_bytes());
                }
                turns(1_000).await;
                for (number, peer) in peers.iter().enumerate() {
                    assert_eq!(peer.receive(), format!("this is number {number}").as_bytes());
                }
                drop(peers);
                turns(100).await;
                assert_eq!(net.open_ends(), 0);
            });
        }
    }

    #[test]
    fn localhost_is_both_families_with_one_port() {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle().clone();
        let both = async move {
            let server = handle.start_server("localhost:0", echo).unwrap();
            let port = server.local_addr().port();
            assert!(port != 0);
            assert!(server.local_addrs().iter().all(|address| address.port() == port));
            for address in server.local_addrs() {
                let mut client = handle.open_connection(*address).await.unwrap();
                client.write_all(b"hello").await.unwrap();
                let mut buffer = [0; 5];
                let bytes = client.read(&mut buffer).await.unwrap();
                assert!(b"hello".starts_with(&buffer[..bytes]) && bytes > 0);
            }
            server.close();
            server.serve_forever().await;
        };
        event_loop.run_until_complete(both).unwrap();
    }

    #[test]
    fn a_server_that_is_closed_keeps_its_connections() {
        simulated(Faults::NONE, |handle, net| async move {
            let server = handle.start_server(address(), echo).unwrap();
            let peer = net.connect(address());
            turns(5).await;
            server.close();
            server.serve_forever().await;
            peer.send(b"still here");
            turns(5).await;
            assert_eq!(peer.receive(), b"still here");
            let refused = handle.open_connection(address()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    fn a_connection_that_panics_is_the_only_one_to_end() {
        simulated(Faults::NONE, |handle, net| async move {
            let count = Cell::new(0);
            let connected = move |stream, peer| {
                count.set(count.get() + 1);
                assert!(count.get() > 1, "planted");
                echo(stream, peer)
            };
            let _server = handle.start_server(address(), connected).unwrap();
            let [bad, good] = [net.connect(address()), net.connect(address())];
            good.send(b"well");
            turns(5).await;
            assert!(bad.at_end(), "it was closed");
            assert_eq!(good.receive(), b"well");
        });
    }

    #[test]
    fn a_full_queue_leaves_turns_to_others() {
        simulated(Faults::NONE, |handle, net| async move {
            let mut listener = Listener::bind(&handle, address()).unwrap();
            let peers = 3 * ACCEPTS_PER_RESUME_MAX;
            let _peers: Vec<Peer> = (0..peers).map(|_| net.connect(address())).collect();
            let begin = handle.turns();
            for _ in 0..peers {
                listener.accept().await;
            }
            assert_eq!(handle.turns() - begin, 2, "one for each full share but the first");
        });
    }

    #[test]
    fn without_descriptors_it_pauses_and_tries_again() {
        simulated(Faults::NONE, |handle, net| async move {
            let mut listener = Listener::bind(&handle, address()).unwrap();
            let _peer = net.connect(address());
            net.fail_accept(address(), EMFILE);
            net.fail_accept(address(), EMFILE);
            let begin = handle.now();
            listener.accept().await;
            let took = handle.now().since(begin);
            assert!(took >= 2 * ACCEPT_BACKOFF && took < 3 * ACCEPT_BACKOFF, "{took:?}");
        });
    }

    #[test]
    fn who_was_gone_before_is_skipped_and_not_spun_on() {
        simulated(Faults::NONE, |handle, net| async move {
            let mut listener = Listener::bind(&handle, address()).unwrap();
            let _peers = [net.connect(address()), net.connect(address())];
            net.fail_accept(address(), ECONNABORTED);
            let begin = handle.now();
            listener.accept().await;
            assert_eq!(handle.now(), begin, "it did not pause");
            for _ in 0..ACCEPTS_PER_RESUME_MAX {
                net.fail_accept(address(), ECONNABORTED);
            }
            listener.accept().await;
            assert!(handle.now().since(begin) >= ACCEPT_BACKOFF);
        });
    }

    #[test]
    fn an_accept_that_is_given_up_loses_nobody() {
        simulated(Faults::NONE, |handle, net| async move {
            let mut listener = Listener::bind(&handle, address()).unwrap();
            let limit = Duration::from_millis(1);
            assert!(handle.timeout(limit, listener.accept()).await.is_err());
            let _peer = net.connect(address());
            // Another task becomes the owner.
            let task = handle.spawn(async move { listener.accept().await.1 });
            assert_eq!(task.await.unwrap().ip(), address().ip());
        });
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        simulated(Faults::NONE, |handle, _| async move {
            let _first = Listener::bind(&handle, address()).unwrap();
            let error = handle.start_server(address(), echo).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        });
    }
}
