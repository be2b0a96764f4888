//! Requests whose service takes its time.

use std::task::{self, Poll};
use std::time::Duration;

use super::keep::Held;
use super::{Budget, Connection, Next, State, Then, Who};
use crate::event_loop::{Context, Flow, Source};
use crate::http::{Exchange, Reason, Room, Want};
use crate::limits::{PARTS_PER_RESUME_MAX, WRITE_BYTES_PER_RESUME_MAX};
use crate::server::{Part, Pending, Service, Shared};
use crate::world::{Readiness, Stream};

/// A request that a service is at work on.
pub(super) struct Serving {
    pub(super) work: Work,
    /// Input after the request.
    pub(super) held: Held,
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
        let who = Who { task: cx.task(), peer: self.peer.address() };
        if serving.work.is_for_nobody(self.source.readiness()) {
            abandon(&mut self.exchange, Reason::PeerGone, &self.shared, who);
            return self.end(Reason::PeerGone, cx);
        }
        if budget.parts_left.is_spent() {
            self.state = State::Serving(serving);
            return Next::Yield(Flow::Again);
        }
        let waker = cx.waker();
        let mut poll_context = task::Context::from_waker(&waker);
        let Poll::Ready(part) = serving.work.pending.poll_part(&mut poll_context) else {
            self.state = State::Serving(serving);
            // Not to read, but to notice when the peer goes away.
            self.want_to_read();
            return Next::Yield(Flow::Wait);
        };
        budget.parts_left.take(&part);
        let (output, socket) = (&mut cx.scratch.output, self.source.socket());
        let then = match take_part(part, &mut self.exchange, output, &self.shared, who, socket) {
            Want::Service => Then::To(State::Serving(serving)),
            Want::Close(reason) => Then::Close(reason),
            _ => Then::To(State::Answering { held: serving.held }),
        };
        self.deliver(then, false, cx)
    }
}

/// Hands a part of an answer to the exchange, and returns what it waits for then.
pub(in crate::server) fn take_part<S: Service>(
    part: Part,
    exchange: &mut Exchange,
    output: &mut Vec<u8>,
    shared: &Shared<S>,
    who: Who,
    socket: &Stream,
) -> Want {
    let date = shared.date(shared.status.handle.now());
    let (terms, mut room) = (&shared.terms(&date), Room::new(Some(&who.peer)));
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
    let request = Some(asked.request());
    shared.answered(who, exchange.requests(), request, &answer, Duration::ZERO);
    answer.closes.map_or(Want::Request, Want::Close)
}

/// The answer that is on its way will not be completed.
pub(in crate::server) fn abandon<S: Service>(
    exchange: &mut Exchange,
    reason: Reason,
    shared: &Shared<S>,
    who: Who,
) -> Want {
    let mut room = Room::new(Some(&who.peer));
    if let Some((asked, answer)) = exchange.abandon(reason, &mut room) {
        let request = Some(asked.request());
        shared.answered(who, exchange.requests(), request, &answer, Duration::ZERO);
    }
    Want::Close(reason)
}
