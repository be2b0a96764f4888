//! The task that owns a listener: it turns waiting connections into tasks.
//!
//! The only way to learn whether a connection waits in the kernel's queue is to take the first one out.
//! So the acceptor of a full server holds one newcomer in its hand, and no connection is asked to
//! make room for a newcomer that does not exist.

use std::io::{self, Read};
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;

use super::connection::Connection;
use super::drain::Phase;
use super::room::Status;
use super::{ACCEPTOR, Service, Shared};
#[cfg(feature = "twin")]
use super::{Connections, twin};
use crate::accepting::Failures;
use crate::event_loop::{Context, Description, Flow, Source, Task, TimerId};
use crate::events::Event;
use crate::id::TaskId;
use crate::limits::{DESCRIPTORS_RESERVED, LISTEN_BACKLOG};
use crate::server::machine::{Machine, MachineState as Is};
use crate::world::{Listener, Readiness, Stream, concerns_one_connection};

/// Where an acceptor is.
#[derive(Debug)]
enum State {
    /// Takes what comes.
    Accepting,
    /// No descriptor, or no memory: nothing is tried before this timer fires.
    BackingOff { timer: TimerId },
    /// As many connections as allowed: this one waits until there is room for it.
    Full { newcomer: Newcomer },
}

/// A connection that was taken from the kernel's queue, and is not open yet.
type Newcomer = (Stream, SocketAddr);

impl State {
    /// Its place among the states of the [`MACHINE`].
    fn row(&self) -> usize {
        match self {
            State::Accepting => 0,
            State::BackingOff { .. } => 1,
            State::Full { .. } => 2,
        }
    }
}

/// An acceptor as data.
pub(super) const MACHINE: Machine = Machine {
    kind: ACCEPTOR,
    states: &[
        Is::here("accepting", "It takes connections as they come."),
        Is::here("backing off", "No descriptor, or no memory: it tries again later."),
        Is::here(
            "full",
            "As many connections as allowed: a newcomer waits until one makes room, or ends.",
        ),
    ],
    edges: &[
        ("accepting", "backing off"),
        ("accepting", "full"),
        ("backing off", "accepting"),
        ("full", "accepting"),
    ],
};

pub(super) struct Acceptor<S> {
    source: Source<Listener>,
    shared: Rc<Shared<S>>,
    state: State,
    task: TaskId,
    failures: Failures,
    /// Connections in the kernel's queue that are still looked at, once everything is cut: as many
    /// as the queue can hold, so that a flood of newcomers cannot keep a server from ending.
    looks_left: usize,
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
        let looks_left = usize::try_from(LISTEN_BACKLOG).unwrap_or(usize::MAX);
        let (shared, state) = (Rc::clone(shared), State::Accepting);
        Ok(Acceptor { source, shared, state, task, failures: Failures::default(), looks_left })
    }

    fn accept_some(&mut self, cx: &Context<'_>) -> Flow {
        if self.status().is_draining() {
            // A last look: the report of a full queue may wait behind many others.
            self.source.assume_ready();
        }
        let accepts_max = self.shared.limits.accepts_per_resume_max;
        for _ in 0..accepts_max {
            match self.source.accept() {
                Ok(newcomer) if self.status().room.borrow().lets_in(self.task) => {
                    self.failures.gone_in_a_row = 0;
                    if let Err(error) = self.open(newcomer) {
                        return self.cannot_open(&error, cx);
                    }
                }
                Ok(newcomer) => return self.wait_for_room(newcomer, cx),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.status().is_draining() {
                        // It has taken what was in the queue, and is done.
                        return Flow::Done;
                    }
                    self.source.want(Readiness::READABLE);
                    return Flow::Wait;
                }
                Err(error) if self.failures.call_for_a_pause(&error, accepts_max) => {
                    return self.back_off("cannot accept", &error, cx);
                }
                Err(_) => {}
            }
        }
        Flow::Again
    }

    fn open(&self, (stream, peer): Newcomer) -> io::Result<()> {
        #[cfg(feature = "twin")]
        let open = match self.shared.connections {
            Connections::StateMachine => Connection::open,
            Connections::Coroutine => twin::open,
        };
        #[cfg(not(feature = "twin"))]
        let open = Connection::open;
        open(&self.shared, stream, peer)?;
        // It is idle until it asks, and others may wait.
        self.status().ask_for_room();
        Ok(())
    }

    fn wait_for_room(&mut self, newcomer: Newcomer, cx: &Context<'_>) -> Flow {
        self.source.want(Readiness::empty());
        let status = &self.shared.status;
        self.failures.warn(cx.now(), || {
            let open = status.how_many_are_open();
            format!("no room for another connection; {open}, others wait until one of them is idle")
        });
        status.wait_for_room(self.task);
        self.go(State::Full { newcomer }, cx);
        Flow::Wait
    }

    fn cannot_open(&mut self, error: &io::Error, cx: &Context<'_>) -> Flow {
        // Its room is another one's.
        self.status().wake_who_waits();
        self.back_off("cannot watch a new connection, which is closed", error, cx)
    }

    fn back_off(&mut self, what: &str, error: &io::Error, cx: &Context<'_>) -> Flow {
        let status = &self.shared.status;
        let until = self.failures.pause(cx.now(), || {
            format!("{what}: {error}; {}, others wait", status.how_many_are_open())
        });
        self.source.want(Readiness::empty());
        let timer = cx.handle().at(until, cx.task());
        self.go(State::BackingOff { timer }, cx);
        Flow::Wait
    }

    /// Changes the state; returns the one before.
    fn go(&mut self, state: State, cx: &Context<'_>) -> State {
        let before = mem::replace(&mut self.state, state);
        let [from, to] = [&before, &self.state].map(|state| MACHINE.states[state.row()].name);
        if from != to {
            debug_assert!(MACHINE.leads(from, to), "{from} leads to {to}");
            cx.handle().tell(|| Event::State { task: cx.task(), from, to });
        }
        before
    }

    /// Everything is cut. Closing the listener resets what is in its queue. So the queue is emptied
    /// first, and each connection in it that has asked for something is counted as cut.
    fn cut(&mut self, cx: &Context<'_>) -> Flow {
        match mem::replace(&mut self.state, State::Accepting) {
            State::Full { newcomer } => {
                self.status().room.borrow_mut().stop_waiting(self.task);
                self.count_if_cut(newcomer);
            }
            before => self.state = before,
        }
        self.source.assume_ready();
        for _ in 0..self.shared.limits.accepts_per_resume_max {
            if self.looks_left == 0 {
                return Flow::Done;
            }
            self.looks_left -= 1;
            match self.source.accept() {
                Ok(newcomer) => self.count_if_cut(newcomer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Done,
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if self.status().open() == 0 => {
                    log::warn!("cannot accept: {error}; connections in the queue are reset");
                    return Flow::Done;
                }
                // The connections are cut in this turn, and leave their descriptors.
                Err(_) => break,
            }
        }
        // Not `Again`, for it may be that nothing has come of it so far.
        cx.handle().wake(self.task);
        Flow::Wait
    }

    fn count_if_cut(&self, (mut stream, _): Newcomer) {
        let has_asked = matches!(stream.read(&mut [0]), Ok(1));
        let cut = u64::from(has_asked);
        self.status().count(|report| {
            report.cut += cut;
            report.cut_unaccepted += cut;
        });
    }
}

impl<S: Service + 'static> Task for Acceptor<S> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        // Not before: the program that runs the server has opened what it needs by now.
        let in_hands = self.status().acceptors.get();
        self.status().room.borrow_mut().connections_max.get_or_insert_with(|| {
            // Newcomers that the acceptors have in their hands are sockets as well.
            cx.handle()
                .world()
                .sockets_left()
                .saturating_sub(in_hands + DESCRIPTORS_RESERVED)
                .max(1)
        });
        if self.status().phase.get() == Phase::Cutting {
            return self.cut(cx);
        }
        match self.state {
            State::BackingOff { timer } if cx.now() < timer.deadline() => return Flow::Wait,
            State::Full { .. } if !self.status().room.borrow().lets_in(self.task) => {
                return Flow::Wait;
            }
            _ => {}
        }
        if let State::Full { newcomer } = self.go(State::Accepting, cx) {
            self.status().room.borrow_mut().stop_waiting(self.task);
            if let Err(error) = self.open(newcomer) {
                return self.cannot_open(&error, cx);
            }
        }
        self.accept_some(cx)
    }

    fn kind(&self) -> &'static str {
        ACCEPTOR
    }

    fn describe(&self) -> Description<'_> {
        let state = Some(MACHINE.states[self.state.row()].name);
        Description { state, ..Description::default() }
    }
}

impl<S> Drop for Acceptor<S> {
    fn drop(&mut self) {
        match self.state {
            State::BackingOff { timer } => self.status().handle.cancel(timer),
            State::Full { .. } => {
                self.status().room.borrow_mut().stop_waiting(self.task);
                self.status().wake_who_waits();
            }
            State::Accepting => {}
        }
        self.status().acceptor_finished();
    }
}
