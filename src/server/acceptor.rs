//! The task that owns a listener: it turns waiting connections into tasks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use super::connection;
use super::status::{Phase, Status};
use super::{ACCEPTOR, Service, Shared};
use crate::event_loop::{Context, Flow, Source, Task, TimerId};
use crate::id::TaskId;
use crate::limits::{ACCEPT_BACKOFF, ACCEPT_LOG_INTERVAL};
use crate::observe::{self, Event, Machine, machine};
use crate::world::{Listener, Readiness, Stream, Time, concerns_one_connection};

/// Where an acceptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Takes what comes.
    Accepting,
    /// No descriptor, or no memory: nothing is tried before this timer fires.
    BackingOff { timer: TimerId },
    /// As many connections as allowed: waits until one ends.
    Full,
}

impl State {
    fn place(self) -> Place {
        match self {
            State::Accepting => Place::Accepting,
            State::BackingOff { .. } => Place::BackingOff,
            State::Full => Place::Full,
        }
    }
}

/// A [`State`] for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Accepting,
    BackingOff,
    Full,
}

impl Place {
    const ALL: [Place; 3] = [Place::Accepting, Place::BackingOff, Place::Full];

    const fn state(self) -> observe::State {
        use observe::State as Is;
        match self {
            Place::Accepting => Is::here("accepting", "It takes connections as they come."),
            Place::BackingOff => {
                Is::here("backing off", "No descriptor, or no memory: it tries again later.")
            }
            Place::Full => {
                Is::here("full", "As many connections as allowed: it waits until one ends.")
            }
        }
    }

    const fn leads_to(self) -> &'static [Place] {
        match self {
            Place::Accepting => &[Place::BackingOff, Place::Full],
            Place::BackingOff | Place::Full => &[Place::Accepting],
        }
    }
}

/// An acceptor as data.
pub(super) const MACHINE: Machine = machine!(ACCEPTOR, Place);

pub(super) struct Acceptor<S> {
    source: Source<Listener>,
    shared: Rc<Shared<S>>,
    state: State,
    /// When the log was last told why nothing is accepted.
    logged: Option<Time>,
}

impl<S> Acceptor<S> {
    fn status(&self) -> &Status {
        &self.shared.status
    }
}

impl<S: Service + 'static> Acceptor<S> {
    pub(super) fn new(
        listener: Listener,
        shared: &Rc<Shared<S>>,
        task: TaskId,
    ) -> io::Result<Acceptor<S>> {
        let source = Source::listener(&shared.status.handle, listener, task)?;
        let acceptors = &shared.status.acceptors;
        acceptors.set(acceptors.get() + 1);
        Ok(Acceptor { source, shared: Rc::clone(shared), state: State::Accepting, logged: None })
    }

    fn accept_some(&mut self, cx: &Context<'_>) -> Flow {
        if self.status().is_draining() {
            // A last look: the report of a full queue may wait behind many others.
            self.source.assume_ready();
        }
        let mut accepted = 0;
        let mut last_error = None;
        for _ in 0..self.shared.limits.accepts_per_resume_max {
            if !self.status().has_room() {
                return self.wait_for_room(cx);
            }
            match self.source.accept() {
                Ok((stream, peer)) => {
                    accepted += 1;
                    if let Err(error) = self.open(stream, peer) {
                        let what = "cannot watch a new connection, which is closed";
                        return self.back_off(what, &error, cx);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.queue_is_empty();
                }
                Err(error) if concerns_one_connection(&error) => {
                    log::debug!("a connection was gone before it was accepted: {error}");
                    last_error = Some(error);
                }
                Err(error) => return self.back_off("cannot accept", &error, cx),
            }
        }
        match last_error {
            // Nothing but failures: whatever it is, do not spin on it.
            Some(error) if accepted == 0 => {
                self.back_off("cannot accept, again and again", &error, cx)
            }
            _ => Flow::Again,
        }
    }

    fn open(&self, stream: Stream, peer: SocketAddr) -> io::Result<()> {
        let shared = &self.shared;
        let handle = &shared.status.handle;
        handle.try_spawn_task(|task| connection::open(shared, stream, peer, task)).map(drop)
    }

    /// A server that drains takes what was in the queue, and is then done.
    fn queue_is_empty(&self) -> Flow {
        if self.status().is_draining() {
            return Flow::Done;
        }
        self.source.want(Readiness::READABLE);
        Flow::Wait
    }

    fn wait_for_room(&mut self, cx: &Context<'_>) -> Flow {
        self.source.want(Readiness::empty());
        self.status().wait_for_room(cx.task());
        self.warn(format_args!("no room for another connection"), cx);
        self.go(State::Full, cx);
        Flow::Wait
    }

    fn back_off(&mut self, what: &str, error: &io::Error, cx: &Context<'_>) -> Flow {
        self.warn(format_args!("{what}: {error}"), cx);
        let until = cx.now() + ACCEPT_BACKOFF;
        self.source.want(Readiness::empty());
        let timer = cx.handle().at(until, cx.task());
        self.go(State::BackingOff { timer }, cx);
        Flow::Wait
    }

    /// Tells the log why others have to wait, and not again for a while.
    fn warn(&mut self, why: fmt::Arguments<'_>, cx: &Context<'_>) {
        if self.logged.is_none_or(|logged| cx.now().since(logged) >= ACCEPT_LOG_INTERVAL) {
            self.logged = Some(cx.now());
            log::warn!("{why}; {}, others wait", self.status().how_many_are_open());
        }
    }

    fn go(&mut self, state: State, cx: &Context<'_>) {
        let (from, to) = (self.state.place(), state.place());
        self.state = state;
        if from != to {
            debug_assert!(from.leads_to().contains(&to), "{from:?} leads to {to:?}");
            let (task, from, to) = (cx.task(), from.state().name, to.state().name);
            cx.handle().tell(|| Event::State { task, from, to });
        }
    }
}

impl<S: Service + 'static> Task for Acceptor<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        if self.status().phase.get() == Phase::Cutting {
            return Flow::Done;
        }
        match self.state {
            State::BackingOff { timer } if cx.now() < timer.deadline() => return Flow::Wait,
            _ => self.go(State::Accepting, cx),
        }
        self.accept_some(cx)
    }

    fn kind(&self) -> &'static str {
        ACCEPTOR
    }

    fn state(&self) -> Option<&'static str> {
        Some(self.state.place().state().name)
    }
}

impl<S> Drop for Acceptor<S> {
    fn drop(&mut self) {
        if let State::BackingOff { timer } = self.state {
            self.status().handle.cancel(timer);
        }
        self.shared.status.acceptor_finished();
    }
}
