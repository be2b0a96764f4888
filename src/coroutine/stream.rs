//! A connection that is read and written by coroutines: asyncio's streams, without their buffers.
//!
//! A [`Stream`] may go from one task to another (through a pool, for example): whoever waits on it
//! becomes its owner on the loop. Each `try_` method is one operation that does not wait; each
//! `poll_` method, if it would block, says who is to be resumed; the `async` methods await those.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::relay::Relay;
use crate::event_loop::{Handle, Source};
use crate::id::TaskId;
use crate::world::{self, Readiness};

/// A byte stream that is connected, or about to be. Dropping it closes it.
///
/// It belongs to the loop that opened it, and can be awaited in coroutines of that loop only.
#[derive(Debug)]
pub struct Stream {
    source: Source<world::Stream>,
    relay: Relay,
}

impl Handle {
    /// Connects to an address, and waits until the connection is there: asyncio's
    /// `open_connection`, for one address. Limit it with [`timeout`](Handle::timeout): a kernel
    /// tries for two minutes.
    ///
    /// # Errors
    /// What connect(2) says: refused, unreachable, timed out.
    pub async fn open_connection(&self, address: SocketAddr) -> io::Result<Stream> {
        let mut stream = Stream::connecting(self, address)?;
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }
}

/// For coroutines.
impl Stream {
    /// Reads what is there, at most `buffer`; waits if there is nothing. Zero is the end.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What send(2) says; some of the bytes may be on their way then.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Says that nothing more will be written; the peer reads the end. Reading goes on.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn shut_write(&mut self) -> io::Result<()> {
        self.source.shut_write()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.socket().peer_addr()
    }
}

/// For state machines inside of futures.
impl Stream {
    /// Begins to connect.
    ///
    /// # Errors
    /// What socket(2) and connect(2) say at once.
    pub fn connecting(handle: &Handle, address: SocketAddr) -> io::Result<Stream> {
        let socket = handle.connect(address)?;
        // Nobody waits yet: who does will become the owner.
        let source = Source::connecting(handle, socket, TaskId::default())?;
        Ok(Stream { source, relay: Relay::default() })
    }

    /// Waits until the connection is there, or cannot be.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn poll_connected(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if !self.source.readiness().is_writable() {
            self.want(cx, Readiness::WRITABLE);
            return Poll::Pending;
        }
        if let Some(error) = self.source.socket().take_error()? {
            return Poll::Ready(Err(error));
        }
        // A world may report too often; only the socket knows.
        match self.source.socket().peer_addr() {
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.source.forget_readiness();
                self.want(cx, Readiness::WRITABLE);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// A connection that a listener has accepted.
    pub(super) fn accepted(handle: &Handle, socket: world::Stream) -> io::Result<Stream> {
        // As in `connecting`: who waits becomes the owner.
        let source = Source::stream(handle, socket, TaskId::default())?;
        Ok(Stream { source, relay: Relay::default() })
    }

    /// As [`read`](Stream::read).
    ///
    /// # Errors
    /// What recv(2) says.
    pub fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let outcome = self.try_read(buffer);
        self.or_wait(cx, Readiness::READABLE, outcome)
    }

    /// Writes as much of `bytes` as fits; waits if nothing does.
    ///
    /// # Errors
    /// What send(2) says.
    pub fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.try_write(bytes);
        self.or_wait(cx, Readiness::WRITABLE, outcome)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock`, or what recv(2) says.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }

    /// Writes as much as fits, without waiting.
    ///
    /// # Errors
    /// `WouldBlock`, or what send(2) says.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.source.write(bytes)
    }

    /// Resumes whoever polls with `cx` when the stream is ready for `interest`, and for nothing else.
    pub fn want(&mut self, cx: &Context<'_>, interest: Readiness) {
        let task = self.relay.task(self.source.handle(), cx);
        self.source.want_for(task, interest);
    }

    /// The stream on the loop, for who knows its tasks.
    pub fn source(&self) -> &Source<world::Stream> {
        &self.source
    }

    fn or_wait<T>(
        &mut self,
        cx: &Context<'_>,
        interest: Readiness,
        outcome: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.want(cx, interest);
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}
