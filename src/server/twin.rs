//! The same connection, written as a coroutine: what [`Connection`](super::connection::Connection) is as a state machine,
//! [`converse`](Twin::converse) is as a story. Lay the two side by side. Both drive the same exchange, with the same bytes,
//! the same requests and the same answers (`tests/it/twins.rs`).
//!
//! What is a variant of `State` there is a place here at which the coroutine waits, and the compiler makes the
//! variants: one for each `await`, with what lives across it. The price is that only the coroutine knows where it
//! is: it must say so itself ([`Twin::enter`]), and whenever it is resumed it looks by itself whether its time is up
//! or the server wants it to end ([`Twin::wait`]).

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::asking::{Pause, Who};
use super::connection::ending::{must_linger, reason_of};
use super::connection::serving::{Work, abandon, take_part};
use super::connection::states::{
    ANSWERING, CLOSED, FLUSHING, IDLE, LINGERING, RECEIVING_BODY, RECEIVING_HEAD, SERVING, TABLE,
};
use super::drain::Phase;
use super::preface::PREFACE_LATE;
use super::{Pending, Service, Shared};
use crate::coroutine::{Stream, others_first};
use crate::event_loop::Source;
use crate::http::{Error, Exchange, Reason, Want};
use crate::id::TaskId;
use crate::lazy_timer::LazyTimer;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::world::{self, Readiness, Time};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// One connection.
struct Twin<S> {
    stream: Stream,
    shared: Rc<Shared<S>>,
    exchange: Exchange,
    who: Who,
    /// No preface is to come, or it came.
    is_introduced: bool,
    /// The row of the [`TABLE`] in which it is, and how many requests were answered when it came there.
    at: (usize, u32),
    /// When it must have moved on, and the timer that looks whether it has.
    due: Time,
    timer: LazyTimer,
    /// Bytes of the present body, or of the present answer, that moved in the present window.
    progress: u32,
    /// Requests, and parts of answers, before it is the turn of others.
    left: usize,
    /// The peer has finished sending.
    eof: bool,
    buffers: Buffers,
}

/// What a connection owns unless it is idle. One that becomes idle leaves them to the next that is not.
#[derive(Default)]
pub(super) struct Buffers {
    /// What was received, and is not answered.
    input: Vec<u8>,
    /// What was answered, and is not written.
    output: Vec<u8>,
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
        who: Who { task: TaskId::default(), peer, client: None },
        is_introduced: false,
        at: (IDLE, 0),
        due: handle.now() + shared.idle_time_limit(),
        timer: LazyTimer::UNSET,
        progress: 0,
        left: shared.limits.requests_per_resume_max,
        eof: false,
        buffers: Buffers::default(),
    };
    let task = handle.spawn_named(format!("connection from {peer}"), twin.live());
    shared.status.connection_opened(source, task.id());
    Ok(())
}

/// The story. What unwinds a coroutine is an error, as in asyncio: here the reason why the connection ends at once.
impl<S: Service> Twin<S> {
    async fn live(mut self) {
        self.who.task = self.shared.status.handle.current_task().unwrap_or_default();
        if let Err(reason) = self.converse().await {
            self.shared.tell_ending(&self.who, reason);
        }
        self.enter(CLOSED);
    }

    async fn converse(&mut self) -> Result<(), Reason> {
        let reason = loop {
            let has_come = self.at.0 == ANSWERING || self.read().await?;
            let pause = if has_come { self.answer() } else { self.refuse()? };
            self.write().await?;
            let next = match pause {
                Pause::Want(Want::Request) => IDLE,
                Pause::Want(Want::Head) => RECEIVING_HEAD,
                Pause::Want(Want::Body) => RECEIVING_BODY,
                Pause::Want(Want::Service) => break Reason::ServicePanicked,
                Pause::Want(Want::Close(reason)) => break reason,
                Pause::OthersFirst => ANSWERING,
                Pause::Later(pending) => match self.serve(pending).await? {
                    Want::Close(reason) => break reason,
                    _ => ANSWERING,
                },
            };
            self.enter(next);
            if next == ANSWERING {
                self.give_way().await?;
            }
        };
        self.close(reason).await;
        Ok(())
    }

    /// Reads once. False if nothing came in time.
    async fn read(&mut self) -> Result<bool, Reason> {
        if self.left == 0 {
            self.give_way().await?;
        }
        let read = self.wait(self.at.0, |twin, cx| {
            // One for all: across an `await` it would be part of every idle connection.
            let mut buffer = twin.shared.scratch.take();
            buffer.resize(READ_BYTES, 0);
            let read = twin.stream.poll_read(cx, &mut buffer);
            if let Poll::Ready(Ok(bytes)) = read {
                if twin.at.0 == IDLE {
                    twin.buffers = twin.shared.spare.take();
                }
                twin.buffers.input.extend_from_slice(&buffer[..bytes]);
            }
            twin.shared.scratch.set(buffer);
            read
        });
        let Some(bytes) = read.await? else { return Ok(false) };
        self.eof |= bytes == 0;
        if self.at.0 == RECEIVING_BODY {
            self.has_moved(bytes);
        }
        Ok(true)
    }

    /// Finds requests, asks the service, answers: until nothing is left of the input, or it is the turn of others.
    fn answer(&mut self) -> Pause {
        let Twin { shared, exchange, who, is_introduced, left, eof, buffers, .. } = self;
        let Buffers { input, output } = buffers;
        let mut rest = &input[..];
        let begun = match is_introduced {
            true => Ok(()),
            false => shared.take_preface(who, &mut rest, *eof),
        };
        *is_introduced = begun.is_ok();
        let pause = match begun {
            Ok(()) => shared.answer_requests(exchange, who, &mut rest, *eof, left, output),
            Err(want) => Pause::Want(want),
        };
        let consumed = input.len() - rest.len();
        input.drain(..consumed);
        pause
    }

    /// The peer was silent for too long. Within a request it is told so.
    fn refuse(&mut self) -> Result<Pause, Reason> {
        let Twin { shared, exchange, who, buffers, .. } = self;
        let error = match self.at.0 {
            RECEIVING_HEAD if !self.is_introduced => {
                return Err(shared.refuse_preface(who, PREFACE_LATE));
            }
            RECEIVING_HEAD => Error::HeadTimeout,
            RECEIVING_BODY => Error::BodyTimeout,
            _ => return Err(shared.why_idle_ends(self.stream.source().id())),
        };
        let reason = shared.time_is_up(exchange, who, error, &mut buffers.output);
        Ok(Pause::Want(Want::Close(reason)))
    }

    /// Flush before want.
    async fn write(&mut self) -> Result<(), Reason> {
        let mut sent = 0;
        while sent < self.buffers.output.len() {
            let written = self.wait(FLUSHING, |twin, cx| {
                twin.stream.poll_write(cx, &twin.buffers.output[sent..])
            });
            let Some(bytes) = written.await? else {
                // It would not read anything else either: free the kernel's buffers at once.
                self.stream.source().socket().abort_on_close(true);
                return Err(Reason::WriteTimeout);
            };
            sent += bytes;
            if self.at.0 == FLUSHING {
                self.has_moved(bytes);
            }
        }
        self.buffers.output.clear();
        Ok(())
    }

    /// Writes an answer for which the service takes its time, part by part. Returns what the exchange wants then.
    async fn serve(&mut self, pending: Box<dyn Pending>) -> Result<Want, Reason> {
        let mut work = Work::new(pending, self.stream.source());
        loop {
            self.enter(SERVING);
            if self.left == 0 {
                self.give_way().await?;
            }
            self.left -= 1;
            let part = self.wait(SERVING, |twin, cx| {
                if work.is_for_nobody(twin.stream.source().readiness()) {
                    return Poll::Ready(Ok(None));
                }
                if let Poll::Ready(part) = work.pending.poll_part(cx) {
                    return Poll::Ready(Ok(Some(part)));
                }
                // Not to read, but to notice when the peer goes away.
                twin.stream.want(cx, Readiness::READABLE)?;
                Poll::Pending
            });
            let part = part.await?.flatten();
            let Twin { exchange, shared, stream, who, buffers, .. } = self;
            let Some(part) = part else {
                abandon(exchange, Reason::PeerGone, shared, who);
                return Err(Reason::PeerGone);
            };
            let (output, socket) = (&mut buffers.output, stream.source().socket());
            let want = take_part(part, exchange, output, shared, who, socket);
            self.write().await?;
            if want != Want::Service {
                return Ok(want);
            }
        }
    }

    /// The others first.
    async fn give_way(&mut self) -> Result<(), Reason> {
        others_first(&self.shared.status.handle).await;
        self.left = self.shared.limits.requests_per_resume_max;
        if self.shared.status.phase.get() == Phase::Cutting { Err(self.cut()) } else { Ok(()) }
    }

    /// An orderly end: half-close, then read until the peer has closed too.
    async fn close(&mut self, reason: Reason) {
        let (source, is_truncated) = (self.stream.source(), self.exchange.is_truncated());
        if !is_truncated && self.exchange.is_close_delimited() {
            // All of it is written: now the end says so.
            source.socket().abort_on_close(false);
        }
        // It has not been anywhere else since it was idle: all that it has answered came by one read.
        let came_whole = self.at.0 == IDLE && self.buffers.input.is_empty();
        let lingers = !is_truncated && must_linger(reason, self.eof, came_whole, source);
        self.shared.tell_ending(&self.who, reason);
        if lingers && self.stream.shut_write().is_ok() {
            self.enter(LINGERING);
            let peers_end = self.wait(LINGERING, |twin, cx| {
                while let Ok(1..) = ready!(twin.stream.poll_read(cx, &mut [0; 4096])) {}
                Poll::Ready(Ok(()))
            });
            // However it ends, the answer is as safe as it can be.
            let _ = peers_end.await;
        }
    }
}

/// What a state machine has for nothing: a place to be seen at, and a look at the clock.
impl<S> Twin<S> {
    /// Awaits `operation`, which waits in this row of the [`TABLE`], as long as that may last and the server does.
    /// `None`: its time is up.
    async fn wait<T>(
        &mut self,
        row: usize,
        mut operation: impl FnMut(&mut Twin<S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<Option<T>, Reason> {
        std::future::poll_fn(|cx| {
            if self.shared.status.phase.get() == Phase::Cutting {
                return Poll::Ready(Err(self.cut()));
            }
            let mut outcome = operation(self, cx);
            if outcome.is_pending() {
                self.enter(row);
                if !self.is_time_up() {
                    return Poll::Pending;
                }
                // A last look: what came in time may wait behind many other events.
                self.stream.source().assume_ready();
                outcome = operation(self, cx);
            }
            Poll::Ready(match outcome {
                Poll::Ready(done) => done.map(Some).map_err(|error| reason_of(&error)),
                Poll::Pending => Ok(None),
            })
        })
        .await
    }

    /// Whether it has waited long enough. If not, it is resumed when it will have.
    fn is_time_up(&mut self) -> bool {
        let Twin { shared, due, timer, .. } = self;
        let (handle, rest, due) = (&shared.status.handle, TABLE[self.at.0].rest, *due);
        let now = handle.now();
        let time_to_go = shared.time_to_go(self.stream.source().id(), rest, due, now);
        // In a drain the limit becomes shorter. One that is idle later has a grace of its own.
        let is_too_long = self.at.0 == IDLE && due > now + shared.idle_time_limit();
        let is_up = due.min(time_to_go) <= now || is_too_long;
        if !is_up {
            timer.arm(due.min(time_to_go), now, handle, self.who.task);
        }
        is_up
    }

    /// Says where it is now. If that is somewhere else, or a request was answered since, a new time limit begins.
    fn enter(&mut self, row: usize) {
        let Twin { shared, buffers, .. } = self;
        if row == IDLE && buffers.input.capacity() > 0 {
            for buffer in [&mut buffers.input, &mut buffers.output] {
                buffer.clear();
                buffer.shrink_to(BUFFER_BYTES_KEPT_MAX);
            }
            shared.spare.set(std::mem::take(buffers));
        }
        let from = self.at;
        self.at = (row, self.exchange.requests);
        if self.at == from {
            return;
        }
        shared.tell_state(self.who.task, from.0, row);
        self.due = shared.status.handle.now() + shared.time_limit(row);
        shared.status.connection_rests(self.stream.source().id(), TABLE[row].rest);
        self.progress = 0;
    }

    /// A body, or an answer, moves: when it is by enough, the time limit begins anew.
    fn has_moved(&mut self, bytes: usize) {
        self.progress = self.progress.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.progress as usize >= self.shared.limits.progress_bytes_min {
            self.progress = 0;
            let limit = self.shared.time_limit(self.at.0);
            self.due = self.shared.status.handle.now() + limit;
        }
    }

    /// The server is stopped, or a drain took too long.
    fn cut(&mut self) -> Reason {
        self.shared.cut(TABLE[self.at.0].rest, || {
            self.stream.source().assume_ready();
            matches!(self.stream.try_read(&mut [0]), Ok(1..))
        })
    }
}

impl<S> Drop for Twin<S> {
    fn drop(&mut self) {
        let status = &self.shared.status;
        self.timer.cancel(&status.handle);
        status.connection_closed(self.stream.source().id());
    }
}
