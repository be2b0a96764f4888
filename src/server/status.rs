//! What the parts of one server share: the phase of its life, and what is open.

use std::cell::{Cell, RefCell};
use std::iter::Sum;
use std::rc::Rc;
use std::sync::Arc;

use super::drain::Control;
use super::room::{Rest, Room};
use crate::event_loop::Handle;
use crate::id::{SourceId, TaskId};

/// The life of a server, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Accepting and answering.
    Serving,
    /// The same, but every answer says `Connection: close`: the end has been announced, and balancers need time to
    /// hear of it.
    Announcing,
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
    /// Of those, connections that had asked for something and were never accepted: there was no
    /// room for them until the end.
    pub cut_unaccepted: u64,
}

/// What several servers did together.
impl Sum for Report {
    fn sum<I: Iterator<Item = Report>>(reports: I) -> Report {
        reports.fold(Report::default(), |one, other| Report {
            connections: one.connections + other.connections,
            requests: one.requests + other.requests,
            cut: one.cut + other.cut,
            cut_unaccepted: one.cut_unaccepted + other.cut_unaccepted,
        })
    }
}

/// Shared by the acceptors, the connections and the drainer of one server on one loop.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) handle: Handle,
    pub(super) phase: Cell<Phase>,
    room: RefCell<Room>,
    /// Acceptors that have not finished.
    pub(super) acceptors: Cell<usize>,
    /// Woken when the last connection or acceptor of a draining server is gone.
    pub(super) drainer: Cell<TaskId>,
    /// Counts, for all who look.
    control: Arc<Control>,
    /// The drainer is done: nothing of the server is left on the loop.
    pub(super) finished: Cell<bool>,
}

impl Status {
    /// `connections_max`: see [`settle_connections_max`](Status::settle_connections_max).
    pub(super) fn new(
        handle: Handle,
        connections_max: Option<usize>,
        control: Arc<Control>,
    ) -> Rc<Status> {
        Rc::new(Status {
            handle,
            phase: Cell::new(Phase::Serving),
            room: RefCell::new(Room::new(connections_max)),
            acceptors: Cell::new(0),
            drainer: Cell::default(),
            control,
            finished: Cell::new(false),
        })
    }

    /// True once the accept queue is emptied for the last time.
    pub(super) fn is_draining(&self) -> bool {
        self.phase.get() >= Phase::Draining
    }

    /// For a line of the log.
    pub(super) fn how_many_are_open(&self) -> String {
        match self.open() {
            1 => "1 connection is open".into(),
            open => format!("{open} connections are open"),
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Report)) {
        self.control.counts.change(change);
    }

    /// One more request is answered.
    pub(super) fn count_request(&self) {
        self.control.counts.count_request();
    }

    /// What was counted so far.
    pub(super) fn report(&self) -> Report {
        self.control.counts.report()
    }

    pub(super) fn acceptor_finished(&self) {
        self.acceptors.set(self.acceptors.get() - 1);
        self.tell_drainer_if_empty();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open() == 0 && self.acceptors.get() == 0
    }

    fn tell_drainer_if_empty(&self) {
        if self.is_draining() && self.is_empty() {
            self.handle.wake(self.drainer.get());
        }
    }
}

/// See [`Room`]. It is never borrowed while a task is woken.
impl Status {
    /// Connections open now.
    pub(super) fn open(&self) -> usize {
        self.room.borrow().open()
    }

    /// Settles how many connections there may be, unless the limits say it.
    pub(super) fn settle_connections_max(&self, work_out: impl FnOnce() -> usize) {
        self.room.borrow_mut().settle_connections_max(work_out);
    }

    /// True if there is room for the newcomer of `acceptor`, and for all that have waited longer.
    pub(super) fn lets_in(&self, acceptor: TaskId) -> bool {
        self.room.borrow().lets_in(acceptor)
    }

    /// Wakes `acceptor` when there is room for its newcomer.
    pub(super) fn wait_for_room(&self, acceptor: TaskId) {
        self.room.borrow_mut().begin_to_wait(acceptor);
        self.ask_for_room();
    }

    /// `acceptor` lets its newcomer in, or has none any more.
    pub(super) fn stop_waiting(&self, acceptor: TaskId) {
        self.room.borrow_mut().stop_waiting(acceptor);
    }

    /// There may be room for a newcomer.
    pub(super) fn wake_who_waits(&self) {
        let admitted = |number| self.room.borrow().admitted(number);
        (0..).map_while(admitted).for_each(|acceptor| self.handle.wake(acceptor));
    }

    /// Wakes every connection. Ids of those that are gone find nothing.
    pub(super) fn wake_connections(&self) {
        let tasks = self.room.borrow().tasks();
        tasks.into_iter().for_each(|connection| self.handle.wake(connection));
    }

    /// Asks as many connections to make room as there are newcomers without it.
    pub(super) fn ask_for_room(&self) {
        let asked = std::iter::from_fn(|| self.room.borrow_mut().ask_another());
        asked.for_each(|connection| self.handle.wake(connection));
    }

    pub(super) fn connection_opened(&self, source: SourceId, task: TaskId) {
        self.room.borrow_mut().add(source, task);
        // For other threads to see.
        self.control.counts.set_open(self.open());
        self.count(|report| report.connections += 1);
    }

    /// A connection has done something, and is now as `rest` says.
    pub(super) fn connection_rests(&self, source: SourceId, rest: Rest) {
        let somebody_waits = self.room.borrow_mut().move_to(source, rest);
        if somebody_waits {
            self.ask_for_room();
        }
    }

    /// True if this connection was asked to make room, and is still needed.
    pub(super) fn must_make_room(&self, source: SourceId) -> bool {
        self.room.borrow_mut().must_make_room(source)
    }

    pub(super) fn connection_closed(&self, source: SourceId) {
        self.room.borrow_mut().remove(source);
        self.control.counts.set_open(self.open());
        self.wake_who_waits();
        self.tell_drainer_if_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use slotmap::SlotMap;

    #[test]
    fn one_connection_is_open_and_two_are() {
        let handle = EventLoop::new().unwrap().handle().clone();
        let status = Status::new(handle, Some(2), Control::new());
        let mut sources = SlotMap::with_key();
        let mut open = || status.connection_opened(sources.insert(()), TaskId::default());
        assert_eq!(status.how_many_are_open(), "0 connections are open");
        open();
        assert_eq!(status.how_many_are_open(), "1 connection is open");
        open();
        assert_eq!(status.how_many_are_open(), "2 connections are open");
    }
}
