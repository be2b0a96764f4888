//! A connection, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::task::Context;

use super::got::Got;
use super::tls::Session;
use crate::coroutine::{Budgets, Stream};
use crate::id::TaskId;
use crate::world::Readiness;

/// A connection to a server, ready for a request.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    session: Option<Session>,
    peer: SocketAddr,
}

impl Connection {
    pub(super) fn new(stream: Stream, session: Option<Session>, peer: SocketAddr) -> Connection {
        Connection { stream, session, peer }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        match &mut self.session {
            Some(session) => session.try_read(&mut self.stream, buffer),
            None => match self.stream.try_read(buffer)? {
                0 => Ok(Got::End),
                bytes => Ok(Got::Bytes(bytes)),
            },
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => session.try_write(&mut self.stream, bytes),
            None => self.stream.try_write(bytes),
        }
    }

    /// Resumes the task that polls with `cx` when there is something to read, or, if there is something
    /// to write as well, when that is possible.
    ///
    /// # Errors
    /// When another task waits for it.
    pub(super) fn wait(&mut self, cx: &Context<'_>, has_output: bool) -> io::Result<()> {
        let has_output = has_output || self.session.as_ref().is_some_and(Session::wants_write);
        let writable = if has_output { Readiness::WRITABLE } else { Readiness::empty() };
        self.stream.want(cx, Readiness::READABLE | writable)
    }

    /// Resumes `keeper` when something happens that an idle connection does not survive.
    pub(super) fn rest(&mut self, keeper: TaskId) {
        self.stream.want_for(keeper, Readiness::READABLE);
    }

    /// Whether an idle connection cannot be used any more: it has ended, or the peer has sent what
    /// was not asked for. Asks the kernel only if something was reported: what comes after the loop's
    /// last wait is not seen, nor is what comes right after the request has been written.
    pub(super) fn is_stale(&mut self) -> bool {
        if self.session.as_mut().is_some_and(Session::is_over) {
            return true;
        }
        if !self.stream.source().readiness().is_readable() {
            return false;
        }
        // Even if the turn's share of reading is used up: not to ask would be to guess.
        let budgets = self.stream.replace_budgets(Budgets::default());
        // TLS may have sent something that is no reply, such as a session ticket.
        let outcome = self.try_read(&mut [0]);
        self.stream.replace_budgets(budgets);
        !matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As [`is_stale`](Connection::is_stale), but asks the kernel in any case, for a request that
    /// must not be sent twice.
    pub(super) fn is_stale_for_sure(&mut self) -> bool {
        self.assume_ready();
        self.is_stale()
    }

    /// Whether it is the others' turn: see [`Stream::is_spent`].
    pub(super) fn is_spent(&self) -> bool {
        self.stream.is_spent()
    }

    /// The next operation asks the kernel, whatever was reported.
    pub(super) fn assume_ready(&mut self) {
        self.stream.source().assume_ready();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            // `close_notify` is short, and there is no next turn for it.
            self.stream.replace_budgets(Budgets::default());
            session.close(&mut self.stream);
        }
    }
}
