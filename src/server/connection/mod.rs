//! One connection: an explicit state machine that drives an [`Exchange`] over a socket.
//!
//! ```text
//!              first byte             complete requests
//!    ┌──────┐ ───────────▶ ┌───────────┐ ───────────▶ answers are written at once
//! ──▶│ idle │              │ receiving │ ◀─────┐           │ all written
//!    └──────┘ ◀─────────── └───────────┘       └───────────┤
//!      │        nothing left over                          │ the socket is full
//!      │ idle timeout                                      ▼
//!      │              peer reads on, or more requests ┌──────────┐
//!      │            answering ◀────────────────────── │ flushing │
//!      ▼                                              └──────────┘
//!   dropped ◀── the peer's end, or 2 s ── lingering ◀── the last answer is written
//!      ▲                                                   │
//!      └─────── the peer asked for it and sent no more ────┘
//! ```
//!
//! **Flush before want.** All output is written before the exchange's answer is acted on: the
//! other end of the contract is [`Want`].
//!
//! **An idle connection owns no buffer.** Reads go into the loop's input buffer, answers into its
//! output buffer; what is left over is copied here, and released when it is used up.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;

use super::bridge::Who;
use super::status::Phase;
use super::{CONNECTION, Service, Shared};
use crate::event_loop::{Cause, Context, Description, Flow, Scratch, Source, Task};
use crate::events::Event;
use crate::http::{Exchange, Reason, Stage, Want};
use crate::id::TaskId;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::world::{Readiness, Stream, Time};

mod deadlines;
mod ending;
mod keep;
mod place;
mod serving;
#[cfg(feature = "twin")]
mod twin;

pub(super) use place::MACHINE;

use deadlines::{Deadline, Waiting};
use keep::{Held, Peer, left_over, write_all};
use serving::{PartsLeft, Serving, Work};

/// Where a connection is. What a state needs lives in its variant.
enum State {
    /// Between requests: nothing of the next one is here.
    Idle,
    /// Part of a request is here.
    Receiving {
        held: Held,
        /// Bytes of the present body that arrived in the present window.
        progress: u32,
    },
    /// Requests are here and have not been looked at: they wait for their turn.
    Answering { held: Held },
    /// The service takes its time. Nothing is read meanwhile.
    Serving(Box<Serving>),
    /// The socket took only part of the answers. Nothing is read meanwhile: back-pressure.
    Flushing {
        unsent: Box<Unsent>,
        /// Bytes that the peer took in the present window.
        progress: u32,
    },
    /// Everything is said and the write side is shut; what still comes is read for nothing, so that
    /// it does not turn into a reset which destroys the last answer (RFC 9112 section 9.6).
    Lingering,
    /// Nothing more happens; the socket is closed when the task is dropped. Also the placeholder
    /// while a step is under way.
    Closed,
}

/// Output that did not fit into the socket.
struct Unsent {
    bytes: Vec<u8>,
    /// `bytes[..sent]` is on its way; less than all.
    sent: usize,
    /// Input behind the requests that these bytes answer.
    held: Held,
    /// The answer that is on its way, if these bytes are not the last of it.
    work: Option<Work>,
    /// What the exchange wants once everything is written.
    then: Want,
}

/// What comes after the bytes that are being written.
#[derive(Default)]
struct Behind {
    held: Held,
    work: Option<Work>,
    /// What is answered came whole, by one read, and nothing came with it. False where that is not
    /// known.
    came_whole: bool,
}

/// What a connection may still do in the present resume.
struct Budget {
    read_bytes_left: usize,
    /// Answers that the connection had given before.
    answered_before: u32,
    parts_left: PartsLeft,
}

/// What a step of the machine leads to.
enum Next {
    /// On to the next step.
    Step,
    /// Back to the loop.
    Yield(Flow),
}

pub(super) struct Connection<S> {
    source: Source<Stream>,
    shared: Rc<Shared<S>>,
    exchange: Exchange,
    state: State,
    deadline: Deadline,
    peer: Peer,
    /// The peer has finished sending.
    eof: bool,
}

/// The task for a new connection.
///
/// # Errors
/// When the loop cannot watch it; it is closed then.
pub(super) fn open<S: Service + 'static>(
    shared: &Rc<Shared<S>>,
    stream: Stream,
    peer: SocketAddr,
    task: TaskId,
) -> io::Result<Box<dyn Task>> {
    #[cfg(feature = "twin")]
    if shared.connections == super::Connections::Coroutine {
        return Ok(Box::new(twin::Twin::new(shared, stream, peer, task)?));
    }
    Ok(Box::new(Connection::new(shared, stream, peer, task)?))
}

impl<S: Service> Connection<S> {
    fn new(
        shared: &Rc<Shared<S>>,
        stream: Stream,
        peer: SocketAddr,
        task: TaskId,
    ) -> io::Result<Connection<S>> {
        let handle = &shared.status.handle;
        let source = Source::stream(handle, stream, task)?;
        let due = handle.now() + shared.idle_time_limit();
        let deadline = Deadline::new(due);
        shared.status.connection_opened(source.id(), task);
        Ok(Connection {
            source,
            shared: Rc::clone(shared),
            exchange: Exchange::new(),
            state: State::Idle,
            deadline,
            peer: Peer::of(peer),
            eof: false,
        })
    }
}

/// The machine: each step takes a state and leaves the next in its place.
impl<S: Service> Connection<S> {
    fn run(&mut self, cx: &mut Context<'_>) -> Flow {
        let mut budget = Budget {
            read_bytes_left: self.shared.limits.read_bytes_per_resume_max,
            answered_before: self.exchange.requests(),
            parts_left: PartsLeft::ALL,
        };
        loop {
            let next = self.watched(cx, |this, cx| this.step(&mut budget, cx));
            if let Next::Yield(flow) = next {
                return flow;
            }
        }
    }

    /// Does something, and tells the loop's observer if that led to another state.
    fn watched<R>(
        &mut self,
        cx: &mut Context<'_>,
        transition: impl FnOnce(&mut Self, &mut Context<'_>) -> R,
    ) -> R {
        if !cx.handle().is_observed() {
            return transition(self, cx);
        }
        let from = self.place();
        let result = transition(self, cx);
        let to = self.place();
        if from != to {
            debug_assert!(from.leads_to().contains(&to), "{from:?} leads to {to:?}");
            let (task, from, to) = (cx.task(), from.name(), to.name());
            cx.handle().tell(|| Event::State { task, from, to });
        }
        result
    }

    fn step(&mut self, budget: &mut Budget, cx: &mut Context<'_>) -> Next {
        match mem::replace(&mut self.state, State::Closed) {
            State::Idle => self.receive(None, 0, budget, cx),
            State::Receiving { held, progress } => self.receive(held, progress, budget, cx),
            State::Answering { held } => self.answer(held, 0, 0, budget, cx),
            State::Serving(serving) => self.serve(*serving, &mut budget.parts_left, cx),
            State::Flushing { unsent, progress } => self.flush(unsent, progress, cx),
            State::Lingering => self.linger(&mut budget.read_bytes_left, cx),
            State::Closed => Next::Yield(Flow::Done),
        }
    }

    /// Reads once, and lets the exchange work on what came.
    fn receive(
        &mut self,
        held: Held,
        progress: u32,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Next {
        // Without a request left, a look at what is not there does no harm.
        let is_spent = self.requests_left(budget) == 0 && self.source.readiness().is_readable();
        if is_spent || budget.read_bytes_left == 0 {
            self.state = self.state_with(held, progress);
            return Next::Yield(Flow::Again);
        }
        let fresh = match self.source.read(&mut cx.scratch.input) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return self.wait_to_read(held, progress);
            }
            Err(error) => return self.fail(&error, cx),
        };
        self.eof |= fresh == 0;
        budget.read_bytes_left = budget.read_bytes_left.saturating_sub(fresh);
        let progress = progress.saturating_add(u32::try_from(fresh).unwrap_or(u32::MAX));
        self.answer(held, fresh, progress, budget, cx)
    }

    fn requests_left(&self, budget: &Budget) -> usize {
        self.shared.requests_left(self.exchange.requests(), budget.answered_before)
    }

    /// Lets the exchange work on `held` and then the first `fresh` bytes of the input buffer.
    fn answer(
        &mut self,
        held: Held,
        fresh: usize,
        progress: u32,
        budget: &Budget,
        cx: &mut Context<'_>,
    ) -> Next {
        let requests_left = self.requests_left(budget);
        let (task, now) = (cx.task(), cx.now());
        let Scratch { input, output } = &mut *cx.scratch;
        let input = &input[..fresh];
        let mut held = held;
        let all = match &mut held {
            Some(held) => {
                held.extend_from_slice(input);
                held.as_slice()
            }
            None => input,
        };
        let mut rest = all;
        let came_whole = all.len() == fresh && self.exchange.stage() == Stage::Idle;
        let answered = self.exchange.requests();
        let who = Who { peer: self.peer.address(), task, now, answered, requests_left };
        let (want, pending) = self.shared.with_bridge(who, |bridge, response| {
            self.exchange.advance(&mut rest, self.eof, output, response, bridge)
        });
        let consumed = all.len() - rest.len();
        let held = left_over(held, input, consumed);
        let work = pending.map(|pending| {
            let had_finished = self.source.readiness().contains(Readiness::READ_CLOSED);
            Work { pending, had_finished }
        });
        let came_whole = came_whole && held.is_none();
        self.deliver(want, Behind { held, work, came_whole }, progress, cx)
    }

    /// Writes the output buffer, then does what the exchange wants: flush before want.
    fn deliver(&mut self, want: Want, behind: Behind, progress: u32, cx: &mut Context<'_>) -> Next {
        let output = &mut cx.scratch.output;
        let sent = match write_all(&mut self.source, output) {
            Ok(sent) => sent,
            Err(error) => return self.fail(&error, cx),
        };
        if sent < output.len() {
            let bytes = output[sent..].to_vec();
            output.clear();
            let Behind { held, work, .. } = behind;
            let unsent = Box::new(Unsent { bytes, sent: 0, held, work, then: want });
            self.state = State::Flushing { unsent, progress: 0 };
            self.source.want(Readiness::WRITABLE);
            return Next::Yield(Flow::Wait);
        }
        output.clear();
        output.shrink_to(BUFFER_BYTES_KEPT_MAX);
        self.act(want, behind, progress, cx)
    }

    /// Goes on with what did not fit before.
    fn flush(&mut self, mut unsent: Box<Unsent>, progress: u32, cx: &mut Context<'_>) -> Next {
        let sent = match write_all(&mut self.source, &unsent.bytes[unsent.sent..]) {
            Ok(sent) => sent,
            Err(error) => return self.fail(&error, cx),
        };
        unsent.sent += sent;
        if unsent.sent < unsent.bytes.len() {
            let progress = progress.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
            self.state = State::Flushing { unsent, progress };
            self.source.want(Readiness::WRITABLE);
            return Next::Yield(Flow::Wait);
        }
        let behind = Behind { held: unsent.held, work: unsent.work, came_whole: false };
        self.act(unsent.then, behind, 0, cx)
    }

    /// Everything is written: does what the exchange wants.
    fn act(&mut self, want: Want, behind: Behind, progress: u32, cx: &Context<'_>) -> Next {
        let Behind { held, work, came_whole } = behind;
        match want {
            Want::Read => {
                debug_assert!(!self.eof, "after the end there is nothing to read");
                if !self.source.readiness().is_readable() {
                    return self.wait_to_read(held, progress);
                }
                self.state = self.state_with(held, progress);
                Next::Step
            }
            // A batch of requests is answered: the others first.
            Want::Flush => {
                self.state = State::Answering { held };
                Next::Yield(Flow::Again)
            }
            Want::Service => match work {
                Some(work) => {
                    self.state = State::Serving(Box::new(Serving { work, held }));
                    Next::Step
                }
                None => self.end(Reason::ServicePanicked, cx),
            },
            Want::Close(reason) => self.close(reason, came_whole, cx),
        }
    }

    fn wait_to_read(&mut self, held: Held, progress: u32) -> Next {
        self.state = self.state_with(held, progress);
        self.source.want(Readiness::READABLE);
        Next::Yield(Flow::Wait)
    }

    /// The state of a connection whose input was looked at.
    fn state_with(&self, held: Held, progress: u32) -> State {
        match self.exchange.stage() {
            Stage::Idle => State::Idle,
            _ => State::Receiving { held, progress },
        }
    }

    fn state_name(&self) -> &'static str {
        self.place().name()
    }
}

impl<S: Service> Task for Connection<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let phase = self.shared.status.phase.get();
        if phase == Phase::Cutting {
            return self.cut(cx);
        }
        let (source, now) = (self.source.id(), cx.now());
        let before = (self.waiting(), self.exchange.requests());
        let mut time_to_go = self.shared.time_to_go(source, before.0, self.deadline.due(), now);
        let is_due = self.deadline.has_come(now) || time_to_go <= now;
        // The drainer says so once. Who is idle later has a grace of its own; so has one that was asked
        // to make room when the drainer said so, and is not needed any more.
        let is_closing = phase == Phase::ClosingIdle && time_to_go == Time::NEVER;
        let may_close = is_closing && cx.cause().contains(Cause::WOKEN);
        if is_closing && before.0 == Waiting::NextRequest {
            self.deadline.bring_forward(now + self.shared.idle_time_limit());
        }
        if is_due || (may_close && matches!(self.state, State::Idle)) {
            // A last look: what came in time may wait behind many other events.
            self.source.assume_ready();
        }

        let mut flow = self.run(cx);
        let mut after = (self.waiting(), self.exchange.requests());

        if flow == Flow::Wait && may_close && matches!(self.state, State::Idle) {
            self.watched(cx, |this, cx| this.end(Reason::Shutdown, cx));
            return Flow::Done;
        }
        if self.take_progress() || before != after {
            self.extend_deadline(cx);
        } else if is_due && (flow == Flow::Wait || matches!(self.state, State::Lingering)) {
            // Who floods a lingering connection never lets it wait; its time is up all the same.
            flow = self.time_is_up(cx);
            self.extend_deadline(cx);
            after.0 = self.waiting();
        }
        if flow == Flow::Done {
            return flow;
        }
        if before != after {
            self.shared.status.connection_rests(source, after.0.rest());
            time_to_go = Time::NEVER;
        }
        self.deadline.arm(time_to_go, cx);
        flow
    }

    fn kind(&self) -> &'static str {
        CONNECTION
    }

    fn describe(&self) -> Description<'_> {
        let (peer, state) = (self.peer.address(), self.state_name());
        Description { peer: Some(peer), state: Some(state), ..Description::default() }
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.deadline.cancel(&self.shared.status.handle);
        self.shared.status.connection_closed(self.source.id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        type Closure = fn(&crate::http::Request<'_>, &mut crate::http::Response);
        // In debug builds mio's sockets remember their poller, in one more word.
        let debug_bytes = if cfg!(debug_assertions) { size_of::<usize>() } else { 0 };
        let bytes = size_of::<Connection<Closure>>();
        assert!(bytes <= 128 + debug_bytes, "{bytes} bytes");
        assert!(size_of::<State>() <= 16);
    }
}
