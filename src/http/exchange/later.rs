//! A request whose answer comes later, whole or in pieces.

use super::super::framing::Persistence;
use super::super::head::Head;
use super::super::{Reason, Request, Response, Status};
use super::desk::{Asked, Desk};
use super::{Answer, Exchange, Handled, Handler, State, Unframed, Want};
use std::net::SocketAddr;

/// What the driver calls when the service has something to say.
impl Exchange {
    /// The service has answered the request that it took its time for. `handled` is not `Later`;
    /// `response` is the answer, and is ignored if it panicked. Where no answer is due, the driver is
    /// wrong, and the connection is closed.
    pub fn answer<H: Handler>(
        &mut self,
        handled: Handled,
        output: &mut Vec<u8>,
        response: &mut Response,
        handler: &mut H,
    ) -> Want {
        let State::Service(later) = std::mem::take(&mut self.state) else {
            return self.no_answer_is_due();
        };
        let mut desk = Desk { output, response, handler };
        let closes = later.with_request(desk.handler.peer(), |request| {
            desk.conclude(request, handled, later.persistence, later.unread, self.requests)
        });
        self.answered_later(closes)
    }

    /// As [`answer`](Exchange::answer), for a body whose length is not known: sends the head.
    /// [`piece`](Exchange::piece) and [`end_of_pieces`](Exchange::end_of_pieces) follow. In HTTP/1.1
    /// the body is chunked; in HTTP/1.0 its end is that of the connection, see
    /// [`is_unframed`](Exchange::is_unframed).
    pub fn answer_in_pieces<H: Handler>(
        &mut self,
        output: &mut Vec<u8>,
        response: &mut Response,
        handler: &mut H,
    ) -> Want {
        let State::Service(later) = &mut self.state else { return Want::Service };
        let mut desk = Desk { output, response, handler };
        let pieces = later.with_request(desk.handler.peer(), |request| {
            desk.begin_pieces(request, later.persistence, later.unread, self.requests)
        });
        if pieces.framing == PieceFraming::UntilClose {
            self.unframed = Unframed::Begun;
        }
        later.pieces = Some(pieces);
        Want::Service
    }

    /// Appends a piece of the body to `output`; an empty one changes nothing.
    pub fn piece(&mut self, data: &[u8], output: &mut Vec<u8>) -> Want {
        if let State::Service(later) = &mut self.state
            && let Some(pieces) = &mut later.pieces
        {
            pieces.append(data, output);
        }
        Want::Service
    }

    /// The body is complete.
    pub fn end_of_pieces<H: Handler>(&mut self, output: &mut Vec<u8>, handler: &mut H) -> Want {
        let State::Service(later) = std::mem::take(&mut self.state) else {
            return self.no_answer_is_due();
        };
        let Some(pieces) = &later.pieces else { return self.answered_later(None) };
        pieces.append_end(output);
        if self.unframed == Unframed::Begun {
            self.unframed = Unframed::Whole;
        }
        self.tell_of_pieces(&later, pieces.closes, handler);
        self.answered_later(pieces.closes)
    }

    /// True while the head of an answer in pieces is out, and its end is not.
    pub fn is_in_pieces(&self) -> bool {
        matches!(&self.state, State::Service(later) if later.pieces.is_some())
    }

    /// The answer will not be completed, for this reason: the peer is gone, or the service failed
    /// when the head of its answer was out. The connection is over, and the peer sees that the
    /// body is cut off: the last chunk is missing, or the driver [resets](Exchange::is_unframed).
    pub fn abandon<H: Handler>(&mut self, reason: Reason, handler: &mut H) -> Want {
        if let State::Service(later) = std::mem::take(&mut self.state)
            && later.pieces.is_some()
        {
            self.tell_of_pieces(&later, Some(reason), handler);
        }
        self.state = State::Closed(reason);
        Want::Close(reason)
    }

    fn tell_of_pieces<H: Handler>(&self, later: &Later, closes: Option<Reason>, handler: &mut H) {
        let Some(pieces) = &later.pieces else { return };
        let (status, body_bytes) = (pieces.status, pieces.body_bytes);
        later.with_request(handler.peer(), |request| {
            handler.answered(&Answer { request: Some(request), status, body_bytes, closes });
        });
    }

    fn answered_later(&mut self, closes: Option<Reason>) -> Want {
        match closes {
            None => Want::Flush,
            Some(reason) => {
                self.state = State::Closed(reason);
                Want::Close(reason)
            }
        }
    }

    /// Somebody answered a request that nobody made.
    fn no_answer_is_due(&mut self) -> Want {
        debug_assert!(false, "an answer, and no request that waits for one");
        self.state = State::Closed(Reason::ServicePanicked);
        Want::Close(Reason::ServicePanicked)
    }
}

/// A request that the service is at work on.
#[derive(Debug)]
pub(super) struct Later {
    /// The complete head, for whoever is told of the answer.
    head: Vec<u8>,
    pub(super) persistence: Persistence,
    pub(super) unread: Option<Reason>,
    /// Set once the head of an answer in pieces is out.
    pub(super) pieces: Option<Pieces>,
}

/// An answer whose head is out and whose body comes in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) framing: PieceFraming,
    pub(super) status: Status,
    /// Why the connection closes after it, if it does.
    pub(super) closes: Option<Reason>,
    /// Bytes of body so far.
    pub(super) body_bytes: usize,
}

/// How pieces are put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceFraming {
    /// Each is a chunk (RFC 9112 section 7.1).
    Chunked,
    /// The end of the connection is the end of the body: HTTP/1.0 knows no chunks.
    UntilClose,
    /// There is no body to send: the answer to HEAD, or a status without one.
    Nothing,
}

impl Later {
    pub(super) fn new(asked: &Asked<'_>) -> Later {
        Later {
            head: asked.head.to_vec(),
            persistence: asked.persistence,
            unread: asked.unread,
            pieces: None,
        }
    }

    /// Shows the request, without its body.
    pub(super) fn with_request<R>(
        &self,
        peer: Option<SocketAddr>,
        show: impl FnOnce(&Request<'_>) -> R,
    ) -> R {
        let head = Head::parse(&self.head).expect("this head was found good");
        show(&Request { peer, ..head.request })
    }
}

impl Pieces {
    /// Appends one piece. An empty one is nothing: as a chunk it would be the last.
    pub(super) fn append(&mut self, data: &[u8], output: &mut Vec<u8>) {
        if data.is_empty() || self.framing == PieceFraming::Nothing {
            return;
        }
        self.body_bytes += data.len();
        if self.framing == PieceFraming::Chunked {
            output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        }
        output.extend_from_slice(data);
        if self.framing == PieceFraming::Chunked {
            output.extend_from_slice(b"\r\n");
        }
    }

    pub(super) fn append_end(&self, output: &mut Vec<u8>) {
        if self.framing == PieceFraming::Chunked {
            output.extend_from_slice(b"0\r\n\r\n");
        }
    }
}
