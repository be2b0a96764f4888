//! What a loop knows: its tasks, sources, timers, and the queue. Only [`Handle`](super::Handle)
//! touches it, one short borrow at a time.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{RawWakerVTable, Waker};

use slotmap::{Key, SlotMap};

use super::ready::ReadyQueue;
use super::task::{Cause, Task};
use super::timers::Timers;
use crate::id::{SourceId, TaskId};
use crate::world::{Readiness, Time, World};

pub(super) struct Core {
    pub(super) world: Box<dyn World>,
    pub(super) tasks: SlotMap<TaskId, TaskSlot>,
    pub(super) sources: SlotMap<SourceId, SourceSlot>,
    pub(super) ready: ReadyQueue,
    pub(super) timers: Timers,
    /// The moment at which the last wait ended.
    pub(super) now: Time,
    /// Turns begun.
    pub(super) turn: u64,
    /// The task that is being resumed; null between resumes.
    pub(super) current: TaskId,
    /// The waker with which that task polls its future; `None` if it has not said.
    pub(super) current_waker: Option<WakerId>,
    /// Reports of resumes and turns that took too long.
    pub(super) stalls: u64,
    /// Coroutines ever spawned: the next one is called `Task-` and one more.
    pub(super) coroutines: u64,
    /// One value of each type, for what is built on the loop; see [`Handle::local`](super::Handle).
    pub(super) locals: Vec<Rc<dyn Any>>,
    /// Who waits for `WRITABLE`, of the sources that two tasks share. Hardly any are shared, and a
    /// server has one slot for each idle connection, so there is no room for a second owner in it.
    pub(super) writers: BTreeMap<SourceId, TaskId>,
    /// Sources of which something is wanted: without one, the world can resume nobody.
    pub(super) wanted_sources: usize,
    /// Since the loop is being dropped, or is gone: what was given to it after that, until it is dropped.
    pub(super) refused: Option<Refused>,
}

/// Tasks that came too late.
#[derive(Default)]
pub(super) struct Refused {
    pub(super) tasks: VecDeque<(TaskId, Box<dyn Task>)>,
    /// Somebody further down the stack drops them, one after the other.
    pub(super) is_being_emptied: bool,
}

pub(super) struct TaskSlot {
    /// `None` while the task is being resumed.
    pub(super) boxed: Option<Box<dyn Task>>,
    /// Why it will be resumed next; empty if and only if it is not in the ready queue.
    pub(super) cause: Cause,
    /// When it was given to the loop.
    pub(super) spawned: Roughly,
}

/// A moment in four bytes, because every connection pays for it: to within 2^24 ns (16.8 ms), and
/// not beyond the 2.2 years after which it stands still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roughly(u32);

impl Roughly {
    const UNIT_BITS: u32 = 24;

    pub(super) fn at(time: Time) -> Roughly {
        Roughly(u32::try_from(time.as_nanos() >> Roughly::UNIT_BITS).unwrap_or(u32::MAX))
    }

    /// At most a unit too early.
    pub(super) fn time(self) -> Time {
        Time::from_nanos(u64::from(self.0) << Roughly::UNIT_BITS)
    }
}

pub(super) struct SourceSlot {
    /// Sticky: set by the world, cleared only by an operation that would have blocked.
    pub(super) readiness: Readiness,
    /// What the owner waits for: `READABLE`, `WRITABLE`, both, or nothing.
    pub(super) interest: Readiness,
    /// Another task than the owner waits for `WRITABLE`: the one in [`Core::writers`].
    pub(super) is_shared: bool,
    pub(super) owner: TaskId,
}

impl SourceSlot {
    /// The causes that this source gives its owner: what it is ready for and wanted for.
    pub(super) fn cause(&self) -> Cause {
        let mut cause = Cause::empty();
        let wants = |interest| self.interest.contains(interest);
        cause.set(Cause::READABLE, self.readiness.is_readable() && wants(Readiness::READABLE));
        cause.set(Cause::WRITABLE, self.readiness.is_writable() && wants(Readiness::WRITABLE));
        cause
    }
}

/// Which waker it is, without holding it.
#[derive(Clone, Copy)]
pub(super) struct WakerId {
    data: *const (),
    vtable: &'static RawWakerVTable,
}

impl WakerId {
    pub(super) fn of(waker: &Waker) -> WakerId {
        WakerId { data: waker.data(), vtable: waker.vtable() }
    }

    /// As `Waker::will_wake`: a `false` may be wrong, a `true` is not, while both wakers live.
    pub(super) fn is_same(self, waker: &Waker) -> bool {
        self.data == waker.data() && std::ptr::eq(self.vtable, waker.vtable())
    }
}

impl Core {
    pub(super) fn new(world: Box<dyn World>) -> Core {
        Core {
            world,
            tasks: SlotMap::with_key(),
            sources: SlotMap::with_key(),
            ready: ReadyQueue::default(),
            timers: Timers::default(),
            now: Time::ZERO,
            turn: 0,
            current: TaskId::null(),
            current_waker: None,
            stalls: 0,
            coroutines: 0,
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
            self.ready.push(task);
        }
        is_new
    }
}
