//! The states of a connection in one table: what each is called, what it means, how long it may last, what it means
//! to a newcomer, and where it leads by design. Below it is until when a connection may go on as it does, and the task
//! that sees to it.

use std::time::Duration;

use super::{Connection, State};
use crate::event_loop::{Cause, Context, Description, Flow, Task};
use crate::http::Reason;
use crate::id::SourceId;
use crate::limits::{Limits, MAKE_ROOM_IDLE_MIN};
use crate::server::drain::Phase;
use crate::server::machine::{Machine, MachineState as Is};
use crate::server::room::Rest;
use crate::server::{CONNECTION, Service, Shared};
use crate::world::Time;

/// All that there is to say about a state, apart from what a connection does in it.
pub(in crate::server) struct Row {
    pub(in crate::server) is: Is,
    /// How long a connection may be in it without progress; `None`: it waits for us, not for its peer.
    limit: Option<fn(&Limits) -> Duration>,
    pub(in crate::server) rest: Rest,
    /// The states that are next by design.
    next: &'static [usize],
}

/// The rows of the table.
pub(in crate::server) const IDLE: usize = 0;
pub(in crate::server) const RECEIVING_HEAD: usize = 1;
pub(in crate::server) const RECEIVING_BODY: usize = 2;
pub(in crate::server) const ANSWERING: usize = 3;
pub(in crate::server) const SERVING: usize = 4;
pub(in crate::server) const FLUSHING: usize = 5;
pub(in crate::server) const LINGERING: usize = 6;
pub(in crate::server) const CLOSED: usize = 7;

/// A request goes around a ring and passes by what it does not need: a state is where something had to be waited for,
/// and a request that comes whole, and whose answer fits into the socket, is never seen outside of *idle*. From
/// everywhere on the ring, what fails is closed, and a last answer lingers.
pub(in crate::server) const TABLE: [Row; 8] = [
    Row {
        is: Is::here("idle", "Between requests: nothing of the next one is here."),
        limit: Some(|limits| limits.idle_timeout),
        rest: Rest::Idle,
        next: &[RECEIVING_HEAD],
    },
    Row {
        is: Is::here("receiving head", "Part of a request line or of its fields is here."),
        limit: Some(|limits| limits.head_timeout),
        rest: Rest::Busy,
        next: &[RECEIVING_BODY],
    },
    Row {
        is: Is::here("receiving body", "The head is here, and part of the body."),
        limit: Some(|limits| limits.body_progress_timeout),
        rest: Rest::Busy,
        next: &[ANSWERING],
    },
    Row {
        is: Is::here(
            "answering",
            "More requests are here, and wait until other tasks have had their turn.",
        ),
        limit: None,
        rest: Rest::Busy,
        next: &[SERVING],
    },
    Row {
        is: Is::here("serving", "The service takes its time over the answer."),
        limit: None,
        rest: Rest::Busy,
        next: &[FLUSHING],
    },
    Row {
        is: Is::here(
            "flushing",
            "The socket took part of the answer; nothing is read until it takes the rest.",
        ),
        limit: Some(|limits| limits.write_progress_timeout),
        rest: Rest::Busy,
        next: &[IDLE, LINGERING],
    },
    Row {
        is: Is::here(
            "lingering",
            "All is said; what still comes is read for nothing, so that no reset destroys \
             the answer.",
        ),
        limit: Some(|limits| limits.linger_timeout),
        rest: Rest::Lingering,
        next: &[CLOSED],
    },
    Row {
        is: Is::here("closed", "It is over; the socket is closed now."),
        limit: None,
        rest: Rest::Busy,
        next: &[],
    },
];

/// The table, to be drawn.
pub(in crate::server) const MACHINE: Machine = {
    const STATES: [Is; TABLE.len()] = {
        let mut states = [TABLE[0].is; TABLE.len()];
        let mut at = 0;
        while at < TABLE.len() {
            states[at] = TABLE[at].is;
            at += 1;
        }
        states
    };
    const EDGES: [(&str, &str); TABLE.len()] = {
        let (mut edges, mut count, mut at) = ([("", ""); TABLE.len()], 0, 0);
        while at < TABLE.len() {
            let mut way = 0;
            while way < TABLE[at].next.len() {
                edges[count] = (TABLE[at].is.name, TABLE[TABLE[at].next[way]].is.name);
                (count, way) = (count + 1, way + 1);
            }
            at += 1;
        }
        assert!(count == edges.len(), "one way for each state: a ring, and its end");
        edges
    };
    Machine { kind: CONNECTION, states: &STATES, edges: &EDGES }
};

impl<S> Shared<S> {
    /// How long a connection may be in a state without progress; without a limit for ever.
    pub(in crate::server) fn time_limit(&self, row: usize) -> Duration {
        match TABLE[row].limit {
            Some(_) if row == IDLE => self.idle_time_limit(),
            Some(limit) => limit(&self.limits),
            None => Duration::MAX,
        }
    }

    /// How long a connection may be idle now. In a drain that closes the idle, one that was accepted,
    /// or answered, just now has the same grace as the others had.
    pub(in crate::server) fn idle_time_limit(&self) -> Duration {
        match self.status.phase.get() {
            Phase::ClosingIdle => self.limits.drain_idle_grace,
            _ => self.limits.idle_timeout,
        }
    }

    /// When a connection makes room for a newcomer: [`Time::NEVER`] unless it was asked to, else once
    /// it has done nothing for [`MAKE_ROOM_IDLE_MIN`]. `due` is when its time would be up without that.
    pub(in crate::server) fn time_to_go(
        &self,
        source: SourceId,
        rest: Rest,
        due: Time,
        now: Time,
    ) -> Time {
        if !self.status.room.borrow_mut().must_make_room(source) {
            return Time::NEVER;
        }
        let left = due.since(now);
        let limit = match rest {
            Rest::Busy => return Time::NEVER,
            // The limit may have become shorter since.
            Rest::Idle if left > self.idle_time_limit() => self.limits.idle_timeout,
            Rest::Idle => self.idle_time_limit(),
            Rest::Lingering => self.limits.linger_timeout,
        };
        now + MAKE_ROOM_IDLE_MIN.saturating_sub(limit.saturating_sub(left))
    }

    /// Why a connection ends that is idle, and whose time is up.
    pub(in crate::server) fn why_idle_ends(&self, source: SourceId) -> Reason {
        if self.status.phase.get() == Phase::ClosingIdle {
            Reason::Shutdown
        } else if self.status.room.borrow_mut().must_make_room(source) {
            Reason::MadeRoom
        } else {
            Reason::IdleTimeout
        }
    }
}

impl<S: Service> Task for Connection<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let phase = self.shared.status.phase.get();
        if phase == Phase::Cutting {
            return self.cut(cx);
        }
        let (source, now) = (self.source.id(), cx.now());
        let before = (self.state.row(), self.exchange.requests);
        let rest = TABLE[before.0].rest;
        let mut time_to_go = self.shared.time_to_go(source, rest, self.due, now);
        let is_due = self.due.min(time_to_go) <= now;
        // The drainer says so once. One that is idle later has a grace of its own; so has one that was asked
        // to make room when the drainer said so, and is not needed any more.
        let is_closing = phase == Phase::ClosingIdle && time_to_go == Time::NEVER;
        let may_close = is_closing && cx.cause().contains(Cause::WOKEN);
        if is_closing && before.0 == IDLE {
            let end_of_grace = now + self.shared.idle_time_limit();
            self.due = self.due.min(end_of_grace);
        }
        if is_due || (may_close && before.0 == IDLE) {
            // A last look: what came in time may wait behind many other events.
            self.source.assume_ready();
        }

        let mut flow = self.run(cx);
        let mut after = (self.state.row(), self.exchange.requests);

        if flow == Flow::Wait && may_close && after.0 == IDLE {
            self.end(Reason::Shutdown, cx);
            self.shared.tell_state(cx.task(), IDLE, CLOSED);
            return Flow::Done;
        }
        if self.take_progress() || before != after {
            self.due = now + self.time_limit();
        } else if is_due && (flow == Flow::Wait || after.0 == LINGERING) {
            // A flood of input never lets a lingering connection wait; its time is up all the same.
            flow = self.time_is_up(cx);
            after.0 = self.state.row();
            self.due = now + self.time_limit();
        }
        if flow == Flow::Done {
            return flow;
        }
        if before != after {
            self.shared.status.connection_rests(source, TABLE[after.0].rest);
            time_to_go = Time::NEVER;
        }
        self.timer.arm(self.due.min(time_to_go), now, cx.handle(), cx.task());
        flow
    }

    fn kind(&self) -> &'static str {
        CONNECTION
    }

    fn describe(&self) -> Description<'_> {
        let (peer, state) = (self.peer.address(), TABLE[self.state.row()].is.name);
        Description { peer: Some(peer), state: Some(state), ..Description::default() }
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.timer.cancel(&self.shared.status.handle);
        self.forget_client();
        self.shared.status.connection_closed(self.source.id());
    }
}

/// How long a connection may go on as it does. Its deadline is lazy: see [`LazyTimer`](crate::lazy_timer::LazyTimer).
impl<S> Connection<S> {
    /// How long it may be as it is without progress.
    pub(super) fn time_limit(&self) -> Duration {
        match &self.state {
            State::Serving(serving) if serving.waits_for_body => {
                self.shared.limits.body_progress_timeout
            }
            state => self.shared.time_limit(state.row()),
        }
    }

    /// True, once a window, if a body or an answer has moved by enough to deserve another window. A head has one
    /// limit from its first byte to its last, however it dribbles.
    pub(super) fn take_progress(&mut self) -> bool {
        let progress = match &mut self.state {
            State::ReceivingBody { progress } => progress,
            State::Serving(serving) if serving.waits_for_body => &mut serving.progress,
            State::Flushing(unsent) => &mut unsent.progress,
            _ => return false,
        };
        let has_moved = *progress as usize >= self.shared.limits.progress_bytes_min;
        if has_moved {
            *progress = 0;
        }
        has_moved
    }
}
