//! The same connection, written as a coroutine: what [`Connection`](super::connection::Connection) is as a state machine,
//! [`converse`](Twin::converse) is as a story. Lay the two side by side. Both drive the same exchange, with the same bytes,
//! the same requests and the same answers (`tests/it/twins.rs`).
//!
//! What is a variant of `State` there, is here a place at which the coroutine waits, and the compiler makes the
//! variants: one for each `await`, with what lives across it. The price is that only the coroutine knows where it
//! is: it must say so itself ([`Twin::enter`]), and it looks by itself whether its time is up or the server wants it to
//! end, whenever it is resumed ([`Twin::wait`]).

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::asking::Who;
use super::connection::ending::reason_of;
use super::connection::serving::{Work, abandon, take_part};
use super::connection::states::{
    ANSWERING, CLOSED, FLUSHING, IDLE, LINGERING, RECEIVING_BODY, RECEIVING_HEAD, SERVING, TABLE,
};
use super::deadlines::Deadline;
use super::room::Rest;
use super::status::Phase;
use super::{Service, Shared, Start};
use crate::coroutine::{Stream, others_first};
use crate::event_loop::Source;
use crate::events::Event;
use crate::http::{Error, Exchange, Found, Reason, Room, Want};
use crate::id::TaskId;
use crate::limits::PARTS_PER_RESUME_MAX;
use crate::world::{self, Readiness, Time};

/// One connection.
struct Twin<S> {
    stream: Stream,
    shared: Rc<Shared<S>>,
    exchange: Exchange,
    who: Who,
    /// The row of the table at which it is, how many requests it had by then, and at which phase of the server.
    at: (usize, u32, Phase),
    deadline: Deadline,
    /// Bytes of the present body, or of the present answer, that moved in the present window.
    progress: usize,
    /// Requests and parts of answers, before it is the turn of others.
    left: usize,
    /// The peer has finished sending.
    eof: bool,
}

/// What comes when everything is written.
enum Then {
    Read(usize),
    GiveWay,
    Serve(Work),
    Close(Reason),
}

/// Why something was waited for in vain: what unwinds a coroutine is an error, as in asyncio.
enum InVain {
    /// Its time is up.
    Late,
    /// The connection is over, for this reason.
    Over(Reason),
}

impl From<io::Error> for InVain {
    fn from(error: io::Error) -> InVain {
        InVain::Over(reason_of(&error))
    }
}

/// Spawns the coroutine of a new connection.
///
/// # Errors
/// When the loop cannot watch it; it is closed then.
pub(super) fn open<S: Service + 'static>(
    shared: &Rc<Shared<S>>,
    socket: world::Stream,
    peer: SocketAddr,
) -> io::Result<()> {
    let handle = &shared.status.handle;
    let stream = Stream::new(Source::stream(handle, socket, TaskId::default())?);
    let source = stream.source().id();
    let twin = Twin {
        stream,
        shared: Rc::clone(shared),
        exchange: Exchange::new(),
        who: Who { task: TaskId::default(), peer },
        at: (IDLE, 0, shared.status.phase.get()),
        deadline: Deadline::new(handle.now() + shared.idle_time_limit()),
        progress: 0,
        left: shared.limits.requests_per_resume_max,
        eof: false,
    };
    let task = handle.spawn_named(format!("connection from {peer}"), twin.live());
    shared.status.connection_opened(source, task.id());
    Ok(())
}

/// The story.
impl<S: Service> Twin<S> {
    async fn live(mut self) {
        self.who.task = self.shared.status.handle.current_task().unwrap_or_default();
        if let Err(InVain::Over(reason)) = self.converse().await {
            self.tell_ending(reason);
        }
        self.tell_state(CLOSED);
    }

    async fn converse(&mut self) -> Result<Infallible, InVain> {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        loop {
            let mut then = match self.read(&mut input).await {
                Err(InVain::Late) => self.refuse(&mut output)?,
                read => {
                    read?;
                    self.answer(&mut input, &mut output)
                }
            };
            loop {
                self.write(&mut output).await?;
                then = match then {
                    Then::Read(row) => break self.enter(row),
                    Then::Serve(work) => self.next_part(work, &mut output).await?,
                    Then::Close(reason) => return self.close(reason).await,
                    Then::GiveWay => {
                        self.give_way().await?;
                        self.answer(&mut input, &mut output)
                    }
                };
            }
        }
    }

    async fn read(&mut self, input: &mut Vec<u8>) -> Result<(), InVain> {
        let bytes = self.wait(|stream, cx| {
            // On the stack, while it is polled. Across an `await` it would be part of every idle connection.
            let mut buffer = [0; 16 * 1024];
            let read = ready!(stream.poll_read(cx, &mut buffer))?;
            input.extend_from_slice(&buffer[..read]);
            Poll::Ready(Ok(read))
        });
        let bytes = bytes.await?;
        self.eof |= bytes == 0;
        self.progress += bytes;
        Ok(())
    }

    /// Find, ask the service, answer: until nothing is left of the input, or it is the turn of others.
    fn answer(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Then {
        let (shared, who) = (&*self.shared, self.who);
        let date = shared.date(shared.status.handle.now());
        let terms = shared.terms(&date);
        let response = &mut *shared.response.borrow_mut();
        let mut rest = &input[..];
        let then = loop {
            let mut room = Room::new(Some(&who.peer));
            let mut found = self.exchange.next(&mut rest, self.eof, &shared.limits, &mut room);
            if let Found::Body(announced) = found {
                let policy = shared.body_policy(&announced);
                let (eof, limits) = (self.eof, &shared.limits);
                found = self.exchange.receive(announced, policy, &mut rest, eof, limits, output);
            }
            let (request, answer, took) = match found {
                Found::Request(asked) => {
                    let (number, request) = (self.exchange.requests(), asked.request());
                    let (started, took) = shared.ask(who, number, request, response);
                    let answer = match started {
                        Ok(Start::Done) => self.exchange.answer(asked, response, &terms, output),
                        Ok(Start::Later(pending)) => {
                            self.exchange.defer(asked);
                            break Then::Serve(Work::new(pending, self.stream.source()));
                        }
                        Err(_) => self.exchange.fail(asked, response, &terms, output),
                    };
                    (Some(request), answer, took)
                }
                Found::Wrong(wrong) => {
                    let answer = self.exchange.refuse(&wrong, response, &terms, output);
                    (wrong.request(), answer, Duration::ZERO)
                }
                Found::Body(_) => unreachable!("a body was announced, and was received"),
                Found::Nothing(Want::Request) => break Then::Read(IDLE),
                Found::Nothing(Want::Head) => break Then::Read(RECEIVING_HEAD),
                Found::Nothing(Want::Body) => break Then::Read(RECEIVING_BODY),
                Found::Nothing(Want::Service) => break Then::Close(Reason::ServicePanicked),
                Found::Nothing(Want::Close(reason)) => break Then::Close(reason),
            };
            shared.answered(who, self.exchange.requests(), request, &answer, took);
            self.left = self.left.saturating_sub(1);
            let is_enough = self.left == 0 || output.len() >= shared.limits.output_bytes_max;
            if is_enough && answer.closes.is_none() {
                break Then::GiveWay;
            }
        };
        let consumed = input.len() - rest.len();
        input.drain(..consumed);
        if input.is_empty() {
            // An idle connection owns no buffer.
            *input = Vec::new();
        }
        then
    }

    /// Flush before want.
    async fn write(&mut self, output: &mut Vec<u8>) -> Result<(), InVain> {
        let mut sent = 0;
        while sent < output.len() {
            match self.stream.try_write(&output[sent..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.enter(FLUSHING),
                written => {
                    sent += written?;
                    continue;
                }
            }
            let waited = self.wait(|stream, cx| stream.poll_write(cx, &output[sent..])).await;
            if let Err(InVain::Late) = waited {
                // It would not read anything else either: free the kernel's buffers at once.
                self.stream.source().socket().abort_on_close(true);
                return Err(InVain::Over(Reason::WriteTimeout));
            }
            let written = waited?;
            sent += written;
            self.progress += written;
        }
        *output = Vec::new();
        Ok(())
    }

    /// A batch of requests is answered: the others first.
    async fn give_way(&mut self) -> Result<(), InVain> {
        self.enter(ANSWERING);
        others_first(&self.shared.status.handle).await;
        self.left = self.shared.limits.requests_per_resume_max;
        if self.shared.status.phase.get() == Phase::Cutting { Err(self.cut()) } else { Ok(()) }
    }

    /// Waits for the next part of an answer for which a service takes its time.
    async fn next_part(&mut self, mut work: Work, output: &mut Vec<u8>) -> Result<Then, InVain> {
        self.enter(SERVING);
        if self.left == 0 {
            others_first(&self.shared.status.handle).await;
            self.left = PARTS_PER_RESUME_MAX;
        }
        self.left -= 1;
        let part = self.wait(|stream, cx| {
            if work.is_for_nobody(stream.source().readiness()) {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(part) = work.pending.poll_part(cx) {
                return Poll::Ready(Ok(Some(part)));
            }
            // Not to read, but to notice when the peer goes away.
            stream.want(cx, Readiness::READABLE)?;
            Poll::Pending
        });
        let part = part.await?;
        let Twin { exchange, shared, stream, who, .. } = self;
        let Some(part) = part else {
            abandon(exchange, Reason::PeerGone, shared, *who);
            return Err(InVain::Over(Reason::PeerGone));
        };
        let date = shared.date(shared.status.handle.now());
        let (terms, socket) = (shared.terms(&date), stream.source().socket());
        Ok(match take_part(part, exchange, &terms, output, shared, *who, socket) {
            Want::Service => Then::Serve(work),
            Want::Close(reason) => Then::Close(reason),
            _ => Then::GiveWay,
        })
    }

    /// An orderly end: half-close, then read until the peer has closed too.
    async fn close(&mut self, reason: Reason) -> Result<Infallible, InVain> {
        if !self.exchange.is_truncated() && self.exchange.is_close_delimited() {
            // All of it is written: now the end says so.
            self.stream.source().socket().abort_on_close(false);
        }
        let lingers = reason.lingers() && !self.exchange.is_truncated() && !self.eof;
        if !lingers || self.stream.shut_write().is_err() {
            return Err(InVain::Over(reason));
        }
        self.tell_ending(reason);
        self.enter(LINGERING);
        let end = self.wait(|stream, cx| {
            loop {
                if let Ok(0) | Err(_) = ready!(stream.poll_read(cx, &mut [0; 4096])) {
                    return Poll::Ready(Ok(()));
                }
            }
        });
        // However it ends, the answer is as safe as it can be, and the end was reported.
        let _ = end.await;
        Err(InVain::Late)
    }

    /// A peer was silent for too long.
    fn refuse(&mut self, output: &mut Vec<u8>) -> Result<Then, InVain> {
        let error = match self.at.0 {
            RECEIVING_HEAD => Error::HeadTimeout,
            RECEIVING_BODY => Error::BodyTimeout,
            _ => {
                let source = self.stream.source().id();
                return Err(InVain::Over(self.shared.why_idle_ends(source)));
            }
        };
        let (shared, who) = (&*self.shared, self.who);
        let date = shared.date(shared.status.handle.now());
        let mut room = Room::new(Some(&who.peer));
        if let Found::Wrong(wrong) = self.exchange.time_is_up(error, &mut room) {
            let response = &mut shared.response.borrow_mut();
            let answer = self.exchange.refuse(&wrong, response, &shared.terms(&date), output);
            let number = self.exchange.requests();
            shared.answered(who, number, wrong.request(), &answer, Duration::ZERO);
        }
        Ok(Then::Close(Reason::Refused(error)))
    }
}

/// What a state machine has for nothing: a place to be seen at, and a look at the clock.
impl<S: Service> Twin<S> {
    /// Awaits `operation`, for as long as the present state may last and the server does.
    async fn wait<T>(
        &mut self,
        mut operation: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, InVain> {
        poll_fn(|cx| {
            if self.shared.status.phase.get() == Phase::Cutting {
                return Poll::Ready(Err(self.cut()));
            }
            if let Poll::Ready(outcome) = operation(&mut self.stream, cx) {
                return Poll::Ready(outcome.map_err(InVain::from));
            }
            let handle = &self.shared.status.handle;
            let (source, rest) = (self.stream.source().id(), TABLE[self.at.0].rest);
            let (due, now) = (self.deadline.due(), handle.now());
            let time_to_go = self.shared.time_to_go(source, rest, due, now);
            if now < due && now < time_to_go && !self.is_closed_while_idle() {
                self.deadline.arm(time_to_go, now, handle, self.who.task);
                return Poll::Pending;
            }
            if mem::take(&mut self.progress) >= self.shared.limits.progress_bytes_min {
                self.deadline.extend(now + self.shared.time_limit(self.at.0));
                self.deadline.arm(Time::NEVER, now, handle, self.who.task);
                return Poll::Pending;
            }
            // A last look: what came in time may wait behind many other events.
            self.stream.source().assume_ready();
            match operation(&mut self.stream, cx) {
                Poll::Ready(outcome) => Poll::Ready(outcome.map_err(InVain::from)),
                Poll::Pending => Poll::Ready(Err(InVain::Late)),
            }
        })
        .await
    }

    /// The server has begun to close its idle connections while this one was idle. One that is idle later has a grace
    /// of its own.
    fn is_closed_while_idle(&self) -> bool {
        let (row, _, before) = self.at;
        let is_closing = self.shared.status.phase.get() == Phase::ClosingIdle;
        row == IDLE && is_closing && before != Phase::ClosingIdle
    }

    /// The server is stopped, or a drain took too long.
    fn cut(&mut self) -> InVain {
        let was_busy = match TABLE[self.at.0].rest {
            Rest::Busy => true,
            Rest::Lingering => false,
            Rest::Idle => {
                self.stream.source().assume_ready();
                matches!(self.stream.try_read(&mut [0]), Ok(1..))
            }
        };
        self.shared.status.count(|report| report.cut += u64::from(was_busy));
        InVain::Over(if was_busy { Reason::Cut } else { Reason::Shutdown })
    }

    /// Says where it is now. If that is somewhere else, or a request was answered since, a new time limit begins.
    fn enter(&mut self, row: usize) {
        let status = &self.shared.status;
        let (before, requests) = (self.at, self.exchange.requests());
        if (before.0, before.1) == (row, requests) {
            return;
        }
        self.deadline.extend(status.handle.now() + self.shared.time_limit(row));
        status.connection_rests(self.stream.source().id(), TABLE[row].rest);
        self.progress = 0;
        self.tell_state(row);
        self.at = (row, requests, self.shared.status.phase.get());
    }

    fn tell_state(&self, row: usize) {
        if row != self.at.0 {
            let (task, from, to) = (self.who.task, TABLE[self.at.0].name(), TABLE[row].name());
            self.shared.status.handle.tell(|| Event::State { task, from, to });
        }
    }

    fn tell_ending(&self, reason: Reason) {
        let (task, why) = (self.who.task, reason.sentence());
        self.shared.status.handle.tell(|| Event::Ending { task, why });
        log::debug!("connection {task} from {} ends: {why}", self.who.peer);
    }
}

impl<S> Drop for Twin<S> {
    fn drop(&mut self) {
        let status = &self.shared.status;
        self.deadline.cancel(&status.handle);
        status.connection_closed(self.stream.source().id());
    }
}
