//! What a loop knows: its tasks, sources, timers, and the queue. Each is borrowed for moments only, and never
//! while a task, an observer or a destructor runs.
//!
//! Nothing here is behind an `Arc` or a lock but the one part that other threads reach: a loop and all that is on it
//! belong to one thread. That is what makes a task free of locks; only a second loop can use a second core.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use slotmap::SlotMap;

use super::task::{Cause, Task};
use super::timers::Timers;
use super::wake::Remote;
use crate::events::{Event, Watch};
use crate::id::{SourceId, TaskId};
use crate::limits::REFUSED_TASKS_DROPPED_MAX;
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
    /// Who is told of what happens. Beside the state, not in it: the observer asks the loop for things, too.
    pub(super) watch: Watch,
    /// Shared with `watch`: an event says when it happened, by the clock that stands while the loop is held.
    pub(super) clock: Rc<LoopClock>,
    /// The part that other threads reach. It may outlive all else here.
    pub(super) wakes: Arc<Remote>,
    /// Tasks that a loop which is gone has refused since code outside of a destructor gave it one.
    refused: Cell<usize>,
}

#[derive(Default)]
pub(super) struct State {
    /// Every task by its id, which is a slot and a generation. The kernel, a timer, a waker on another thread
    /// and another task's variable may all name a task after it is gone, when its slot belongs to a newcomer.
    /// With the bare slot, that one would be resumed for a byte that is not its own: rarely, and under load only.
    /// A stale id is no error anywhere; it finds nothing.
    pub(super) tasks: SlotMap<TaskId, TaskSlot>,
    /// Every registered socket. Its id travels through the poller as one 64-bit token, for the same reason. The sockets
    /// themselves are with their tasks (see [`Source`](super::Source)): what is here is only what a report of the
    /// world is held against.
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
    /// The task that is being resumed; none between resumes. One at a time, always: a resume inside of
    /// a resume does not exist.
    pub(super) current: Option<TaskId>,
    /// One value of each type, for what is built on the loop; see [`Handle::local`](super::Handle::local). They are a
    /// handful, and looked for one after another: hashing a type would take longer.
    pub(super) locals: Vec<Rc<dyn Any>>,
    /// For each source that two tasks share, the one that writes; the other one is the owner. Hardly any source is
    /// shared, and a server has a slot for each idle connection, so there is no room for a second owner in it.
    pub(super) writers: BTreeMap<SourceId, TaskId>,
    /// Sources of which something is wanted: without one, the world can resume no task. Counted, because whoever
    /// looks for [deadlocks](super::EventLoop::is_deadlocked) asks before every turn.
    pub(super) wanted_sources: usize,
    /// The loop is being dropped, or is gone: it fires nothing and keeps nothing. Handles may outlive it, and what they
    /// keep alive would never be dropped: a handle holds this state, and a task in it may hold that handle.
    pub(super) is_closed: bool,
}

/// Packed, because an idle connection holds one: with the generation that the map adds it takes 24 bytes, and not 32.
/// The price is that its fields cannot be referred to, only moved.
#[derive(Default)]
#[repr(Rust, packed(4))]
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

/// What the loop knows of a registered socket.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SourceSlot {
    /// Sticky: set by the world, cleared only by an operation that would have blocked, or that came back
    /// short (`source.rs` says why).
    pub readiness: Readiness,
    /// What the owner waits for: `READABLE`, `WRITABLE`, both, or nothing. A field, and no system call: both
    /// directions are registered with the poller once and for all. A connection changes between reading and
    /// writing at every slow request, and an `epoll_ctl` for each would be on the hot path. The price is a
    /// report now and then in which no task is interested: it sets its bit, queues nothing, and
    /// [`want`](super::Source::want) finds it later.
    pub interest: Readiness,
    /// The world has spoken of it at least once, so what `readiness` says is no guess, and urgent data that had
    /// come by then are known of.
    pub is_reported: bool,
    /// The task that is queued: the one for which it was registered, or that asked last. The null id, and then
    /// none, while a connection is opened that no task waits for yet.
    pub owner: TaskId,
}

impl TaskSlot {
    /// Takes the task out, for a look at it or for its end. The cause stays: while there is one, the task is queued.
    pub(super) fn take(&mut self) -> Option<Box<dyn Task>> {
        let cause = self.cause;
        std::mem::replace(self, TaskSlot { boxed: None, cause }).boxed
    }
}

impl SourceSlot {
    /// For which of these directions the source is both ready and wanted.
    pub(super) fn cause(&self, directions: Readiness) -> Cause {
        let mut cause = Cause::empty();
        let (ready, wanted) = (self.readiness, self.interest & directions);
        cause.set(Cause::READABLE, wanted.contains(Readiness::READABLE) && ready.is_readable());
        cause.set(Cause::WRITABLE, wanted.contains(Readiness::WRITABLE) && ready.is_writable());
        cause
    }
}

impl State {
    /// Puts a task into the ready queue, or adds a cause if it is there already. True if it was put there;
    /// false as well if there is no such task. A caller has no need to ask first whether the task still
    /// exists: a stale id is no error.
    ///
    /// A task that is queued keeps its place when a second cause comes. Moved to the end each time, one that is woken
    /// often enough would never run.
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

/// The queue, and the end of a task. Each of these may emit events, so none is called under a borrow.
impl Shared {
    pub(super) fn new(world: Box<dyn World>) -> Rc<Shared> {
        let (clock, alarm) = (Rc::new(LoopClock::new(world.clock())), world.alarm());
        Rc::new(Shared {
            state: RefCell::default(),
            watch: Watch::new(Rc::clone(&clock)),
            clock,
            wakes: Remote::new(alarm),
            world: RefCell::new(world),
            refused: Cell::default(),
        })
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
    /// Without a cause, nothing is queued.
    #[inline(always)]
    pub(super) fn queue_one(&self, task: TaskId, cause: Cause) {
        if !cause.is_empty() && self.state.borrow_mut().queue(task, cause) {
            self.watch.tell(|| Event::Queued { task, cause });
        }
    }

    /// Moves the woken tasks into the queue, in the order in which they were woken.
    pub(super) fn queue_wakes(&self) {
        if self.wakes.pending() {
            self.queue_woken();
        }
    }

    // Apart, so that what is done after every resume stays one look.
    #[cold]
    fn queue_woken(&self) {
        // The list is taken out before any task is queued. Queueing emits an event; an observer may wake a task;
        // and the mutex of the list would be locked twice by one thread.
        let mut woken = self.wakes.take();
        // All are queued before the observer hears of the first: it may queue tasks itself, and those
        // come after what was woken before.
        {
            let state = &mut *self.state.borrow_mut();
            woken.retain(|task| state.queue(*task, Cause::WOKEN));
        }
        for task in woken {
            self.watch.tell(|| Event::Queued { task, cause: Cause::WOKEN });
        }
    }

    /// Drops a task that is on the loop no more. Its destructor may ask the loop for anything, and if it
    /// panics, that must not harm the code that drops it: another task, or the loop itself.
    pub(super) fn drop_task(&self, task: TaskId, boxed: Box<dyn Task>) {
        // Afterwards there is nothing left to ask.
        let kind = boxed.kind();
        if let Err(words) = caught(|| drop(boxed)) {
            log::error!("task {task} ({kind}) panicked while it was dropped: {words}");
        }
        self.watch.tell(|| Event::Finished { task, kind });
    }

    /// Drops a task that was given to a loop that is gone. Its destructor may give the loop another one, and so
    /// on without end, each within the drop of the one before: that would end with the stack. After some, they
    /// are leaked instead. They are counted and not how deep they are, because one may leave two, and those four.
    pub(super) fn refuse(&self, task: TaskId, boxed: Box<dyn Task>) {
        self.state.borrow_mut().tasks.remove(task);
        let before = self.refused.replace(self.refused.get() + 1);
        if before < REFUSED_TASKS_DROPPED_MAX {
            self.drop_task(task, boxed);
        } else {
            std::mem::forget(boxed);
        }
        if before == REFUSED_TASKS_DROPPED_MAX {
            log::error!(
                "destructors of tasks go on giving tasks to a loop that is gone: after {before}, they are leaked"
            );
        }
        if before == 0 {
            // This was the outermost one: all the others came from its destructor.
            self.refused.set(0);
        }
    }
}
