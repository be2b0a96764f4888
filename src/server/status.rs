//! What the parts of one server tell each other: the phase of its life, and what is open.

use std::cell::{Cell, RefCell};
use std::iter::Sum;
use std::rc::Rc;

use crate::event_loop::Handle;
use crate::id::TaskId;

/// The life of a server, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Accepting and answering.
    Serving,
    /// Accepts what is in the queue and then no more; every answer says `Connection: close`.
    Draining,
    /// Idle connections had their grace; now they are closed as well.
    ClosingIdle,
    /// Time is up: every connection is closed as it is.
    Cutting,
}

/// How a server ended, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections accepted.
    pub connections: u64,
    /// Requests answered, refused ones included.
    pub requests: u64,
    /// Connections that were cut before everything was said: at the drain's deadline, or by a
    /// shutdown. Zero after a clean drain.
    pub cut: u64,
}

/// What several servers did together.
impl Sum for Report {
    fn sum<I: Iterator<Item = Report>>(reports: I) -> Report {
        reports.fold(Report::default(), |one, other| Report {
            connections: one.connections + other.connections,
            requests: one.requests + other.requests,
            cut: one.cut + other.cut,
        })
    }
}

/// Shared by the acceptors, the connections and the drainer of one server on one loop.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) handle: Handle,
    pub(super) phase: Cell<Phase>,
    /// Connections open now.
    pub(super) open: Cell<usize>,
    /// `open` never gets above it.
    connections_max: usize,
    /// Acceptors that have not finished.
    pub(super) acceptors: Cell<usize>,
    /// Acceptors that wait until a connection ends.
    waiting_for_room: RefCell<Vec<TaskId>>,
    /// Woken when the last connection or acceptor of a draining server is gone.
    pub(super) drainer: Cell<TaskId>,
    pub(super) report: Cell<Report>,
    /// The drainer is done: nothing of the server is left on the loop.
    pub(super) finished: Cell<bool>,
}

impl Status {
    pub(super) fn new(handle: Handle, connections_max: usize) -> Rc<Status> {
        Rc::new(Status {
            handle,
            phase: Cell::new(Phase::Serving),
            open: Cell::new(0),
            connections_max,
            acceptors: Cell::new(0),
            waiting_for_room: RefCell::default(),
            drainer: Cell::default(),
            report: Cell::default(),
            finished: Cell::new(false),
        })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.phase.get() > Phase::Serving
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.get() < self.connections_max
    }

    /// For a line of the log.
    pub(super) fn how_many_are_open(&self) -> String {
        match self.open.get() {
            1 => "1 connection is open".into(),
            open => format!("{open} connections are open"),
        }
    }

    /// Wakes `acceptor` when a connection has ended.
    pub(super) fn wait_for_room(&self, acceptor: TaskId) {
        let mut waiting = self.waiting_for_room.borrow_mut();
        if !waiting.contains(&acceptor) {
            waiting.push(acceptor);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Report)) {
        let mut report = self.report.get();
        change(&mut report);
        self.report.set(report);
    }

    pub(super) fn connection_opened(&self) {
        self.open.set(self.open.get() + 1);
        self.count(|report| report.connections += 1);
    }

    pub(super) fn connection_closed(&self) {
        self.open.set(self.open.get() - 1);
        let waiting = self.waiting_for_room.take();
        waiting.into_iter().for_each(|acceptor| self.handle.wake(acceptor));
        self.tell_drainer_if_empty();
    }

    pub(super) fn acceptor_finished(&self) {
        self.acceptors.set(self.acceptors.get() - 1);
        self.tell_drainer_if_empty();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.get() == 0 && self.acceptors.get() == 0
    }

    fn tell_drainer_if_empty(&self) {
        if self.is_draining() && self.is_empty() {
            self.handle.wake(self.drainer.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;

    #[test]
    fn one_connection_is_open_and_two_are() {
        let status = Status::new(EventLoop::new().unwrap().handle().clone(), 2);
        assert_eq!(status.how_many_are_open(), "0 connections are open");
        status.connection_opened();
        assert_eq!(status.how_many_are_open(), "1 connection is open");
        status.connection_opened();
        assert_eq!(status.how_many_are_open(), "2 connections are open");
    }
}
