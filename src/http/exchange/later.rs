//! A request whose answer comes later, whole or as a streamed body.

use super::super::chunked::Progress;
use super::super::encode::encode_streamed_head;
use super::super::head::Head;
use super::super::{Error, Reason, Response, Status, Version};
use super::body::Coming;
use super::room::{Asked, Kept, Room};
use super::{Answer, CloseDelimited, Exchange, State, Terms};
use crate::limits::Limits;

/// What the driver calls where a service takes its time.
impl Exchange {
    /// The service will answer this request later. Until then nothing of the connection is consumed, but for a body
    /// that is [received](Exchange::receive_more) meanwhile.
    pub fn defer(&mut self, asked: &Asked<'_>) {
        let kept = Kept { unread: asked.unread, ..Kept::new(asked.head, asked.persistence) };
        let incoming = match std::mem::take(&mut self.state) {
            // See `BodyPolicy::Stream`.
            State::Body(body) => Some(body.coming),
            _ => None,
        };
        self.state = State::Service(Box::new(Later { kept, streamed: None, incoming }));
    }

    /// True while the body of the request that was deferred is still to come.
    pub fn is_receiving(&self) -> bool {
        matches!(&self.state, State::Service(later) if later.incoming.is_some())
    }

    /// Takes what `input` has of that body, passes it to `sink`, and advances `input` past it. True if the body is
    /// complete.
    ///
    /// # Errors
    /// What is wrong with the body. Nothing more is received then, and the answer closes the connection.
    pub fn receive_more(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
        sink: impl FnMut(&[u8]),
    ) -> Result<bool, Error> {
        let State::Service(later) = &mut self.state else { return Ok(true) };
        let Some(incoming) = &mut later.incoming else { return Ok(true) };
        match incoming.receive(input, limits, sink) {
            Ok(Progress::More) => return Ok(false),
            Ok(Progress::Done) => later.kept.unread = None,
            Err(error) => {
                later.incoming = None;
                return Err(error);
            }
        }
        later.incoming = None;
        Ok(true)
    }

    /// Receives nothing more of that body: the answer closes the connection.
    pub fn stop_receiving(&mut self) {
        if let State::Service(later) = &mut self.state {
            later.incoming = None;
        }
    }

    /// The request that was deferred, without its body: now it is to be answered. `None` if there is none.
    pub fn deferred<'r>(&mut self, room: &'r mut Room<'r>) -> Option<&'r Asked<'r>> {
        let later = self.take_later()?;
        Some(room.keep(later.kept))
    }

    /// Begins to answer the request that was deferred, with a body whose length is not known: sends the head.
    /// [`stream`](Exchange::stream) and [`end_stream`](Exchange::end_stream) follow. In HTTP/1.1
    /// the body is chunked; in HTTP/1.0 its end is that of the connection, see
    /// [`is_close_delimited`](Exchange::is_close_delimited).
    pub fn answer_streamed(&mut self, response: &Response, terms: &Terms, output: &mut Vec<u8>) {
        let State::Service(later) = &self.state else { return };
        let head = Head::parse(&later.kept.head).expect("this head was found good");
        let (method, version) = (head.request.method(), head.request.version());
        let status = response.status;
        let framing = match version {
            _ if !status.allows_body() || method == "HEAD" => StreamFraming::Nothing,
            Version::Http11 => StreamFraming::Chunked,
            Version::Http10 => StreamFraming::UntilClose,
        };
        let Kept { persistence, unread, .. } = later.kept;
        let until_close = (framing == StreamFraming::UntilClose).then_some(Reason::CloseDelimited);
        let closes = unread.or_else(|| self.why_last(persistence, response, terms)).or(until_close);
        let is_chunked = status.allows_body() && version == Version::Http11;
        let (is_last, date) = (closes.is_some(), &terms.date);
        encode_streamed_head(response, is_chunked, is_last, persistence, date, output);
        if framing == StreamFraming::UntilClose {
            self.close_delimited = CloseDelimited::Begun;
        }
        if let State::Service(later) = &mut self.state {
            later.streamed = Some(Streamed { framing, status, closes, body_bytes: 0 });
        }
    }

    /// Appends some bytes of the body to `output`; none change nothing.
    pub fn stream(&mut self, data: &[u8], output: &mut Vec<u8>) {
        if let State::Service(later) = &mut self.state
            && let Some(streamed) = &mut later.streamed
        {
            streamed.append(data, output);
        }
    }

    /// The body is complete. Returns the request, and what it was answered; `None` if the answer had not begun.
    pub fn end_stream<'r>(
        &mut self,
        output: &mut Vec<u8>,
        room: &'r mut Room<'r>,
    ) -> Option<(&'r Asked<'r>, Answer)> {
        let later = self.take_later()?;
        let streamed = later.streamed?;
        streamed.append_end(output);
        if self.close_delimited == CloseDelimited::Begun {
            self.close_delimited = CloseDelimited::Whole;
        }
        if let Some(reason) = streamed.closes {
            self.state = State::Closed(reason);
        }
        Some((room.keep(later.kept), streamed.answer(streamed.closes)))
    }

    /// True while the head of a streamed body is out, and its end is not.
    pub fn is_streaming(&self) -> bool {
        matches!(&self.state, State::Service(later) if later.streamed.is_some())
    }

    /// The answer will not be completed, for this reason: the peer is gone, or the service failed
    /// when the head of its answer was out. The connection is over, and the peer sees that the
    /// body is truncated: the last chunk is missing, or the driver [resets](Exchange::is_close_delimited). Returns
    /// the request, and what was answered of it, if the answer had begun.
    pub fn abandon<'r>(
        &mut self,
        reason: Reason,
        room: &'r mut Room<'r>,
    ) -> Option<(&'r Asked<'r>, Answer)> {
        let later = self.take_later();
        self.state = State::Closed(reason);
        let Later { kept, streamed, .. } = later?;
        Some((room.keep(kept), streamed?.answer(Some(reason))))
    }

    fn take_later(&mut self) -> Option<Later> {
        match std::mem::take(&mut self.state) {
            State::Service(later) => Some(*later),
            other => {
                debug_assert!(false, "an answer, and no request that waits for one");
                self.state = other;
                None
            }
        }
    }
}

/// A request that the service is at work on.
#[derive(Debug)]
pub(super) struct Later {
    /// Without its body.
    kept: Kept,
    /// Set once the head of a streamed body is out.
    streamed: Option<Streamed>,
    /// What is still to come of a body that is handed on while it comes.
    incoming: Option<Coming>,
}

/// An answer whose head is out and whose body is streamed.
#[derive(Debug)]
struct Streamed {
    framing: StreamFraming,
    status: Status,
    /// Why the connection closes after it, if it does.
    closes: Option<Reason>,
    /// Bytes of body so far.
    body_bytes: usize,
}

/// How a streamed body is put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamFraming {
    /// Each is a chunk (RFC 9112 section 7.1).
    Chunked,
    /// The end of the connection is the end of the body: HTTP/1.0 knows no chunks.
    UntilClose,
    /// There is no body to send: the answer to HEAD, or a status without one.
    Nothing,
}

impl Streamed {
    /// Appends some bytes. None are nothing: as a chunk they would be the last.
    fn append(&mut self, data: &[u8], output: &mut Vec<u8>) {
        if data.is_empty() || self.framing == StreamFraming::Nothing {
            return;
        }
        self.body_bytes += data.len();
        if self.framing == StreamFraming::Chunked {
            output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        }
        output.extend_from_slice(data);
        if self.framing == StreamFraming::Chunked {
            output.extend_from_slice(b"\r\n");
        }
    }

    fn append_end(&self, output: &mut Vec<u8>) {
        if self.framing == StreamFraming::Chunked {
            output.extend_from_slice(b"0\r\n\r\n");
        }
    }

    fn answer(&self, closes: Option<Reason>) -> Answer {
        Answer { status: self.status, body_bytes: self.body_bytes, closes }
    }
}
