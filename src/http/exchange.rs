//! The server side of one connection: requests in, answers out, in order. It is pulled: [`Exchange::next`]
//! returns what it has found in the bytes, and the driver answers that before it calls again.
//!
//! ```text
//!               head complete, body not whole
//!      ┌──────┐ ────────────────────────────▶ ┌──────┐
//!  ┌──▶│ Head │                               │ Body │
//!  │   └──────┘ ◀──────────────────────────── └──────┘
//!  │    │    │       body whole: a request        │
//!  └────┘    │                                    │
//!  a request │            ┌────────┐              │
//!            └──────────▶ │ Closed │ ◀────────────┘
//!                         └────────┘  wrong, or the last answer, or the end of input
//! ```
//!
//! # Flush before want
//!
//! The contract between [`Exchange::next`] and its driver: the driver writes all pending output
//! before it acts on the [`Want`] that it was given. So the machine never waits for a write, an
//! answer is never overtaken by a close, and a peer that does not read is not read from either.

mod body;
mod found;
mod later;
mod room;
#[cfg(test)]
mod tests;

pub use self::found::{Announced, Answer, BodyPolicy, Found, Terms, Want, Wrong};
pub use self::room::{Asked, Room};

use self::body::{Body, Coming};
use self::later::Later;
use self::room::Kept;
use super::chunked::{Decoder, Progress};
use super::encode::{CONTINUE, encode};
use super::framing::{Expectation, Framing, Persistence};
use super::head::{Head, LineCheck};
use super::{Error, Reason, Request, Response, Status};
use crate::limits::Limits;

/// The server side of one connection, as a machine that is fed bytes. It owns memory only while a
/// body is under way that did not come together with its head, and while a service takes its time.
#[derive(Debug, Default)]
pub struct Exchange {
    state: State,
    /// Requests so far, refused ones included. Wraps at 2³².
    pub(crate) requests: u32,
    close_delimited: CloseDelimited,
}

/// Whether the last answer is close-delimited (only the end of the connection marks its end), and how
/// far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CloseDelimited {
    #[default]
    No,
    /// Its head is out, and its end is not, or never will be.
    Begun,
    /// All of it was given.
    Whole,
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

impl Exchange {
    /// A connection on which nothing has happened.
    pub fn new() -> Exchange {
        Exchange::default()
    }

    /// Takes what it can use from the front of `input`, up to the end of one request, and returns what that is.
    ///
    /// `input` is advanced past what was consumed; what is left must be at the front of the next call's input.
    /// Only a partial head is left where more is wanted. An empty line before a request is consumed, and is
    /// nothing. `eof`: nothing comes after this input. `room` is where a request is kept for as long as
    /// the driver looks at it: a new one for each call.
    ///
    /// How many requests are answered before the output is written is the driver's to say. After
    /// [`Want::Close`] nothing is consumed or found again.
    pub fn next<'i: 'r, 'r>(
        &mut self,
        input: &mut &'i [u8],
        eof: bool,
        limits: &Limits,
        room: &'r mut Room<'r>,
    ) -> Found<'r> {
        let check = match &mut self.state {
            State::Head(check) => check,
            State::Body(_) => return self.next_of_body(input, eof, limits, room),
            State::Service(_) => return Found::Nothing(Want::Service),
            State::Closed(reason) => return Found::Nothing(Want::Close(*reason)),
        };
        let scanned = check.skip_empty_line(input).and_then(|()| match *input {
            [] => Ok(None),
            bytes => check.scan(bytes, limits),
        });
        let head = match scanned {
            Ok(Some(head)) => head,
            Ok(None) => {
                // What has come of a head is left in the input.
                let want = if input.is_empty() { Want::Request } else { Want::Head };
                return self.nothing(want, eof);
            }
            Err(error) => {
                let is_head = check.is_head;
                return self.wrong(error, is_head, None);
            }
        };
        *check = LineCheck::default();
        *input = &input[head.bytes.len()..];
        self.found(&head, limits, room)
    }

    /// Takes the body that was announced, as far as it is here. Returns the request if that is all of it.
    ///
    /// # Errors
    /// None: what is wrong with the body is returned as [`Found::Wrong`], as by [`next`](Exchange::next).
    pub fn receive<'i: 'r, 'r>(
        &mut self,
        announced: Announced<'r>,
        policy: BodyPolicy,
        input: &mut &'i [u8],
        eof: bool,
        limits: &Limits,
        output: &mut Vec<u8>,
    ) -> Found<'r> {
        let Announced { head, request, persistence, expectation, coming, room } = announced;
        if policy == BodyPolicy::Refuse {
            // Even if it is here: what is answered does not depend on how the input was cut.
            let unread = Some(Reason::UnreadBody);
            return self.whole(Asked { request, head, persistence, unread }, room);
        }
        if coming.is_longer_than(policy.bytes_max(limits)) {
            return self.wrong_request(Error::BodyTooLong, request, room);
        }
        let is_wanted = policy.collects() || policy == BodyPolicy::Stream;
        if let Some(content) = coming.whole(input) {
            let body = if is_wanted { content } else { b"" };
            let request = Request { body, ..request };
            return self.whole(Asked { request, head, persistence, unread: None }, room);
        }
        let is_waiting = expectation == Expectation::Continue;
        if is_waiting && is_wanted && input.is_empty() && !eof {
            output.extend_from_slice(CONTINUE);
        }
        if policy == BodyPolicy::Stream {
            // Until the request is deferred. One that is answered at once has not read its body.
            let kept = Kept::default();
            let body = Body { kept, policy, is_answer_due: false, coming };
            self.state = State::Body(Box::new(body));
            let unread = Some(Reason::UnreadBody);
            return self.whole(Asked { request, head, persistence, unread }, room);
        }
        let is_answer_due = is_waiting && policy == BodyPolicy::Discard;
        let kept = Kept::new(head, persistence);
        self.state = State::Body(Box::new(Body { kept, policy, is_answer_due, coming }));
        self.next_of_body(input, eof, limits, room)
    }

    /// Answers a request. If [`Answer::closes`], the connection is over with it.
    pub fn answer(
        &mut self,
        asked: &Asked<'_>,
        response: &Response,
        terms: &Terms,
        output: &mut Vec<u8>,
    ) -> Answer {
        let closes = asked.unread.or_else(|| self.why_last(asked.persistence, response, terms));
        let is_head = asked.request.method() == "HEAD";
        self.send(response, is_head, closes, asked.persistence, terms, output)
    }

    /// Answers a request whose service has panicked: with a plain 500, the last answer of the connection. Nothing
    /// is left of what is in `response`.
    pub fn fail(
        &mut self,
        asked: &Asked<'_>,
        response: &mut Response,
        terms: &Terms,
        output: &mut Vec<u8>,
    ) -> Answer {
        response.clear();
        response.status(Status::INTERNAL_SERVER_ERROR).text("the service failed\n");
        let is_head = asked.request.method() == "HEAD";
        let closes = Some(Reason::ServicePanicked);
        self.send(response, is_head, closes, asked.persistence, terms, output)
    }

    /// Answers with what is wrong. The connection is over, unless it is certain where the next request begins.
    /// `response` is scratch.
    pub fn refuse(
        &mut self,
        wrong: &Wrong<'_>,
        response: &mut Response,
        terms: &Terms,
        output: &mut Vec<u8>,
    ) -> Answer {
        let Wrong { error, is_head, goes_on, .. } = *wrong;
        response.clear();
        response.status(error.status()).text(format_args!("{error}\n"));
        self.requests = self.requests.wrapping_add(1);
        let closes = match goes_on {
            Some(persistence) => self.why_last(persistence, response, terms),
            None => Some(Reason::Refused(error)),
        };
        self.send(response, is_head, closes, goes_on.unwrap_or(Persistence::Implied), terms, output)
    }

    /// The time of a head or of a body has passed. What was found of a request is wrong with that; where there is
    /// none, nothing is.
    pub fn time_is_up<'r>(&mut self, error: Error, room: &'r mut Room<'r>) -> Found<'r> {
        let check = match &self.state {
            State::Head(check) => check,
            State::Body(_) => return self.wrong_in_body(error, room),
            State::Service(_) => return Found::Nothing(Want::Service),
            State::Closed(reason) => return Found::Nothing(Want::Close(*reason)),
        };
        let is_head = check.is_head;
        self.wrong(error, is_head, None)
    }

    /// Requests so far, refused ones included. Wraps at 2³².
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// True once the head of a close-delimited answer has been sent, and from then on. Until all of it is
    /// written, nothing but a reset may end the connection: an orderly end would say that this was all (RFC
    /// 9112 section 8).
    pub fn is_close_delimited(&self) -> bool {
        self.close_delimited != CloseDelimited::No
    }

    /// True while such an answer lacks its end, and for ever if it was abandoned: it is truncated.
    pub fn is_truncated(&self) -> bool {
        self.close_delimited == CloseDelimited::Begun
    }

    /// A head is complete: what follows it?
    fn found<'r>(&mut self, head: &Head<'r>, limits: &Limits, room: &'r mut Room<'r>) -> Found<'r> {
        let Head { bytes: head, mut request, directives } = *head;
        request.peer = room.peer;
        let directives = match directives {
            Ok(directives) => directives,
            Err(error) => return self.wrong_request(error, request, room),
        };
        let persistence = directives.persistence;
        let is_expected_in_vain = directives.expectation == Expectation::Unknown;
        let coming = match directives.framing {
            Framing::None | Framing::Length(0) if is_expected_in_vain => {
                let request = &room.keep_request(request).request;
                let is_head = request.method() == "HEAD";
                let (error, goes_on) = (Error::Expectation, Some(persistence));
                return Found::Wrong(Wrong { error, request: Some(request), is_head, goes_on });
            }
            Framing::None | Framing::Length(0) => {
                return self.whole(Asked { request, head, persistence, unread: None }, room);
            }
            // The peer may now send its body or not: what comes next is not known.
            _ if is_expected_in_vain => {
                return self.wrong_request(Error::Expectation, request, room);
            }
            Framing::Length(bytes) if bytes > limits.body_bytes_max => {
                return self.wrong_request(Error::BodyTooLong, request, room);
            }
            Framing::Length(bytes) => Coming::Bytes(bytes),
            Framing::Chunked => Coming::Chunks(Decoder::default()),
        };
        let expectation = directives.expectation;
        Found::Body(Announced { head, request, persistence, expectation, coming, room })
    }

    fn next_of_body<'r>(
        &mut self,
        input: &mut &[u8],
        eof: bool,
        limits: &Limits,
        room: &'r mut Room<'r>,
    ) -> Found<'r> {
        let State::Body(body) = &mut self.state else { unreachable!("a body is under way") };
        match body.receive(input, limits) {
            Ok(Progress::More) if !body.is_answer_due => self.nothing(Want::Body, eof),
            Ok(progress) => {
                let unread = (progress == Progress::More).then_some(Reason::UnreadBody);
                let kept = Kept { unread, ..std::mem::take(&mut body.kept) };
                self.state = State::default();
                self.requests = self.requests.wrapping_add(1);
                Found::Request(room.keep(kept))
            }
            Err(error) => self.wrong_in_body(error, room),
        }
    }

    /// A request is whole.
    fn whole<'r>(&mut self, asked: Asked<'r>, room: &'r mut Room<'r>) -> Found<'r> {
        self.requests = self.requests.wrapping_add(1);
        Found::Request(room.asked.insert(asked))
    }

    /// More is needed, and if the input has ended, nothing will come of it.
    fn nothing<'r>(&mut self, want: Want, eof: bool) -> Found<'r> {
        if !eof {
            return Found::Nothing(want);
        }
        let reason = match want {
            Want::Request => Reason::PeerFinished,
            _ => Reason::PeerFinishedInRequest,
        };
        self.state = State::Closed(reason);
        Found::Nothing(Want::Close(reason))
    }

    fn wrong<'r>(
        &mut self,
        error: Error,
        is_head: bool,
        request: Option<&'r Request<'r>>,
    ) -> Found<'r> {
        self.state = State::Closed(Reason::Refused(error));
        Found::Wrong(Wrong { error, request, is_head, goes_on: None })
    }

    fn wrong_request<'r>(
        &mut self,
        error: Error,
        request: Request<'r>,
        room: &'r mut Room<'r>,
    ) -> Found<'r> {
        let request = &room.keep_request(request).request;
        self.wrong(error, request.method() == "HEAD", Some(request))
    }

    /// What is wrong within a body, or with waiting for it.
    fn wrong_in_body<'r>(&mut self, error: Error, room: &'r mut Room<'r>) -> Found<'r> {
        let State::Body(body) = &mut self.state else { unreachable!("a body is under way") };
        let request = &room.keep(std::mem::take(&mut body.kept)).request;
        self.wrong(error, request.method() == "HEAD", Some(request))
    }

    /// Why this answer is the last, if it is. The request's own wish first, because it is what a reader of logs
    /// looks for.
    fn why_last(
        &self,
        persistence: Persistence,
        response: &Response,
        terms: &Terms,
    ) -> Option<Reason> {
        match persistence {
            Persistence::CloseAsked => Some(Reason::Asked),
            Persistence::CloseHttp10 => Some(Reason::Http10),
            _ if response.close => Some(Reason::ServiceAsked),
            _ if terms.requests_max.is_some_and(|most| self.requests >= most) => {
                Some(Reason::RequestLimit)
            }
            _ if terms.is_draining => Some(Reason::Draining),
            Persistence::Implied | Persistence::Echoed => None,
        }
    }

    fn send(
        &mut self,
        response: &Response,
        is_head: bool,
        closes: Option<Reason>,
        persistence: Persistence,
        terms: &Terms,
        output: &mut Vec<u8>,
    ) -> Answer {
        let is_last = closes.is_some();
        let body_bytes = encode(response, is_head, is_last, persistence, &terms.date, output);
        if let Some(reason) = closes {
            self.state = State::Closed(reason);
        }
        Answer { status: response.status, body_bytes, closes }
    }
}

impl Default for State {
    fn default() -> State {
        State::Head(LineCheck::default())
    }
}

/// A connection that waits costs its driver this much and no buffer.
const _: () = assert!(size_of::<Exchange>() <= 24);
