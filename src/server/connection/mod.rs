//! One connection: an explicit state machine that drives an [`Exchange`] over a socket.
//!
//! ```text
//!         first byte                  head whole
//!    ┌──────┐       ┌────────────────┐        ┌────────────────┐ more than its share ┌───────────┐
//! ──▶│ idle │ ────▶ │ receiving head │ ─────▶ │ receiving body │ ──────────────────▶ │ answering │
//!    └──────┘       └────────────────┘        └────────────────┘                     └───────────┘
//!        ▲                                                                                 │
//!        │  all is written       ┌──────────┐   the socket is full   ┌─────────┐           │
//!        └────────────────────── │ flushing │ ◀───────────────────── │ serving │ ◀─────────┘
//!                                └──────────┘                        └─────────┘  the service takes its time
//!                                     │ that was the last answer
//!                                     ▼
//!                               ┌───────────┐  the peer's end, or 2 s  ┌────────┐
//!                               │ lingering │ ───────────────────────▶ │ closed │
//!                               └───────────┘                          └────────┘
//! ```
//!
//! Every request goes around the ring and passes by what it does not need; see [`states::TABLE`]. Its way through the
//! code is one function, [`Connection::serve_requests`].
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

use super::asking::Pause;
use super::status::Phase;
use super::{CONNECTION, Service, Shared};
use crate::event_loop::{Cause, Context, Description, Flow, Scratch, Source, Task};
use crate::http::{Exchange, Reason, Want};
use crate::lazy_timer::LazyTimer;
use crate::world::{Stream, Time};

pub(super) mod ending;
mod keep;
pub(super) mod serving;
pub(super) mod states;
mod writing;

use keep::{Held, Introduction, Peer, left_over};
use serving::{PartsLeft, Serving, Work};
use states::{
    ANSWERING, CLOSED, FLUSHING, IDLE, LINGERING, RECEIVING_BODY, RECEIVING_HEAD, SERVING, TABLE,
};

use writing::{Then, Unsent};

/// Where a connection is. What a state needs lives in its variant; all else about it is in its row of the
/// [table](TABLE).
enum State {
    Idle,
    ReceivingHead {
        /// What has come of it.
        held: Held,
    },
    ReceivingBody {
        /// Bytes of it that arrived in the present window.
        progress: u32,
    },
    Answering {
        /// Requests that have not been looked at.
        held: Held,
    },
    /// Nothing is read meanwhile, but for a body that the service takes while it comes.
    Serving(Box<Serving>),
    /// Nothing is read meanwhile: backpressure.
    Flushing(Box<Unsent>),
    /// The write side is shut (RFC 9112 section 9.6).
    Lingering,
    /// The socket is closed when the task is dropped. Also the placeholder while a step is under way.
    Closed,
}

/// What a connection may still do in the present resume.
struct Budget {
    read_bytes_left: usize,
    requests_left: usize,
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
    /// When it must have moved on: extending that is one write.
    due: Time,
    /// It looks whether it has. Set when the first resume ends: a connection that is over by then needs none.
    timer: LazyTimer,
    peer: Peer,
    /// The peer has finished sending.
    eof: bool,
    /// The loop knows that it waits to read, so that it need not be told again.
    waits_to_read: bool,
}

impl State {
    fn row(&self) -> usize {
        match self {
            State::Idle => IDLE,
            State::ReceivingHead { .. } => RECEIVING_HEAD,
            State::ReceivingBody { .. } => RECEIVING_BODY,
            State::Answering { .. } => ANSWERING,
            State::Serving(_) => SERVING,
            State::Flushing(_) => FLUSHING,
            State::Lingering => LINGERING,
            State::Closed => CLOSED,
        }
    }
}

impl<S: Service + 'static> Connection<S> {
    /// Makes a task of a new connection.
    ///
    /// # Errors
    /// When the loop cannot watch it; it is closed then.
    pub(super) fn open(shared: &Rc<Shared<S>>, stream: Stream, peer: SocketAddr) -> io::Result<()> {
        let handle = &shared.status.handle;
        let introduction = match &shared.prefaces {
            None => Introduction::Done,
            Some(_) => Introduction::Awaited,
        };
        handle.try_spawn_task(Cause::SPAWNED, |task| -> io::Result<_> {
            let source = Source::stream(handle, stream, task)?;
            shared.status.connection_opened(source.id(), task);
            Ok(Box::new(Connection {
                source,
                shared: Rc::clone(shared),
                exchange: Exchange::new(),
                state: State::Idle,
                due: handle.now() + shared.idle_time_limit(),
                timer: LazyTimer::UNSET,
                peer: Peer::of(peer, introduction),
                eof: false,
                waits_to_read: false,
            }))
        })?;
        Ok(())
    }
}

/// The machine: each step takes a state and leaves the next in its place.
impl<S: Service> Connection<S> {
    #[inline(always)]
    fn run(&mut self, cx: &mut Context<'_>) -> Flow {
        let limits = &self.shared.limits;
        let budget = &mut Budget {
            read_bytes_left: limits.read_bytes_per_resume_max,
            requests_left: limits.requests_per_resume_max,
            parts_left: PartsLeft::ALL,
        };
        loop {
            let from = self.state.row();
            let next = match mem::replace(&mut self.state, State::Closed) {
                State::Idle => self.serve_requests(IDLE, None, 0, budget, cx),
                State::ReceivingHead { held } => {
                    self.serve_requests(RECEIVING_HEAD, held, 0, budget, cx)
                }
                State::ReceivingBody { progress } => {
                    self.serve_requests(RECEIVING_BODY, None, progress, budget, cx)
                }
                State::Answering { held } => self.serve_requests(ANSWERING, held, 0, budget, cx),
                State::Serving(serving) => self.serve_part(serving, budget, cx),
                State::Flushing(unsent) => self.flush(unsent, cx),
                State::Lingering => self.linger(budget, cx),
                State::Closed => Next::Yield(Flow::Done),
            };
            self.shared.tell_state(cx.task(), from, self.state.row());
            if let Next::Yield(flow) = next {
                return flow;
            }
        }
    }

    /// The way of a request, top to bottom: read, [answer](Shared::answer_requests), write. Before it are `held` bytes
    /// that were read earlier, and `progress` bytes of its body in the present window.
    fn serve_requests(
        &mut self,
        from: usize,
        mut held: Held,
        progress: u32,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Next {
        // Read, once, unless there are requests that wait for their turn.
        let mut fresh = 0;
        if from != ANSWERING {
            // Without a request left, a look at what is not there does no harm.
            let is_spent = budget.requests_left == 0 && self.source.readiness().is_readable();
            if is_spent || budget.read_bytes_left == 0 {
                self.state = state_of(from, held, progress);
                return Next::Yield(Flow::Again);
            }
            fresh = match self.source.read(&mut cx.scratch.input) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_to_read(state_of(from, held, progress));
                }
                Err(error) => return self.fail(&error, cx),
            };
            self.eof |= fresh == 0;
            budget.read_bytes_left = budget.read_bytes_left.saturating_sub(fresh);
        }

        // After the preface, if there is to be one, find each request, ask the service, answer.
        let mut who = self.who(cx.task());
        let Scratch { input, output } = &mut *cx.scratch;
        let input = &input[..fresh];
        let all = match &mut held {
            Some(held) => {
                held.extend_from_slice(input);
                held.as_slice()
            }
            None => input,
        };
        let (mut rest, left) = (all, &mut budget.requests_left);
        let pause = match self.introduce(&mut who, &mut rest) {
            Ok(()) => {
                let (exchange, eof) = (&mut self.exchange, self.eof);
                self.shared.answer_requests(exchange, &who, &mut rest, eof, left, output)
            }
            Err(want) => Pause::Want(want),
        };

        // What is left over is kept; then everything that was said is written.
        let consumed = all.len() - rest.len();
        let held = left_over(held, input, consumed);
        let came_whole = from == IDLE && held.is_none();
        let then = match pause {
            Pause::OthersFirst => Then::To(State::Answering { held }),
            Pause::Later(pending) => {
                let work = Work::new(pending, &self.source);
                Then::To(State::Serving(Box::new(Serving::new(work, held))))
            }
            Pause::Want(Want::Request) => Then::To(State::Idle),
            Pause::Want(Want::Head) => Then::To(State::ReceivingHead { held }),
            Pause::Want(Want::Body) => {
                let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
                Then::To(State::ReceivingBody { progress: progress.saturating_add(fresh) })
            }
            Pause::Want(Want::Service) => Then::Close(Reason::ServicePanicked),
            Pause::Want(Want::Close(reason)) => Then::Close(reason),
        };
        self.deliver(then, came_whole, cx)
    }
}

/// A state in which input is waited for.
fn state_of(row: usize, held: Held, progress: u32) -> State {
    match row {
        RECEIVING_HEAD => State::ReceivingHead { held },
        RECEIVING_BODY => State::ReceivingBody { progress },
        _ => State::Idle,
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
