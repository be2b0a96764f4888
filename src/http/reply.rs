//! The client side of one exchange: the reply to a request, read as it comes.
//!
//! ```text
//!    interim (1xx): skipped
//!   ┌────┐
//!   ▼    │    final head           body whole
//! ┌──────┐ ───────────▶ ┌──────┐ ───────────▶ ┌───────┐
//! │ Head │              │ Body │              │ Ended │
//! └──────┘              └──────┘              └───────┘
//!     │                     │                     │
//!     │    ┌────────┐       │                     │
//!     └──▶ │ Failed │ ◀─────┴─────────────────────┘
//!          └────────┘  wrong, truncated, or bytes after the end
//! ```
//!
//! # Take every event
//!
//! The contract between [`Reply::advance`] and its driver: the driver calls until it gets
//! [`ReplyEvent::Read`] or [`ReplyEvent::End`], and only then reads on or lets the connection go.
//! So what is left of the input is a partial head or nothing, and no data are held back here: they
//! are lent from the driver's own buffer, and a driver that stops calling stops the flow.

mod error;
mod head;
#[cfg(test)]
mod tests;

pub use self::error::ReplyError;
pub use self::head::ReplyHead;

use self::head::{Parsed, StatusCheck};
use super::ask::check_method;
use super::chunked::{ChunkLimits, Decoder, Piece};
use super::framing::{Persistence, ReplyDirectives, ReplyFraming};
use super::{AskError, Error};
use crate::limits::ReplyLimits;

/// The reply to one request, as a machine that is fed bytes. It owns no buffer.
///
/// ```
/// use helloop::http::{Ask, ReplyEvent};
/// use helloop::limits::ReplyLimits;
///
/// let ask = Ask::new("GET", "/", "localhost")?;
/// let mut reply = ask.reply(ReplyLimits::default());
/// let mut body = Vec::new();
///
/// // What a socket might return; the last byte is still on its way.
/// let mut input = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
///     6\r\nhello,\r\n6\r\n world\r\n0\r\n\r"[..];
/// loop {
///     match reply.advance(&mut input, false)? {
///         ReplyEvent::Head(head) => assert_eq!(head.status(), 200),
///         ReplyEvent::Data(data) => body.extend_from_slice(data),
///         ReplyEvent::Read if input.is_empty() => input = b"\n",
///         ReplyEvent::Read => unreachable!("only a partial head is left"),
///         ReplyEvent::End { reusable } => break assert!(reusable),
///     }
/// }
/// assert_eq!(body, b"hello, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    state: State,
    limits: ReplyLimits,
    /// The request was HEAD: the reply ends with its head, whatever it announces.
    is_head: bool,
    /// The connection ends with this exchange: the request or an interim reply said so.
    is_last: bool,
    /// Interim replies so far; at most `interims_max`.
    interims: u32,
    /// Bytes of content so far; at most `body_bytes_max`.
    body_bytes: u64,
}

/// What [`Reply::advance`] has found at the front of the input.
///
/// In this order: `Head` once, `Data` any number of times, `End`; `Read` anywhere before `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "data that are not looked at are lost"]
pub enum ReplyEvent<'a> {
    /// More input is needed: call again with what is left of the input and more after it, or with
    /// `eof`.
    Read,
    /// The head of the final reply.
    Head(ReplyHead),
    /// The next bytes of the body, without the framing of chunks; never empty.
    Data(&'a [u8]),
    /// The reply is complete.
    End {
        /// Whether the connection can carry another request (RFC 9112 section 9.3): both sides keep
        /// it open, the reply says by itself where it ends, it contradicts itself nowhere, and
        /// neither bytes nor the end of input follow it *so far*. What follows later, while the
        /// connection is idle, forbids it as well: see [`ReplyError::Surplus`].
        reusable: bool,
    },
}

#[derive(Clone, Debug)]
enum State {
    /// Before the end of the final head.
    Head(StatusCheck),
    Body {
        coming: Coming,
        /// Both sides keep the connection open after this reply, as far as they have said. Means
        /// nothing for a body that lasts until close: its end is the end of input.
        persists: bool,
    },
    Ended {
        /// As in `Body`, and nothing has come since, not even the end of input.
        persists: bool,
    },
    Failed(ReplyError),
}

/// What is still to come of a body.
#[derive(Clone, Debug)]
enum Coming {
    /// So many bytes; 0 also where there is no body.
    Bytes(u64),
    Chunks(Decoder),
    UntilClose,
}

impl Reply {
    /// The reply to a request with `method`, whose connection the request leaves open. (Of an
    /// [`Ask`](super::Ask) there is [`Ask::reply`](super::Ask::reply).)
    ///
    /// # Errors
    /// [`AskError::Connect`], whose reply begins a tunnel; [`AskError::Method`].
    pub fn new(method: &str, limits: ReplyLimits) -> Result<Reply, AskError> {
        check_method(method)?;
        Ok(Reply::to(method == "HEAD", false, limits))
    }

    pub(super) fn to(is_head: bool, is_last: bool, limits: ReplyLimits) -> Reply {
        let state = State::Head(StatusCheck::default());
        Reply { state, limits, is_head, is_last, interims: 0, body_bytes: 0 }
    }

    /// Takes the next event from the front of `input`.
    ///
    /// `input` is advanced past what was consumed; what is left must be at the front of the next
    /// call's input. With [`ReplyEvent::Read`], only a partial head is left; after
    /// [`ReplyEvent::End`], what does not belong to the reply. `eof`: nothing comes after this
    /// input. Over TLS that must be a `close_notify`: a bare end of the socket is an error there,
    /// since it could cut a body that lasts until close.
    ///
    /// Behind the end, `End` is given again as long as nothing comes; that is how a driver asks
    /// whether an idle connection is still good.
    ///
    /// # Errors
    /// At the first byte that cannot be, or is one too many, or is missing; see [`ReplyError`]. The
    /// connection is over then, and every later call returns the same error. Events before an error
    /// do not depend on how the input was cut, apart from the parts in which data come.
    ///
    /// # Panics
    /// If what was left of a head is not presented again. No input makes it panic.
    pub fn advance<'a>(
        &mut self,
        input: &mut &'a [u8],
        eof: bool,
    ) -> Result<ReplyEvent<'a>, ReplyError> {
        let outcome = match self.state {
            State::Head(_) => self.advance_head(input, eof),
            State::Body { .. } => self.advance_body(input, eof),
            State::Ended { persists } if input.is_empty() => Ok(self.end(input, eof, persists)),
            State::Ended { .. } => Err(ReplyError::Surplus),
            State::Failed(error) => return Err(error),
        };
        if let Err(error) = &outcome {
            self.state = State::Failed(*error);
        }
        outcome
    }

    /// Bytes of content so far. For telling a body that makes progress from one that does not.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn advance_head<'a>(
        &mut self,
        input: &mut &'a [u8],
        eof: bool,
    ) -> Result<ReplyEvent<'a>, ReplyError> {
        loop {
            let State::Head(check) = &mut self.state else { unreachable!("`advance` matched it") };
            let Some(parsed) = check.take_head(input, &self.limits)? else {
                return if eof { Err(self.cut_head(input)) } else { Ok(ReplyEvent::Read) };
            };
            if let Some(head) = self.judge(parsed)? {
                return Ok(ReplyEvent::Head(head));
            }
        }
    }

    /// A head is complete: an interim one is dropped; after the final one comes the body.
    fn judge(&mut self, parsed: Parsed) -> Result<Option<ReplyHead>, ReplyError> {
        let Parsed { line, lines, steering } = parsed;
        let directives = ReplyDirectives::new(&steering?, line.version, line.status, self.is_head)?;
        let Some(status) = line.status else {
            self.skip(directives)?;
            return Ok(None);
        };
        let coming = self.coming(directives.framing)?;
        let persists = !self.is_last
            && matches!(directives.persistence, Persistence::Implied | Persistence::Echoed)
            && !directives.is_contradictory;
        self.state = State::Body { coming, persists };
        Ok(Some(ReplyHead::new(status, line.version, lines)))
    }

    /// Skips an interim reply, which is not waited for (RFC 9110 section 15.2).
    fn skip(&mut self, directives: ReplyDirectives) -> Result<(), ReplyError> {
        if directives.is_contradictory {
            return Err(ReplyError::InterimBody);
        }
        if self.interims == self.limits.interims_max {
            return Err(ReplyError::TooManyInterims);
        }
        self.interims += 1;
        self.is_last |= directives.persistence == Persistence::CloseAsked;
        Ok(())
    }

    fn coming(&self, framing: ReplyFraming) -> Result<Coming, ReplyError> {
        match framing {
            ReplyFraming::None => Ok(Coming::Bytes(0)),
            ReplyFraming::Length(bytes) if bytes > self.limits.body_bytes_max => {
                Err(Error::BodyTooLong.into())
            }
            ReplyFraming::Length(bytes) => Ok(Coming::Bytes(bytes)),
            ReplyFraming::Chunked => Ok(Coming::Chunks(Decoder::default())),
            ReplyFraming::UntilClose => Ok(Coming::UntilClose),
        }
    }

    fn advance_body<'a>(
        &mut self,
        input: &mut &'a [u8],
        eof: bool,
    ) -> Result<ReplyEvent<'a>, ReplyError> {
        let State::Body { coming, persists } = &mut self.state else {
            unreachable!("`advance` matched it")
        };
        let persists = *persists;
        match coming.next(input, self.body_bytes, &self.limits)? {
            Piece::Data(data) => {
                self.body_bytes += data.len() as u64;
                Ok(ReplyEvent::Data(data))
            }
            Piece::More if !eof => Ok(ReplyEvent::Read),
            Piece::More if !coming.ends_with_input() => Err(coming.cut_off(self.body_bytes)),
            Piece::More | Piece::End => Ok(self.end(input, eof, persists)),
        }
    }

    /// The reply has ended, with `input` after it. Once a connection is not reusable it stays so.
    fn end<'a>(&mut self, input: &[u8], eof: bool, persists: bool) -> ReplyEvent<'a> {
        let reusable = persists && input.is_empty() && !eof;
        self.state = State::Ended { persists: reusable };
        ReplyEvent::End { reusable }
    }

    /// Why a head that is not there is missed; `begun` is what there is of it.
    fn cut_head(&self, begun: &[u8]) -> ReplyError {
        match (begun.len(), self.interims) {
            (0, 0) => ReplyError::NoReply,
            (bytes, _) => ReplyError::HeadTruncated { bytes },
        }
    }
}

impl Coming {
    /// Takes what `input` has of the body, up to the end of a part; `before`: bytes of content so
    /// far.
    fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        before: u64,
        limits: &ReplyLimits,
    ) -> Result<Piece<'a>, ReplyError> {
        match self {
            Coming::Chunks(decoder) => {
                let begin = *input;
                let next = decoder.next(input, &ChunkLimits::from(limits));
                next.map_err(|error| chunk_error(error, &begin[..begin.len() - input.len()]))
            }
            Coming::Bytes(0) => Ok(Piece::End),
            _ if input.is_empty() => Ok(Piece::More),
            Coming::Bytes(bytes) => {
                let data = take(input, *bytes);
                *bytes -= data.len() as u64;
                Ok(Piece::Data(data))
            }
            Coming::UntilClose => match limits.body_bytes_max.saturating_sub(before) {
                0 => Err(Error::BodyTooLong.into()),
                bytes => Ok(Piece::Data(take(input, bytes))),
            },
        }
    }

    /// Whether the end of input is the end of the body.
    fn ends_with_input(&self) -> bool {
        matches!(self, Coming::UntilClose)
    }

    /// The input has ended after `received` bytes of content, where more were needed.
    fn cut_off(&self, received: u64) -> ReplyError {
        match self {
            Coming::Bytes(missing) => {
                ReplyError::BodyTruncated { received, announced: received + missing }
            }
            Coming::Chunks(decoder) => {
                ReplyError::ChunksTruncated { received, missing: decoder.missing_bytes() }
            }
            Coming::UntilClose => unreachable!("it ends with the input"),
        }
    }
}

/// What is wrong with chunks, of which the last byte of `taken` cannot be. One that is an LF is called that:
/// some servers end their lines so.
fn chunk_error(error: Error, taken: &[u8]) -> ReplyError {
    if taken.last() == Some(&b'\n') { ReplyError::ChunkLf } else { error.into() }
}

/// Takes up to `bytes_max` from the front of `input`.
fn take<'a>(input: &mut &'a [u8], bytes_max: u64) -> &'a [u8] {
    let here = usize::try_from(bytes_max).map_or(input.len(), |max| max.min(input.len()));
    let (data, rest) = input.split_at(here);
    *input = rest;
    data
}
