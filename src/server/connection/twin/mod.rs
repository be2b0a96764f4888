//! The same connection, told as a coroutine: [`converse`] is what [`Connection`](super::Connection)
//! is as a state machine. Both drive the same exchange with the same operations in the same order,
//! so that they give the same bytes and the same events; `tests/it/twins.rs` holds them together.
//!
//! What is a variant of `State` there, is a place here at which the coroutine waits, and the
//! compiler makes the variants: one for each `await`, with what lives across it. Between two resumes
//! nobody but the coroutine itself knows where it is. So it keeps a note (`At`) for those who ask, and
//! whoever wants something of it (its time is up, the server ends) leaves an `Order`, which it
//! finds when it is resumed.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Service;
use super::ending::must_linger;
use super::keep::{Held, left_over, write_all};
use super::serving::{Work, peer_is_gone, take_part};
use crate::event_loop::{Flow, Scratch};
use crate::http::{Error, Reason, Stage, Want};
use crate::world::Readiness;

mod line;
mod task;

use line::{At, Line, Order};
pub(super) use task::Twin;

/// The conversation with one peer, from its first byte to its last.
async fn converse<S: Service>(line: Rc<Line<S>>) -> Said<Infallible> {
    let mut held = None;
    loop {
        let mut step = match line.read().await? {
            Heard::Bytes(fresh) => line.advance(&mut held, fresh),
            Heard::NothingInTime(error) => line.refuse(error),
        };
        loop {
            step.came_whole &= line.flush().await? == Flushed::AtOnce;
            step = match step.want {
                Want::Read => break line.rest(),
                Want::Flush => {
                    line.give_way().await?;
                    line.advance(&mut held, 0)
                }
                Want::Service => line.next_part(step.work).await?,
                Want::Close(reason) => line.close(reason, step.came_whole).await?,
            };
        }
    }
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
    came_whole: bool,
}

/// What the conversation consists of.
impl<S: Service> Line<S> {
    /// Waits for bytes, for the end of input, or for as long as a peer may be silent.
    async fn read(&self) -> Said<Heard> {
        loop {
            match self.order.take() {
                Some(Order::TimeIsUp) => return self.hurry(),
                Some(Order::CloseIdle) => return Err(self.end(Reason::Shutdown)),
                Some(Order::Cut) => return Err(self.end(Reason::Cut)),
                None => {}
            }
            if !self.source.borrow().readiness().is_readable() {
                self.source.borrow().want(Readiness::READABLE);
                self.pause(Flow::Wait).await;
                continue;
            }
            if self.requests_left() == 0 || self.read_bytes_left.get() == 0 {
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
        let work = pending.map(|pending| {
            let had_finished = self.source.borrow().readiness().contains(Readiness::READ_CLOSED);
            Work { pending, had_finished }
        });
        Step { want, work, came_whole: came_whole && held.is_none() }
    }

    fn refuse(&self, error: Error) -> Step {
        let who = self.who(0);
        let output = &mut self.scratch.borrow_mut().output;
        let exchange = &mut *self.exchange.borrow_mut();
        let (want, _) = self
            .shared
            .with_bridge(who, |bridge, response| exchange.refuse(error, output, response, bridge));
        Step { want, work: None, came_whole: false }
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
                    self.source.borrow().socket().abort_on_close(true);
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
            if self.parts_left.get().is_spent() {
                self.pause(Flow::Again).await;
                continue;
            }
            let waker = self.shared.status.handle.waker(self.task);
            let part = work.pending.poll_part(&mut Context::from_waker(&waker));
            if let Poll::Ready(part) = part {
                self.parts_left.set(self.parts_left.get().without(&part));
                let who = self.who(1);
                let output = &mut self.scratch.borrow_mut().output;
                let exchange = &mut *self.exchange.borrow_mut();
                let source = self.source.borrow();
                let want = take_part(exchange, part, output, &self.shared, who, source.socket());
                let work = (want == Want::Service).then_some(work);
                return Ok(Step { want, work, came_whole: false });
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
    async fn close(&self, reason: Reason, came_whole: bool) -> Said<Step> {
        if self.exchange.borrow().is_broken_off() {
            return Err(self.end(reason));
        }
        if self.exchange.borrow().is_unframed() {
            // All of it is written: now the end says so.
            self.source.borrow().socket().abort_on_close(false);
        }
        let lingers = must_linger(reason, self.eof.get(), came_whole, &self.source.borrow());
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
