//! What a loop knows: its tasks, sources, timers, and the queue. Each is borrowed for moments only, and never
//! while a task, an observer or a destructor runs.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use slotmap::SlotMap;

use super::task::{Cause, Task};
use super::timers::Timers;
use crate::id::{SourceId, TaskId};
use crate::limits::BURST_KEPT;
use crate::world::{Readiness, Time, World};

pub(super) struct State {
    pub(super) world: Box<dyn World>,
    /// Every task by its id, which is a slot and a generation. The kernel, a timer, a waker on another thread
    /// and another task's variable may all name a task after it is gone, when its slot belongs to a newcomer.
    /// With the bare slot, that one would be resumed for somebody else's byte: rarely, and under load only. A
    /// stale id is no error anywhere; it finds nobody.
    pub(super) tasks: SlotMap<TaskId, TaskSlot>,
    /// Every registered socket. Its id travels through the poller as one 64-bit token, for the same reason.
    pub(super) sources: SlotMap<SourceId, SourceSlot>,
    /// Who is resumed next, first in, first out. A task is in it at most once: exactly while its slot has a
    /// cause. One that was discarded meanwhile is passed over when its turn comes.
    pub(super) ready: VecDeque<TaskId>,
    pub(super) timers: Timers,
    /// The moment at which the last wait ended: what all tasks of a turn take for now.
    pub(super) now: Time,
    /// Turns begun.
    pub(super) turn: u64,
    /// The task that is being resumed; the null id between resumes.
    pub(super) current: TaskId,
    /// One value of each type, for what is built on the loop; see [`Handle::local`](super::Handle::local).
    pub(super) locals: Vec<Rc<dyn Any>>,
    /// Who waits for `WRITABLE`, of the sources that two tasks share. Hardly any are shared, and a
    /// server has one slot for each idle connection, so there is no room for a second owner in it.
    pub(super) writers: BTreeMap<SourceId, TaskId>,
    /// Sources of which something is wanted: without one, the world can resume nobody.
    pub(super) wanted_sources: usize,
    /// Set since the loop is being dropped, or is gone: what was given to it after that and is not dropped yet.
    pub(super) refused: Option<Refused>,
}

pub(super) struct TaskSlot {
    /// `None` while the task is at work, or is being made, or is looked at. It can be woken then, and the cause
    /// waits for the next turn; it cannot be discarded, or be resumed a second time. It is taken out because
    /// the first thing that it does is to ask its handle for something, which borrows this state again; and it
    /// may spawn so many others that the slots move to other memory.
    pub(super) boxed: Option<Box<dyn Task>>,
    /// Why it will be resumed next; empty if and only if it is not in the ready queue.
    pub(super) cause: Cause,
}

pub(super) struct SourceSlot {
    /// Sticky: set by the world, cleared only by an operation that would have blocked.
    pub(super) readiness: Readiness,
    /// What the owner waits for: `READABLE`, `WRITABLE`, both, or nothing. A field, and no system call: both
    /// directions are registered with the poller once and for all. A connection changes between reading and
    /// writing at every slow request, and an `epoll_ctl` for each would be on the hot path. The price is a
    /// report now and then that interests nobody: it sets its bit, queues nobody, and
    /// [`want`](super::Source::want) finds it later.
    pub(super) interest: Readiness,
    /// The world has spoken of it at least once, so what `readiness` says is no guess, and urgent data that had
    /// come by then are known of.
    pub(super) is_reported: bool,
    /// Another task than the owner waits for `WRITABLE`: the one in [`State::writers`].
    pub(super) is_shared: bool,
    /// Who is queued.
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

/// Tasks that came too late.
#[derive(Default)]
pub(super) struct Refused {
    pub(super) tasks: VecDeque<(TaskId, Box<dyn Task>)>,
    /// Somebody further down the stack drops them, one after the other.
    pub(super) is_being_emptied: bool,
}

impl State {
    pub(super) fn new(world: Box<dyn World>) -> State {
        State {
            world,
            tasks: SlotMap::with_key(),
            sources: SlotMap::with_key(),
            ready: VecDeque::new(),
            timers: Timers::default(),
            now: Time::ZERO,
            turn: 0,
            current: TaskId::default(),
            locals: Vec::new(),
            writers: BTreeMap::new(),
            wanted_sources: 0,
            refused: None,
        }
    }

    /// Puts a task into the ready queue, or adds a cause if it is there already. True if it was
    /// put there; false as well if there is no such task.
    pub(super) fn queue(&mut self, task: TaskId, cause: Cause) -> bool {
        let Some(slot) = self.tasks.get_mut(task) else { return false };
        let is_new = slot.cause.is_empty();
        slot.cause |= cause;
        if is_new {
            self.ready.push_back(task);
        }
        is_new
    }

    /// Gives back what a burst took, between turns, when the queue is as short as it gets.
    pub(super) fn give_back(&mut self) {
        if self.ready.capacity() > BURST_KEPT && self.ready.len() <= BURST_KEPT / 2 {
            self.ready.shrink_to(BURST_KEPT);
        }
    }
}
