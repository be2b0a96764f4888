//! What the tasks of one server know of each other: what is open, and the places: which connections may come in, which
//! wait for that, and which make room.
//!
//! An acceptor that finds a connection in its queue while the server is full holds that newcomer, and
//! waits here after the acceptors that came before it. So the newcomer that has waited longest
//! comes in first, whatever its listener. Meanwhile one connection for each newcomer is asked to
//! make room: one that lingers if there is any, else the one that has been idle longest. It has a
//! last look at its socket and goes; if it finds a request there it stays, and the next one is
//! asked.
//!
//! The order in which connections became idle is a ring through their entries in one table. A
//! keep-alive request takes its connection out of the ring and puts it back at the end: a few
//! writes, no allocation. No operation walks along a ring.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::drain::{Control, Phase};
use super::progress::Report;
use crate::event_loop::Handle;
use crate::id::{SourceId, TaskId};

/// Shared by the acceptors, the connections and the drainer of one server on one loop.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) handle: Handle,
    pub(super) phase: Cell<Phase>,
    /// Not borrowed while a task is woken.
    pub(super) room: RefCell<Room>,
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
    /// `connections_max`: see [`Room`].
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

/// Connections come and go, and tasks that wait for that are woken.
impl Status {
    /// Connections open now.
    pub(super) fn open(&self) -> usize {
        self.room.borrow().open
    }

    /// Wakes `acceptor` when there is room for its newcomer.
    pub(super) fn wait_for_room(&self, acceptor: TaskId) {
        self.room.borrow_mut().begin_to_wait(acceptor);
        self.ask_for_room();
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

    pub(super) fn connection_closed(&self, source: SourceId) {
        self.room.borrow_mut().remove(source);
        self.control.counts.set_open(self.open());
        self.wake_who_waits();
        self.tell_drainer_if_empty();
    }
}

/// What a connection does, as far as that matters to a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is in the middle of something: it stays.
    Busy,
    /// Nothing of a request is here, and nothing is left to write.
    Idle,
    /// All is said; it only waits for its peer to close.
    Lingering,
}

/// The connections of a server, as a number and in the order in which they make room.
#[derive(Debug)]
pub(super) struct Room {
    /// `open` never gets above it. `None`, unless it was configured, until the first acceptor is resumed: it is worked
    /// out from the descriptors that the process has left when everything else is set up.
    pub(super) connections_max: Option<usize>,
    /// Connections open now. A newcomer in an acceptor's hand is not one of them.
    open: usize,
    /// Acceptors with a newcomer in the hand. The one that has waited longest is first.
    waiting: VecDeque<TaskId>,
    /// Connections that were asked to make room and neither went nor declined yet. They are in no
    /// ring. At most one for each acceptor.
    asked: Vec<Asked>,
    rings: Rings,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    seat: u32,
    /// The ring that it was taken from.
    ring: u32,
}

impl Room {
    pub(super) fn new(connections_max: Option<usize>) -> Room {
        Room {
            connections_max,
            open: 0,
            waiting: VecDeque::new(),
            asked: Vec::new(),
            rings: Rings::new(),
        }
    }

    /// The tasks of all connections, and of some that are gone.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.rings.entries.iter().map(|entry| entry.task).collect()
    }

    /// Connections that could come in now.
    fn free(&self) -> usize {
        self.connections_max.unwrap_or(usize::MAX).saturating_sub(self.open)
    }

    /// True if there is room for the newcomer of `acceptor`, and for all that have waited longer.
    pub(super) fn lets_in(&self, acceptor: TaskId) -> bool {
        let waits_behind = self.waiting.iter().position(|waiting| *waiting == acceptor);
        waits_behind.unwrap_or(self.waiting.len()) < self.free()
    }

    /// `acceptor` has a newcomer that must wait.
    pub(super) fn begin_to_wait(&mut self, acceptor: TaskId) {
        debug_assert!(!self.waiting.contains(&acceptor), "one newcomer for each acceptor");
        self.waiting.push_back(acceptor);
    }

    /// `acceptor` lets its newcomer in, or has none any more.
    pub(super) fn stop_waiting(&mut self, acceptor: TaskId) {
        self.waiting.retain(|waiting| *waiting != acceptor);
    }

    /// The acceptor with this number in the queue, from 0 on, if there is room for its newcomer.
    pub(super) fn admitted(&self, number: usize) -> Option<TaskId> {
        self.waiting.get(number).copied().filter(|_| number < self.free())
    }

    pub(super) fn add(&mut self, source: SourceId, task: TaskId) {
        self.open += 1;
        let seat = seat_of(source);
        self.rings.grow_to(seat + 1);
        self.rings.at(seat).task = task;
        self.rings.move_last(seat, IDLE);
    }

    pub(super) fn remove(&mut self, source: SourceId) {
        self.open -= 1;
        self.move_to(source, Rest::Busy);
    }

    /// A connection has done something, and is now as `rest` says: of those, the last one that
    /// makes room. If it was asked to do so before, it has declined. True if somebody waits for room.
    pub(super) fn move_to(&mut self, source: SourceId, rest: Rest) -> bool {
        let seat = seat_of(source);
        if !self.asked.is_empty() {
            self.asked.retain(|asked| asked.seat != seat);
        }
        match rest {
            Rest::Busy => self.rings.unlink(seat),
            Rest::Idle => self.rings.move_last(seat, IDLE),
            Rest::Lingering => self.rings.move_last(seat, LINGERING),
        }
        !self.waiting.is_empty()
    }

    /// Chooses one more connection that has to make room; `None` if enough were asked, or all are
    /// busy. The caller wakes that task, and calls again.
    pub(super) fn ask_another(&mut self) -> Option<TaskId> {
        let wanted = self.waiting.len().saturating_sub(self.free());
        if self.asked.len() >= wanted {
            return None;
        }
        for ring in [LINGERING, IDLE] {
            if let Some(seat) = self.rings.first(ring) {
                self.rings.unlink(seat);
                self.asked.push(Asked { seat, ring });
                return Some(self.rings.task(seat));
            }
        }
        None
    }

    /// True if this connection was asked to make room, and is still needed. If it is not, none is: all that
    /// were asked go back to where they were, to the front, in the order in which they stood there.
    pub(super) fn must_make_room(&mut self, source: SourceId) -> bool {
        if self.asked.is_empty() {
            return false;
        }
        let seat = seat_of(source);
        if !self.asked.iter().any(|asked| asked.seat == seat) {
            return false;
        }
        if self.waiting.len() > self.free() {
            return true;
        }
        for Asked { seat, ring } in std::mem::take(&mut self.asked).into_iter().rev() {
            self.rings.link_first(seat, ring);
        }
        false
    }
}

/// Rings through one table, each in the order in which its members joined it.
#[derive(Debug)]
struct Rings {
    /// The heads of the rings, then the members: one entry for each slot of the loop's sources up
    /// to the highest that a connection ever had. An entry in no ring is linked with itself.
    entries: Vec<Entry>,
}

/// 16 bytes, in every idle connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    task: TaskId,
    before: u32,
    behind: u32,
}

/// The rings are called by the seats of their heads.
const LINGERING: u32 = 0;
const IDLE: u32 = 1;
const HEADS: u32 = 2;

/// Where the entry of a connection is.
fn seat_of(source: SourceId) -> u32 {
    HEADS + source.slot()
}

impl Rings {
    fn new() -> Rings {
        let mut rings = Rings { entries: Vec::new() };
        rings.grow_to(HEADS);
        rings
    }

    fn grow_to(&mut self, entries: u32) {
        let alone = |seat| Entry { task: TaskId::default(), before: seat, behind: seat };
        let length = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.extend((length..entries).map(alone));
    }

    fn at(&mut self, seat: u32) -> &mut Entry {
        &mut self.entries[seat as usize]
    }

    fn task(&self, seat: u32) -> TaskId {
        self.entries[seat as usize].task
    }

    /// The member that joined first.
    fn first(&self, ring: u32) -> Option<u32> {
        Some(self.entries[ring as usize].behind).filter(|seat| *seat != ring)
    }

    fn unlink(&mut self, seat: u32) {
        let Entry { before, behind, .. } = *self.at(seat);
        self.at(before).behind = behind;
        self.at(behind).before = before;
        let entry = self.at(seat);
        (entry.before, entry.behind) = (seat, seat);
    }

    /// Puts an entry that is in no ring between two neighbours.
    fn link(&mut self, seat: u32, before: u32, behind: u32) {
        let entry = self.at(seat);
        (entry.before, entry.behind) = (before, behind);
        self.at(before).behind = seat;
        self.at(behind).before = seat;
    }

    fn link_first(&mut self, seat: u32, ring: u32) {
        let first = self.at(ring).behind;
        self.link(seat, ring, first);
    }

    /// Takes an entry out of its ring, if it is in one, and puts it at the end of this one. Every request does it.
    fn move_last(&mut self, seat: u32, ring: u32) {
        let last = self.at(ring).before;
        if last != seat {
            let Entry { before, behind, .. } = *self.at(seat);
            self.at(before).behind = behind;
            self.at(behind).before = before;
            self.link(seat, last, ring);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use slotmap::SlotMap;

    /// A full server with so many connections, all of them idle, and as many acceptors.
    struct House {
        room: Room,
        sources: Vec<SourceId>,
        tasks: Vec<TaskId>,
        acceptors: Vec<TaskId>,
    }

    impl House {
        fn new(connections: usize) -> House {
            let (mut sources, mut tasks) = (SlotMap::with_key(), SlotMap::with_key());
            let sources: Vec<SourceId> = (0..connections).map(|_| sources.insert(())).collect();
            let mut make_tasks = || (0..connections).map(|_| tasks.insert(())).collect();
            let (tasks, acceptors): (Vec<TaskId>, _) = (make_tasks(), make_tasks());
            let mut room = Room::new(Some(connections));
            sources.iter().zip(&tasks).for_each(|(source, task)| room.add(*source, *task));
            House { room, sources, tasks, acceptors }
        }

        /// The numbers of those that are asked to make room now.
        fn asked(&mut self) -> Vec<usize> {
            std::iter::from_fn(|| self.room.ask_another())
                .map(|task| self.tasks.iter().position(|other| *other == task).unwrap())
                .collect()
        }

        fn newcomer(&mut self, acceptor: usize) -> Vec<usize> {
            self.room.begin_to_wait(self.acceptors[acceptor]);
            self.asked()
        }
    }

    #[test]
    fn who_has_been_idle_longest_is_asked_first_and_one_for_each_newcomer() {
        let mut house = House::new(4);
        assert_eq!(house.asked(), [0; 0], "nobody waits");
        house.room.move_to(house.sources[0], Rest::Idle);
        house.room.move_to(house.sources[1], Rest::Busy);
        assert_eq!(house.newcomer(0), [2]);
        assert_eq!(house.newcomer(1), [3]);
        assert_eq!(house.newcomer(2), [0]);
        assert_eq!(house.newcomer(3), [0; 0], "the last one is busy");
        house.room.move_to(house.sources[1], Rest::Idle);
        assert_eq!(house.asked(), [1]);
    }

    #[test]
    fn who_declines_is_the_last_to_be_asked_again() {
        let mut house = House::new(2);
        assert_eq!(house.newcomer(0), [0]);
        house.room.move_to(house.sources[0], Rest::Idle);
        assert!(!house.room.must_make_room(house.sources[0]));
        assert_eq!(house.asked(), [1]);
        house.room.move_to(house.sources[1], Rest::Busy);
        assert_eq!(house.asked(), [0]);
        assert!(house.room.must_make_room(house.sources[0]));
    }

    #[test]
    fn who_lingers_goes_before_all_idle_ones() {
        let mut house = House::new(3);
        house.room.move_to(house.sources[2], Rest::Lingering);
        assert_eq!(house.newcomer(0), [2]);
        house.room.move_to(house.sources[1], Rest::Lingering);
        assert_eq!(house.newcomer(1), [1]);
        assert_eq!(house.newcomer(2), [0]);
    }

    #[test]
    fn who_is_not_needed_any_more_stays_the_first() {
        let mut house = House::new(3);
        assert_eq!(house.newcomer(0), [0]);
        house.room.remove(house.sources[2]);
        assert!(!house.room.must_make_room(house.sources[0]), "another one has gone");
        house.room.stop_waiting(house.acceptors[0]);
        house.room.add(house.sources[2], house.tasks[2]);
        assert_eq!(house.newcomer(1), [0]);
    }

    #[test]
    fn several_who_are_not_needed_any_more_stay_in_their_order() {
        let mut house = House::new(4);
        assert_eq!(house.newcomer(0), [0]);
        assert_eq!(house.newcomer(1), [1]);
        // Both newcomers have gone by themselves. Those that were asked hear of it in any order.
        house.room.stop_waiting(house.acceptors[0]);
        house.room.stop_waiting(house.acceptors[1]);
        assert!(!house.room.must_make_room(house.sources[0]));
        assert!(!house.room.must_make_room(house.sources[1]));
        assert_eq!(house.newcomer(2), [0]);
        assert_eq!(house.newcomer(3), [1]);
    }

    #[test]
    fn there_is_room_for_who_waited_longest() {
        let mut house = House::new(3);
        let [a, b, c] = [0, 1, 2].map(|number| house.acceptors[number]);
        house.room.begin_to_wait(b);
        house.room.begin_to_wait(a);
        assert_eq!(house.room.admitted(0), None);
        house.room.remove(house.sources[0]);
        assert_eq!((house.room.admitted(0), house.room.admitted(1)), (Some(b), None));
        assert_eq!([a, b, c].map(|acceptor| house.room.lets_in(acceptor)), [false, true, false]);
        house.room.remove(house.sources[1]);
        house.room.remove(house.sources[2]);
        assert_eq!([a, b, c].map(|acceptor| house.room.lets_in(acceptor)), [true; 3]);
    }

    /// Against a list that is searched, with everything that can happen in any order.
    #[test]
    fn the_rings_keep_the_order_of_a_plain_list() {
        const CONNECTIONS: usize = 20;
        let mut random = fastrand::Rng::with_seed(1);
        let mut house = House::new(CONNECTIONS);
        let mut idle: Vec<usize> = (0..CONNECTIONS).collect();
        let mut lingering: Vec<usize> = Vec::new();
        for _ in 0..10_000 {
            let number = random.usize(0..CONNECTIONS);
            let rest = [Rest::Busy, Rest::Idle, Rest::Lingering][random.usize(0..3)];
            house.room.move_to(house.sources[number], rest);
            idle.retain(|other| *other != number);
            lingering.retain(|other| *other != number);
            match rest {
                Rest::Busy => {}
                Rest::Idle => idle.push(number),
                Rest::Lingering => lingering.push(number),
            }
            for (ring, expected) in [(IDLE, &idle), (LINGERING, &lingering)] {
                let mut seat = house.room.rings.at(ring).behind;
                let mut members = Vec::new();
                while seat != ring {
                    members.push(house.room.rings.task(seat));
                    seat = house.room.rings.at(seat).behind;
                }
                let expected: Vec<_> = expected.iter().map(|n| house.tasks[*n]).collect();
                assert_eq!(members, expected);
            }
        }
    }

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
