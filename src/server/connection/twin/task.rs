//! The task that resumes the coroutine of a connection.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task;

use super::line::{At, Line, Order};
use super::{Said, converse};
use crate::event_loop::{Cause, Context, Description, Flow, Scratch, Source, Task};
use crate::id::TaskId;
use crate::server::Service;
use crate::server::connection::deadlines::{Deadline, Waiting};
use crate::server::connection::keep::{Peer, has_unread};
use crate::server::connection::place::Place;
use crate::server::connection::serving::PartsLeft;
use crate::server::connection::{CONNECTION, Phase, Shared};
use crate::server::room::Rest;
use crate::world::{Stream, Time};

/// The task that resumes the coroutine, and looks after its time.
pub(in crate::server::connection) struct Twin<S> {
    line: Rc<Line<S>>,
    story: Pin<Box<dyn Future<Output = Said<Infallible>>>>,
    deadline: Deadline,
}

impl<S: Service + 'static> Twin<S> {
    pub(in crate::server::connection) fn new(
        shared: &Rc<Shared<S>>,
        stream: Stream,
        peer: SocketAddr,
        task: TaskId,
    ) -> io::Result<Twin<S>> {
        let handle = &shared.status.handle;
        let source = Source::stream(handle, stream, task)?;
        let due = handle.now() + shared.idle_time_limit();
        let deadline = Deadline::new(due);
        shared.status.connection_opened(source.id(), task);
        let line = Rc::new(Line {
            source: RefCell::new(source),
            exchange: RefCell::default(),
            shared: Rc::clone(shared),
            peer: Peer::of(peer),
            task,
            scratch: RefCell::new(nothing()),
            now: Cell::new(handle.now()),
            read_bytes_left: Cell::new(0),
            answered_before: Cell::new(0),
            parts_left: Cell::new(PartsLeft::ALL),
            order: Cell::new(None),
            flow: Cell::new(Flow::Wait),
            at: Cell::new(At::Reading),
            told: Cell::new(Place::Idle),
            progress: Cell::new(0),
            eof: Cell::new(false),
        });
        let story = Box::pin(converse(Rc::clone(&line)));
        Ok(Twin { line, story, deadline })
    }

    /// Lets the coroutine go on until it pauses, or is over.
    fn go_on(&mut self, order: Option<Order>, cx: &mut Context<'_>) -> Flow {
        let line = &*self.line;
        line.now.set(cx.now());
        line.order.set(order);
        line.read_bytes_left.set(line.shared.limits.read_bytes_per_resume_max);
        line.answered_before.set(line.exchange.borrow().requests());
        line.parts_left.set(PartsLeft::ALL);
        let _loan = Loan::new(&line.scratch, cx.scratch);
        // Sources, timers and the service's wakers know the task by its id: nobody needs this one.
        let polled = self.story.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
        if polled.is_pending() {
            return line.flow.get();
        }
        line.at.set(At::Closed);
        line.step_is_over();
        Flow::Done
    }

    fn is_at(&self) -> (Waiting, u32) {
        (self.line.waiting(), self.line.exchange.borrow().requests())
    }

    /// The server is stopped, or a drain took too long.
    fn cut(&mut self, cx: &mut Context<'_>) -> Flow {
        let was_busy = match self.line.waiting().rest() {
            Rest::Busy => true,
            Rest::Idle => has_unread(&mut self.line.source.borrow_mut(), &mut cx.scratch.input),
            Rest::Lingering => false,
        };
        self.line.shared.status.count(|report| report.cut += u64::from(was_busy));
        self.go_on(Some(if was_busy { Order::Cut } else { Order::CloseIdle }), cx)
    }
}

impl<S: Service + 'static> Task for Twin<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let phase = self.line.shared.status.phase.get();
        if phase == Phase::Cutting {
            return self.cut(cx);
        }
        let (source, now) = (self.line.source.borrow().id(), cx.now());
        let (before, due) = (self.is_at(), self.deadline.due());
        let mut time_to_go = self.line.shared.time_to_go(source, before.0, due, now);
        let is_due = self.deadline.has_come(now) || time_to_go <= now;
        let is_closing = phase == Phase::ClosingIdle && time_to_go == Time::NEVER;
        let may_close = is_closing && cx.cause().contains(Cause::WOKEN);
        if is_closing && before.0 == Waiting::NextRequest {
            self.deadline.bring_forward(now + self.line.shared.idle_time_limit());
        }
        if is_due || (may_close && self.line.is_idle()) {
            // A last look: what came in time may wait behind many other events.
            self.line.source.borrow().assume_ready();
        }

        let mut flow = self.go_on(None, cx);
        let mut after = self.is_at();

        if flow == Flow::Wait && may_close && self.line.is_idle() {
            return self.go_on(Some(Order::CloseIdle), cx);
        }
        let is_lingering = self.line.at.get() == At::Lingering;
        let has_moved = self.line.take_progress() || before != after;
        let is_late = is_due && (flow == Flow::Wait || is_lingering);
        if !has_moved && is_late && after.0 != Waiting::Us {
            flow = self.go_on(Some(Order::TimeIsUp), cx);
            after.0 = self.line.waiting();
        }
        if has_moved || is_late {
            self.deadline.extend(now + self.line.shared.time_limit(self.line.waiting()));
        }
        if flow == Flow::Done {
            return flow;
        }
        if before != after {
            self.line.shared.status.connection_rests(source, after.0.rest());
            time_to_go = Time::NEVER;
        }
        self.deadline.arm(time_to_go, cx);
        flow
    }

    fn kind(&self) -> &'static str {
        CONNECTION
    }

    fn describe(&self) -> Description<'_> {
        let (peer, state) = (self.line.peer.address(), self.line.place().name());
        Description { peer: Some(peer), state: Some(state), ..Description::default() }
    }
}

impl<S> Drop for Twin<S> {
    fn drop(&mut self) {
        let status = &self.line.shared.status;
        self.deadline.cancel(&status.handle);
        status.connection_closed(self.line.source.borrow().id());
    }
}

/// Buffers of which there is nothing.
fn nothing() -> Scratch {
    Scratch { input: Box::default(), output: Vec::new() }
}

/// The loop's buffers in the hands of a coroutine. It cannot borrow them across an `await`, so they
/// change places, and go back even if the coroutine panics.
struct Loan<'a> {
    place: &'a RefCell<Scratch>,
    owner: &'a mut Scratch,
}

impl<'a> Loan<'a> {
    fn new(place: &'a RefCell<Scratch>, owner: &'a mut Scratch) -> Loan<'a> {
        mem::swap(&mut *place.borrow_mut(), owner);
        Loan { place, owner }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        mem::swap(&mut *self.place.borrow_mut(), self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Request, Response};
    use crate::server::connection::Connection;

    type Closure = fn(&Request<'_>, &mut Response);

    /// The size of what a function gives.
    fn size_given<A, R>(_: impl FnOnce(A) -> R) -> usize {
        size_of::<R>()
    }

    /// For ARCHITECTURE.md, which tells what the twin costs.
    #[test]
    fn the_machine_that_the_compiler_writes_is_larger() {
        let explicit = size_of::<Connection<Closure>>();
        let written = size_given(converse::<Closure>);
        let line = size_of::<Line<Closure>>();
        let together = size_of::<Twin<Closure>>() + line + written;
        println!("explicit {explicit}; coroutine {written} + line {line}, in all {together} bytes");
        assert!(2 * explicit < together, "{explicit} and {together} bytes");
    }
}
