//! The server side of one connection: requests in, answers out, in order.
//!
//! ```text
//!               head complete, body not whole
//!      ┌──────┐ ────────────────────────────▶ ┌──────┐
//!  ┌──▶│ Head │                               │ Body │
//!  │   └──────┘ ◀──────────────────────────── └──────┘
//!  │    │    │        body whole, answered        │
//!  └────┘    │                                    │
//!  answered  │            ┌────────┐              │
//!            └──────────▶ │ Closed │ ◀────────────┘
//!                         └────────┘  wrong, or the last answer, or end of input
//! ```
//!
//! # Flush before want
//!
//! The contract between [`Exchange::advance`] and its driver: the driver writes all pending output
//! before it acts on the [`Want`] that it was given. So the machine never waits for a write, an
//! answer is never overtaken by a close, and a peer that does not read is not read from either.

mod body;
mod desk;
mod later;
mod refusal;
#[cfg(test)]
mod tests;

use self::body::{Body, Coming};
use self::desk::{Asked, Desk, Responded};
use self::later::Later;
use self::refusal::refuse_body;
use super::chunked::{Decoder, Progress};
use super::encode::CONTINUE;
use super::framing::{Expectation, Framing};
use super::head::{Head, LineCheck};
use super::{Error, Reason, Request, Response, Status};
use crate::limits::Limits;
use std::net::SocketAddr;

/// The server side of one connection, as a machine that is fed bytes. It owns memory only while a
/// body is under way that did not come in one piece with its head.
#[derive(Debug, Default)]
pub struct Exchange {
    state: State,
    /// Answers so far, error answers included.
    requests: u32,
    unframed: Unframed,
    /// Input behind the last answer was left for the next call, unseen.
    is_interrupted: bool,
}

/// Whether the last answer is one of which only the end of the connection tells the end, and how
/// far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unframed {
    #[default]
    No,
    /// Its head is out, and its end is not, or never will be.
    Begun,
    /// All of it was given.
    Whole,
}

/// What the machine needs next. *Flush before want*: the driver writes all pending output before it
/// acts on any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "flush, then do what is wanted"]
pub enum Want {
    /// More input: call again with what is left of the input and more behind it, or with `eof`.
    Read,
    /// Nothing but the flush (or another connection's turn): call again with what is left of the
    /// input, without reading.
    Flush,
    /// Nothing of the peer: the service is at work. [`Exchange::answer`] and its kin go on.
    Service,
    /// The connection is over. If [`Reason::lingers`], half-close and drain first.
    Close(Reason),
}

/// What a connection is doing, so that the driver knows which timeout applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Between requests: no byte of the next one is there, but perhaps an empty line before it.
    Idle,
    /// A head has begun.
    Head,
    /// A head is complete and its body is under way.
    Body,
    /// A request is complete, and the service is at work on it.
    Service,
    /// Over.
    Closed,
}

/// What the driver supplies while the machine advances. None of it does I/O.
pub trait Handler {
    /// The limits to enforce. Where they change, a request under way may be judged by both.
    fn limits(&self) -> &Limits;

    /// Requests that may be answered in this call; then the exchange wants a flush. A driver that
    /// calls several times before others have their turn says what is left.
    fn requests_left(&self) -> usize {
        self.limits().requests_per_resume_max
    }

    /// The value of the `Date` field now; see [`DateCache`](super::DateCache).
    fn date(&mut self) -> &[u8; 29];

    /// Whether the server is draining: the next answer is then the last of its connection.
    fn draining(&self) -> bool;

    /// Who is at the other end, for [`Request::peer`].
    fn peer(&self) -> Option<SocketAddr>;

    /// What to do with the body that follows `head`. Called once per request that has a body, as
    /// soon as its head is complete.
    fn body_policy(&mut self, head: &Request<'_>) -> BodyPolicy;

    /// Answers `request`, which is complete. `response` is cleared. Called once per good request.
    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Handled;

    /// Told after each answer, once it is in the output.
    fn answered(&mut self, answer: &Answer<'_>);
}

/// What to do with a body. Its limits hold either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPolicy {
    /// Keep it for the service.
    Collect,
    /// Read and drop it; the service sees an empty body. If the peer waits for `100 Continue`, it
    /// is answered finally instead and the connection closes.
    Discard,
}

/// How [`Handler::respond`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// The response is ready.
    Done,
    /// The service panicked: the peer gets a plain 500 and the connection closes.
    Panicked,
    /// The service will answer later, through [`Exchange::answer`] or
    /// [`Exchange::answer_in_pieces`]. Until then nothing of the connection is consumed.
    Later,
}

/// An answer that was given, for access logs and observers.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The request; `None` if its head is wrong or incomplete.
    pub request: Option<&'a Request<'a>>,
    /// The status of the answer.
    pub status: Status,
    /// Bytes of the answer's body, after HEAD 0.
    pub body_bytes: usize,
    /// Why the connection closes after this answer, if it does.
    pub closes: Option<Reason>,
}

#[derive(Debug)]
enum State {
    Head(LineCheck),
    /// In a box, because most requests have no body and every idle connection has a state.
    Body(Box<Body>),
    /// The service is at work.
    Service(Box<Later>),
    Closed(Reason),
}

/// What a step of the machine came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The state has changed; go on.
    Onward,
    /// The rest of the input is not enough for another step.
    Starved,
}

impl Exchange {
    /// A connection on which nothing has happened.
    pub fn new() -> Exchange {
        Exchange::default()
    }

    /// Takes what it can use from the front of `input`, appends answers to `output`, and says what
    /// it needs next.
    ///
    /// `input` is advanced past what was consumed; what is left must be at the front of the next
    /// call's input. Only partial heads, and requests behind a `Flush` or `Close`, are left. An empty
    /// line before a request is consumed, and the connection stays idle. `eof`:
    /// nothing comes after this input. `response` is scratch, one for all connections.
    ///
    /// *Flush before want*: the driver must write all of `output` before it acts on the answer. It
    /// gets [`Want::Flush`] when `output_bytes_max` is reached, or after
    /// [`requests_left`](Handler::requests_left) requests, with input left over. After `Close` nothing is consumed or answered again.
    ///
    /// # Panics
    /// Only if the handler does.
    pub fn advance<H: Handler>(
        &mut self,
        input: &mut &[u8],
        eof: bool,
        output: &mut Vec<u8>,
        response: &mut Response,
        handler: &mut H,
    ) -> Want {
        let requests_before = self.requests;
        self.is_interrupted = false;
        let mut desk = Desk { output, response, handler };
        loop {
            let step = match &mut self.state {
                State::Closed(reason) => return Want::Close(*reason),
                State::Service(_) => return Want::Service,
                State::Head(_) if input.is_empty() => Step::Starved,
                State::Head(_) if desk.is_full(self.requests.wrapping_sub(requests_before)) => {
                    self.is_interrupted = true;
                    return Want::Flush;
                }
                State::Head(_) => self.advance_head(input, eof, &mut desk),
                State::Body(_) => self.advance_body(input, &mut desk),
            };
            if step == Step::Starved && !eof {
                return Want::Read;
            }
            if step == Step::Starved {
                self.finish();
            }
        }
    }

    /// Answers with `error` and closes: what the driver does when a timeout of the head or body has
    /// passed. A connection that is closed already stays as it is.
    pub fn refuse<H: Handler>(
        &mut self,
        error: Error,
        output: &mut Vec<u8>,
        response: &mut Response,
        handler: &mut H,
    ) -> Want {
        let mut desk = Desk { output, response, handler };
        let reason = match &self.state {
            State::Closed(reason) => return Want::Close(*reason),
            State::Head(check) => desk.refuse(None, check.is_head(), error),
            State::Body(body) => refuse_body(body, error, &mut desk),
            State::Service(_) => return Want::Service,
        };
        self.close_answered(reason);
        Want::Close(reason)
    }

    /// What the connection is doing.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Head(check) if check.is_touched() || self.is_interrupted => Stage::Head,
            State::Head(_) => Stage::Idle,
            State::Body(_) => Stage::Body,
            State::Service(_) => Stage::Service,
            State::Closed(_) => Stage::Closed,
        }
    }

    /// Answers so far, error answers included. Wraps at 2³².
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// True from the head on of an answer of which only the end of the connection tells the end, and
    /// for ever after. Until all of it is written, nothing but a reset may end the connection: an
    /// orderly end would say that this was all (RFC 9112 section 8).
    pub fn is_unframed(&self) -> bool {
        self.unframed != Unframed::No
    }

    /// True while such an answer lacks its end, and for ever if it was abandoned.
    pub fn is_broken_off(&self) -> bool {
        self.unframed == Unframed::Begun
    }

    /// Bytes of content so far of the body that is under way; 0 without one. For telling a body
    /// that makes progress from one that does not.
    pub fn body_bytes(&self) -> u64 {
        match &self.state {
            State::Body(body) => body.received_bytes,
            State::Head(_) | State::Service(_) | State::Closed(_) => 0,
        }
    }

    fn advance_head<H: Handler>(
        &mut self,
        input: &mut &[u8],
        eof: bool,
        desk: &mut Desk<'_, H>,
    ) -> Step {
        let State::Head(check) = &mut self.state else { unreachable!("`advance` matched Head") };
        let found = check.skip_empty_line(input).and_then(|()| match *input {
            [] => Ok(None),
            bytes => check.scan(bytes, desk.handler.limits()),
        });
        match found {
            Ok(None) => return Step::Starved,
            Err(error) => {
                let reason = desk.refuse(None, check.is_head(), error);
                self.close_answered(reason);
            }
            Ok(Some(mut head)) => {
                *check = LineCheck::default();
                *input = &input[head.bytes.len()..];
                self.begin(&mut head, input, eof, desk);
            }
        }
        Step::Onward
    }

    /// A head is complete: finds the body, and answers at once if that is whole.
    fn begin<H: Handler>(
        &mut self,
        head: &mut Head<'_>,
        input: &mut &[u8],
        eof: bool,
        desk: &mut Desk<'_, H>,
    ) {
        let Head { bytes: head, request, directives } = head;
        request.peer = desk.handler.peer();
        let directives = match *directives {
            Ok(directives) => directives,
            Err(error) => return self.refuse_request(request, error, desk),
        };
        let is_expected_in_vain = directives.expectation == Expectation::Unknown;
        let coming = match directives.framing {
            Framing::None | Framing::Length(0) => {
                let persistence = directives.persistence;
                if is_expected_in_vain {
                    return self.decline(request, Error::Expectation, persistence, desk);
                }
                let asked = Asked { head, persistence, unread: None };
                return self.respond(request, &asked, desk);
            }
            // The peer may now send its body or not: nobody knows what comes next.
            _ if is_expected_in_vain => {
                return self.refuse_request(request, Error::Expectation, desk);
            }
            Framing::Length(bytes) if bytes > desk.handler.limits().body_bytes_max => {
                return self.refuse_request(request, Error::BodyTooLong, desk);
            }
            Framing::Length(bytes) => Coming::Bytes(bytes),
            Framing::Chunked => Coming::Chunks(Decoder::default()),
        };
        let policy = desk.handler.body_policy(request);
        if let Some(content) = coming.whole(input) {
            let body = if policy == BodyPolicy::Collect { content } else { b"" };
            let request = Request { body, ..*request };
            let persistence = directives.persistence;
            let asked = Asked { head, persistence, unread: None };
            return self.respond(&request, &asked, desk);
        }
        let is_waiting = directives.expectation == Expectation::Continue;
        if is_waiting && policy == BodyPolicy::Collect && input.is_empty() && !eof {
            desk.output.extend_from_slice(CONTINUE);
        }
        self.state = State::Body(Box::new(Body {
            head: head.to_vec(),
            persistence: directives.persistence,
            policy,
            is_answer_due: is_waiting && policy == BodyPolicy::Discard,
            coming,
            content: Vec::new(),
            received_bytes: 0,
        }));
    }

    fn advance_body<H: Handler>(&mut self, input: &mut &[u8], desk: &mut Desk<'_, H>) -> Step {
        let State::Body(body) = &mut self.state else { unreachable!("`advance` matched Body") };
        let outcome = body.receive(input, desk.handler.limits());
        if outcome == Ok(Progress::More) && !body.is_answer_due {
            return Step::Starved;
        }
        let State::Body(body) = std::mem::take(&mut self.state) else { unreachable!("see above") };
        match outcome {
            Err(error) => {
                let reason = refuse_body(&body, error, desk);
                self.close_answered(reason);
            }
            Ok(progress) => {
                let unread = (progress == Progress::More).then_some(Reason::UnreadBody);
                let Body { head, persistence, .. } = &*body;
                let asked = Asked { head, persistence: *persistence, unread };
                body.with_request(desk.handler.peer(), |request| {
                    self.respond(request, &asked, desk);
                });
            }
        }
        Step::Onward
    }

    /// Has the service answer, now or later.
    fn respond<H: Handler>(
        &mut self,
        request: &Request<'_>,
        asked: &Asked<'_>,
        desk: &mut Desk<'_, H>,
    ) {
        self.requests = self.requests.wrapping_add(1);
        match desk.respond(request, asked, self.requests) {
            Responded::Now(None) => {}
            Responded::Now(Some(reason)) => self.state = State::Closed(reason),
            Responded::Later => self.state = State::Service(Box::new(Later::new(asked))),
        }
    }

    /// The input has ended where more was needed.
    fn finish(&mut self) {
        self.state = State::Closed(match self.stage() {
            Stage::Idle => Reason::PeerFinished,
            Stage::Head | Stage::Body | Stage::Service | Stage::Closed => {
                Reason::PeerFinishedInRequest
            }
        });
    }
}

impl Default for State {
    fn default() -> State {
        State::Head(LineCheck::default())
    }
}

/// A connection that waits costs its driver this much and no buffer.
const _: () = assert!(size_of::<Exchange>() <= 24);
