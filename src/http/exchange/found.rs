//! What a driver receives, and what it passes on.

use super::super::framing::{Expectation, Persistence};
use super::super::{Error, Reason, Request, Status};
use super::body::Coming;
use super::room::{Asked, Room};

/// What [`Exchange::next`](super::Exchange::next) has found.
#[derive(Debug)]
#[must_use = "a request is to be answered, and what is wrong to be refused"]
#[allow(clippy::large_enum_variant, reason = "on the driver's stack, for the length of a call")]
pub enum Found<'r> {
    /// A request, whole. It is for [`Exchange::answer`](super::Exchange::answer),
    /// [`Exchange::fail`](super::Exchange::fail), or [`Exchange::defer`](super::Exchange::defer).
    Request(&'r Asked<'r>),
    /// A head, and a body is to follow: [`Exchange::receive`](super::Exchange::receive) must be called with
    /// what becomes of it.
    Body(Announced<'r>),
    /// Something that is no request: it is for [`Exchange::refuse`](super::Exchange::refuse).
    Wrong(Wrong<'r>),
    /// Nothing, before this has come.
    Nothing(Want),
}

/// What the machine waits for. *Flush before want*: the driver writes all pending output before it acts on
/// any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The next request: nothing of it is here, but perhaps an empty line before it.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Nothing of the peer: the service is at work. [`Exchange::deferred`](super::Exchange::deferred) and its
    /// kin go on.
    Service,
    /// Nothing at all: the connection is over. If [`Reason::lingers`], half-close and drain first.
    Close(Reason),
}

/// What to do with a body. Its limits hold either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPolicy {
    /// Keep it for the service.
    Collect,
    /// The same, up to so many bytes, where that is less than
    /// [`Limits::body_bytes_max`](crate::limits::Limits::body_bytes_max). A longer one is refused with 413, as soon as it is
    /// known to be.
    CollectAtMost(u64),
    /// Do not read it: the service sees an empty body and answers at once, for example with 401, and the connection
    /// closes after that answer.
    Refuse,
    /// Hand it on in pieces while it comes. The service is asked at once, and sees an empty body, unless all of it is
    /// here already. An answer that is complete before the body is closes the connection.
    Stream,
    /// Read and drop it; the service sees an empty body. If the peer waits for `100 Continue`, it
    /// is answered finally instead and the connection closes.
    Discard,
}

/// A head whose body follows.
///
/// ```
/// use helloop::http::{Announced, Asked, BodyPolicy, Exchange, Found, Reason, Response, Room, Terms};
/// use helloop::limits::Limits;
///
/// let (limits, date) = (Limits::default(), *b"Sun, 06 Nov 1994 08:49:37 GMT");
/// let terms = Terms { date, is_draining: false, requests_max: None };
/// let (mut exchange, mut room, mut output) = (Exchange::new(), Room::new(None), Vec::new());
/// let mut input = &b"PUT /photo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"[..];
/// let Found::Body(announced) = exchange.next(&mut input, false, &limits, &mut room) else {
///     unreachable!("a body was announced");
/// };
/// let announced: Announced<'_> = announced;
/// assert_eq!(announced.request().path(), "/photo");
/// // It is not wanted.
/// let policy = BodyPolicy::Refuse;
/// let found = exchange.receive(announced, policy, &mut input, false, &limits, &mut output);
/// let Found::Request(asked) = found else { unreachable!("it is to be answered") };
/// let asked: &Asked<'_> = asked;
/// let answer = exchange.answer(asked, &Response::new(), &terms, &mut output);
/// assert_eq!(answer.closes, Some(Reason::UnreadBody));
/// ```
#[derive(Debug)]
pub struct Announced<'r> {
    pub(super) head: &'r [u8],
    pub(crate) request: Request<'r>,
    pub(super) persistence: Persistence,
    pub(super) expectation: Expectation,
    pub(super) coming: Coming,
    pub(super) room: &'r mut Room<'r>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Wrong<'r> {
    pub(super) error: Error,
    /// Known if the head is good.
    pub(crate) request: Option<&'r Request<'r>>,
    /// The method is HEAD, as far as it is known.
    pub(super) is_head: bool,
    /// The next request may follow: it is certain where it begins.
    pub(super) goes_on: Option<Persistence>,
}

/// What all answers of a moment have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The value of the `Date` field; see [`DateCache`](crate::http::DateCache).
    pub date: [u8; 29],
    /// The server is draining: the next answer is the last of its connection.
    pub is_draining: bool,
    /// See [`Limits::requests_per_connection_max`](crate::limits::Limits::requests_per_connection_max).
    pub requests_max: Option<u32>,
}

/// An answer that was given, for access logs and observers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of the answer.
    pub status: Status,
    /// Bytes of the answer's body, after HEAD 0.
    pub body_bytes: usize,
    /// Why the connection closes after this answer, if it does.
    pub closes: Option<Reason>,
}

impl<'r> Announced<'r> {
    /// The request, as far as it is here: without its body.
    pub fn request(&self) -> &Request<'r> {
        &self.request
    }
}

impl<'r> Wrong<'r> {
    /// What is wrong.
    pub fn error(&self) -> Error {
        self.error
    }

    /// The request; `None` if its head is wrong or incomplete.
    pub fn request(&self) -> Option<&'r Request<'r>> {
        self.request
    }
}
