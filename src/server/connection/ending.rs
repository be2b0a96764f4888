//! How a connection ends: orderly where an answer might be lost, else at once.

use std::io;

use super::{Connection, Next, State};
use crate::event_loop::{Context, Flow, Source};
use crate::events::Event;
use crate::http::Reason;
use crate::server::Service;
use crate::world::{Readiness, Stream};

impl<S: Service> Connection<S> {
    /// An orderly end: half-close, then read until the peer has closed too.
    ///
    /// `came_whole`: see [`Behind`](super::Behind).
    pub(super) fn close(&mut self, reason: Reason, came_whole: bool, cx: &Context<'_>) -> Next {
        if self.exchange.is_broken_off() {
            return self.end(reason, cx);
        }
        if self.exchange.is_unframed() {
            // All of it is written: now the end says so.
            self.source.socket().abort_on_close(false);
        }
        let lingers = must_linger(reason, self.eof, came_whole, &self.source);
        if !lingers || self.source.shut_write().is_err() {
            return self.end(reason, cx);
        }
        self.tell_ending(reason, cx);
        self.state = State::Lingering;
        Next::Step
    }

    pub(super) fn linger(&mut self, read_bytes_left: &mut usize, cx: &mut Context<'_>) -> Next {
        if *read_bytes_left == 0 {
            self.state = State::Lingering;
            return Next::Yield(Flow::Again);
        }
        match self.source.read(&mut cx.scratch.input) {
            Ok(bytes @ 1..) => {
                *read_bytes_left = read_bytes_left.saturating_sub(bytes);
                self.state = State::Lingering;
                Next::Step
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.source.want(Readiness::READABLE);
                self.state = State::Lingering;
                Next::Yield(Flow::Wait)
            }
            // The peer has closed too, or is gone: the answer is as safe as it can be.
            Ok(0) | Err(_) => Next::Yield(Flow::Done),
        }
    }

    /// The end without ceremony.
    pub(super) fn end(&mut self, reason: Reason, cx: &Context<'_>) -> Next {
        self.tell_ending(reason, cx);
        self.state = State::Closed;
        Next::Yield(Flow::Done)
    }

    /// The end of a connection whose socket failed.
    pub(super) fn fail(&mut self, error: &io::Error, cx: &Context<'_>) -> Next {
        log::debug!("connection {} from {}: {error}", cx.task(), self.peer.address());
        self.end(reason_of(error), cx)
    }

    fn tell_ending(&self, reason: Reason, cx: &Context<'_>) {
        let (task, why) = (cx.task(), reason.sentence());
        cx.handle().tell(|| Event::Ending { task, why });
        log::debug!("connection {task} from {} ends: {why}", self.peer.address());
    }
}

/// Whether unread input could turn into a reset. `came_whole`: see [`Behind`](super::Behind).
///
/// Where a peer of which everything was read said itself that this was its last request, nothing is
/// left that could, and a close at once saves two system calls of seven, and a turn. A peer that
/// sends more after such words, which RFC 9112 section 9.6 forbids, is reset. Everything was read if
/// the last read came back short, and the world had reported the source by then: before, nobody
/// knows whether the read ended at urgent data with more after them. (A new connection's request is
/// reported in the turn of its first read, as a rule; so this costs nothing.)
pub(super) fn must_linger(
    reason: Reason,
    eof: bool,
    came_whole: bool,
    source: &Source<Stream>,
) -> bool {
    let is_emptied = source.was_reported() && !source.readiness().contains(Readiness::READABLE);
    let has_all = came_whole && is_emptied;
    reason.lingers() && !eof && !(has_all && reason.is_peers_wish())
}

/// Which of the two things that can go wrong with a socket went wrong.
pub(super) fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Reason::PeerReset,
        _ => Reason::IoError,
    }
}
