//! How tasks ask the loop for things.
//!
//! A task is given a handle when it is resumed, and may keep a clone. So what it can do does not depend on where it
//! is called from, and there is no "current loop" to be found in a thread: two loops may share one, and do not
//! meet.
//!
//! Nothing here calls a task, and nothing waits. What is asked for either happens at once, to the loop's own data,
//! or becomes a cause for which a task is resumed.

use std::any::Any;
use std::cell::RefMut;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use super::state::{Shared, SourceSlot, State, TaskSlot};
use super::task::{Cause, Task};
use super::timers::TimerId;
use super::wake::Remote;
use crate::events::Event;
use crate::id::{SourceId, TaskId};
use crate::panics::caught;
use crate::world::{Listener, LoopClock, Stream, Time, World};

/// A loop, as seen by what runs on it. Cheap to clone; stays on the loop's thread.
///
/// Every method is one short borrow of the loop's state, and none is held while a task, an
/// observer, or the drop of a task runs: handles may be used anywhere, at any depth.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Rc<Shared>,
}

/// For all code on the loop's thread.
impl Handle {
    /// The moment at which the present turn's wait ended. By this, and not by the clock, tasks decide: what is due is
    /// then due for all of them.
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

    /// The clock that stands while the loop is held, and what it knows of the one that does not.
    pub(crate) fn loop_clock(&self) -> &LoopClock {
        &self.shared.clock
    }

    /// Turns begun so far. A task is resumed at most once a turn, so what counts by turns counts by resumes, and needs
    /// nobody to tell it when a resume begins.
    pub fn turns(&self) -> u64 {
        self.shared.state.borrow().turn
    }

    /// Gives the loop a task; it is resumed for the first time in the next turn. `make` receives the
    /// task's id, so that it can register sources and set timers for it.
    ///
    /// A loop that is gone, or going, drops the task at once; a coroutine then counts as cancelled.
    pub fn spawn_task(&self, make: impl FnOnce(TaskId) -> Box<dyn Task>) -> TaskId {
        let Ok(task) = self.try_spawn_task(Cause::SPAWNED, |task| Ok::<_, Infallible>(make(task)));
        task
    }

    /// As [`spawn_task`](Handle::spawn_task), for a task that may turn out to be impossible, or that is to be
    /// resumed only when something has happened: then `first` is empty, and not `Cause::SPAWNED`.
    ///
    /// # Errors
    /// Those of `make`; the loop is then as it was before.
    pub fn try_spawn_task<E>(
        &self,
        first: Cause,
        make: impl FnOnce(TaskId) -> Result<Box<dyn Task>, E>,
    ) -> Result<TaskId, E> {
        // The slot comes first and the task second, because a task is made with the sources and timers that it
        // begins with, and those need its id. They also need the loop, so nothing is borrowed meanwhile. If the maker
        // fails, or panics, the slot is given back: it would count as a task for ever, and `run` would not end.
        let task = self.shared.state.borrow_mut().tasks.insert(TaskSlot::default());
        let made = catch_unwind(AssertUnwindSafe(|| make(task)));
        if !matches!(made, Ok(Ok(_))) {
            self.shared.state.borrow_mut().tasks.remove(task);
        }
        let boxed = made.unwrap_or_else(|panic| resume_unwind(panic))?;
        if self.shared.state.borrow().is_closed {
            self.shared.refuse(task, boxed);
            return Ok(task);
        }
        let kind = boxed.kind();
        if let Some(slot) = self.shared.state.borrow_mut().tasks.get_mut(task) {
            slot.boxed = Some(boxed);
        }
        self.tell(|| Event::Spawned { task, kind });
        self.shared.queue(task, first);
        Ok(task)
    }

    /// Takes a task from the loop and drops it. Does nothing if it is gone, or is being resumed: a task ends itself by
    /// what it returns, because what is on the stack cannot be dropped.
    pub fn discard(&self, task: TaskId) {
        let boxed = {
            let state = &mut *self.shared.state.borrow_mut();
            let boxed = state.tasks.get_mut(task).and_then(TaskSlot::take);
            boxed.inspect(|_| drop(state.tasks.remove(task)))
        };
        if let Some(boxed) = boxed {
            self.shared.drop_task(task, boxed);
        }
    }

    /// Resumes a task in the next turn, with `Cause::WOKEN`. Does nothing if it is gone. The same turn would be
    /// possible, and would let two tasks that wake each other keep the loop for themselves.
    pub fn wake(&self, task: TaskId) {
        self.shared.queue(task, Cause::WOKEN);
    }

    /// Resumes a task in the next turn, for a cause of which the caller knows. Does nothing if it is gone.
    pub(crate) fn resume_for(&self, task: TaskId, cause: Cause) {
        self.shared.queue(task, cause);
    }

    /// How other threads reach the loop. A handle itself cannot leave its thread: what it borrows has no lock.
    pub fn remote(&self) -> Arc<Remote> {
        Arc::clone(&self.shared.wakes)
    }

    /// Sets a timer: `task` is resumed with `Cause::TIMER` once the clock has reached `deadline`.
    pub fn at(&self, deadline: Time, task: TaskId) -> TimerId {
        let id = {
            let state = &mut *self.shared.state.borrow_mut();
            // A loop that is gone fires nothing, and stores nothing.
            if state.is_closed {
                return TimerId::FIRED;
            }
            state.timers.set(deadline, task)
        };
        self.tell(|| Event::TimerSet { task, deadline });
        id
    }

    /// Takes a timer back. Does nothing if it has fired: its task may be queued for it already, so one that takes
    /// timers back looks at what it waits for, and not at the cause alone.
    pub fn cancel(&self, timer: TimerId) {
        let cancelled = self.shared.state.borrow_mut().timers.cancel(timer);
        if let Some(task) = cancelled {
            self.tell(|| Event::TimerCancelled { task, deadline: timer.deadline() });
        }
    }

    /// Opens a listener in the loop's world: a program that asks here for its sockets, and not the system, runs in a
    /// simulated world as well. See [`World::listen`](crate::world::World::listen).
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

    /// Makes [`EventLoop::run`](super::EventLoop::run) return when the present turn is over. What is in the batch
    /// already still runs: it may be in the middle of something, and was promised a resume.
    pub fn shutdown(&self) {
        self.shared.wakes.shutdown();
    }

    /// Tasks on the loop, the one that is being resumed included. At zero, [`run`](super::EventLoop::run) returns:
    /// nothing is left that could ask for anything.
    pub fn task_count(&self) -> usize {
        self.shared.state.borrow().tasks.len()
    }

    /// Tells the loop's observer something. `event` is evaluated only if there is one, so what nobody watches costs one
    /// branch, however much there is to say.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        self.shared.watch.tell(event);
    }

    /// The loop's one value of type `T`; made when it is first asked for, dropped with the loop.
    /// This is what others use globals and thread-locals for.
    ///
    /// A loop that is gone keeps nothing: each call makes a value that is the caller's alone.
    pub(crate) fn local<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let of_type = |any: &Rc<dyn Any>| Rc::clone(any).downcast().ok();
        let found = self.shared.state.borrow().locals.iter().find_map(of_type);
        found.unwrap_or_else(|| {
            let made = Rc::new(make());
            let state = &mut *self.shared.state.borrow_mut();
            if !state.is_closed {
                state.locals.push(Rc::clone(&made) as Rc<dyn Any>);
            }
            made
        })
    }

    /// The task that is being resumed; `None` outside phase 4. For what is called by a task and not told by which:
    /// a coroutine knows of its task no more than this.
    pub fn current_task(&self) -> Option<TaskId> {
        self.shared.state.borrow().current
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
    /// so `look` may use the handle. One that panics is logged, and the task stays: it did nothing but describe
    /// itself, and nothing in it has changed.
    pub fn look_at<R>(&self, task: TaskId, look: impl FnOnce(&dyn Task) -> R) -> Option<R> {
        let boxed = self.shared.state.borrow_mut().tasks.get_mut(task)?.take()?;
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

    /// All registered sockets. The loop keeps no list of them by task: a task has its own, and closes them by being
    /// dropped. Of one that two tasks share, the one that writes is named as well.
    pub fn sources(&self) -> Vec<(SourceId, SourceSlot, Option<TaskId>)> {
        let state = self.shared.state.borrow();
        let sources = state.sources.iter();
        sources.map(|(id, slot)| (id, *slot, state.writers.get(&id).copied())).collect()
    }

    /// Registered sockets of which something is wanted: what the world could resume a task for.
    pub fn wanted_sources(&self) -> usize {
        self.shared.state.borrow().wanted_sources
    }

    /// The ready queue, first come first. Tasks that were discarded are still in it, and not shown.
    pub fn ready(&self) -> Vec<TaskId> {
        let state = self.shared.state.borrow();
        state.ready.iter().copied().filter(|task| state.tasks.contains_key(*task)).collect()
    }

    /// The timers, in the order in which they will fire.
    pub fn timers(&self) -> Vec<(TaskId, Time)> {
        self.shared.state.borrow().timers.iter().collect()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { turn, now, tasks, .. } = &*self.shared.state.borrow();
        write!(f, "Handle(turn {turn} at {now}, tasks: {})", tasks.len())
    }
}
