//! What a connection waits for, for how long, and what happens then.
//!
//! Deadlines are lazy: while a connection lives, one field is written, and no timer is touched until
//! it fires or until something is due earlier.

use std::time::Duration;

use super::keep::has_unread;
use super::{Behind, Connection, Next, State, Who};
use crate::event_loop::{Context, Flow, Handle, TimerId};
use crate::http::{Error, Reason, Stage};
use crate::id::SourceId;
use crate::limits::MAKE_ROOM_IDLE_MIN;
use crate::server::room::Rest;
use crate::server::status::Phase;
use crate::server::{Service, Shared};
use crate::world::Time;

/// What a connection waits for: each has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    NextRequest,
    RestOfHead,
    RestOfBody,
    PeerToRead,
    PeerToClose,
    /// The service, or its own turn: ours to hurry, not the peer's. No limit.
    Us,
}

impl Waiting {
    /// What a newcomer may expect of a connection that waits for this.
    pub(super) fn rest(self) -> Rest {
        match self {
            Waiting::NextRequest => Rest::Idle,
            Waiting::PeerToClose => Rest::Lingering,
            _ => Rest::Busy,
        }
    }
}

/// When a connection must have moved on, and the timer that looks whether it has.
pub(super) struct Deadline {
    /// Extending it is one write.
    due: Time,
    /// Set for `due` or earlier. One that fires early is set again. The first is set when the first
    /// resume ends: a connection that is over by then needs none.
    timer: TimerId,
}

impl Deadline {
    pub(super) fn new(due: Time) -> Deadline {
        Deadline { due, timer: TimerId::FIRED }
    }

    pub(super) fn has_come(&self, now: Time) -> bool {
        now >= self.due
    }

    pub(super) fn due(&self) -> Time {
        self.due
    }

    pub(super) fn extend(&mut self, due: Time) {
        self.due = due;
    }

    pub(super) fn bring_forward(&mut self, due: Time) {
        self.due = self.due.min(due);
    }

    /// Makes sure that a timer looks at `due`, at `sooner`, or earlier.
    pub(super) fn arm(&mut self, sooner: Time, cx: &Context<'_>) {
        let time = self.due.min(sooner);
        if time == Time::NEVER {
            // The timer that is set, if one is, fires for nothing.
            return;
        }
        let fired = self.timer.deadline() <= cx.now();
        if !fired && self.timer.deadline() > time {
            cx.handle().cancel(self.timer);
        }
        if fired || self.timer.deadline() > time {
            self.timer = cx.handle().at(time, cx.task());
        }
    }

    pub(super) fn cancel(&self, handle: &Handle) {
        handle.cancel(self.timer);
    }
}

impl<S> Shared<S> {
    pub(super) fn time_limit(&self, waiting: Waiting) -> Duration {
        let limits = &self.limits;
        match waiting {
            Waiting::NextRequest => self.idle_time_limit(),
            Waiting::RestOfHead => limits.head_timeout,
            Waiting::RestOfBody => limits.body_progress_timeout,
            Waiting::PeerToRead => limits.write_progress_timeout,
            Waiting::PeerToClose => limits.linger_timeout,
            Waiting::Us => Duration::MAX,
        }
    }

    /// Bytes of a body, or of an answer, that deserve another window.
    pub(super) fn progress_that_counts(&self) -> u32 {
        u32::try_from(self.limits.progress_bytes_min).unwrap_or(u32::MAX)
    }

    /// Requests that a connection may still answer in a resume before which it had answered `before`.
    pub(super) fn requests_left(&self, answered: u32, before: u32) -> usize {
        let in_resume = answered.wrapping_sub(before) as usize;
        self.limits.requests_per_resume_max.saturating_sub(in_resume)
    }

    /// How long a connection may be idle now. In a drain that closes the idle, one that was accepted,
    /// or answered, just now has the same grace as the others had.
    pub(super) fn idle_time_limit(&self) -> Duration {
        match self.status.phase.get() {
            Phase::ClosingIdle => self.limits.drain_idle_grace,
            _ => self.limits.idle_timeout,
        }
    }

    /// When a connection makes room for a newcomer: [`Time::NEVER`] unless it was asked to, else once
    /// it has done nothing for [`MAKE_ROOM_IDLE_MIN`]. `due` is when its time would be up without that.
    pub(super) fn time_to_go(
        &self,
        source: SourceId,
        waiting: Waiting,
        due: Time,
        now: Time,
    ) -> Time {
        if !self.status.must_make_room(source) {
            return Time::NEVER;
        }
        let left = due.since(now);
        let limit = match waiting.rest() {
            Rest::Busy => return Time::NEVER,
            // The limit may have become shorter since.
            Rest::Idle if left > self.idle_time_limit() => self.limits.idle_timeout,
            Rest::Idle => self.idle_time_limit(),
            Rest::Lingering => self.limits.linger_timeout,
        };
        now + MAKE_ROOM_IDLE_MIN.saturating_sub(limit.saturating_sub(left))
    }

    /// Why a connection ends that is idle, and whose time is up.
    pub(super) fn why_idle_ends(&self, source: SourceId) -> Reason {
        if self.status.phase.get() == Phase::ClosingIdle {
            Reason::Shutdown
        } else if self.status.must_make_room(source) {
            Reason::MadeRoom
        } else {
            Reason::IdleTimeout
        }
    }
}

impl<S: Service> Connection<S> {
    pub(super) fn waiting(&self) -> Waiting {
        match (&self.state, self.exchange.stage()) {
            (State::Flushing { .. }, _) => Waiting::PeerToRead,
            (State::Lingering, _) => Waiting::PeerToClose,
            (State::Serving(_) | State::Answering { .. }, _) => Waiting::Us,
            (_, Stage::Body) => Waiting::RestOfBody,
            (_, Stage::Head) => Waiting::RestOfHead,
            _ => Waiting::NextRequest,
        }
    }

    pub(super) fn extend_deadline(&mut self, cx: &Context<'_>) {
        self.deadline.extend(cx.now() + self.shared.time_limit(self.waiting()));
    }

    /// True, once a window, if a body or an answer has moved by enough to deserve another window.
    pub(super) fn take_progress(&mut self) -> bool {
        let enough = self.shared.progress_that_counts();
        match &mut self.state {
            State::Receiving { progress, .. } if self.exchange.stage() != Stage::Body => {
                // A head has one limit from its first byte to its last, however it dribbles.
                *progress = 0;
                false
            }
            State::Receiving { progress, .. } | State::Flushing { progress, .. } => {
                let moved = *progress >= enough;
                if moved {
                    *progress = 0;
                }
                moved
            }
            _ => false,
        }
    }

    /// Nothing came in time, and the kernel was asked once more.
    pub(super) fn time_is_up(&mut self, cx: &mut Context<'_>) -> Flow {
        let next = self.watched(cx, |this, cx| match this.waiting() {
            Waiting::NextRequest => this.end(this.shared.why_idle_ends(this.source.id()), cx),
            Waiting::RestOfHead => this.refuse(Error::HeadTimeout, cx),
            Waiting::RestOfBody => this.refuse(Error::BodyTimeout, cx),
            Waiting::PeerToRead => {
                // It would not read anything else either: free the kernel's buffers at once.
                this.source.socket().abort_on_close(true);
                this.end(Reason::WriteTimeout, cx)
            }
            Waiting::Us => Next::Yield(Flow::Wait),
            Waiting::PeerToClose => {
                this.state = State::Closed;
                Next::Yield(Flow::Done)
            }
        });
        match next {
            Next::Step => self.run(cx),
            Next::Yield(flow) => flow,
        }
    }

    fn refuse(&mut self, error: Error, cx: &mut Context<'_>) -> Next {
        let (task, now, answered) = (cx.task(), cx.now(), self.exchange.requests());
        let who = Who { peer: self.peer.address(), task, now, answered, requests_left: 0 };
        let output = &mut cx.scratch.output;
        let (want, _) = self.shared.with_bridge(who, |bridge, response| {
            self.exchange.refuse(error, output, response, bridge)
        });
        self.deliver(want, Behind::default(), 0, cx)
    }

    /// The server is stopped, or a drain took too long.
    pub(super) fn cut(&mut self, cx: &mut Context<'_>) -> Flow {
        let was_busy = match self.waiting().rest() {
            Rest::Busy => true,
            Rest::Idle => has_unread(&mut self.source, &mut cx.scratch.input),
            Rest::Lingering => false,
        };
        self.shared.status.count(|report| report.cut += u64::from(was_busy));
        self.watched(cx, |this, cx| match this.state {
            State::Lingering => {
                this.state = State::Closed;
                Next::Yield(Flow::Done)
            }
            _ if was_busy => this.end(Reason::Cut, cx),
            _ => this.end(Reason::Shutdown, cx),
        });
        Flow::Done
    }
}
