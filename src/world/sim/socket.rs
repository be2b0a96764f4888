//! Sockets in memory: the program's ends, and the outside's.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use super::faults::{AcceptError, EXHAUSTED_MAX, Faults, below, duration, strikes};
use super::link::Packet;
use super::{Backlog, EndId, Net, State};
use crate::id::SourceId;
use crate::world::{Readiness, Time};

/// A connection in a simulated world. Dropping it closes it.
#[derive(Debug)]
pub struct SimStream {
    pub(super) net: Net,
    pub(super) end: EndId,
}

impl SimStream {
    /// See [`Stream::shutdown`](crate::world::Stream::shutdown).
    ///
    /// # Errors
    /// `NotConnected` after a reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let mut state = self.net.state.borrow_mut();
        if state.ends[self.end].reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if how != Shutdown::Read && !state.ends[self.end].shut {
            state.ends[self.end].shut = true;
            let other = state.ends[self.end].other;
            state.transmit(other, Packet::Finish);
        }
        Ok(())
    }

    pub(in crate::world) fn abort_on_close(&self, aborts: bool) {
        self.net.state.borrow_mut().ends[self.end].aborts = aborts;
    }

    pub(in crate::world) fn take_error(&self) -> Option<io::Error> {
        let state = self.net.state.borrow();
        let end = &state.ends[self.end];
        end.reset.then(|| io::ErrorKind::ConnectionRefused.into())
    }

    pub(in crate::world) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let state = self.net.state.borrow();
        let end = &state.ends[self.end];
        let other = state.ends.get(end.other).filter(|_| !end.reset && !end.connecting);
        other.map(|other| other.address).ok_or(io::ErrorKind::NotConnected.into())
    }

    pub(super) fn register(&self, id: SourceId) {
        let mut state = self.net.state.borrow_mut();
        let end = &mut state.ends[self.end];
        end.source = Some(id);
        let (other, readiness, connecting) = (end.other, end.readiness(), end.connecting);
        if let Some(other) = state.ends.get_mut(other) {
            other.other_source = Some(id);
        }
        if !connecting {
            state.report(Some(id), readiness);
        }
    }

    /// See [`io::Read::read`]: at most what is there; `WouldBlock` when nothing is.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, or `ConnectionReset`.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.net.state.borrow_mut();
        let State { ends, random, faults, pending, .. } = &mut *state;
        let end = &mut ends[self.end];
        if end.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // The outside knows no urgent data.
        let is_watched = end.source.is_some();
        // A read that begins at the mark goes on after it; any other one ends there.
        end.mark.take_if(|mark| *mark == 0);
        if end.inbox.is_empty() && !end.finished {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut wanted = end.inbox.len().min(buffer.len());
        if let Some(mark) = end.mark.filter(|_| is_watched) {
            wanted = wanted.min(mark);
        }
        if let Some(source) = end.source {
            let may = allowed(random, faults, wanted, SHORT_READ_BYTES_MAX);
            if !matches!(may, Ok(bytes) if bytes == wanted) {
                // A fault looks like bytes that are still on their way: they are reported once more.
                pending.push((source, Readiness::READABLE));
            }
            wanted = may?;
        }
        end.mark = end.mark.and_then(|mark| mark.checked_sub(wanted));
        let moved = end.inbox.drain(..wanted);
        for (place, byte) in buffer.iter_mut().zip(moved) {
            *place = byte;
        }
        let other = end.other;
        if let Some(other) = ends.get_mut(other)
            && wanted > 0
            && std::mem::take(&mut other.wants_room)
        {
            let source = other.source;
            state.report(source, Readiness::WRITABLE);
        }
        Ok(wanted)
    }

    /// See [`io::Write::write`]: at most what fits into the pipe; `WouldBlock` when it is full.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`, `ConnectionReset`, or `BrokenPipe` after this end was shut.
    /// After the other end was dropped, the first write succeeds, and resets the connection, as a
    /// kernel would.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.net.state.borrow_mut();
        let State { ends, random, faults, pending, .. } = &mut *state;
        let end = &ends[self.end];
        let (source, other) = (end.source, end.other);
        if end.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if end.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room_bytes = ends.get(other).map_or(0, super::link::End::room_bytes);
        let mut wanted = bytes.len().min(room_bytes);
        if end.connecting || (wanted == 0 && !bytes.is_empty()) {
            ends[self.end].wants_room = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(source) = source {
            let may = allowed(random, faults, wanted, SHORT_WRITE_BYTES_MAX);
            if !matches!(may, Ok(bytes) if bytes == wanted) {
                pending.push((source, Readiness::WRITABLE));
            }
            wanted = may?;
        }
        // A short write is a full pipe: the kernel reports room when the other end has read.
        ends[self.end].wants_room |= wanted < bytes.len();
        state.transmit(other, Packet::Bytes(bytes[..wanted].to_vec()));
        Ok(wanted)
    }
}

/// The most bytes of a read that is short because of a fault, and of such a write.
const SHORT_READ_BYTES_MAX: usize = 8;
const SHORT_WRITE_BYTES_MAX: usize = 64;

/// How many of `bytes` the faults let through: all, or fewer, at least one.
fn allowed(
    random: &mut fastrand::Rng,
    faults: &Faults,
    bytes: usize,
    short_bytes_max: usize,
) -> io::Result<usize> {
    if strikes(random, faults.interrupted_percent) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if strikes(random, faults.would_block_percent) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    if bytes > 1 && strikes(random, faults.short_percent) {
        let most = if random.bool() { 2 } else { bytes.min(short_bytes_max) };
        return Ok(1 + below(random, most - 1));
    }
    Ok(bytes)
}

impl Drop for SimStream {
    /// As a kernel closes: with unread input, or after an order to abort, the connection is reset; else
    /// the other end reads the end.
    fn drop(&mut self) {
        let mut state = self.net.state.borrow_mut();
        let end = &mut state.ends[self.end];
        let watcher = end.watcher.take();
        let resets = end.aborts || !end.inbox.is_empty();
        end.closed = true;
        let source = end.source.take();
        let (other, shut, reset) = (end.other, end.shut, end.reset);
        state.retire(source);
        if resets && !reset {
            state.reset(self.end);
        } else if !shut {
            state.transmit(other, Packet::Finish);
        }
        state.forget_if_closed(self.end);
        // Not under the borrow: it may hold other ends.
        drop(state);
        drop(watcher);
    }
}

/// A listener in a simulated world. Dropping it resets the connections that were not accepted.
#[derive(Debug)]
pub struct SimListener {
    pub(super) net: Net,
    pub(super) address: SocketAddr,
}

impl SimListener {
    /// The address, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// See [`Listener::accept`](crate::world::Listener::accept).
    ///
    /// # Errors
    /// `WouldBlock`, or what the faults or [`Net::fail_accept`] ordered.
    pub fn accept(&self) -> io::Result<(SimStream, SocketAddr)> {
        let mut state = self.net.state.borrow_mut();
        let State { backlogs, random, faults, clock, .. } = &mut *state;
        let backlog = backlogs.get_mut(&self.address).expect("it lives as long as we do");
        if let Some(errno) = backlog.errors.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let now = clock.now();
        match backlog.exhausted {
            Some((until, errno)) if now < until => return Err(io::Error::from_raw_os_error(errno)),
            _ => backlog.exhausted = None,
        }
        if !backlog.waiting.is_empty() {
            accept_fault(backlog, now, random, faults)?;
        }
        let Some(end) = backlog.waiting.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let peer = state.ends[state.ends[end].other].address;
        Ok((SimStream { net: self.net.clone(), end }, peer))
    }

    pub(super) fn register(&self, id: SourceId) {
        let mut state = self.net.state.borrow_mut();
        let backlog = state.backlogs.get_mut(&self.address).expect("it lives as long as we do");
        backlog.source = Some(id);
        if !backlog.waiting.is_empty() || !backlog.errors.is_empty() {
            state.report(Some(id), Readiness::READABLE);
        }
    }
}

/// Perhaps begins to fail, for a while.
fn accept_fault(
    backlog: &mut Backlog,
    now: Time,
    random: &mut fastrand::Rng,
    faults: &Faults,
) -> io::Result<()> {
    if strikes(random, faults.interrupted_percent) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if !strikes(random, faults.accept_error_percent) {
        return Ok(());
    }
    Err(match AcceptError::drawn(random) {
        AcceptError::Passing(kind) => kind.into(),
        AcceptError::Exhausted(errno) => {
            backlog.exhausted = Some((now + duration(random, EXHAUSTED_MAX), errno));
            io::Error::from_raw_os_error(errno)
        }
    })
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let backlog = {
            let mut state = self.net.state.borrow_mut();
            let backlog = state.backlogs.remove(&self.address);
            state.retire(backlog.as_ref().and_then(|backlog| backlog.source));
            backlog
        };
        for end in backlog.into_iter().flat_map(|backlog| backlog.waiting) {
            let stream = SimStream { net: self.net.clone(), end };
            stream.abort_on_close(true);
        }
    }
}

/// The outside's end of a connection: what a test writes, and what it gets.
#[derive(Debug)]
pub struct Peer {
    pub(super) stream: SimStream,
}

impl Peer {
    /// Sends `bytes` at once, whatever the pipe holds.
    pub fn send(&self, bytes: &[u8]) {
        let mut state = self.stream.net.state.borrow_mut();
        let end = &state.ends[self.stream.end];
        let (other, reset) = (end.other, end.reset);
        match state.ends.get(other) {
            Some(_) if reset => {}
            Some(_) => state.transmit(other, Packet::Bytes(bytes.to_vec())),
            // A kernel answers bytes for a socket that is gone with a reset.
            None => state.reset(self.stream.end),
        }
    }

    /// Sends an urgent byte (`MSG_OOB`): a read at the program's end stops before it, and it is no
    /// part of what the program reads.
    pub fn send_urgent(&self) {
        let mut state = self.stream.net.state.borrow_mut();
        let other = state.ends[self.stream.end].other;
        state.transmit(other, Packet::Urgent);
    }

    /// Takes everything that has arrived.
    pub fn receive(&self) -> Vec<u8> {
        self.receive_at_most(usize::MAX)
    }

    /// Takes what has arrived, but no more than `bytes_max`: the rest stays in the pipe.
    pub fn receive_at_most(&self, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while bytes.len() < bytes_max {
            let most = buffer.len().min(bytes_max - bytes.len());
            let Ok(n @ 1..) = self.stream.read(&mut buffer[..most]) else { break };
            bytes.extend_from_slice(&buffer[..n]);
        }
        bytes
    }

    /// From now on this end holds so many bytes before a write of the program would block, as if it read
    /// everything at once.
    pub fn widen(&self, bytes: usize) {
        let mut state = self.stream.net.state.borrow_mut();
        state.ends[self.stream.end].pipe_bytes = bytes;
    }

    /// Runs `watcher` whenever something has happened at this end: bytes or the end have arrived, or
    /// the connection was reset. Now as well, for what has happened before.
    pub fn watch(&self, watcher: impl Fn(&Net) + 'static) {
        let mut state = self.stream.net.state.borrow_mut();
        state.ends[self.stream.end].watcher = Some(Rc::new(watcher));
        state.tell_watcher(self.stream.end);
    }

    /// Half-closes: the program reads the end after what was sent.
    pub fn finish(&self) {
        // Only a connection that is gone cannot be half-closed; then there is nothing to do.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.stream.net.state.borrow_mut().reset(self.stream.end);
    }

    /// True when the program has finished sending (orderly) and everything was received.
    pub fn at_end(&self) -> bool {
        let state = self.stream.net.state.borrow();
        let end = &state.ends[self.stream.end];
        end.finished && end.inbox.is_empty() && !end.reset
    }

    /// True when the connection was reset, by either side.
    pub fn is_reset(&self) -> bool {
        self.stream.net.state.borrow().ends[self.stream.end].reset
    }

    /// True when it was the network that reset the connection ([`Faults::cut_percent`]).
    pub fn was_cut(&self) -> bool {
        self.stream.net.state.borrow().ends[self.stream.end].was_cut
    }

    /// The address of this end.
    pub fn address(&self) -> SocketAddr {
        self.stream.net.state.borrow().ends[self.stream.end].address
    }

    /// As which source the loop knows, or has known, the program's end; `None` before it is
    /// accepted.
    pub fn known_as(&self) -> Option<SourceId> {
        self.stream.net.state.borrow().ends[self.stream.end].other_source
    }

    /// True when the program's end is closed altogether.
    pub fn is_closed(&self) -> bool {
        let state = self.stream.net.state.borrow();
        state.ends.get(state.ends[self.stream.end].other).is_none_or(|other| other.closed)
    }
}
