//! Requests whose service takes its time.

use std::io;
use std::task::{self, Poll};
use std::time::Duration;

use super::{Budget, Connection, Held, Next, State, Then};
use crate::event_loop::{Context, Flow, Source};
use crate::http::{Exchange, Reason, Room, Want};
use crate::limits::{PARTS_PER_RESUME_MAX, WRITE_BYTES_PER_RESUME_MAX};
use crate::server::asking::Who;
use crate::server::{BodyPart, Part, Pending, Service, Shared};
use crate::world::{Readiness, Stream};

/// A request that a service is at work on.
pub(super) struct Serving {
    pub(super) work: Work,
    /// Input after the request, or after what the service has taken of its body.
    pub(super) held: Held,
    /// The service has room for more of the body, and the peer has not sent it.
    pub(super) waits_for_body: bool,
    /// Bytes of the body that came in the present window.
    pub(super) progress: u32,
}

impl Serving {
    pub(super) fn new(work: Work, held: Held) -> Serving {
        Serving { work, held, waits_for_body: false, progress: 0 }
    }
}

/// A service's answer on its way.
pub(in crate::server) struct Work {
    pub(in crate::server) pending: Box<dyn Pending>,
    /// The peer had finished sending when its request was read: that it has is no news.
    had_finished: bool,
}

/// How much of streamed bodies a connection may still take in the present resume. A service that always
/// has the next part, and a peer that reads as fast, would keep the loop for ever.
pub(in crate::server) struct PartsLeft {
    parts: usize,
    bytes: usize,
}

impl PartsLeft {
    pub(in crate::server) const ALL: PartsLeft =
        PartsLeft { parts: PARTS_PER_RESUME_MAX, bytes: WRITE_BYTES_PER_RESUME_MAX };

    pub(in crate::server) fn is_spent(&self) -> bool {
        self.parts == 0 || self.bytes == 0
    }

    /// A part is written whole, however large.
    pub(in crate::server) fn take(&mut self, part: &Part) {
        let bytes = if let Part::Bytes(data) = part { data.len() } else { 0 };
        self.parts -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Work {
    pub(in crate::server) fn new(pending: Box<dyn Pending>, source: &Source<Stream>) -> Work {
        let had_finished = source.readiness().contains(Readiness::READ_CLOSED);
        Work { pending, had_finished }
    }

    /// True if the peer has closed its side while the service is at work.
    pub(in crate::server) fn is_for_nobody(&self, readiness: Readiness) -> bool {
        let finished = readiness.contains(Readiness::READ_CLOSED) && !self.had_finished;
        finished || readiness.contains(Readiness::WRITE_CLOSED)
    }
}

impl<S: Service> Connection<S> {
    /// Takes the next part of an answer for which a service takes its time.
    pub(super) fn serve_part(
        &mut self,
        mut serving: Box<Serving>,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Next {
        let who = self.who(cx.task());
        if let Err(next) = self.feed(&mut serving, budget, cx) {
            if matches!(next, Next::Yield(Flow::Again)) {
                self.state = State::Serving(serving);
            }
            return next;
        }
        let readiness = match self.exchange.is_receiving() {
            // The end of what it sends is read in its place.
            true => self.source.readiness() - Readiness::READ_CLOSED,
            false => self.source.readiness(),
        };
        if serving.work.is_for_nobody(readiness) {
            abandon(&mut self.exchange, Reason::PeerGone, &self.shared, &who);
            return self.end(Reason::PeerGone, cx);
        }
        if budget.parts_left.is_spent() {
            self.state = State::Serving(serving);
            return Next::Yield(Flow::Again);
        }
        let waker = cx.waker();
        let mut poll_context = task::Context::from_waker(&waker);
        let Poll::Ready(part) = serving.work.pending.poll_part(&mut poll_context) else {
            // Not to read, but to notice when the peer goes away.
            return self.wait_to_read(State::Serving(serving));
        };
        budget.parts_left.take(&part);
        let (output, socket) = (&mut cx.scratch.output, self.source.socket());
        let then = match take_part(part, &mut self.exchange, output, &self.shared, &who, socket) {
            Want::Service => Then::To(State::Serving(serving)),
            Want::Close(reason) => Then::Close(reason),
            _ => Then::To(State::Answering { held: serving.held }),
        };
        self.deliver(then, false, cx)
    }
}

/// Bodies that are handed on while they come.
impl<S: Service> Connection<S> {
    /// Reads a body for as long as the service has room for it: backpressure. What it returns as an error is to be done
    /// instead of going on with the answer.
    fn feed(
        &mut self,
        serving: &mut Serving,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Result<(), Next> {
        let waker = cx.waker();
        let mut poll_context = task::Context::from_waker(&waker);
        while self.exchange.is_receiving() {
            if serving.work.pending.poll_wants_body(&mut poll_context).is_pending() {
                self.wait_for_body(serving, false, cx);
                return Ok(());
            }
            let held = serving.held.take();
            let input = match &held {
                Some(held) => &held[..],
                None if budget.read_bytes_left == 0 => return Err(Next::Yield(Flow::Again)),
                None => match self.source.read(&mut cx.scratch.input) {
                    Ok(0) => {
                        // Within the request: nobody will read the answer either, as a rule.
                        self.eof = true;
                        let who = self.who(cx.task());
                        abandon(&mut self.exchange, Reason::PeerGone, &self.shared, &who);
                        return Err(self.end(Reason::PeerGone, cx));
                    }
                    Ok(bytes) => {
                        budget.read_bytes_left = budget.read_bytes_left.saturating_sub(bytes);
                        &cx.scratch.input[..bytes]
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.wait_for_body(serving, true, cx);
                        return Ok(());
                    }
                    Err(error) => return Err(self.fail(&error, cx)),
                },
            };
            let bytes = u32::try_from(input.len()).unwrap_or(u32::MAX);
            serving.progress = serving.progress.saturating_add(bytes);
            let (mut rest, mut content) = (input, Vec::new());
            let keep = |data: &[u8]| content.extend_from_slice(data);
            let outcome = self.exchange.receive_more(&mut rest, &self.shared.limits, keep);
            serving.held = Some(rest.to_vec()).filter(|rest| !rest.is_empty()).map(Box::new);
            let pending = &mut serving.work.pending;
            if !content.is_empty() {
                pending.take_body(BodyPart::Bytes(content));
            }
            match outcome {
                Ok(false) => {}
                Ok(true) => {
                    pending.take_body(BodyPart::End);
                    // From now on its end would be news.
                    let readiness = self.source.readiness();
                    serving.work.had_finished = readiness.contains(Readiness::READ_CLOSED);
                }
                Err(error) => pending.take_body(BodyPart::Failed(error)),
            }
        }
        self.wait_for_body(serving, false, cx);
        Ok(())
    }

    /// Whose turn it is: if the peer's, it has only so much time.
    fn wait_for_body(&mut self, serving: &mut Serving, waits: bool, cx: &Context<'_>) {
        if serving.waits_for_body != waits {
            (serving.waits_for_body, serving.progress) = (waits, 0);
            let limit =
                if waits { self.shared.limits.body_progress_timeout } else { Duration::MAX };
            self.due = cx.now() + limit;
        }
    }
}

/// Hands a part of an answer to the exchange, and returns what it waits for then.
pub(in crate::server) fn take_part<S: Service>(
    part: Part,
    exchange: &mut Exchange,
    output: &mut Vec<u8>,
    shared: &Shared<S>,
    who: &Who,
    socket: &Stream,
) -> Want {
    let (terms, caller) = (&shared.terms(), shared.caller(who));
    let mut room = Room::new(Some(&caller));
    let answered = match part {
        Part::Failed if exchange.is_streaming() => {
            return abandon(exchange, Reason::ServicePanicked, shared, who);
        }
        Part::Whole(response) => exchange
            .deferred(&mut room)
            .map(|asked| (asked, exchange.answer(asked, &response, terms, output))),
        Part::Failed => exchange.deferred(&mut room).map(|asked| {
            let response = &mut shared.response.borrow_mut();
            (asked, exchange.fail(asked, response, terms, output))
        }),
        Part::Head(response) => {
            exchange.answer_streamed(&response, terms, output);
            if exchange.is_close_delimited() {
                // Whatever ends the connection before the answer's end resets it: also the end of the
                // process.
                socket.abort_on_close(true);
            }
            return Want::Service;
        }
        Part::Bytes(data) => {
            exchange.stream(&data, output);
            return Want::Service;
        }
        Part::End => exchange.end_stream(output, &mut room),
    };
    let Some((asked, answer)) = answered else { return Want::Request };
    let request = Some(&asked.request);
    shared.answered(who, exchange.requests, request, &answer, Duration::ZERO);
    answer.closes.map_or(Want::Request, Want::Close)
}

/// The answer that is on its way will not be completed.
pub(in crate::server) fn abandon<S: Service>(
    exchange: &mut Exchange,
    reason: Reason,
    shared: &Shared<S>,
    who: &Who,
) -> Want {
    let caller = shared.caller(who);
    let mut room = Room::new(Some(&caller));
    if let Some((asked, answer)) = exchange.abandon(reason, &mut room) {
        let request = Some(&asked.request);
        shared.answered(who, exchange.requests, request, &answer, Duration::ZERO);
    }
    Want::Close(reason)
}
