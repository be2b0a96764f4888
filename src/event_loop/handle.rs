//! How tasks ask the loop for things.

use std::any::Any;
use std::cell::{Cell, RefMut};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

use slotmap::Key;

use super::state::{Shared, SourceSlot, State, TaskSlot};
use super::task::{Cause, Task};
use super::timers::TimerId;
use super::wake::Remote;
use crate::events::Event;
use crate::id::{SourceId, TaskId};
use crate::panics::caught;
use crate::world::{Listener, Readiness, Stream, Time, World};

/// A loop, as seen by what runs on it. Cheap to clone; stays on the loop's thread.
///
/// Every method is one short borrow of the loop's state, and none is held while a task, an
/// observer, or the drop of a task runs: handles may be used anywhere, at any depth.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Rc<Shared>,
}

/// A slot that is given back unless its task is made: the maker may fail, or panic. The slot comes first and the
/// task second, because a task is made with the sources and timers that it begins with, and those need its id.
struct Reserved<'a> {
    handle: &'a Handle,
    task: TaskId,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.handle.shared.state.borrow_mut().tasks.remove(self.task);
    }
}

/// For all code on the loop's thread.
impl Handle {
    pub(super) fn new(world: Box<dyn World>) -> Handle {
        Handle { shared: Rc::new(Shared::new(world)) }
    }

    /// The moment at which the present turn's wait ended.
    pub fn now(&self) -> Time {
        self.shared.state.borrow().now
    }

    /// The wall clock of the loop's world. It may go back.
    pub fn wall(&self) -> SystemTime {
        self.shared.clock.wall()
    }

    /// A fresh reading of the monotonic clock, for measuring. Decisions go by [`now`](Handle::now).
    /// It stands while [`hold_clock`](super::EventLoop::hold_clock) holds it.
    pub fn clock(&self) -> Time {
        self.shared.clock.now()
    }

    /// A moment of this loop's clock on a clock that goes on while the loop is held.
    pub(crate) fn in_world(&self, time: Time) -> Time {
        self.shared.clock.in_world(time)
    }

    /// Turns begun so far.
    pub fn turns(&self) -> u64 {
        self.shared.state.borrow().turn
    }

    /// Gives the loop a task; it is resumed for the first time in the next turn. `make` receives the
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
        self.shared.queue(task, Cause::SPAWNED);
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
            let state = &mut *self.shared.state.borrow_mut();
            let boxed = state.tasks.get_mut(task).and_then(|slot| slot.boxed.take());
            boxed.inspect(|_| drop(state.tasks.remove(task)))
        };
        if let Some(boxed) = boxed {
            self.shared.drop_task(task, boxed);
        }
    }

    fn place<E>(&self, make: impl FnOnce(TaskId) -> Result<Box<dyn Task>, E>) -> Result<TaskId, E> {
        let reserved = Reserved { handle: self, task: self.reserve() };
        // Not under a borrow: making a task may register its sources.
        let boxed = make(reserved.task)?;
        let (task, kind) = (reserved.task, boxed.kind());
        if self.shared.state.borrow().refused.is_some() {
            drop(reserved);
            self.shared.refuse(task, boxed);
            return Ok(task);
        }
        // It has its task now, and is not to be given back.
        std::mem::forget(reserved);
        if let Some(slot) = self.shared.state.borrow_mut().tasks.get_mut(task) {
            slot.boxed = Some(boxed);
        }
        self.tell(|| Event::Spawned { task, kind });
        Ok(task)
    }

    /// A slot for a task that is being made.
    fn reserve(&self) -> TaskId {
        let state = &mut *self.shared.state.borrow_mut();
        state.tasks.insert(TaskSlot { boxed: None, cause: Cause::empty() })
    }

    /// Resumes a task in the next turn, with `Cause::WOKEN`. Does nothing if it is gone.
    pub fn wake(&self, task: TaskId) {
        self.shared.queue(task, Cause::WOKEN);
    }

    /// Resumes the task that is being resumed once more in the next turn, with `Cause::BUDGET_SPENT`: it
    /// could go on, and the others are first. For what runs inside of a task; the task itself says
    /// [`Flow::Again`](super::Flow::Again).
    pub(crate) fn give_way(&self) {
        if let Some(task) = self.current_task() {
            self.shared.queue(task, Cause::BUDGET_SPENT);
        }
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
            let state = &mut *self.shared.state.borrow_mut();
            // A loop that is gone fires nothing, and stores nothing.
            if state.refused.is_some() {
                return TimerId::FIRED;
            }
            state.timers.set(deadline, task)
        };
        self.tell(|| Event::TimerSet { task, deadline });
        id
    }

    /// Takes a timer back. Does nothing if it has fired.
    pub fn cancel(&self, timer: TimerId) {
        let cancelled = self.shared.state.borrow_mut().timers.cancel(timer);
        if let Some(task) = cancelled {
            self.tell(|| Event::TimerCancelled { task, deadline: timer.deadline() });
        }
    }

    /// Opens a listener in the loop's world. See
    /// [`World::listen`](crate::world::World::listen).
    ///
    /// # Errors
    /// What bind(2) and listen(2) say.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.world().listen(address)
    }

    /// Begins to connect in the loop's world. See
    /// [`World::connect`](crate::world::World::connect).
    ///
    /// # Errors
    /// What socket(2) and connect(2) say at once.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        self.world().connect(address)
    }

    /// The world outside of the loop, for one call: it must be given back before a task runs.
    pub(crate) fn world(&self) -> RefMut<'_, Box<dyn World>> {
        self.shared.world.borrow_mut()
    }

    /// Makes [`EventLoop::run`](super::EventLoop::run) return when the present turn is over.
    pub fn shutdown(&self) {
        self.shared.wakes.stop();
    }

    /// Tasks on the loop, the one that is being resumed included.
    pub fn task_count(&self) -> usize {
        self.shared.state.borrow().tasks.len()
    }

    /// True if there is such a task.
    pub(crate) fn has_task(&self, task: TaskId) -> bool {
        self.shared.state.borrow().tasks.contains_key(task)
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
        let find =
            |state: &State| state.locals.iter().find_map(|any| Rc::clone(any).downcast().ok());
        let found = find(&self.shared.state.borrow());
        found.unwrap_or_else(|| {
            let made = Rc::new(make());
            let state = &mut *self.shared.state.borrow_mut();
            if state.refused.is_none() {
                state.locals.push(Rc::clone(&made) as Rc<dyn Any>);
            }
            made
        })
    }

    /// How many clones of [`remote`](Handle::remote) are kept on the loop for the next caller that needs
    /// one: these wake nothing. A loop on which nothing can ever happen is known by it.
    pub(crate) fn spare_remotes(&self) -> &Cell<usize> {
        &self.shared.spare_remotes
    }

    /// The task that is being resumed; `None` outside phase 4.
    pub fn current_task(&self) -> Option<TaskId> {
        let current = self.shared.state.borrow().current;
        Some(current).filter(|task| !task.is_null())
    }
}

/// A look at what is on the loop. It changes nothing.
impl Handle {
    /// The ids of all tasks, in the order of their slots, and why each is in the ready queue; empty if it is
    /// not.
    pub fn tasks(&self) -> Vec<(TaskId, Cause)> {
        let tasks = &self.shared.state.borrow().tasks;
        #[cfg(test)]
        super::tests::ends::SLOTS_VISITED
            .set(super::tests::ends::SLOTS_VISITED.get() + tasks.capacity());
        tasks.iter().map(|(id, slot)| (id, slot.cause)).collect()
    }

    /// Shows `look` a task; `None` if it is gone, or is being resumed. The task is out of its slot meanwhile,
    /// so `look` may use the handle. One that panics is logged.
    pub fn look_at<R>(&self, task: TaskId, look: impl FnOnce(&dyn Task) -> R) -> Option<R> {
        let boxed = self.shared.state.borrow_mut().tasks.get_mut(task)?.boxed.take()?;
        let looked = caught(|| look(&*boxed));
        if let Some(slot) = self.shared.state.borrow_mut().tasks.get_mut(task) {
            slot.boxed = Some(boxed);
        }
        looked
            .inspect_err(|words| {
                log::error!("task {task} panicked while it described itself: {words}");
            })
            .ok()
    }

    /// All registered sockets.
    pub fn sources(&self) -> Vec<SourceView> {
        let state = self.shared.state.borrow();
        let view = |(id, slot): (SourceId, &SourceSlot)| SourceView {
            id,
            task: slot.owner,
            readiness: slot.readiness,
            interest: slot.interest,
            writer: state.writers.get(&id).copied().filter(|_| slot.is_shared),
        };
        state.sources.iter().map(view).collect()
    }

    /// The ready queue, first come first.
    pub fn ready(&self) -> Vec<TaskId> {
        let state = self.shared.state.borrow();
        state.ready.iter().copied().filter(|task| state.tasks.contains_key(*task)).collect()
    }

    /// The timers, in the order in which they will fire.
    pub fn timers(&self) -> Vec<(TaskId, Time)> {
        self.shared.state.borrow().timers.iter().collect()
    }
}

/// A registered socket, as [`Handle::sources`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceView {
    /// Its id.
    pub id: SourceId,
    /// Its owner; the null id while it connects.
    pub task: TaskId,
    /// What it is ready for, as far as the loop knows.
    pub readiness: Readiness,
    /// What its owner waits for; and, of a source that two tasks share, the other one.
    pub interest: Readiness,
    /// The task that waits for `WRITABLE`, if that is another than `task`.
    pub writer: Option<TaskId>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("state", &self.shared.state).finish_non_exhaustive()
    }
}
