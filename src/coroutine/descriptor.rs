//! Coroutines that wait for descriptors of any kind: what asyncio's `add_reader` and `add_writer` are for.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use socket2::SockRef;

use super::budget::Budget;
use super::waits::{Awaited, Waiting, Waits};
use crate::event_loop::{Handle, Source};
use crate::events::Operation;
use crate::id::TaskId;
use crate::world::{Pollable, Readiness};

/// A descriptor that a coroutine reads from: a UDP socket, a pipe, a timer (timerfd_create(2)), signals
/// (signalfd(2)), what inotify(7) reports, or a stream that some other library has connected.
///
/// ```
/// use std::net::UdpSocket;
///
/// use helloop::coroutine::{self, Readable};
///
/// coroutine::run(|handle| async move {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     let address = socket.local_addr()?;
///     let mut socket = Readable::new(&handle, socket)?;
///     let echo = handle.spawn(async move {
///         let mut datagram = [0; 1500];
///         let (bytes, peer) = socket.read_with(|it| it.recv_from(&mut datagram)).await?;
///         socket.get_ref().send_to(&datagram[..bytes], peer)
///     });
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.send_to(b"hello", address)?;
///     assert_eq!(echo.await.expect("it does not panic")?, 5);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It does not block from now on (O_NONBLOCK), which is a property of the open file: whoever has another
/// descriptor of the same open file, as programs have of their terminal, sees it too.
///
/// As any other source it has a budget: after
/// [`OPERATIONS_PER_RESUME_MAX`](crate::limits::OPERATIONS_PER_RESUME_MAX) operations in one turn, the others
/// have theirs.
#[derive(Debug)]
pub struct Readable<T: AsFd>(Descriptor<T>);

/// A descriptor that a coroutine writes to. See [`Readable`].
///
/// ```
/// use helloop::coroutine::{self, Readable, Writable};
/// use std::io::{Read, Write};
///
/// coroutine::run(|handle| async move {
///     let (reader, writer) = std::io::pipe()?;
///     let mut reader = Readable::new(&handle, reader)?;
///     let mut writer = Writable::new(&handle, writer)?;
///     writer.write_with(|pipe| pipe.write(b"hello")).await?;
///     let mut buffer = [0; 8];
///     assert_eq!(reader.read_with(|pipe| pipe.read(&mut buffer)).await?, 5);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writable<T: AsFd>(Descriptor<T>);

#[derive(Debug)]
struct Descriptor<T: AsFd> {
    source: Source<T>,
    direction: Readiness,
    waits: Waits,
    budget: Budget,
}

impl<T: AsFd> Readable<T> {
    /// Has the loop watch `descriptor`, which does not block from now on. A descriptor can be watched once;
    /// to read and to write, duplicate it (`try_clone`).
    ///
    /// # Errors
    /// When the kernel refuses. A regular file cannot be watched (`PermissionDenied`): reading it never waits.
    pub fn new(handle: &Handle, descriptor: T) -> io::Result<Readable<T>> {
        Descriptor::new(handle, descriptor, Readiness::READABLE).map(Readable)
    }

    /// Calls `operation`, again and again if need be, until it returns something other than `WouldBlock`, and
    /// waits until the descriptor is readable before it is called again.
    ///
    /// # Errors
    /// What `operation` returns; `ResourceBusy` when another task waits for this.
    pub async fn read_with<R>(
        &mut self,
        operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.when_ready(operation).await
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        self.0.source.socket()
    }
}

impl<T: AsFd> Writable<T> {
    /// As [`Readable::new`].
    ///
    /// # Errors
    /// As [`Readable::new`].
    pub fn new(handle: &Handle, descriptor: T) -> io::Result<Writable<T>> {
        Descriptor::new(handle, descriptor, Readiness::WRITABLE).map(Writable)
    }

    /// As [`Readable::read_with`], for an operation that writes.
    ///
    /// # Errors
    /// As [`Readable::read_with`].
    pub async fn write_with<R>(
        &mut self,
        operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.when_ready(operation).await
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        self.0.source.socket()
    }
}

impl<T: AsFd> Descriptor<T> {
    fn new(handle: &Handle, descriptor: T, direction: Readiness) -> io::Result<Descriptor<T>> {
        // Of any descriptor: it is fcntl(2).
        SockRef::from(&descriptor).set_nonblocking(true)?;
        // Nobody waits yet: the task that does becomes the owner.
        let owner = TaskId::default();
        let source = Source::register(handle, descriptor, owner, |descriptor| {
            Pollable::Fd(T::as_fd(descriptor), direction)
        })?;
        let (waits, budget) = (Waits::default(), Budget::default());
        Ok(Descriptor { source, direction, waits, budget })
    }

    async fn when_ready<R>(
        &mut self,
        mut operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll(cx, &mut operation)).await
    }

    fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        operation: &mut impl FnMut(&mut T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let outcome = if self.budget.bytes_left(self.source.handle(), usize::MAX) == 0 {
            self.waits.is_spent = true;
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            let is_write = self.direction == Readiness::WRITABLE;
            self.source
                .attempt(if is_write { Operation::Write } else { Operation::Read }, operation)
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let remedy = "a descriptor is for one task at a time";
                self.waits.wait_for(&self.source, cx, self.direction, remedy)?;
                Poll::Pending
            }
            outcome => {
                self.budget.spend(0);
                self.waits.is_over(self.source.handle(), self.direction);
                Poll::Ready(outcome)
            }
        }
    }
}

impl<T: AsFd> Drop for Descriptor<T> {
    fn drop(&mut self) {
        // `T` may be a reference, or shared: then the descriptor stays open.
        self.source.handle().world().deregister(self.source.socket().as_fd());
    }
}

impl<T: AsFd> Awaited for Descriptor<T> {
    fn waits(&mut self) -> &mut Waits {
        &mut self.waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine;
    use crate::limits::OPERATIONS_PER_RESUME_MAX;
    use std::fs::File;
    use std::io::{PipeReader, Read, Write};
    use std::time::Duration;

    fn within<F, Fut>(main: F)
    where
        F: FnOnce(Handle) -> Fut,
        Fut: Future<Output = io::Result<()>> + 'static,
    {
        coroutine::run(main).unwrap().unwrap();
    }

    #[test]
    fn a_pipe_is_read_as_it_is_written() {
        within(|handle| async move {
            let (reader, mut writer) = io::pipe()?;
            let mut reader = Readable::new(&handle, reader)?;
            let words = handle.spawn(async move {
                let (mut words, mut buffer) = (Vec::new(), [0; 100]);
                while let bytes @ 1.. = reader.read_with(|it| it.read(&mut buffer)).await? {
                    words.push(buffer[..bytes].to_vec());
                }
                Ok::<_, io::Error>(words)
            });
            for word in ["one", "two"] {
                handle.sleep(Duration::from_millis(1)).await;
                writer.write_all(word.as_bytes())?;
            }
            handle.sleep(Duration::from_millis(1)).await;
            drop(writer);
            assert_eq!(words.await.unwrap()?, [b"one", b"two"]);
            Ok(())
        });
    }

    #[test]
    fn a_pipe_that_is_full_is_waited_for() {
        within(|handle| async move {
            let (reader, writer) = io::pipe()?;
            let mut writer = Writable::new(&handle, writer)?;
            let mut reader = Readable::new(&handle, reader)?;
            let writing = handle.spawn(async move {
                let mut left = 1_000_000;
                while left > 0 {
                    left -= writer.write_with(|it| it.write(&vec![b'x'; left])).await?;
                }
                Ok::<_, io::Error>(())
            });
            let (mut read, mut buffer) = (0, vec![0; 5000]);
            while let bytes @ 1.. = reader.read_with(|it| it.read(&mut buffer)).await? {
                read += bytes;
            }
            assert_eq!((read, writing.await.unwrap().is_ok()), (1_000_000, true));
            Ok(())
        });
    }

    /// What is always ready has a budget.
    #[test]
    fn others_have_their_turn() {
        within(|handle| async move {
            let (reader, mut writer) = io::pipe()?;
            writer.write_all(&[0; 3 * OPERATIONS_PER_RESUME_MAX])?;
            let mut reader = Readable::new(&handle, reader)?;
            let begin = handle.turns();
            for _ in 0..3 * OPERATIONS_PER_RESUME_MAX {
                reader.read_with(|it| it.read(&mut [0])).await?;
            }
            assert_eq!(handle.turns() - begin, 2);
            Ok(())
        });
    }

    #[test]
    fn a_descriptor_that_is_only_lent_can_be_watched_again() {
        within(|handle| async move {
            let (reader, mut writer) = io::pipe()?;
            let reader: &PipeReader = Box::leak(Box::new(reader));
            for _ in 0..3 {
                let mut once = Readable::new(&handle, reader)?;
                let again = Readable::new(&handle, reader).map(drop);
                assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
                writer.write_all(b"x")?;
                assert_eq!(once.read_with(|it| it.read(&mut [0; 10])).await?, 1);
                drop(once);
            }
            Ok(())
        });
    }

    #[test]
    fn a_regular_file_is_no_source() {
        within(|handle| async move {
            let file = File::open("Cargo.toml")?;
            let error = Readable::new(&handle, file).map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            Ok(())
        });
    }
}
