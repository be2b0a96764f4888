//! How tasks ask the loop for things.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, SystemTime};

use slotmap::Key;

use super::core::{Core, SourceSlot, TaskSlot};
use super::task::{Cause, Flow, Task};
use super::timers::TimerId;
use super::wake::{Remote, TaskWaker, Wakes};
use crate::id::{SourceId, TaskId};
use crate::observe::{Event, Timeout, Watch};
use crate::world::{Clock, Listener, Pollable, Readiness, Stream, Time, World};

/// A loop, as seen by what runs on it. Cheap to clone; stays on the loop's thread.
///
/// Every method is one short borrow of the loop's state, and none is held while a task, an
/// observer, or the drop of a task runs: handles may be used anywhere, at any depth.
#[derive(Clone)]
pub struct Handle {
    shared: Rc<Shared>,
}

struct Shared {
    core: RefCell<Core>,
    watch: Watch,
    clock: Clock,
    wakes: Arc<Wakes>,
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

/// What [`Handle::take_next`] gives: all that is needed to resume a task.
pub(super) struct Resume {
    pub(super) task: TaskId,
    pub(super) boxed: Box<dyn Task>,
    pub(super) cause: Cause,
    pub(super) now: Time,
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
    pub fn clock(&self) -> Time {
        self.shared.clock.now()
    }

    /// Turns begun so far.
    pub fn turns(&self) -> u64 {
        self.shared.core.borrow().turn
    }

    /// Gives the loop a task; it is resumed for the first time in the next turn. `make` is told the
    /// task's id, so that it can register sources and set timers for it.
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
        let reserved = Reserved { handle: self, task: self.reserve() };
        // Not under a borrow: making a task may register its sources.
        let boxed = make(reserved.task)?;
        let (task, kind) = (reserved.task, boxed.kind());
        std::mem::forget(reserved);
        if let Some(slot) = self.shared.core.borrow_mut().tasks.get_mut(task) {
            slot.boxed = Some(boxed);
        }
        self.watch().tell(|| Event::Spawned { task, kind });
        self.queue(task, Cause::SPAWNED);
        Ok(task)
    }

    /// A slot for a task that is being made.
    fn reserve(&self) -> TaskId {
        let core = &mut *self.shared.core.borrow_mut();
        let (parent, cause) = (core.current, Cause::empty());
        core.tasks.insert(TaskSlot { boxed: None, parent, cause, queued: false })
    }

    /// Resumes a task in the next turn, with `Cause::WOKEN`. Does nothing if it is gone.
    pub fn wake(&self, task: TaskId) {
        self.queue(task, Cause::WOKEN);
    }

    /// Wakes every task that was spawned by `parent`, dead or alive. Looks at every task.
    pub fn wake_children(&self, parent: TaskId) {
        let children: Vec<TaskId> = {
            let core = self.shared.core.borrow();
            let of_parent = core.tasks.iter().filter(|(_, slot)| slot.parent == parent);
            of_parent.map(|(id, _)| id).collect()
        };
        children.into_iter().for_each(|child| self.wake(child));
    }

    /// A `std` waker for a task, callable from every thread.
    pub fn waker(&self, task: TaskId) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, wakes: Arc::clone(&self.shared.wakes) }))
    }

    /// How other threads reach the loop.
    pub fn remote(&self) -> Remote {
        Remote { wakes: Arc::clone(&self.shared.wakes) }
    }

    /// Sets a timer: `task` is resumed with `Cause::TIMER` once the clock has reached `deadline`.
    pub fn at(&self, deadline: Time, task: TaskId) -> TimerId {
        let id = self.shared.core.borrow_mut().timers.set(deadline, task);
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

    /// Opens a listener in the loop's world. See [`World::listen`].
    ///
    /// # Errors
    /// What bind(2) and listen(2) say.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.shared.core.borrow_mut().world.listen(address)
    }

    /// Begins to connect in the loop's world. See [`World::connect`].
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

    /// Tells the loop's observer something. `event` is evaluated only if there is one.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        self.shared.watch.tell(event);
    }
}

/// For [`Source`](super::Source).
impl Handle {
    pub(super) fn register(&self, pollable: Pollable<'_>, owner: TaskId) -> io::Result<SourceId> {
        let core = &mut *self.shared.core.borrow_mut();
        let readable_only = matches!(pollable, Pollable::Listener(_));
        let everything = Readiness::READABLE | Readiness::WRITABLE;
        let slot = SourceSlot {
            // Optimism: the first operation tells, and often there is something already.
            readiness: if readable_only { Readiness::READABLE } else { everything },
            interest: Readiness::empty(),
            owner,
        };
        let source = core.sources.insert(slot);
        if let Err(error) = core.world.register(pollable, source) {
            core.sources.remove(source);
            return Err(error);
        }
        self.watch().tell(|| Event::Opened { source, task: owner });
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

    /// Says what the owner waits for. If that is there already, the owner is queued at once: no
    /// readiness is lost, whenever it came.
    pub(super) fn set_interest(&self, source: SourceId, interest: Readiness) {
        let (owner, cause) = {
            let mut core = self.shared.core.borrow_mut();
            let Some(slot) = core.sources.get_mut(source) else { return };
            if slot.interest == interest {
                // It was queued when this interest was set, or when the readiness came.
                return;
            }
            slot.interest = interest;
            (slot.owner, slot.cause())
        };
        if !cause.is_empty() {
            self.queue(owner, cause);
        }
    }

    pub(super) fn close(&self, source: SourceId) {
        self.shared.core.borrow_mut().sources.remove(source);
        self.watch().tell(|| Event::Closed { source });
    }
}

/// For [`EventLoop`](super::EventLoop): the parts of a turn.
impl Handle {
    pub(super) fn new(world: Box<dyn World>) -> Handle {
        let (clock, alarm) = (world.clock(), world.alarm());
        let shared = Shared {
            core: RefCell::new(Core::new(world)),
            watch: Watch::new(clock.clone()),
            clock,
            wakes: Wakes::new(alarm),
        };
        Handle { shared: Rc::new(shared) }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    pub(super) fn has_tasks(&self) -> bool {
        self.task_count() > 0
    }

    pub(super) fn take_stop(&self) -> bool {
        self.shared.wakes.take_stop()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let core = self.shared.core.borrow();
        if self.is_busy(&core) { Some(core.now) } else { core.timers.first() }
    }

    /// True if the next turn must not wait.
    fn is_busy(&self, core: &Core) -> bool {
        !core.ready.is_empty() || self.shared.wakes.pending() || self.shared.wakes.stopping()
    }

    /// Phase 1.
    pub(super) fn begin_turn(&self, limit: Option<Duration>) -> Timeout {
        let core = &mut *self.shared.core.borrow_mut();
        core.turn += 1;
        let (turn, ready, timers) = (core.turn, core.ready.len(), core.timers.len());
        self.watch().tell(|| Event::TurnBegan { turn, ready, timers });
        let next = if self.is_busy(core) {
            Some(Duration::ZERO)
        } else {
            // Not `core.now`: the last batch took time, and a host may have been elsewhere.
            core.timers.first().map(|deadline| deadline.since(self.shared.clock.now()))
        };
        let timeout = match next.into_iter().chain(limit).min() {
            None => Timeout::Forever,
            Some(Duration::ZERO) => Timeout::Zero,
            Some(duration) => Timeout::Until(duration),
        };
        self.watch().tell(|| Event::Waiting { timeout });
        timeout
    }

    /// Phase 2.
    pub(super) fn wait(
        &self,
        timeout: Timeout,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<()> {
        let timeout = match timeout {
            Timeout::Zero => Some(Duration::ZERO),
            Timeout::Until(duration) => Some(duration),
            Timeout::Forever => None,
        };
        let core = &mut *self.shared.core.borrow_mut();
        core.world.wait(timeout, arrived)?;
        let now = self.shared.clock.now();
        debug_assert!(now >= core.now, "time never goes back");
        core.now = now;
        self.watch().tell(|| Event::Waited { sources: arrived.len() });
        Ok(())
    }

    /// Phase 3, first: the world's reports.
    pub(super) fn queue_readiness(&self, arrived: &mut Vec<(SourceId, Readiness)>) {
        for (source, readiness) in arrived.drain(..) {
            let (owner, cause) = {
                let mut core = self.shared.core.borrow_mut();
                // A source that was closed meanwhile: its id finds nobody.
                let Some(slot) = core.sources.get_mut(source) else { continue };
                slot.readiness |= readiness;
                (slot.owner, slot.cause())
            };
            self.watch().tell(|| Event::Ready { source, readiness });
            if !cause.is_empty() {
                self.queue_one(owner, cause);
            }
        }
    }

    /// Phase 3, second: timers that are due.
    pub(super) fn queue_due_timers(&self) {
        let now = self.now();
        loop {
            let due = self.shared.core.borrow_mut().timers.pop_due(now);
            let Some((deadline, task)) = due else { return };
            self.watch().tell(|| Event::TimerFired { task, deadline });
            self.queue_one(task, Cause::TIMER);
        }
    }

    /// Phase 3, last: wakes from other threads. Gives the number of tasks to resume in phase 4.
    pub(super) fn queue_wakes_and_begin_resuming(&self) -> usize {
        self.queue_wakes();
        self.shared.wakes.set_resuming(true);
        self.shared.core.borrow().ready.len()
    }

    pub(super) fn end_resuming(&self) {
        self.shared.wakes.set_resuming(false);
        // Those rang no alarm while the flag was set.
        self.queue_wakes();
        debug_assert!(self.shared.core.borrow().current.is_null());
    }

    /// Takes the next task out of the queue and its slot; `None` if it is gone meanwhile.
    pub(super) fn take_next(&self) -> Option<Resume> {
        let resume = {
            let core = &mut *self.shared.core.borrow_mut();
            let task = core.ready.pop()?;
            let slot = core.tasks.get_mut(task)?;
            slot.queued = false;
            let cause = std::mem::take(&mut slot.cause);
            debug_assert!(!cause.is_empty(), "a queued task has a cause");
            let boxed = slot.boxed.take()?;
            core.current = task;
            Resume { task, boxed, cause, now: core.now }
        };
        let (task, kind, cause) = (resume.task, resume.boxed.kind(), resume.cause);
        self.watch().tell(|| Event::Resumed { task, kind, cause });
        Some(resume)
    }

    /// Puts a task back into its slot after a resume.
    pub(super) fn put_back(&self, task: TaskId, boxed: Box<dyn Task>, flow: Flow) {
        {
            let core = &mut *self.shared.core.borrow_mut();
            core.current = TaskId::null();
            if let Some(slot) = core.tasks.get_mut(task) {
                slot.boxed = Some(boxed);
            }
        }
        self.watch().tell(|| Event::Suspended { task, flow });
        self.queue_wakes();
        if flow == Flow::Again {
            self.queue_one(task, Cause::AGAIN);
        }
    }

    /// Removes a task's slot; its id finds nobody from now on.
    pub(super) fn forget(&self, task: TaskId) {
        let core = &mut *self.shared.core.borrow_mut();
        core.current = TaskId::null();
        core.tasks.remove(task);
    }

    pub(super) fn take_any_task(&self) -> Option<(TaskId, Box<dyn Task>)> {
        let core = &mut *self.shared.core.borrow_mut();
        let task = core.tasks.keys().next()?;
        let boxed = core.tasks.remove(task)?.boxed?;
        Some((task, boxed))
    }

    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        let none = || Err(io::Error::from(io::ErrorKind::Unsupported));
        self.shared.core.borrow().world.descriptor().unwrap_or_else(none)
    }

    /// Queues a task behind everything that was queued or woken before.
    fn queue(&self, task: TaskId, cause: Cause) {
        self.queue_wakes();
        self.queue_one(task, cause);
    }

    pub(super) fn queue_wakes(&self) {
        if self.shared.wakes.pending() {
            self.shared.wakes.drain(|task| self.queue_one(task, Cause::WOKEN));
        }
    }

    fn queue_one(&self, task: TaskId, cause: Cause) {
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
