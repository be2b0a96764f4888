//! Sockets in memory: the program's ends, and the outside's.

use std::io;
use std::net::{Shutdown, SocketAddr};

use super::{EndId, Net, PIPE_BYTES, State, strikes};
use crate::id::SourceId;
use crate::world::Readiness;

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
            let other = &mut state.ends[other];
            other.finished = true;
            let source = other.source;
            state.report(source, Readiness::READABLE | Readiness::READ_CLOSED);
        }
        Ok(())
    }

    pub(in crate::world) fn abort_on_close(&self) {
        self.net.state.borrow_mut().ends[self.end].aborts = true;
    }

    pub(in crate::world) fn take_error(&self) -> Option<io::Error> {
        let state = self.net.state.borrow();
        let end = &state.ends[self.end];
        end.reset.then(|| io::ErrorKind::ConnectionRefused.into())
    }

    pub(in crate::world) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let state = self.net.state.borrow();
        let end = &state.ends[self.end];
        let other = state.ends.get(end.other).filter(|_| !end.reset);
        other.map(|other| other.address).ok_or(io::ErrorKind::NotConnected.into())
    }

    pub(super) fn register(&self, id: SourceId) {
        let mut state = self.net.state.borrow_mut();
        let end = &mut state.ends[self.end];
        end.source = Some(id);
        let mut readiness = Readiness::WRITABLE;
        readiness.set(Readiness::READABLE, !end.inbox.is_empty() || end.finished);
        readiness.set(Readiness::READ_CLOSED, end.finished || end.reset);
        readiness.set(Readiness::WRITE_CLOSED, end.reset);
        state.report(Some(id), readiness);
    }

    /// See [`io::Read::read`]: at most what is there; `WouldBlock` when nothing is.
    ///
    /// # Errors
    /// `WouldBlock`, or `ConnectionReset`.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.net.state.borrow_mut();
        let State { ends, random, faults, pending, .. } = &mut *state;
        let end = &mut ends[self.end];
        if end.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if end.inbox.is_empty() && !end.finished {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut wanted = end.inbox.len().min(buffer.len());
        if let Some(source) = end.source {
            // A fault looks like bytes that are still on their way, so it is reported once more.
            if strikes(random, faults.would_block_percent) {
                pending.push((source, Readiness::READABLE));
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if wanted > 1 && strikes(random, faults.short_percent) {
                pending.push((source, Readiness::READABLE));
                wanted = random.usize(1..wanted.min(8));
            }
        }
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
    /// `WouldBlock`, `ConnectionReset`, or `BrokenPipe` after this end was shut or the other end
    /// was dropped (which also resets the connection, as a kernel would).
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.net.state.borrow_mut();
        let end = &state.ends[self.end];
        let (source, other) = (end.source, end.other);
        if end.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if end.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.ends.get(other).is_none_or(|other| other.closed) {
            state.reset(self.end);
            return Ok(bytes.len());
        }
        let State { ends, random, faults, pending, .. } = &mut *state;
        let room = PIPE_BYTES.saturating_sub(ends[other].inbox.len());
        let mut wanted = bytes.len().min(room);
        if wanted == 0 && !bytes.is_empty() {
            ends[self.end].wants_room = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(source) = source {
            if strikes(random, faults.would_block_percent) {
                pending.push((source, Readiness::WRITABLE));
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if wanted > 1 && strikes(random, faults.short_percent) {
                pending.push((source, Readiness::WRITABLE));
                wanted = random.usize(1..wanted.min(64));
            }
        }
        // A short write is a full pipe: the kernel reports room when the other end has read.
        ends[self.end].wants_room |= wanted < bytes.len();
        ends[other].inbox.extend(&bytes[..wanted]);
        let source = ends[other].source;
        state.report(source, Readiness::READABLE);
        Ok(wanted)
    }
}

impl Drop for SimStream {
    /// As a kernel closes: with unread input, or when told to abort, the connection is reset; else
    /// the other end reads the end.
    fn drop(&mut self) {
        let mut state = self.net.state.borrow_mut();
        let end = &mut state.ends[self.end];
        let resets = end.aborts || !end.inbox.is_empty();
        end.closed = true;
        end.source = None;
        let (other, shut, reset) = (end.other, end.shut, end.reset);
        if resets && !reset {
            state.reset(self.end);
        } else if let Some(other) = state.ends.get_mut(other)
            && !shut
        {
            other.finished = true;
            let source = other.source;
            state.report(source, Readiness::READABLE | Readiness::READ_CLOSED);
        }
        state.forget_if_closed(self.end);
    }
}

/// A listener in a simulated world. Dropping it resets the connections that nobody accepted.
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
    /// `WouldBlock`, or what [`Net::fail_accept`] ordered.
    pub fn accept(&self) -> io::Result<(SimStream, SocketAddr)> {
        let mut state = self.net.state.borrow_mut();
        let backlog = state.backlogs.get_mut(&self.address).expect("it lives as long as we do");
        if let Some(errno) = backlog.errors.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
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

impl Drop for SimListener {
    fn drop(&mut self) {
        let backlog = self.net.state.borrow_mut().backlogs.remove(&self.address);
        for end in backlog.into_iter().flat_map(|backlog| backlog.waiting) {
            let stream = SimStream { net: self.net.clone(), end };
            stream.abort_on_close();
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
        let other = state.ends[self.stream.end].other;
        let Some(end) = state.ends.get_mut(other).filter(|end| !end.closed && !end.reset) else {
            // A kernel answers bytes for a closed socket with a reset.
            return state.reset(self.stream.end);
        };
        end.inbox.extend(bytes);
        let source = end.source;
        state.report(source, Readiness::READABLE);
    }

    /// Takes everything that has arrived.
    pub fn receive(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = self.stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..n]);
        }
        bytes
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

    /// True when the program's end is closed altogether.
    pub fn is_closed(&self) -> bool {
        let state = self.stream.net.state.borrow();
        state.ends.get(state.ends[self.stream.end].other).is_none_or(|other| other.closed)
    }
}
