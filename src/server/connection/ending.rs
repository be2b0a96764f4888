//! How a connection ends: orderly where an answer might be lost, else at once; and when its time is up.

use std::io;

use super::introduction::Introduction;
use super::states::{FLUSHING, IDLE, LINGERING, RECEIVING_BODY, RECEIVING_HEAD, TABLE};
use super::{Budget, Connection, Next, State, Then};
use crate::event_loop::{Context, Flow, Source};
use crate::http::{Error, Reason};
use crate::server::preface::PREFACE_LATE;
use crate::server::{BodyPart, Service};
use crate::world::{Readiness, Stream};

impl<S: Service> Connection<S> {
    /// An orderly end: half-close, then read until the peer has closed too.
    ///
    /// `came_whole`: what is answered came by one read, all of it, and nothing came with it. False where that is not
    /// known.
    pub(super) fn close(&mut self, reason: Reason, came_whole: bool, cx: &Context<'_>) -> Next {
        if self.exchange.is_truncated() {
            return self.end(reason, cx);
        }
        if self.exchange.is_close_delimited() {
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

    pub(super) fn linger(&mut self, budget: &mut Budget, cx: &mut Context<'_>) -> Next {
        if budget.read_bytes_left == 0 {
            self.state = State::Lingering;
            return Next::Yield(Flow::Again);
        }
        match self.source.read(&mut cx.scratch.input) {
            Ok(bytes @ 1..) => {
                budget.read_bytes_left = budget.read_bytes_left.saturating_sub(bytes);
                self.state = State::Lingering;
                Next::Step
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_to_read(State::Lingering)
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
        self.shared.tell_ending(&self.who(cx.task()), reason);
    }
}

/// What becomes of a connection in time, and in the end.
impl<S: Service> Connection<S> {
    /// Nothing came in time, and the kernel was asked once more.
    pub(super) fn time_is_up(&mut self, cx: &mut Context<'_>) -> Flow {
        let from = self.state.row();
        let next = match from {
            IDLE => self.end(self.shared.why_idle_ends(self.source.id()), cx),
            RECEIVING_HEAD if self.peer.introduction == Introduction::Awaited => {
                let who = self.who(cx.task());
                self.end(self.shared.refuse_preface(&who, PREFACE_LATE), cx)
            }
            RECEIVING_HEAD => self.refuse(Error::HeadTimeout, cx),
            RECEIVING_BODY => self.refuse(Error::BodyTimeout, cx),
            FLUSHING => {
                // It would not read anything else either: free the kernel's buffers at once.
                self.source.socket().abort_on_close(true);
                self.end(Reason::WriteTimeout, cx)
            }
            LINGERING => {
                self.state = State::Closed;
                Next::Yield(Flow::Done)
            }
            _ => {
                if let State::Serving(serving) = &mut self.state
                    && serving.waits_for_body
                {
                    // The service is told, and says what is to be answered.
                    serving.waits_for_body = false;
                    self.exchange.stop_receiving();
                    serving.work.pending.take_body(BodyPart::Failed(Error::BodyTimeout));
                }
                Next::Yield(Flow::Wait)
            }
        };
        self.shared.tell_state(cx.task(), from, self.state.row());
        match next {
            Next::Step => self.run(cx),
            Next::Yield(flow) => flow,
        }
    }

    fn refuse(&mut self, error: Error, cx: &mut Context<'_>) -> Next {
        let who = self.who(cx.task());
        let output = &mut cx.scratch.output;
        let reason = self.shared.time_is_up(&mut self.exchange, &who, error, output);
        self.deliver(Then::Close(reason), false, cx)
    }

    /// The server is stopped, or a drain took too long.
    pub(super) fn cut(&mut self, cx: &mut Context<'_>) -> Flow {
        let from = self.state.row();
        let reason = self.shared.cut(TABLE[from].rest, || {
            self.source.assume_ready();
            matches!(self.source.read(&mut cx.scratch.input), Ok(1..))
        });
        match self.state {
            // It has said why it ends.
            State::Lingering => self.state = State::Closed,
            _ => _ = self.end(reason, cx),
        }
        self.shared.tell_state(cx.task(), from, self.state.row());
        Flow::Done
    }
}

/// Whether unread input could turn into a reset. `came_whole`: see [`Connection::close`].
///
/// Where a peer of which everything was read said itself that this was its last request, nothing is
/// left that could, and a close at once saves two system calls of seven, and a turn. A peer that
/// sends more after such words, which RFC 9112 section 9.6 forbids, is reset. Everything was read if
/// the last read came back short, and the world had reported the source by then: before, it is
/// not known whether the read ended at urgent data with more after them. (A new connection's request is
/// reported in the turn of its first read, as a rule; so this costs nothing.)
pub(in crate::server) fn must_linger(
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
pub(in crate::server) fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Reason::PeerReset,
        _ => Reason::IoError,
    }
}
