//! One connection, two tasks: one reads, one writes.
//!
//! The two halves share the source, which knows a task for each direction. It is borrowed for the
//! length of one operation, never across an `await`.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::budget::Budget;
use super::stream::{Stream, read, write};
use super::waits::{Awaited, Wait, Waiting, Waits};
use crate::event_loop::Source;
use crate::world::{self, Readiness};

/// The half of a [`Stream`] that reads: see [`Stream::split`]. As long as the other half lives, dropping
/// it changes nothing for the peer.
#[derive(Debug)]
pub struct ReadHalf {
    half: Half,
}

/// The half of a [`Stream`] that writes: see [`Stream::split`]. Dropping it shuts the write side: after
/// what was written, the peer reads the end.
///
/// A task that panics or is cancelled drops it as well. If the peer must be able to tell a whole message
/// from the beginning of one, the message needs a sign of its end: a length, or a last line.
#[derive(Debug)]
pub struct WriteHalf {
    half: Half,
    /// The write side needs no shutdown when this is dropped.
    is_shut: bool,
}

/// What both halves are.
#[derive(Debug)]
struct Half {
    source: Rc<RefCell<Source<world::Stream>>>,
    /// `READABLE` or `WRITABLE`.
    direction: Readiness,
    waits: Waits,
    /// Of operations in this direction.
    budget: Budget,
}

/// The halves are not of one stream. They are given back.
///
/// ```
/// use helloop::coroutine::{self, NotOneStream, ReadHalf, WriteHalf};
///
/// coroutine::run(|handle| async move {
///     let server = handle.start_server("localhost:0", |_, _| async {})?;
///     let address = server.local_addr();
///     let (reader, _writer): (ReadHalf, WriteHalf) = handle.open_connection(address).await?.split();
///     let (_, other) = handle.open_connection(address).await?.split();
///     let NotOneStream(halves) = reader.reunite(other).expect_err("of two streams");
///     drop(halves);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NotOneStream(pub Box<(ReadHalf, WriteHalf)>);

impl fmt::Display for NotOneStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of one stream")
    }
}

impl std::error::Error for NotOneStream {}

/// The two halves of a source.
pub(super) fn halves(source: Source<world::Stream>) -> (ReadHalf, WriteHalf) {
    // Nothing that the task wants which had it whole.
    source.want(Readiness::empty());
    let source = Rc::new(RefCell::new(source));
    let half = |direction| Half {
        source: Rc::clone(&source),
        direction,
        waits: Waits::default(),
        budget: Budget::default(),
    };
    let reader = ReadHalf { half: half(Readiness::READABLE) };
    (reader, WriteHalf { half: half(Readiness::WRITABLE), is_shut: false })
}

impl ReadHalf {
    /// See [`Stream::read`].
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = Waiting(&mut self.half);
        poll_fn(|cx| waiting.0.poll_read(cx, buffer)).await
    }

    /// See [`Stream::poll_read`].
    ///
    /// # Errors
    /// What recv(2) says; `ResourceBusy` when another task waits to read.
    pub fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.half.poll_read(cx, buffer)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.half.source.borrow().socket().peer_addr()
    }

    /// Puts the stream together again. If the write side was shut, it stays so.
    ///
    /// # Errors
    /// When the halves are not of one stream.
    pub fn reunite(self, mut writer: WriteHalf) -> Result<Stream, NotOneStream> {
        if !Rc::ptr_eq(&self.half.source, &writer.half.source) {
            return Err(NotOneStream(Box::new((self, writer))));
        }
        writer.is_shut = true;
        let source = Rc::clone(&self.half.source);
        drop((self, writer));
        let source = Rc::into_inner(source).expect("a source has two halves, and both are dropped");
        Ok(Stream::new(source.into_inner()))
    }
}

impl WriteHalf {
    /// See [`Stream::write_all`].
    ///
    /// # Errors
    /// What send(2) says; some of the bytes may be on their way then.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let waiting = Waiting(&mut self.half);
        while !bytes.is_empty() {
            let written = poll_fn(|cx| waiting.0.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// See [`Stream::poll_write`].
    ///
    /// # Errors
    /// What send(2) says; `ResourceBusy` when another task waits to write.
    pub fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.half.poll_write(cx, bytes)
    }

    /// Says that nothing more will be written, as dropping this does, and whether that went well.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn shut_write(&mut self) -> io::Result<()> {
        self.is_shut = true;
        self.half.source.borrow_mut().shut_write()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.half.source.borrow().socket().peer_addr()
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        // The last half closes the socket, which says the same.
        if !self.is_shut && Rc::strong_count(&self.half.source) > 1 {
            // If the peer is gone, it does not matter.
            let _ = self.half.source.borrow_mut().shut_write();
        }
    }
}

impl Awaited for Half {
    fn waits(&mut self) -> &mut Waits {
        &mut self.waits
    }
}

impl Half {
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let outcome = {
            let source = &mut self.source.borrow_mut();
            read(source, &mut self.budget, &mut self.waits, buffer)
        };
        self.or_wait(cx, outcome)
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = {
            let source = &mut self.source.borrow_mut();
            write(source, &mut self.budget, &mut self.waits, bytes)
        };
        self.or_wait(cx, outcome)
    }

    fn or_wait<T>(&mut self, cx: &Context<'_>, outcome: io::Result<T>) -> Poll<io::Result<T>> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let source = self.source.borrow();
                let remedy = "a half of a stream is for one task at a time";
                match self.waits.wait(source.handle(), cx, self.direction, remedy)? {
                    Wait::For(task, _) => {
                        source.want_in(self.direction, Some(task), self.direction);
                    }
                    Wait::Again => {}
                }
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.source.borrow().want_in(self.direction, None, Readiness::empty());
    }
}

#[cfg(test)]
mod tests;
