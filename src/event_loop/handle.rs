//! How tasks ask the loop for things.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

use slotmap::Key;

use super::core::{Core, Roughly, SourceSlot, TaskSlot, WakerId};
use super::task::{Cause, Task};
use super::timers::TimerId;
use super::wake::{Lent, Remote, Wakes};
use crate::id::{SourceId, TaskId};
use crate::limits::BURST_KEPT;
use crate::observe::{Event, Watch};
use crate::world::{Listener, LoopClock, Pollable, Readiness, Stream, Time};

/// A loop, as seen by what runs on it. Cheap to clone; stays on the loop's thread.
///
/// Every method is one short borrow of the loop's state, and none is held while a task, an
/// observer, or the drop of a task runs: handles may be used anywhere, at any depth.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Rc<Shared>,
}

pub(super) struct Shared {
    pub(super) core: RefCell<Core>,
    pub(super) watch: Watch,
    pub(super) clock: Rc<LoopClock>,
    pub(super) wakes: Arc<Wakes>,
    /// For the next resume that needs a waker.
    pub(super) spare_waker: Cell<Option<Lent>>,
    /// Empty: memory for the next list of woken tasks.
    pub(super) spare_list: Cell<Vec<TaskId>>,
}

/// A slot that is given back unless its task is made: the maker may fail, or panic.
struct Reserved<'a> {
    handle: &'a Handle,
    task: TaskId,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.handle.shared.core.borrow_mut().tasks.remove(self.task);
    }
}

/// For everybody on the loop's thread.
impl Handle {
    /// The moment at which the present turn's wait ended.
    pub fn now(&self) -> Time {
        self.shared.core.borrow().now
    }

    /// The wall clock of the loop's world. It may go back.
    pub fn wall(&self) -> SystemTime {
        self.shared.clock.wall()
    }

    /// A fresh reading of the monotonic clock, for measuring. Decisions go by [`now`](Handle::now).
    /// It stands while a [`Gate`](super::Gate) holds the loop.
    pub fn clock(&self) -> Time {
        self.shared.clock.now()
    }

    /// A moment of this loop's clock on a clock that goes on while the loop is held.
    pub(crate) fn in_world(&self, time: Time) -> Time {
        self.shared.clock.in_world(time)
    }

    /// Turns begun so far.
    pub fn turns(&self) -> u64 {
        self.shared.core.borrow().turn
    }

    /// Gives the loop a task; it is resumed for the first time in the next turn. `make` is told the
    /// task's id, so that it can register sources and set timers for it.
    ///
    /// A loop that is gone, or going, drops the task at once; a coroutine then counts as cancelled.
    pub fn spawn_task(&self, make: impl FnOnce(TaskId) -> Box<dyn Task>) -> TaskId {
        let made: Result<TaskId, Infallible> = self.try_spawn_task(|task| Ok(make(task)));
        let Ok(task) = made;
        task
    }

    /// As [`spawn_task`](Handle::spawn_task), for a task that may turn out to be impossible.
    ///
    /// # Errors
    /// Those of `make`; the loop is then as it was before.
    pub fn try_spawn_task<E>(
        &self,
        make: impl FnOnce(TaskId) -> Result<Box<dyn Task>, E>,
    ) -> Result<TaskId, E> {
        let task = self.place(make)?;
        self.queue(task, Cause::SPAWNED);
        Ok(task)
    }

    /// Gives the loop a task that is resumed for the first time when the clock has reached
    /// `deadline`, with `Cause::TIMER`.
    pub fn spawn_task_at(
        &self,
        deadline: Time,
        make: impl FnOnce(TaskId) -> Box<dyn Task>,
    ) -> (TaskId, TimerId) {
        let made: Result<TaskId, Infallible> = self.place(|task| Ok(make(task)));
        let Ok(task) = made;
        (task, self.at(deadline, task))
    }

    /// Takes a task from the loop and drops it. Does nothing if it is gone, or is being resumed.
    pub fn discard(&self, task: TaskId) {
        let boxed = {
            let core = &mut *self.shared.core.borrow_mut();
            let boxed = core.tasks.get_mut(task).and_then(|slot| slot.boxed.take());
            boxed.inspect(|_| drop(core.tasks.remove(task)))
        };
        if let Some(boxed) = boxed {
            self.drop_task(task, boxed);
        }
    }

    fn place<E>(&self, make: impl FnOnce(TaskId) -> Result<Box<dyn Task>, E>) -> Result<TaskId, E> {
        let reserved = Reserved { handle: self, task: self.reserve() };
        // Not under a borrow: making a task may register its sources.
        let boxed = make(reserved.task)?;
        let (task, kind) = (reserved.task, boxed.kind());
        if self.shared.core.borrow().refused.is_some() {
            drop(reserved);
            self.refuse(task, boxed);
            return Ok(task);
        }
        std::mem::forget(reserved);
        if let Some(slot) = self.shared.core.borrow_mut().tasks.get_mut(task) {
            slot.boxed = Some(boxed);
        }
        self.watch().tell(|| Event::Spawned { task, kind });
        Ok(task)
    }

    /// A slot for a task that is being made.
    fn reserve(&self) -> TaskId {
        let core = &mut *self.shared.core.borrow_mut();
        let spawned = Roughly::at(core.now);
        core.tasks.insert(TaskSlot { boxed: None, cause: Cause::empty(), spawned })
    }

    /// Resumes a task in the next turn, with `Cause::WOKEN`. Does nothing if it is gone.
    pub fn wake(&self, task: TaskId) {
        self.queue(task, Cause::WOKEN);
    }

    /// Resumes the task that is being resumed once more in the next turn, with `Cause::BUDGET_SPENT`: it
    /// could go on, and the others are first. For what runs inside of a task; the task itself says
    /// [`Flow::Again`](super::Flow::Again).
    pub(crate) fn give_way(&self) {
        if let Some(task) = self.current_task() {
            self.queue(task, Cause::BUDGET_SPENT);
        }
    }

    /// Wakes every task of this kind. Looks at every task, so it is for rare occasions.
    pub fn wake_kind(&self, kind: &str) {
        let of_kind: Vec<TaskId> = {
            let core = self.shared.core.borrow();
            let is_of_kind =
                |slot: &TaskSlot| slot.boxed.as_ref().is_some_and(|t| t.kind() == kind);
            core.tasks.iter().filter(|(_, slot)| is_of_kind(slot)).map(|(id, _)| id).collect()
        };
        of_kind.into_iter().for_each(|task| self.wake(task));
    }

    /// A `std` waker for a task, callable from every thread.
    pub fn waker(&self, task: TaskId) -> Waker {
        self.remote().waker(task)
    }

    /// How other threads reach the loop.
    pub fn remote(&self) -> Remote {
        Remote { wakes: Arc::clone(&self.shared.wakes) }
    }

    /// Sets a timer: `task` is resumed with `Cause::TIMER` once the clock has reached `deadline`.
    pub fn at(&self, deadline: Time, task: TaskId) -> TimerId {
        let id = {
            let core = &mut *self.shared.core.borrow_mut();
            // A loop that is gone fires nothing, and stores nothing.
            if core.refused.is_some() {
                return TimerId::FIRED;
            }
            core.timers.set(deadline, task)
        };
        self.watch().tell(|| Event::TimerSet { task, deadline });
        id
    }

    /// Takes a timer back. Does nothing if it has fired.
    pub fn cancel(&self, timer: TimerId) {
        let cancelled = self.shared.core.borrow_mut().timers.cancel(timer);
        if let Some(task) = cancelled {
            self.watch().tell(|| Event::TimerCancelled { task, deadline: timer.deadline() });
        }
    }

    /// Opens a listener in the loop's world. See
    /// [`World::listen`](crate::world::World::listen).
    ///
    /// # Errors
    /// What bind(2) and listen(2) say.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.shared.core.borrow_mut().world.listen(address)
    }

    /// Begins to connect in the loop's world. See
    /// [`World::connect`](crate::world::World::connect).
    ///
    /// # Errors
    /// What socket(2) and connect(2) say at once.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        self.shared.core.borrow_mut().world.connect(address)
    }

    /// Makes [`EventLoop::run`](super::EventLoop::run) return when the present turn is over.
    pub fn shutdown(&self) {
        self.shared.wakes.stop();
    }

    /// Tasks on the loop, the one that is being resumed included.
    pub fn task_count(&self) -> usize {
        self.shared.core.borrow().tasks.len()
    }

    /// True if there is such a task.
    pub(crate) fn has_task(&self, task: TaskId) -> bool {
        self.shared.core.borrow().tasks.contains_key(task)
    }

    /// True if somebody listens to [`tell`](Handle::tell).
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.shared.watch.is_on()
    }

    /// Tells the loop's observer something. `event` is evaluated only if there is one.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        self.shared.watch.tell(event);
    }
}

/// For what is built on the loop.
impl Handle {
    /// The loop's one value of type `T`; made when it is first asked for, dropped with the loop.
    /// This is what others use globals and thread-locals for.
    ///
    /// A loop that is gone keeps nothing: each call makes a value that is the caller's alone.
    pub(crate) fn local<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let find = |core: &Core| core.locals.iter().find_map(|any| Rc::clone(any).downcast().ok());
        let found = find(&self.shared.core.borrow());
        found.unwrap_or_else(|| {
            let made = Rc::new(make());
            let core = &mut *self.shared.core.borrow_mut();
            if core.refused.is_none() {
                core.locals.push(Rc::clone(&made) as Rc<dyn Any>);
            }
            made
        })
    }

    /// Counts coroutines, for their names.
    pub(crate) fn count_coroutine(&self) -> u64 {
        let core = &mut *self.shared.core.borrow_mut();
        core.coroutines += 1;
        core.coroutines
    }

    /// The task that is being resumed; `None` outside phase 4.
    pub fn current_task(&self) -> Option<TaskId> {
        let current = self.shared.core.borrow().current;
        Some(current).filter(|task| !task.is_null())
    }

    /// A waker for one resume of `task`, which gives it back; see [`Lent`].
    pub(crate) fn lend_waker(&self, task: TaskId) -> Lent {
        match self.shared.spare_waker.take() {
            Some(spare) => {
                spare.assign(task);
                spare
            }
            None => Lent::new(task, &self.shared.wakes),
        }
    }

    /// Takes a waker back. If somebody keeps a clone, it is the task's from now on.
    pub(crate) fn take_back(&self, lent: Lent) -> Option<Waker> {
        if lent.is_kept() {
            return Some(lent.into_waker());
        }
        self.shared.spare_waker.set(Some(lent));
        None
    }

    /// The task that is being resumed polls its future with this waker of its own.
    pub(crate) fn polls_with(&self, waker: &Waker) {
        self.shared.core.borrow_mut().current_waker = Some(WakerId::of(waker));
    }

    /// The task that is being resumed, if `waker` is the one that it polls its future with: who waits
    /// with it may as well be queued directly. Combinators give their children other wakers.
    pub(crate) fn task_behind(&self, waker: &Waker) -> Option<TaskId> {
        let core = self.shared.core.borrow();
        let own = core.current_waker.filter(|own| own.is_same(waker));
        own.map(|_| core.current).filter(|task| !task.is_null())
    }
}

/// For [`Source`](super::Source).
impl Handle {
    pub(super) fn register(&self, pollable: Pollable<'_>, owner: TaskId) -> io::Result<SourceId> {
        let source = self.insert_source(pollable, owner)?;
        self.watch().tell(|| Event::Opened { source, task: owner });
        Ok(source)
    }

    fn insert_source(&self, pollable: Pollable<'_>, owner: TaskId) -> io::Result<SourceId> {
        let core = &mut *self.shared.core.borrow_mut();
        let readable_only = matches!(pollable, Pollable::Listener(_));
        let everything = Readiness::READABLE | Readiness::WRITABLE;
        let slot = SourceSlot {
            // Optimism: the first operation tells, and often there is something already.
            readiness: if readable_only { Readiness::READABLE } else { everything },
            interest: Readiness::empty(),
            is_shared: false,
            owner,
        };
        let source = core.sources.insert(slot);
        if let Err(error) = core.world.register(pollable, source) {
            core.sources.remove(source);
            return Err(error);
        }
        Ok(source)
    }

    pub(super) fn readiness(&self, source: SourceId) -> Readiness {
        self.shared.core.borrow().sources.get(source).map_or(Readiness::empty(), |s| s.readiness)
    }

    pub(super) fn clear_readiness(&self, source: SourceId, bit: Readiness) {
        if let Some(slot) = self.shared.core.borrow_mut().sources.get_mut(source) {
            slot.readiness.remove(bit);
        }
    }

    pub(super) fn assume_ready(&self, source: SourceId) {
        if let Some(slot) = self.shared.core.borrow_mut().sources.get_mut(source) {
            slot.readiness |= Readiness::READABLE | Readiness::WRITABLE;
        }
    }

    /// Nothing is known to be ready; the world will report it. That there was urgent data stays true.
    pub(super) fn forget_readiness(&self, source: SourceId) {
        if let Some(slot) = self.shared.core.borrow_mut().sources.get_mut(source) {
            slot.readiness &= Readiness::PRIORITY;
        }
    }

    /// Gives a source to another task, which has not yet said what it waits for.
    pub(super) fn set_owner(&self, source: SourceId, owner: TaskId) {
        let core = &mut *self.shared.core.borrow_mut();
        if let Some(slot) = core.sources.get_mut(source)
            && (slot.owner != owner || slot.is_shared)
        {
            core.wanted_sources -= usize::from(!slot.interest.is_empty());
            (slot.owner, slot.interest) = (owner, Readiness::empty());
            if std::mem::take(&mut slot.is_shared) {
                core.writers.remove(&source);
            }
        }
    }

    /// Says what the owner waits for. If that is there already, the owner is queued at once: no
    /// readiness is lost, whenever it came.
    pub(super) fn set_interest(&self, source: SourceId, interest: Readiness) {
        let (owner, cause) = {
            let core = &mut *self.shared.core.borrow_mut();
            let Some(slot) = core.sources.get_mut(source) else { return };
            if slot.interest == interest {
                // It was queued when this interest was set, or when the readiness came.
                return;
            }
            core.wanted_sources += usize::from(!interest.is_empty());
            core.wanted_sources -= usize::from(!slot.interest.is_empty());
            slot.interest = interest;
            (slot.owner, slot.cause())
        };
        if !cause.is_empty() {
            self.queue(owner, cause);
        }
    }

    pub(super) fn close(&self, source: SourceId) {
        {
            let core = &mut *self.shared.core.borrow_mut();
            if let Some(slot) = core.sources.remove(source) {
                core.wanted_sources -= usize::from(!slot.interest.is_empty());
                if slot.is_shared {
                    core.writers.remove(&source);
                }
            }
        }
        self.watch().tell(|| Event::Closed { source });
    }
}

/// The queue.
impl Handle {
    /// Queues a task behind everything that was queued or woken before.
    pub(super) fn queue(&self, task: TaskId, cause: Cause) {
        self.queue_wakes();
        self.queue_one(task, cause);
    }

    pub(super) fn queue_wakes(&self) {
        if self.shared.wakes.pending() {
            self.queue_woken();
        }
    }

    fn queue_woken(&self) {
        let mut woken = self.shared.spare_list.take();
        self.shared.wakes.take(&mut woken);
        // All are queued before the observer hears of the first: it may queue tasks itself, and those
        // come after what was woken before.
        {
            let core = &mut *self.shared.core.borrow_mut();
            woken.retain(|task| core.queue(*task, Cause::WOKEN));
        }
        for task in woken.drain(..) {
            self.watch().tell(|| Event::Queued { task, cause: Cause::WOKEN });
        }
        if woken.capacity() <= BURST_KEPT {
            self.shared.spare_list.set(woken);
        }
    }

    pub(super) fn queue_one(&self, task: TaskId, cause: Cause) {
        let queued = self.shared.core.borrow_mut().queue(task, cause);
        if queued {
            self.watch().tell(|| Event::Queued { task, cause });
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(core) = self.shared.core.try_borrow() else { return f.write_str("Handle") };
        f.debug_struct("Handle")
            .field("turn", &core.turn)
            .field("now", &core.now)
            .field("tasks", &core.tasks.len())
            .field("ready", &core.ready.len())
            .field("timers", &core.timers.len())
            .finish_non_exhaustive()
    }
}
