//! What a coroutine of a connection and its task share, and what a conversation is made of.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use super::{Heard, Over, Said};
use crate::event_loop::{Flow, Scratch, Source};
use crate::events::Event;
use crate::http::{Error, Exchange, Reason, Stage};
use crate::id::TaskId;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::server::Service;
use crate::server::connection::deadlines::Waiting;
use crate::server::connection::ending::reason_of;
use crate::server::connection::keep::{Peer, write_all};
use crate::server::connection::place::Place;
use crate::server::connection::serving::PartsLeft;
use crate::server::connection::{Shared, Who};
use crate::world::{Stream, Time};

/// At what the coroutine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Between requests, or in one: the exchange knows.
    Reading,
    Answering,
    Serving,
    Flushing,
    Lingering,
    Closed,
}

/// What the coroutine is told when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing came in time.
    TimeIsUp,
    /// The server closes its idle connections.
    CloseIdle,
    /// The server ends now.
    Cut,
}

/// What the coroutine and its task share. No borrow is held across an `await`.
pub(super) struct Line<S> {
    pub(super) source: RefCell<Source<Stream>>,
    pub(super) exchange: RefCell<Exchange>,
    pub(super) shared: Rc<Shared<S>>,
    pub(super) peer: Peer,
    pub(super) task: TaskId,
    /// The loop's buffers, for the length of a resume.
    pub(super) scratch: RefCell<Scratch>,
    pub(super) now: Cell<Time>,
    pub(super) read_bytes_left: Cell<usize>,
    /// Answers that the connection had given before the present resume.
    pub(super) answered_before: Cell<u32>,
    pub(super) parts_left: Cell<PartsLeft>,
    pub(super) order: Cell<Option<Order>>,
    /// How the present resume ended.
    pub(super) flow: Cell<Flow>,
    pub(super) at: Cell<At>,
    /// The state that the loop's observer was last told.
    pub(super) told: Cell<Place>,
    /// Bytes of the present body, or of the present answer, that moved in the present window.
    pub(super) progress: Cell<u32>,
    /// The peer has finished sending.
    pub(super) eof: Cell<bool>,
}

impl<S: Service> Line<S> {
    /// Gives control back to the loop, once.
    pub(super) async fn pause(&self, flow: Flow) {
        self.step_is_over();
        self.flow.set(flow);
        let mut has_paused = false;
        poll_fn(
            |_| if mem::replace(&mut has_paused, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
    }

    /// Everything is answered: the peer's turn.
    pub(super) fn rest(&self) {
        if self.stage() == Stage::Idle {
            self.progress.set(0);
        }
        self.step_is_over();
    }

    /// The end of what the state machine does in one step: tells the loop's observer if that led to
    /// another state.
    pub(super) fn step_is_over(&self) {
        let to = self.place();
        let from = self.told.replace(to);
        if from != to {
            let (task, from, to) = (self.task, from.name(), to.name());
            self.shared.status.handle.tell(|| Event::State { task, from, to });
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.exchange.borrow().stage()
    }

    pub(super) fn place(&self) -> Place {
        match (self.at.get(), self.stage()) {
            (At::Reading, Stage::Idle) => Place::Idle,
            (At::Reading, Stage::Body) => Place::ReceivingBody,
            (At::Reading, _) => Place::ReceivingHead,
            (At::Answering, _) => Place::Answering,
            (At::Serving, _) => Place::Serving,
            (At::Flushing, _) => Place::Flushing,
            (At::Lingering, _) => Place::Lingering,
            (At::Closed, _) => Place::Closed,
        }
    }

    pub(super) fn waiting(&self) -> Waiting {
        match (self.at.get(), self.stage()) {
            (At::Flushing, _) => Waiting::PeerToRead,
            (At::Lingering, _) => Waiting::PeerToClose,
            (At::Serving | At::Answering, _) => Waiting::Us,
            (_, Stage::Body) => Waiting::RestOfBody,
            (_, Stage::Head) => Waiting::RestOfHead,
            _ => Waiting::NextRequest,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.at.get() == At::Reading && self.stage() == Stage::Idle
    }

    pub(super) fn count_read(&self, bytes: usize) {
        self.read_bytes_left.set(self.read_bytes_left.get().saturating_sub(bytes));
    }

    pub(super) fn count_progress(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.progress.set(self.progress.get().saturating_add(bytes));
    }

    /// True, once a window, if a body or an answer has moved by enough to deserve another window.
    pub(super) fn take_progress(&self) -> bool {
        let is_moving = match self.at.get() {
            // A head has one limit from its first byte to its last, however it dribbles.
            At::Reading => self.stage() == Stage::Body,
            at => at == At::Flushing,
        };
        let enough = self.shared.progress_that_counts();
        let has_moved = is_moving && self.progress.get() >= enough;
        if has_moved || !is_moving {
            self.progress.set(0);
        }
        has_moved
    }

    pub(super) fn requests_left(&self) -> usize {
        let answered = self.exchange.borrow().requests();
        self.shared.requests_left(answered, self.answered_before.get())
    }

    /// For a request that is being looked at, or, with `asked`, for one that was counted when it
    /// was asked.
    pub(super) fn who(&self, asked: u32) -> Who {
        let (peer, task, now) = (self.peer.address(), self.task, self.now.get());
        let answered = self.exchange.borrow().requests().wrapping_sub(asked);
        Who { peer, task, now, answered, requests_left: self.requests_left() }
    }

    /// What a silent peer is told.
    pub(super) fn hurry(&self) -> Said<Heard> {
        match self.waiting() {
            Waiting::RestOfHead => Ok(Heard::NothingInTime(Error::HeadTimeout)),
            Waiting::RestOfBody => Ok(Heard::NothingInTime(Error::BodyTimeout)),
            _ => {
                let source = self.source.borrow().id();
                Err(self.end(self.shared.why_idle_ends(source)))
            }
        }
    }

    /// Writes what fits, and gives the rest.
    pub(super) fn write_output(&self) -> io::Result<Vec<u8>> {
        let output = &mut self.scratch.borrow_mut().output;
        let sent = write_all(&mut self.source.borrow_mut(), output)?;
        let unsent = output[sent..].to_vec();
        output.clear();
        if unsent.is_empty() {
            output.shrink_to(BUFFER_BYTES_KEPT_MAX);
        }
        Ok(unsent)
    }

    pub(super) fn fail(&self, error: &io::Error) -> Over {
        log::debug!("connection {} from {}: {error}", self.task, self.peer.address());
        self.end(reason_of(error))
    }

    pub(super) fn end(&self, reason: Reason) -> Over {
        self.tell_ending(reason);
        Over
    }

    pub(super) fn tell_ending(&self, reason: Reason) {
        let (task, why) = (self.task, reason.sentence());
        self.shared.status.handle.tell(|| Event::Ending { task, why });
        log::debug!("connection {task} from {} ends: {why}", self.peer.address());
    }
}
