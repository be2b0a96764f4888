//! What a loop knows: its tasks, sources, timers, and the queue. Each is borrowed for moments only, and never
//! while a task, an observer or a destructor runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use slotmap::SlotMap;

use super::task::{Cause, Task};
use super::timers::Timers;
use super::wake::Wakes;
use crate::events::{Event, Watch};
use crate::id::{SourceId, TaskId};
use crate::limits::{BURST_KEPT, REFUSED_TASKS_DROPPED_MAX};
use crate::panics::caught;
use crate::world::{LoopClock, Readiness, Time, World};

/// What the loop and all its handles share.
pub(super) struct Shared {
    /// Behind a cell, because everything on the loop asks the loop for things, and all of it is on one thread:
    /// a borrow lasts for a few lines, in which no foreign code runs. That is the rule which keeps
    /// `borrow_mut` from ever panicking, and why an event is emitted after a borrow and not within it.
    pub(super) state: RefCell<State>,
    /// The one thing here that asks the system for something. A box, and not a type parameter: every task,
    /// handle and source would have to carry that, and one call through a table beside a system call is free.
    pub(super) world: RefCell<Box<dyn World>>,
    pub(super) watch: Watch,
    pub(super) clock: Rc<LoopClock>,
    /// The part that other threads reach.
    pub(super) wakes: Arc<Wakes>,
    /// Empty: memory for the next list of woken tasks.
    spare_list: Cell<Vec<TaskId>>,
    /// See [`Handle::spare_remotes`](super::Handle::spare_remotes).
    pub(super) spare_remotes: Cell<usize>,
}

#[derive(Default)]
pub(super) struct State {
    /// Every task by its id, which is a slot and a generation. The kernel, a timer, a waker on another thread
    /// and another task's variable may all name a task after it is gone, when its slot belongs to a newcomer.
    /// With the bare slot, that one would be resumed for a byte that is not its own: rarely, and under load only.
    /// A stale id is no error anywhere; it finds nothing.
    pub(super) tasks: SlotMap<TaskId, TaskSlot>,
    /// Every registered socket. Its id travels through the poller as one 64-bit token, for the same reason.
    pub(super) sources: SlotMap<SourceId, SourceSlot>,
    /// The tasks to be resumed, first in, first out. A task is in it at most once: exactly while its slot has a
    /// cause. One that was discarded meanwhile is passed over when its turn comes.
    pub(super) ready: VecDeque<TaskId>,
    /// See [`timers`](super::timers). Tasks that have none cost nothing in it.
    pub(super) timers: Timers,
    /// The moment at which the last wait ended: what all tasks of a turn take for now. It never goes back.
    pub(super) now: Time,
    /// Turns begun. What happened in the same turn happened at the same time, as far as a task can know.
    pub(super) turn: u64,
    /// The task that is being resumed; the null id between resumes. One at a time, always: a resume inside of
    /// a resume does not exist.
    pub(super) current: TaskId,
    /// One value of each type, for what is built on the loop; see [`Handle::local`](super::Handle::local).
    pub(super) locals: Vec<Rc<dyn Any>>,
    /// The task that waits for `WRITABLE`, for each source that two tasks share. Hardly any are shared, and a
    /// server has one slot for each idle connection, so there is no room for a second owner in it.
    pub(super) writers: BTreeMap<SourceId, TaskId>,
    /// Sources of which something is wanted: without one, the world can resume no task. Counted, because
    /// [`run`](super::EventLoop::run) asks before every turn whether anything can ever happen again.
    pub(super) wanted_sources: usize,
    /// Set once the loop is being dropped, or is gone: how many tasks it has refused since code outside
    /// of a destructor gave it one.
    pub(super) refused: Option<usize>,
}

pub(super) struct TaskSlot {
    /// `None` while the task is at work, or is being made, or is looked at. It can be woken then, and the cause
    /// waits for the next turn; it cannot be discarded, or be resumed a second time. It is taken out because
    /// the first thing that it does is to ask its handle for something, which borrows this state again; and it
    /// may spawn so many others that the slots move to other memory.
    pub(super) boxed: Option<Box<dyn Task>>,
    /// Why it will be resumed next; empty if and only if it is not in the ready queue. This is what keeps a
    /// task from being queued twice, without a search: causes that come before it runs merge, as edges of an
    /// edge-triggered poller do, so a task that was woken a thousand times is resumed once.
    pub(super) cause: Cause,
}

pub(super) struct SourceSlot {
    /// Sticky: set by the world, cleared only by an operation that would have blocked, or that came back
    /// short ([`source`](super::source) says why).
    pub(super) readiness: Readiness,
    /// What the owner waits for: `READABLE`, `WRITABLE`, both, or nothing. A field, and no system call: both
    /// directions are registered with the poller once and for all. A connection changes between reading and
    /// writing at every slow request, and an `epoll_ctl` for each would be on the hot path. The price is a
    /// report now and then in which no task is interested: it sets its bit, queues nothing, and
    /// [`want`](super::Source::want) finds it later.
    pub(super) interest: Readiness,
    /// The world has spoken of it at least once, so what `readiness` says is no guess, and urgent data that had
    /// come by then are known of.
    pub(super) is_reported: bool,
    /// Another task than the owner waits for `WRITABLE`: the one in [`State::writers`].
    pub(super) is_shared: bool,
    /// The task that is queued: the one for which it was registered, or that asked last. The null id, and then
    /// none, while a connection is opened that no task waits for yet.
    pub(super) owner: TaskId,
}

impl SourceSlot {
    /// The causes that this source has for its owner: what it is ready for and wanted for.
    pub(super) fn cause(&self) -> Cause {
        let mut cause = Cause::empty();
        let wants = |interest| self.interest.contains(interest);
        cause.set(Cause::READABLE, self.readiness.is_readable() && wants(Readiness::READABLE));
        cause.set(Cause::WRITABLE, self.readiness.is_writable() && wants(Readiness::WRITABLE));
        cause
    }
}

impl State {
    /// Puts a task into the ready queue, or adds a cause if it is there already. True if it was put there;
    /// false as well if there is no such task. A caller has no need to ask first whether the task still
    /// exists: a stale id is no error.
    pub(super) fn queue(&mut self, task: TaskId, cause: Cause) -> bool {
        let Some(slot) = self.tasks.get_mut(task) else { return false };
        let is_new = slot.cause.is_empty();
        slot.cause |= cause;
        if is_new {
            self.ready.push_back(task);
        }
        is_new
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.tasks.len(), self.ready.len(), self.timers.len());
        let State { turn, now, .. } = self;
        write!(f, "turn {turn} at {now}: (tasks, ready, timers) = {counts:?}")
    }
}

/// The queue, and the end of a task. Each of these may emit events, so none is called under a borrow.
impl Shared {
    pub(super) fn new(world: Box<dyn World>) -> Shared {
        let (clock, alarm) = (Rc::new(LoopClock::new(world.clock())), world.alarm());
        Shared {
            state: RefCell::default(),
            watch: Watch::new(Rc::clone(&clock)),
            clock,
            wakes: Wakes::new(alarm),
            world: RefCell::new(world),
            spare_list: Cell::default(),
            spare_remotes: Cell::default(),
        }
    }

    /// Queues a task after everything that was queued or woken before.
    ///
    /// A wake must be possible from every thread, so it goes through a list behind a mutex and not straight into
    /// the queue. If that list were emptied in phase 3 only, a task that was woken would run after one that
    /// was queued a moment later, and which comes first would depend on which of two ways a caller happened to
    /// choose. So everything that queues empties the list first; one load says that it is empty, which it
    /// almost always is.
    pub(super) fn queue(&self, task: TaskId, cause: Cause) {
        self.queue_wakes();
        self.queue_one(task, cause);
    }

    /// As [`queue`](Shared::queue), for a caller that has emptied the list of wakes, or will when it is done.
    pub(super) fn queue_one(&self, task: TaskId, cause: Cause) {
        let queued = self.state.borrow_mut().queue(task, cause);
        if queued {
            self.watch.tell(|| Event::Queued { task, cause });
        }
    }

    /// Moves the woken tasks into the queue, in the order in which they were woken.
    pub(super) fn queue_wakes(&self) {
        if self.wakes.pending() {
            self.queue_woken();
        }
    }

    #[cold]
    fn queue_woken(&self) {
        // The list is exchanged for an empty one before any task is queued. Queueing emits an event; an observer
        // may wake a task; and the mutex of the list would be locked twice by one thread.
        let mut woken = self.spare_list.take();
        self.wakes.take(&mut woken);
        // All are queued before the observer hears of the first: it may queue tasks itself, and those
        // come after what was woken before.
        {
            let state = &mut *self.state.borrow_mut();
            woken.retain(|task| state.queue(*task, Cause::WOKEN));
        }
        for task in woken.drain(..) {
            self.watch.tell(|| Event::Queued { task, cause: Cause::WOKEN });
        }
        if woken.capacity() <= BURST_KEPT {
            self.spare_list.set(woken);
        }
    }

    /// Queues the task that writes to a shared source, if the cause is its own; returns what is left for the
    /// one that reads.
    #[cold]
    pub(super) fn queue_writer(&self, source: SourceId, cause: Cause) -> Cause {
        let writer = self.state.borrow().writers.get(&source).copied();
        let of_writer = cause & Cause::WRITABLE;
        if let Some(writer) = writer.filter(|_| !of_writer.is_empty()) {
            self.queue_one(writer, of_writer);
        }
        cause - Cause::WRITABLE
    }

    /// Drops a task that is on the loop no more. Its destructor may ask the loop for anything, and if it
    /// panics, that must not harm the code that drops it.
    pub(super) fn drop_task(&self, task: TaskId, boxed: Box<dyn Task>) {
        let kind = boxed.kind();
        if let Err(words) = caught(|| drop(boxed)) {
            log::error!("task {task} ({kind}) panicked while it was dropped: {words}");
        }
        self.watch.tell(|| Event::Finished { task, kind });
    }

    /// Drops a task that was given to a loop that is gone. Its destructor may give the loop another one, and so
    /// on without end: after some, they are leaked, which ends it.
    pub(super) fn refuse(&self, task: TaskId, boxed: Box<dyn Task>) {
        let count = {
            let state = &mut *self.state.borrow_mut();
            let count = state.refused.get_or_insert_default();
            *count += 1;
            *count
        };
        if count <= REFUSED_TASKS_DROPPED_MAX {
            self.drop_task(task, boxed);
        } else {
            std::mem::forget(boxed);
        }
        if count == REFUSED_TASKS_DROPPED_MAX + 1 {
            log::error!(
                "destructors of tasks go on giving tasks to a loop that is gone: those from the {count}th on \
                 are leaked"
            );
        }
        if count == 1 {
            // This was the outermost one: all the others came from its destructor.
            self.state.borrow_mut().refused = Some(0);
        }
    }
}
