//! Requests whose service takes its time.

use std::task::{self, Poll};

use super::keep::Held;
use super::{Behind, Connection, Next, State, Who};
use crate::event_loop::{Context, Flow};
use crate::http::{Exchange, Handled, Reason, Want};
use crate::limits::{PARTS_PER_RESUME_MAX, WRITE_BYTES_PER_RESUME_MAX};
use crate::server::{Part, Pending, Service, Shared};
use crate::world::{Readiness, Stream};

/// A service's answer on its way.
pub(super) struct Work {
    pub(super) pending: Box<dyn Pending>,
    /// The peer had finished sending when its request was read: that it has is no news.
    pub(super) had_finished: bool,
}

/// What of answers that come in pieces a connection may still take in the present resume. A service
/// that always has the next piece, and a peer that reads as fast, would keep the loop for ever.
#[derive(Clone, Copy)]
pub(super) struct PartsLeft {
    parts: usize,
    bytes: usize,
}

impl PartsLeft {
    pub(super) const ALL: PartsLeft =
        PartsLeft { parts: PARTS_PER_RESUME_MAX, bytes: WRITE_BYTES_PER_RESUME_MAX };

    pub(super) fn is_spent(self) -> bool {
        self.parts == 0 || self.bytes == 0
    }

    /// With one part less. A piece is written whole, however large.
    pub(super) fn without(self, part: &Part) -> PartsLeft {
        let bytes = if let Part::Piece(data) = part { data.len() } else { 0 };
        PartsLeft { parts: self.parts - 1, bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// A request that a service is at work on.
pub(super) struct Serving {
    pub(super) work: Work,
    /// Input behind the request.
    pub(super) held: Held,
}

impl<S: Service> Connection<S> {
    /// Takes the next part of an answer that a service gives in its own time.
    pub(super) fn serve(
        &mut self,
        serving: Serving,
        parts_left: &mut PartsLeft,
        cx: &mut Context<'_>,
    ) -> Next {
        let Serving { mut work, held } = serving;
        if peer_is_gone(self.source.readiness(), &work) {
            let who = self.who_asked(cx);
            let exchange = &mut self.exchange;
            let _closed = self
                .shared
                .with_bridge(who, |bridge, _| exchange.abandon(Reason::PeerGone, bridge));
            return self.end(Reason::PeerGone, cx);
        }
        if parts_left.is_spent() {
            self.state = State::Serving(Box::new(Serving { work, held }));
            return Next::Yield(Flow::Again);
        }
        let waker = cx.waker();
        let part = match work.pending.poll_part(&mut task::Context::from_waker(&waker)) {
            Poll::Ready(part) => part,
            Poll::Pending => {
                self.state = State::Serving(Box::new(Serving { work, held }));
                // Not to read, but to be told when the peer goes away.
                self.source.want(Readiness::READABLE);
                return Next::Yield(Flow::Wait);
            }
        };
        *parts_left = parts_left.without(&part);
        let want = self.take_part(part, cx);
        let work = (want == Want::Service).then_some(work);
        self.deliver(want, Behind { held, work, came_whole: false }, 0, cx)
    }

    fn take_part(&mut self, part: Part, cx: &mut Context<'_>) -> Want {
        let who = self.who_asked(cx);
        let socket = self.source.socket();
        take_part(&mut self.exchange, part, &mut cx.scratch.output, &self.shared, who, socket)
    }

    /// For the request that is being served: it was counted when it was asked.
    fn who_asked(&self, cx: &Context<'_>) -> Who {
        let answered = self.exchange.requests().wrapping_sub(1);
        let (peer, task, now) = (self.peer.address(), cx.task(), cx.now());
        Who { peer, task, now, answered, requests_left: 0 }
    }
}

/// Hands a part of an answer to the exchange.
pub(super) fn take_part<S: Service>(
    exchange: &mut Exchange,
    part: Part,
    output: &mut Vec<u8>,
    shared: &Shared<S>,
    who: Who,
    socket: &Stream,
) -> Want {
    let had_begun = exchange.is_unframed();
    let (want, _) = shared.with_bridge(who, |bridge, spare| match part {
        Part::Whole(mut response) => exchange.answer(Handled::Done, output, &mut response, bridge),
        Part::Head(mut response) => exchange.answer_in_pieces(output, &mut response, bridge),
        Part::Piece(data) => exchange.piece(&data, output),
        Part::End => exchange.end_of_pieces(output, bridge),
        Part::Failed if exchange.is_in_pieces() => {
            exchange.abandon(Reason::ServicePanicked, bridge)
        }
        Part::Failed => exchange.answer(Handled::Panicked, output, spare, bridge),
    });
    if exchange.is_unframed() && !had_begun {
        // Whatever ends the connection before the answer's end resets it: also the end of the
        // process.
        socket.abort_on_close(true);
    }
    want
}

/// True if the peer has closed its side while the service is at work.
pub(super) fn peer_is_gone(readiness: Readiness, work: &Work) -> bool {
    let finished = readiness.contains(Readiness::READ_CLOSED) && !work.had_finished;
    finished || readiness.contains(Readiness::WRITE_CLOSED)
}
