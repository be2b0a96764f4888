//! A connection that is read and written by coroutines: asyncio's streams, without their buffers.
//!
//! A [`Stream`] may go from one task to another (through a pool, for example): the task that waits for it
//! becomes its owner on the loop. Two tasks at a time each need a half of it: [`Stream::split`]. Each
//! `try_` method is one operation that does not wait; each `poll_` method, if it would block, arranges
//! that the task is resumed; the `async` methods await those.
//!
//! A peer that is fast enough never lets them wait. So that it does not have the loop to itself, a
//! stream moves at most [`READ_BYTES_PER_RESUME_MAX`] and [`WRITE_BYTES_PER_RESUME_MAX`] bytes in a turn,
//! by at most [`OPERATIONS_PER_RESUME_MAX`] operations each way: then every method behaves as if it
//! would block, and the task is resumed in the next turn.
//!
//! [`OPERATIONS_PER_RESUME_MAX`]: crate::limits::OPERATIONS_PER_RESUME_MAX

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::budget::{Budget, Budgets};
use super::split::{ReadHalf, WriteHalf};
use super::waits::{Awaited, Waiting, Waits};
use crate::event_loop::{Handle, Source};
use crate::id::TaskId;
use crate::limits::{READ_BYTES_PER_RESUME_MAX, WRITE_BYTES_PER_RESUME_MAX};
use crate::world::{self, Readiness};

/// A byte stream that is connected, or about to be. Dropping it closes it.
///
/// It belongs to the loop that opened it, and can be awaited in coroutines of that loop only.
#[derive(Debug)]
pub struct Stream {
    source: Source<world::Stream>,
    waits: Waits,
    budgets: Budgets,
}

/// The error for a second task.
const SPLIT: &str = "Stream::split gives each of two tasks a half of its own";

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
        let stream = Waiting(self);
        poll_fn(|cx| stream.0.poll_read(cx, buffer)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What send(2) says; some of the bytes may be on their way then.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let stream = Waiting(self);
        while !bytes.is_empty() {
            let written = poll_fn(|cx| stream.0.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Gives one half to a task that reads and one to a task that writes: each waits for its own direction,
    /// and resumes its own task.
    ///
    /// ```
    /// use helloop::coroutine;
    ///
    /// coroutine::run(|handle| async move {
    ///     let server = handle.start_server("localhost:0", |stream, _| async move {
    ///         let (mut from_peer, mut to_peer) = stream.split();
    ///         let mut buffer = [0; 1024];
    ///         while let Ok(bytes @ 1..) = from_peer.read(&mut buffer).await {
    ///             to_peer.write_all(&buffer[..bytes]).await.expect("it reads");
    ///         }
    ///         // `to_peer` is dropped: the peer reads the end.
    ///     })?;
    ///     let (mut from_server, mut to_server) =
    ///         handle.open_connection(server.local_addr()).await?.split();
    ///     let writes = handle.spawn(async move {
    ///         // More than the kernel takes as long as nobody reads the echo.
    ///         for _ in 0..100 {
    ///             to_server.write_all(&[b'x'; 100_000]).await?;
    ///         }
    ///         to_server.shut_write()
    ///     });
    ///     let (mut buffer, mut echoed) = (vec![0; 64 * 1024], 0);
    ///     while let bytes @ 1.. = from_server.read(&mut buffer).await? {
    ///         echoed += bytes;
    ///     }
    ///     writes.await.expect("it does not panic")?;
    ///     assert_eq!(echoed, 10_000_000);
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A [`WriteHalf`] that is dropped shuts the write side, unless that was done: the peer reads the end,
    /// and may go on sending. A [`ReadHalf`] that is dropped changes nothing for the peer. When both are
    /// gone, the connection is closed.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        super::split::halves(self.source)
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

impl Awaited for Stream {
    fn waits(&mut self) -> &mut Waits {
        &mut self.waits
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
        // Nothing waits yet: the task that does will become the owner.
        let source = Source::stream(handle, socket, TaskId::default())?;
        source.forget_readiness();
        Ok(Stream::new(source))
    }

    /// Waits until the connection is there, or cannot be.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn poll_connected(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if !self.source.readiness().is_writable() {
            self.want(cx, Readiness::WRITABLE)?;
            return Poll::Pending;
        }
        if let Some(error) = self.source.socket().take_error()? {
            return Poll::Ready(Err(error));
        }
        // A world may report too often; only the socket knows.
        match self.source.socket().peer_addr() {
            Ok(_) => {
                self.waits.is_over(self.source.handle(), Readiness::WRITABLE);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.source.forget_readiness();
                self.want(cx, Readiness::WRITABLE)?;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// A connection that a listener has accepted.
    pub(super) fn accepted(handle: &Handle, socket: world::Stream) -> io::Result<Stream> {
        // As in `connecting`: the task that waits becomes the owner.
        Ok(Stream::new(Source::stream(handle, socket, TaskId::default())?))
    }

    pub(crate) fn new(source: Source<world::Stream>) -> Stream {
        Stream { source, waits: Waits::default(), budgets: Budgets::default() }
    }

    /// As [`read`](Stream::read).
    ///
    /// # Errors
    /// What recv(2) says; `ResourceBusy`, as for [`want`](Stream::want).
    pub fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let outcome = self.try_read(buffer);
        self.or_wait(cx, Readiness::READABLE, outcome)
    }

    /// Writes as much of `bytes` as fits; waits if nothing does.
    ///
    /// # Errors
    /// What send(2) says; `ResourceBusy`, as for [`want`](Stream::want).
    pub fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.try_write(bytes);
        self.or_wait(cx, Readiness::WRITABLE, outcome)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock`, even if only because enough was read in this turn; or what recv(2) says.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read(&mut self.source, &mut self.budgets.reading, &mut self.waits, buffer)
    }

    /// Writes as much as fits, without waiting.
    ///
    /// # Errors
    /// `WouldBlock`, even if only because enough was written in this turn; or what send(2) says.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&mut self.source, &mut self.budgets.writing, &mut self.waits, bytes)
    }

    /// Resumes the task that polls with `cx` when the stream is ready for `interest`, or, if an operation was
    /// refused only for the sake of other tasks, in the next turn. What one task wants in
    /// one resume adds up; in the next one it begins anew.
    ///
    /// # Errors
    /// `ResourceBusy`: another task waits for the stream. It is asked whether it still does, so this may
    /// come after a few turns.
    pub fn want(&mut self, cx: &Context<'_>, interest: Readiness) -> io::Result<()> {
        self.waits.wait_for(&self.source, cx, interest, SPLIT)
    }

    /// The stream on the loop, for code that knows its tasks.
    pub fn source(&self) -> &Source<world::Stream> {
        &self.source
    }

    /// Gives it to a task that knows it as a source; no task of coroutines waits for it.
    #[cfg(feature = "client")]
    pub(crate) fn want_for(&mut self, task: TaskId, interest: Readiness) {
        self.waits.give_up();
        self.source.want_for(task, interest);
    }

    /// Takes out what was counted in this turn, or puts it back. Without it, the next operations ask the
    /// kernel in any case.
    #[cfg(feature = "client")]
    pub(crate) fn replace_budgets(&mut self, budgets: Budgets) -> Budgets {
        std::mem::replace(&mut self.budgets, budgets)
    }

    /// True if an operation since the last [`want`](Stream::want) was refused for the sake of others: the
    /// kernel was not asked.
    #[cfg(feature = "client")]
    pub(crate) fn is_spent(&self) -> bool {
        self.waits.is_spent
    }

    fn or_wait<T>(
        &mut self,
        cx: &Context<'_>,
        interest: Readiness,
        outcome: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.want(cx, interest)?;
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

/// Reads within the budget.
pub(super) fn read(
    source: &mut Source<world::Stream>,
    budget: &mut Budget,
    waits: &mut Waits,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let most = budget.bytes_left(source.handle(), READ_BYTES_PER_RESUME_MAX).min(buffer.len());
    if most == 0 && !buffer.is_empty() {
        waits.is_spent = true;
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let bytes = source.read(&mut buffer[..most])?;
    budget.spend(bytes);
    waits.is_over(source.handle(), Readiness::READABLE);
    Ok(bytes)
}

/// Writes within the budget.
pub(super) fn write(
    source: &mut Source<world::Stream>,
    budget: &mut Budget,
    waits: &mut Waits,
    bytes: &[u8],
) -> io::Result<usize> {
    let most = budget.bytes_left(source.handle(), WRITE_BYTES_PER_RESUME_MAX).min(bytes.len());
    if most == 0 && !bytes.is_empty() {
        waits.is_spent = true;
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let written = source.write(&bytes[..most])?;
    budget.spend(written);
    waits.is_over(source.handle(), Readiness::WRITABLE);
    Ok(written)
}

#[cfg(test)]
pub(super) mod tests;
