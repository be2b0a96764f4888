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

use super::Handle;
use super::state::{SourceSlot, State};
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
    /// Registers a socket for `owner`; `pollable` says of what kind it is. Until an operation says otherwise, it
    /// counts as ready for all that it can become ready for.
    ///
    /// Nobody has said so yet; the first operation finds out. A connection that has just been accepted has, as a
    /// rule, its request in the kernel already and room in its send buffer, and waiting for the poller to say so
    /// would cost a turn. A wrong guess costs one call that returns `WouldBlock`, which clears the bit; a bit that
    /// is missing would cost a connection that waits for ever.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket belongs to another world. A regular file cannot be polled, for
    /// example, because it never makes anybody wait.
    pub fn register(
        handle: &Handle,
        mut socket: S,
        owner: TaskId,
        pollable: impl FnOnce(&mut S) -> Pollable<'_>,
    ) -> io::Result<Source<S>> {
        let pollable = pollable(&mut socket);
        let slot = SourceSlot { owner, readiness: pollable.directions(), ..SourceSlot::default() };
        let id = handle.shared.state.borrow_mut().sources.insert(slot);
        if let Err(error) = handle.world().register(pollable, id) {
            handle.shared.state.borrow_mut().sources.remove(id);
            return Err(error);
        }
        handle.tell(|| Event::Opened { source: id, task: owner });
        Ok(Source { socket, id, handle: handle.clone() })
    }

    /// What the source is ready for, as far as the loop knows.
    pub fn readiness(&self) -> Readiness {
        self.with_slot(|slot| slot.readiness).unwrap_or_default()
    }

    /// Says for which of `READABLE` and `WRITABLE` the owner wants to be resumed, from now on.
    /// If that is the case already, it is queued at once.
    pub fn want(&self, interest: Readiness) {
        self.want_in(Readiness::BOTH, None, interest);
    }

    /// Gives the source to another task, and says what that one wants; see [`want`](Source::want).
    pub fn want_for(&self, owner: TaskId, interest: Readiness) {
        self.want_in(Readiness::BOTH, Some(owner), interest);
    }

    /// As [`want`](Source::want) and [`want_for`](Source::want_for), for the one direction that is named: from now
    /// on two tasks share the source, and what the other one wants, it goes on to want. Without an `owner`, it is
    /// the present one.
    pub fn want_in(&self, directions: Readiness, owner: Option<TaskId>, interest: Readiness) {
        let (owner, cause) = {
            let State { sources, writers, wanted_sources, .. } =
                &mut *self.handle.shared.state.borrow_mut();
            let Some(slot) = sources.get_mut(self.id) else { return };
            let interest = (slot.interest - directions) | interest;
            let present = match directions {
                Readiness::READABLE => &mut slot.owner,
                Readiness::WRITABLE => writers.entry(self.id).or_default(),
                _ => {
                    writers.remove(&self.id);
                    &mut slot.owner
                }
            };
            let owner = owner.unwrap_or(*present);
            if (*present, slot.interest) == (owner, interest) {
                // It was queued when this interest was set, or when the readiness came.
                return;
            }
            *present = owner;
            *wanted_sources += usize::from(!interest.is_empty());
            *wanted_sources -= usize::from(!slot.interest.is_empty());
            slot.interest = interest;
            (owner, slot.cause(directions))
        };
        // What is there already is not reported again: this way no readiness is lost, whenever it came.
        if !cause.is_empty() {
            self.handle.shared.queue(owner, cause);
        }
    }

    fn with_slot<R>(&self, change: impl FnOnce(&mut SourceSlot) -> R) -> Option<R> {
        self.handle.shared.state.borrow_mut().sources.get_mut(self.id).map(change)
    }

    /// What was reported turned out to be wrong, or the socket is not connected yet, and to write to it would fail
    /// instead of block: nothing counts as ready until the world reports it.
    pub fn forget_readiness(&self) {
        // That there was urgent data stays true.
        self.with_slot(|slot| slot.readiness &= Readiness::PRIORITY);
    }

    /// Forgets what is known: the next operation asks the kernel. For a last look before a
    /// deadline is enforced, when readiness may wait behind many other events.
    pub fn assume_ready(&self) {
        self.with_slot(|slot| {
            slot.readiness |= Readiness::BOTH;
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

    /// Calls `act` if the source is ready for this operation, as far as the loop knows. Only `WouldBlock` clears
    /// the bit here: what a short read says depends on what is read.
    ///
    /// # Errors
    /// `WouldBlock`, or what `act` returns, but never `Interrupted`.
    pub fn attempt<R>(
        &mut self,
        operation: Operation,
        mut act: impl FnMut(&mut S) -> io::Result<R>,
    ) -> io::Result<R> {
        let readiness = self.readiness();
        let (bit, is_ready) = match operation {
            Operation::Write => (Readiness::WRITABLE, readiness.is_writable()),
            Operation::Read | Operation::Accept => (Readiness::READABLE, readiness.is_readable()),
        };
        if !is_ready {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match act(&mut self.socket) {
                // A signal (EINTR, signal(7)). This happens without a handler, too: a process that is stopped
                // and goes on has its calls interrupted.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.with_slot(|slot| slot.readiness.remove(bit));
                    self.handle.tell(|| Event::WouldBlock { source: self.id, operation });
                    return Err(error);
                }
                outcome => return outcome,
            }
        }
    }
}

impl Source<Stream> {
    /// Registers a stream for `owner`; see [`register`](Source::register).
    ///
    /// # Errors
    /// Those of [`register`](Source::register).
    pub fn stream(handle: &Handle, socket: Stream, owner: TaskId) -> io::Result<Self> {
        Source::register(handle, socket, owner, |stream| Pollable::Stream(stream))
    }

    /// Reads what is there, at most `buffer`. Zero is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock`, or what recv(2) says.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.attempt(Operation::Read, |stream| stream.read(buffer))?;
        let source = self.id;
        if bytes == 0 {
            // The end, and the bit stays: the next read returns the same, without a wait for an edge that
            // will not come.
            self.handle.tell(|| Event::ReadEnd { source });
            return Ok(0);
        }
        if bytes < buffer.len() {
            self.with_slot(|slot| {
                // Once there was urgent data, short does not mean empty: see above.
                let may_have_more = slot.readiness.contains(Readiness::PRIORITY);
                slot.readiness.set(Readiness::READABLE, may_have_more);
            });
        }
        self.handle.tell(|| Event::Read { source, bytes });
        Ok(bytes)
    }

    /// Writes as much as fits, at most `bytes`.
    ///
    /// # Errors
    /// `WouldBlock`, or what send(2) says. Never SIGPIPE: a peer that is gone is `BrokenPipe`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.attempt(Operation::Write, |stream| stream.write(bytes))?;
        // The send buffer is full, and that it empties is a change, which will be reported.
        if written < bytes.len() {
            self.with_slot(|slot| slot.readiness.remove(Readiness::WRITABLE));
        }
        self.handle.tell(|| Event::Wrote { source: self.id, bytes: written, of: bytes.len() });
        Ok(written)
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
    /// Registers a listener for `owner`; see [`register`](Source::register).
    ///
    /// # Errors
    /// Those of [`register`](Source::register).
    pub fn listener(handle: &Handle, socket: Listener, owner: TaskId) -> io::Result<Self> {
        Source::register(handle, socket, owner, |listener| Pollable::Listener(listener))
    }

    /// Takes the oldest connection from the accept queue.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, or what accept(2) says. After an error the source still
    /// counts as readable: there may be more.
    pub fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let accepted = self.attempt(Operation::Accept, |listener| listener.accept())?;
        self.handle.tell(|| Event::Accepted { source: self.id });
        Ok(accepted)
    }
}

impl<S> Drop for Source<S> {
    fn drop(&mut self) {
        {
            let state = &mut *self.handle.shared.state.borrow_mut();
            state.writers.remove(&self.id);
            if let Some(slot) = state.sources.remove(self.id) {
                state.wanted_sources -= usize::from(!slot.interest.is_empty());
            }
        }
        self.handle.tell(|| Event::Closed { source: self.id });
    }
}
