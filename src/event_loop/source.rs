//! A registered socket: reading and writing that keep the sticky readiness true.
//!
//! **Readiness is sticky.** The world sets a bit when a direction becomes ready; only an operation
//! that would have blocked clears it. A bit in which no task is interested stays; [`Source::want`]
//! finds it later. The two bits for a closed direction are never cleared: what is closed stays
//! closed.
//!
//! **A short read or write clears the bit, too.** A read that did not fill its buffer has emptied
//! the kernel's, so whatever comes next is a change, and an edge-triggered poller reports changes
//! by itself. Asking once more, only to be told `WouldBlock`, would be one system call in two for a
//! server whose requests come in one piece.
//!
//! The argument holds as long as *short* means *empty*, and there it ends. recv(2) stops at the mark
//! of urgent data (`MSG_OOB`, tcp(7)) although more comes after it; that came together with what was
//! read, so no edge will report it. A read of a datagram is as short as the datagram. And a descriptor
//! that others read as well, or whose poller reports a level only once, may hold bytes that
//! are never reported. A world in which a source can be like that must say so, with
//! [`Readiness::PRIORITY`], no later than it reports those bytes. The bit is never cleared, and from
//! then on that source is read until it would block: it pays one more call for each batch, and the
//! others pay nothing.
//!
//! The end of a stream needs no such care, although it may be reported together with the last bytes:
//! it has a bit of its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::AsFd;

use super::state::SourceSlot;
use super::{Cause, Handle};
use crate::events::{Event, Operation};
use crate::id::{SourceId, TaskId};
use crate::world::{Listener, Pollable, Readiness, Stream};

/// A socket that the loop watches for one task. Dropping it closes the socket.
///
/// It belongs to the task and not to the loop, which knows it by its id alone. So a task that ends, for whatever
/// reason, closes its sockets by being dropped, and there is no list of sockets to be kept in step with the
/// list of tasks.
///
/// Operations return `WouldBlock` without asking the kernel while the sticky bit is clear, and
/// never `Interrupted`.
#[derive(Debug)]
pub struct Source<S> {
    socket: S,
    id: SourceId,
    handle: Handle,
}

impl<S> Source<S> {
    /// What the source is ready for, as far as the loop knows.
    pub fn readiness(&self) -> Readiness {
        self.with_slot(|slot| slot.readiness).unwrap_or_default()
    }

    /// Says for which of `READABLE` and `WRITABLE` the owner wants to be resumed, from now on.
    /// If that is the case already, it is queued at once.
    pub fn want(&self, interest: Readiness) {
        self.wish(None, interest);
    }

    /// Gives the source to another task, and says what that one wants; see [`want`](Source::want).
    pub fn want_for(&self, owner: TaskId, interest: Readiness) {
        self.wish(Some(owner), interest);
    }

    fn wish(&self, owner: Option<TaskId>, interest: Readiness) {
        let (owner, cause) = {
            let state = &mut *self.handle.shared.state.borrow_mut();
            let Some(slot) = state.sources.get_mut(self.id) else { return };
            let owner = owner.unwrap_or(slot.owner);
            if (slot.owner, slot.interest) == (owner, interest) && !slot.is_shared {
                // It was queued when this interest was set, or when the readiness came.
                return;
            }
            state.wanted_sources += usize::from(!interest.is_empty());
            state.wanted_sources -= usize::from(!slot.interest.is_empty());
            (slot.owner, slot.interest) = (owner, interest);
            if std::mem::take(&mut slot.is_shared) {
                state.writers.remove(&self.id);
            }
            (owner, slot.cause())
        };
        // What is there already is not reported again: this way no readiness is lost, whenever it came.
        if !cause.is_empty() {
            self.handle.shared.queue(owner, cause);
        }
    }

    fn with_slot<R>(&self, change: impl FnOnce(&mut SourceSlot) -> R) -> Option<R> {
        self.handle.shared.state.borrow_mut().sources.get_mut(self.id).map(change)
    }

    /// Registers a socket that counts as ready for `readiness`.
    fn register(
        handle: &Handle,
        pollable: Pollable<'_>,
        owner: TaskId,
        readiness: Readiness,
    ) -> io::Result<SourceId> {
        let id = {
            let state = &mut *handle.shared.state.borrow_mut();
            let interest = Readiness::empty();
            let slot =
                SourceSlot { readiness, interest, is_reported: false, is_shared: false, owner };
            let id = state.sources.insert(slot);
            if let Err(error) = handle.world().register(pollable, id) {
                state.sources.remove(id);
                return Err(error);
            }
            id
        };
        handle.tell(|| Event::Opened { source: id, task: owner });
        Ok(id)
    }

    /// Says that `task` wants to be resumed when the source is ready for `direction`, which is `READABLE` or
    /// `WRITABLE`, whatever waits for the other one: from now on each direction has a task of its own,
    /// until [`want_for`](Source::want_for) gives both to one.
    pub fn want_one(&self, task: TaskId, direction: Readiness) {
        self.handle.set_direction(self.id, task, direction);
    }

    /// Says that no task waits for `direction` any more, of a source whose directions have a task each.
    pub fn want_one_no_more(&self, direction: Readiness) {
        self.handle.clear_direction(self.id, direction);
    }

    /// What was reported turned out to be wrong: nothing counts as ready until the world reports it.
    pub fn forget_readiness(&self) {
        // That there was urgent data stays true.
        self.with_slot(|slot| slot.readiness &= Readiness::PRIORITY);
    }

    /// Forgets what is known: the next operation asks the kernel. For a last look before a
    /// deadline is enforced, when readiness may wait behind many other events.
    pub fn assume_ready(&self) {
        self.with_slot(|slot| {
            slot.readiness |= Readiness::READABLE | Readiness::WRITABLE;
            slot.is_reported = false;
        });
    }

    /// True once the world has reported the source. Before, a read is made on a guess, and one that
    /// came back short may have ended at the mark of urgent data of which the report is yet to come.
    pub fn was_reported(&self) -> bool {
        self.with_slot(|slot| slot.is_reported).unwrap_or_default()
    }

    /// The name under which the loop knows it.
    pub fn id(&self) -> SourceId {
        self.id
    }

    /// The loop that watches it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The socket itself, for asking it things. Reading and writing go through the source.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    fn would_block(&self, bit: Readiness, operation: Operation) -> io::Error {
        self.with_slot(|slot| slot.readiness.remove(bit));
        let source = self.id;
        self.handle.tell(|| Event::WouldBlock { source, operation });
        io::ErrorKind::WouldBlock.into()
    }
}

impl Source<Stream> {
    /// Registers a stream for `owner`. It counts as ready until an operation says otherwise.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket belongs to another world.
    pub fn stream(handle: &Handle, mut socket: Stream, owner: TaskId) -> io::Result<Self> {
        // Nobody has said so yet; the first operation finds out. A connection that has just been accepted has,
        // as a rule, its request in the kernel already and room in its send buffer, and waiting for the poller
        // to say so would cost a turn. A wrong guess costs one call that returns `WouldBlock`, which clears the
        // bit; a bit that is missing would cost a connection that waits for ever.
        let ready = Readiness::READABLE | Readiness::WRITABLE;
        let id = Self::register(handle, Pollable::Stream(&mut socket), owner, ready)?;
        Ok(Source { socket, id, handle: handle.clone() })
    }

    /// As [`stream`](Source::stream), for one that is not connected yet: it counts as ready for
    /// nothing until the world reports something. To write to it now would fail, and not block.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket belongs to another world.
    pub fn connecting(handle: &Handle, socket: Stream, owner: TaskId) -> io::Result<Self> {
        let source = Source::stream(handle, socket, owner)?;
        source.forget_readiness();
        Ok(source)
    }

    /// Reads what is there, at most `buffer`. Zero is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock`, or what recv(2) says.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let readiness = self.readiness();
        if !readiness.is_readable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let source = self.id;
        match retry(|| self.socket.read(buffer)) {
            // The end, and the bit stays: the next read returns the same, without a wait for an edge that
            // will not come.
            Ok(0) => {
                self.handle.tell(|| Event::ReadEnd { source });
                Ok(0)
            }
            Ok(bytes) => {
                // Once there was urgent data, short does not mean empty: see above.
                if bytes < buffer.len() && !readiness.contains(Readiness::PRIORITY) {
                    self.with_slot(|slot| slot.readiness.remove(Readiness::READABLE));
                }
                self.handle.tell(|| Event::Read { source, bytes });
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.would_block(Readiness::READABLE, Operation::Read))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes as much as fits, at most `bytes`.
    ///
    /// # Errors
    /// `WouldBlock`, or what send(2) says. Never SIGPIPE: a peer that is gone is `BrokenPipe`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.readiness().is_writable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let source = self.id;
        match retry(|| self.socket.write(bytes)) {
            Ok(written) => {
                // The send buffer is full, and that it empties is a change, which will be reported.
                if written < bytes.len() {
                    self.with_slot(|slot| slot.readiness.remove(Readiness::WRITABLE));
                }
                self.handle.tell(|| Event::Wrote { source, bytes: written, of: bytes.len() });
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.would_block(Readiness::WRITABLE, Operation::Write))
            }
            Err(error) => Err(error),
        }
    }

    /// Says that nothing more will be written; the peer reads the end. Reading goes on.
    ///
    /// # Errors
    /// When the peer is gone already.
    pub fn shut_write(&mut self) -> io::Result<()> {
        let source = self.id;
        self.socket.shutdown(Shutdown::Write)?;
        self.handle.tell(|| Event::Shut { source });
        Ok(())
    }
}

impl Source<Listener> {
    /// Registers a listener for `owner`. It counts as readable until an accept says otherwise.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket belongs to another world.
    pub fn listener(handle: &Handle, mut socket: Listener, owner: TaskId) -> io::Result<Self> {
        let pollable = Pollable::Listener(&mut socket);
        let id = Self::register(handle, pollable, owner, Readiness::READABLE)?;
        Ok(Source { socket, id, handle: handle.clone() })
    }

    /// Takes the oldest connection from the accept queue.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, or what accept(2) says. After an error the source still
    /// counts as readable: there may be more.
    pub fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        if !self.readiness().is_readable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match retry(|| self.socket.accept()) {
            Ok(accepted) => {
                let source = self.id;
                self.handle.tell(|| Event::Accepted { source });
                Ok(accepted)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.would_block(Readiness::READABLE, Operation::Accept))
            }
            Err(error) => Err(error),
        }
    }
}

/// For descriptors of every other kind: datagrams, pipes, timers, signals, what inotify(7) reports.
#[cfg(unix)]
impl<T: AsFd> Source<T> {
    /// Registers a descriptor for `owner`, for `READABLE`, `WRITABLE` or both. It must not block
    /// (O_NONBLOCK). It counts as ready until an operation says otherwise.
    ///
    /// # Errors
    /// When the kernel refuses: a regular file cannot be polled, for example, because it never makes
    /// anybody wait.
    pub fn descriptor(
        handle: &Handle,
        descriptor: T,
        owner: TaskId,
        directions: Readiness,
    ) -> io::Result<Self> {
        let pollable = Pollable::Fd(descriptor.as_fd(), directions);
        let id = Self::register(handle, pollable, owner, directions)?;
        Ok(Source { socket: descriptor, id, handle: handle.clone() })
    }

    /// Calls `operation` if the descriptor is ready for `direction`, as far as the loop knows. Only
    /// `WouldBlock` clears the bit: of a datagram or a message, a short read says nothing about the next.
    ///
    /// # Errors
    /// `WouldBlock`, or what `operation` returns, but never `Interrupted`.
    pub fn attempt<R>(
        &mut self,
        direction: Readiness,
        mut operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let (is_write, readiness) = (direction == Readiness::WRITABLE, self.readiness());
        let is_ready = if is_write { readiness.is_writable() } else { readiness.is_readable() };
        if !is_ready {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match retry(|| operation(&mut self.socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let operation = if is_write { Operation::Write } else { Operation::Read };
                Err(self.would_block(direction, operation))
            }
            outcome => outcome,
        }
    }

    /// Ends the registration. For a descriptor that stays open afterwards, because others have it too.
    pub fn deregister(&self) {
        self.handle.world().deregister(self.socket.as_fd());
    }
}

/// For sources that two tasks share: one reads, one writes.
impl Handle {
    fn set_direction(&self, source: SourceId, task: TaskId, direction: Readiness) {
        let cause = {
            let state = &mut *self.shared.state.borrow_mut();
            let Some(slot) = state.sources.get_mut(source) else { return };
            if !slot.is_shared {
                state.wanted_sources -= usize::from(!slot.interest.is_empty());
                (slot.is_shared, slot.interest) = (true, Readiness::empty());
                state.writers.insert(source, TaskId::default());
            }
            let owner = match direction {
                Readiness::WRITABLE => state.writers.entry(source).or_default(),
                _ => &mut slot.owner,
            };
            if *owner == task && slot.interest.contains(direction) {
                // It was queued when it said so before, or when the readiness came.
                return;
            }
            *owner = task;
            state.wanted_sources += usize::from(slot.interest.is_empty());
            slot.interest |= direction;
            slot.cause() & cause_of(direction)
        };
        if !cause.is_empty() {
            self.shared.queue(task, cause);
        }
    }

    fn clear_direction(&self, source: SourceId, direction: Readiness) {
        let state = &mut *self.shared.state.borrow_mut();
        if let Some(slot) = state.sources.get_mut(source)
            && slot.is_shared
        {
            state.wanted_sources -= usize::from(!slot.interest.is_empty());
            slot.interest.remove(direction);
            state.wanted_sources += usize::from(!slot.interest.is_empty());
        }
    }
}

fn cause_of(direction: Readiness) -> Cause {
    if direction == Readiness::WRITABLE { Cause::WRITABLE } else { Cause::READABLE }
}

impl<S> Drop for Source<S> {
    fn drop(&mut self) {
        {
            let state = &mut *self.handle.shared.state.borrow_mut();
            if let Some(slot) = state.sources.remove(self.id) {
                state.wanted_sources -= usize::from(!slot.interest.is_empty());
                if slot.is_shared {
                    state.writers.remove(&self.id);
                }
            }
        }
        self.handle.tell(|| Event::Closed { source: self.id });
    }
}

/// Repeats what a signal interrupted (EINTR, signal(7)). Without a handler this happens as well: a process
/// that is stopped and goes on has its calls interrupted.
fn retry<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
