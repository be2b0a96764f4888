//! The same connection, told as a coroutine: [`converse`] is what [`Connection`](super::Connection)
//! is as a state machine. Both drive the same exchange with the same operations in the same order,
//! so that they give the same bytes and the same events; `tests/it/twins.rs` holds them together.
//!
//! What is a variant of `State` there, is a place here at which the coroutine waits, and the
//! compiler makes the variants: one for each `await`, with what lives across it. Between two resumes
//! nobody but the coroutine itself knows where it is. So it keeps a note ([`At`]) for those who ask, and
//! whoever wants something of it (its time is up, the server ends) leaves an [`Order`], which it
//! finds when it is resumed.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use super::deadlines::{Deadline, Waiting};
use super::ending::reason_of;
use super::place::Place;
use super::serving::{Work, peer_is_gone, take_part};
use super::{CONNECTION, Held, Peer, Phase, Service, Shared, Who, left_over, write_all};
use crate::event_loop::{Cause, Context, Flow, Scratch, Source, Task};
use crate::http::{Error, Exchange, Reason, Stage, Want};
use crate::id::TaskId;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::observe::Event;
use crate::world::{Readiness, Stream, Time};

/// The conversation with one peer, from its first byte to its last.
async fn converse<S: Service>(line: Rc<Line<S>>) -> Said<Infallible> {
    let mut held = None;
    loop {
        let mut step = match line.read().await? {
            Heard::Bytes(fresh) => line.advance(&mut held, fresh),
            Heard::NothingInTime(error) => line.refuse(error),
        };
        loop {
            step.has_all &= line.flush().await? == Flushed::AtOnce;
            step = match step.want {
                Want::Read => break line.rest(),
                Want::Flush => {
                    line.give_way().await?;
                    line.advance(&mut held, 0)
                }
                Want::Service => line.next_part(step.work).await?,
                Want::Close(reason) => line.close(reason, step.has_all).await?,
            };
        }
    }
}

/// At what the coroutine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
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
enum Order {
    /// Nothing came in time.
    TimeIsUp,
    /// The server closes its idle connections.
    CloseIdle,
    /// The server ends now.
    Cut,
}

/// The connection is over, and that was told. What unwinds a coroutine is an error, as in asyncio.
struct Over;

type Said<T> = Result<T, Over>;

/// What came of waiting for the peer.
enum Heard {
    /// So many bytes in the input buffer.
    Bytes(usize),
    NothingInTime(Error),
}

/// How the output went.
#[derive(PartialEq, Eq)]
enum Flushed {
    AtOnce,
    InTime,
}

/// What the exchange wants next.
struct Step {
    want: Want,
    /// The answer that is on its way, if there is one.
    work: Option<Work>,
    /// See [`Behind`](super::Behind).
    has_all: bool,
}

/// What the coroutine and its task share. No borrow is held across an `await`.
struct Line<S> {
    source: RefCell<Source<Stream>>,
    exchange: RefCell<Exchange>,
    shared: Rc<Shared<S>>,
    peer: Peer,
    task: TaskId,
    /// The loop's buffers, for the length of a resume.
    scratch: RefCell<Scratch>,
    now: Cell<Time>,
    read_bytes_left: Cell<usize>,
    /// Answers that the connection had given before the present resume.
    answered_before: Cell<u32>,
    order: Cell<Option<Order>>,
    /// How the present resume ended.
    flow: Cell<Flow>,
    at: Cell<At>,
    /// The state that the loop's observer was last told.
    told: Cell<Place>,
    /// Bytes of the present body, or of the present answer, that moved in the present window.
    progress: Cell<u32>,
    /// The peer has finished sending.
    eof: Cell<bool>,
}

/// What the conversation consists of.
impl<S: Service> Line<S> {
    /// Waits for bytes, for the end of input, or for as long as a peer may be silent.
    async fn read(&self) -> Said<Heard> {
        loop {
            match self.order.take() {
                Some(Order::TimeIsUp) => return self.hurry(),
                Some(Order::CloseIdle) => return Err(self.end(Reason::Shutdown)),
                Some(Order::Cut) if self.waiting() == Waiting::NextRequest => {
                    return Err(self.end(Reason::Shutdown));
                }
                Some(Order::Cut) => return Err(self.end(Reason::Cut)),
                None => {}
            }
            // Without a request left, a look at what is not there does no harm.
            let is_spent =
                self.requests_left() == 0 && self.source.borrow().readiness().is_readable();
            if is_spent || self.read_bytes_left.get() == 0 {
                self.pause(Flow::Again).await;
                continue;
            }
            let read = self.source.borrow_mut().read(&mut self.scratch.borrow_mut().input);
            match read {
                Ok(fresh) => {
                    self.eof.set(self.eof.get() || fresh == 0);
                    self.count_read(fresh);
                    self.count_progress(fresh);
                    return Ok(Heard::Bytes(fresh));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.borrow().want(Readiness::READABLE);
                    self.pause(Flow::Wait).await;
                }
                Err(error) => return Err(self.fail(&error)),
            }
        }
    }

    /// Lets the exchange work on `held` and then the first `fresh` bytes of the input buffer.
    fn advance(&self, held: &mut Held, fresh: usize) -> Step {
        let who = self.who(0);
        let Scratch { input, output } = &mut *self.scratch.borrow_mut();
        let input = &input[..fresh];
        let mut before = held.take();
        let all = match &mut before {
            Some(before) => {
                before.extend_from_slice(input);
                before.as_slice()
            }
            None => input,
        };
        let mut rest = all;
        let exchange = &mut *self.exchange.borrow_mut();
        let came_whole = all.len() == fresh && exchange.stage() == Stage::Idle;
        let (want, pending) = self.shared.with_bridge(who, |bridge, response| {
            exchange.advance(&mut rest, self.eof.get(), output, response, bridge)
        });
        let consumed = all.len() - rest.len();
        *held = left_over(before, input, consumed);
        let readiness = self.source.borrow().readiness();
        let had_finished = readiness.contains(Readiness::READ_CLOSED);
        let work = pending.map(|pending| Work { pending, had_finished });
        let has_all = came_whole && held.is_none() && !readiness.contains(Readiness::READABLE);
        Step { want, work, has_all }
    }

    fn refuse(&self, error: Error) -> Step {
        let who = self.who(0);
        let output = &mut self.scratch.borrow_mut().output;
        let exchange = &mut *self.exchange.borrow_mut();
        let (want, _) = self
            .shared
            .with_bridge(who, |bridge, response| exchange.refuse(error, output, response, bridge));
        Step { want, work: None, has_all: false }
    }

    /// Writes all that is in the output buffer: flush before want.
    async fn flush(&self) -> Said<Flushed> {
        let unsent = self.write_output().map_err(|error| self.fail(&error))?;
        if unsent.is_empty() {
            self.at.set(At::Reading);
            return Ok(Flushed::AtOnce);
        }
        self.at.set(At::Flushing);
        self.progress.set(0);
        let mut sent = 0;
        while sent < unsent.len() {
            self.source.borrow().want(Readiness::WRITABLE);
            self.pause(Flow::Wait).await;
            match self.order.take() {
                Some(Order::TimeIsUp) => {
                    // It would not read anything else either: free the kernel's buffers at once.
                    self.source.borrow().socket().abort_on_close();
                    return Err(self.end(Reason::WriteTimeout));
                }
                Some(_) => return Err(self.end(Reason::Cut)),
                None => {}
            }
            let written = write_all(&mut self.source.borrow_mut(), &unsent[sent..]);
            let written = written.map_err(|error| self.fail(&error))?;
            self.count_progress(written);
            sent += written;
        }
        self.progress.set(0);
        self.at.set(At::Reading);
        Ok(Flushed::InTime)
    }

    /// A batch of requests is answered: the others first.
    async fn give_way(&self) -> Said<()> {
        self.at.set(At::Answering);
        self.progress.set(0);
        self.pause(Flow::Again).await;
        match self.order.take() {
            Some(_) => Err(self.end(Reason::Cut)),
            None => Ok(()),
        }
    }

    /// Waits for the next part of an answer that a service gives in its own time.
    async fn next_part(&self, work: Option<Work>) -> Said<Step> {
        let Some(mut work) = work else { return Err(self.end(Reason::ServicePanicked)) };
        self.at.set(At::Serving);
        self.progress.set(0);
        self.step_is_over();
        loop {
            if self.order.take() == Some(Order::Cut) {
                return Err(self.end(Reason::Cut));
            }
            if peer_is_gone(self.source.borrow().readiness(), &work) {
                self.abandon();
                return Err(self.end(Reason::PeerGone));
            }
            let waker = self.shared.status.handle.waker(self.task);
            let part = work.pending.poll_part(&mut task::Context::from_waker(&waker));
            if let Poll::Ready(part) = part {
                let who = self.who(1);
                let output = &mut self.scratch.borrow_mut().output;
                let exchange = &mut *self.exchange.borrow_mut();
                let want = take_part(exchange, part, output, &self.shared, who);
                let work = (want == Want::Service).then_some(work);
                return Ok(Step { want, work, has_all: false });
            }
            // Not to read, but to be told when the peer goes away.
            self.source.borrow().want(Readiness::READABLE);
            self.pause(Flow::Wait).await;
        }
    }

    /// The peer does not wait for the answer that is on its way.
    fn abandon(&self) {
        let who = self.who(1);
        let exchange = &mut *self.exchange.borrow_mut();
        let _closed =
            self.shared.with_bridge(who, |bridge, _| exchange.abandon(Reason::PeerGone, bridge));
    }

    /// An orderly end: half-close, then read until the peer has closed too.
    async fn close(&self, reason: Reason, has_all: bool) -> Said<Step> {
        let lingers = reason.lingers() && !self.eof.get() && !(has_all && reason.is_peers_wish());
        if !lingers || self.source.borrow_mut().shut_write().is_err() {
            return Err(self.end(reason));
        }
        self.tell_ending(reason);
        self.at.set(At::Lingering);
        self.step_is_over();
        loop {
            if self.order.take().is_some() {
                return Err(Over);
            }
            if self.read_bytes_left.get() == 0 {
                self.pause(Flow::Again).await;
                continue;
            }
            let read = self.source.borrow_mut().read(&mut self.scratch.borrow_mut().input);
            match read {
                Ok(bytes @ 1..) => self.count_read(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.borrow().want(Readiness::READABLE);
                    self.pause(Flow::Wait).await;
                }
                // The peer has closed too, or is gone: the answer is as safe as it can be.
                Ok(0) | Err(_) => return Err(Over),
            }
        }
    }
}

/// What it is made of.
impl<S: Service> Line<S> {
    /// Gives control back to the loop, once.
    async fn pause(&self, flow: Flow) {
        self.step_is_over();
        self.flow.set(flow);
        let mut has_paused = false;
        poll_fn(
            |_| if mem::replace(&mut has_paused, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
    }

    /// Everything is answered: the peer's turn.
    fn rest(&self) {
        if self.stage() == Stage::Idle {
            self.progress.set(0);
        }
        self.step_is_over();
    }

    /// The end of what the state machine does in one step: tells the loop's observer if that led to
    /// another state.
    fn step_is_over(&self) {
        let to = self.place();
        let from = self.told.replace(to);
        if from != to {
            let (task, from, to) = (self.task, from.name(), to.name());
            self.shared.status.handle.tell(|| Event::State { task, from, to });
        }
    }

    fn stage(&self) -> Stage {
        self.exchange.borrow().stage()
    }

    fn place(&self) -> Place {
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

    fn waiting(&self) -> Waiting {
        match (self.at.get(), self.stage()) {
            (At::Flushing, _) => Waiting::PeerToRead,
            (At::Lingering, _) => Waiting::PeerToClose,
            (At::Serving, _) => Waiting::Service,
            (_, Stage::Body) => Waiting::RestOfBody,
            (_, Stage::Head) => Waiting::RestOfHead,
            _ => Waiting::NextRequest,
        }
    }

    fn is_idle(&self) -> bool {
        self.at.get() == At::Reading && self.stage() == Stage::Idle
    }

    fn count_read(&self, bytes: usize) {
        self.read_bytes_left.set(self.read_bytes_left.get().saturating_sub(bytes));
    }

    fn count_progress(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.progress.set(self.progress.get().saturating_add(bytes));
    }

    /// True, once a window, if a body or an answer has moved by enough to deserve another window.
    fn take_progress(&self) -> bool {
        let is_moving = match self.at.get() {
            // A head has one limit from its first byte to its last, however it dribbles.
            At::Reading => self.stage() == Stage::Body,
            at => at == At::Flushing,
        };
        let enough = u32::try_from(self.shared.limits.progress_bytes_min).unwrap_or(u32::MAX);
        let has_moved = is_moving && self.progress.get() >= enough;
        if has_moved || !is_moving {
            self.progress.set(0);
        }
        has_moved
    }

    fn requests_left(&self) -> usize {
        let answered = self.exchange.borrow().requests().wrapping_sub(self.answered_before.get());
        self.shared.limits.requests_per_resume_max.saturating_sub(answered as usize)
    }

    /// For a request that is being looked at, or, with `asked`, for one that was counted when it
    /// was asked.
    fn who(&self, asked: u32) -> Who {
        let (peer, task, now) = (self.peer.address(), self.task, self.now.get());
        let answered = self.exchange.borrow().requests().wrapping_sub(asked);
        Who { peer, task, now, answered, requests_left: self.requests_left() }
    }

    /// What a silent peer is told.
    fn hurry(&self) -> Said<Heard> {
        match self.waiting() {
            Waiting::RestOfHead => Ok(Heard::NothingInTime(Error::HeadTimeout)),
            Waiting::RestOfBody => Ok(Heard::NothingInTime(Error::BodyTimeout)),
            _ if self.shared.status.phase.get() == Phase::ClosingIdle => {
                Err(self.end(Reason::Shutdown))
            }
            _ => Err(self.end(Reason::IdleTimeout)),
        }
    }

    /// Writes what fits, and gives the rest.
    fn write_output(&self) -> io::Result<Vec<u8>> {
        let output = &mut self.scratch.borrow_mut().output;
        let sent = write_all(&mut self.source.borrow_mut(), output)?;
        let unsent = output[sent..].to_vec();
        output.clear();
        if unsent.is_empty() {
            output.shrink_to(BUFFER_BYTES_KEPT_MAX);
        }
        Ok(unsent)
    }

    fn fail(&self, error: &io::Error) -> Over {
        log::debug!("connection {} from {}: {error}", self.task, self.peer.address());
        self.end(reason_of(error))
    }

    fn end(&self, reason: Reason) -> Over {
        self.tell_ending(reason);
        Over
    }

    fn tell_ending(&self, reason: Reason) {
        let (task, why) = (self.task, reason.sentence());
        self.shared.status.handle.tell(|| Event::Ending { task, why });
        log::debug!("connection {task} from {} ends: {why}", self.peer.address());
    }
}

/// The task that resumes the coroutine, and looks after its time.
pub(super) struct Twin<S> {
    line: Rc<Line<S>>,
    story: Pin<Box<dyn Future<Output = Said<Infallible>>>>,
    deadline: Deadline,
}

impl<S: Service + 'static> Twin<S> {
    pub(super) fn new(
        shared: &Rc<Shared<S>>,
        stream: Stream,
        peer: SocketAddr,
        task: TaskId,
    ) -> io::Result<Twin<S>> {
        let handle = &shared.status.handle;
        let source = Source::stream(handle, stream, task)?;
        let due = handle.now() + shared.idle_time_limit();
        let deadline = Deadline::new(due, handle, task);
        shared.status.connection_opened();
        let line = Rc::new(Line {
            source: RefCell::new(source),
            exchange: RefCell::default(),
            shared: Rc::clone(shared),
            peer: Peer { ip: peer.ip(), port: peer.port() },
            task,
            scratch: RefCell::new(nothing()),
            now: Cell::new(handle.now()),
            read_bytes_left: Cell::new(0),
            answered_before: Cell::new(0),
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
        let was_busy = !self.line.is_idle() && self.line.at.get() != At::Lingering;
        self.line.shared.status.count(|report| report.cut += u64::from(was_busy));
        self.go_on(Some(Order::Cut), cx)
    }
}

impl<S: Service + 'static> Task for Twin<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let phase = self.line.shared.status.phase.get();
        if phase == Phase::Cutting {
            return self.cut(cx);
        }
        let is_due = self.deadline.has_come(cx.now());
        let may_close = phase == Phase::ClosingIdle && cx.cause().contains(Cause::WOKEN);
        if is_due || (may_close && self.line.is_idle()) {
            // A last look: what came in time may wait behind many other events.
            self.line.source.borrow().assume_ready();
        }

        let before = self.is_at();
        let mut flow = self.go_on(None, cx);
        let after = self.is_at();

        if flow == Flow::Wait && may_close && self.line.is_idle() {
            return self.go_on(Some(Order::CloseIdle), cx);
        }
        let is_lingering = self.line.at.get() == At::Lingering;
        let has_moved = self.line.take_progress() || before != after;
        let is_late = is_due && (flow == Flow::Wait || is_lingering);
        if !has_moved && is_late && after.0 != Waiting::Service {
            flow = self.go_on(Some(Order::TimeIsUp), cx);
        }
        if has_moved || is_late {
            self.deadline.extend(cx.now() + self.line.shared.time_limit(self.line.waiting()));
        }
        if flow != Flow::Done {
            self.deadline.arm(cx);
        }
        flow
    }

    fn kind(&self) -> &'static str {
        CONNECTION
    }

    fn state(&self) -> Option<&'static str> {
        Some(self.line.place().name())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, state) = (self.line.peer.address(), self.line.place().name());
        write!(f, "connection from {peer} ({state})")
    }
}

impl<S> Drop for Twin<S> {
    fn drop(&mut self) {
        let status = &self.line.shared.status;
        self.deadline.cancel(&status.handle);
        status.connection_closed();
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
    use super::super::Connection;
    use super::*;
    use crate::http::{Request, Response};

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
