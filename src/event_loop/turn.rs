//! The parts of a turn, one short borrow of the loop's state each.
//! [`EventLoop::turn`](super::EventLoop::turn) calls them in order.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use slotmap::Key;

use super::Handle;
use super::core::{Core, Refused};
use super::handle::Shared;
use super::task::{Cause, Flow, Task};
use super::wake::Wakes;
use crate::id::{SourceId, TaskId};
use crate::limits::REFUSED_TASKS_DROPPED_MAX;
use crate::observe::{Event, Timeout, Watch};
use crate::panics::caught;
use crate::world::{LoopClock, Readiness, Time, World};

/// What [`Handle::take_next`] gives: all that is needed to resume a task.
pub(super) struct Resume {
    pub(super) task: TaskId,
    pub(super) boxed: Box<dyn Task>,
    pub(super) cause: Cause,
    pub(super) now: Time,
}

impl Handle {
    pub(super) fn new(world: Box<dyn World>) -> Handle {
        let (clock, alarm) = (Rc::new(LoopClock::new(world.clock())), world.alarm());
        let shared = Shared {
            core: RefCell::new(Core::new(world)),
            watch: Watch::new(Rc::clone(&clock)),
            clock,
            wakes: Wakes::new(alarm),
            spare_waker: Cell::default(),
            spare_list: Cell::default(),
        };
        Handle { shared: Rc::new(shared) }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    pub(super) fn stop_clock(&self) {
        self.shared.clock.stop();
    }

    pub(super) fn let_clock_go_on(&self) {
        self.shared.clock.go_on();
    }

    pub(super) fn ready_count(&self) -> usize {
        self.shared.core.borrow().ready.len()
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
        let (turn, ready, timers) = {
            let core = &mut *self.shared.core.borrow_mut();
            core.turn += 1;
            (core.turn, core.ready.len(), core.timers.len())
        };
        self.watch().tell(|| Event::TurnBegan { turn, ready, timers });
        let next = self.pause_at_most();
        let timeout = match next.into_iter().chain(limit).min() {
            None => Timeout::Forever,
            Some(Duration::ZERO) => Timeout::Zero,
            Some(duration) => Timeout::Until(duration),
        };
        self.watch().tell(|| Event::Waiting { timeout });
        timeout
    }

    /// How long the loop itself would wait.
    fn pause_at_most(&self) -> Option<Duration> {
        let core = self.shared.core.borrow();
        if self.is_busy(&core) {
            return Some(Duration::ZERO);
        }
        // Not `core.now`: the last batch took time, and a host may have been elsewhere.
        core.timers.first().map(|deadline| deadline.since(self.shared.clock.now()))
    }

    /// Phase 2.
    pub(super) fn wait_for_world(
        &self,
        timeout: Timeout,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<()> {
        let timeout = match timeout {
            Timeout::Zero => Some(Duration::ZERO),
            Timeout::Until(duration) => Some(duration),
            Timeout::Forever => None,
        };
        {
            let core = &mut *self.shared.core.borrow_mut();
            core.world.wait(timeout, arrived)?;
            let now = self.shared.clock.now();
            debug_assert!(now >= core.now, "time never goes back");
            core.now = now;
        }
        self.watch().tell(|| Event::Waited { sources: arrived.len() });
        Ok(())
    }

    /// Phase 3, first: the world's reports.
    pub(super) fn queue_readiness(&self, arrived: &mut Vec<(SourceId, Readiness)>) {
        for (source, readiness) in arrived.drain(..) {
            let (owner, mut cause, is_shared) = {
                let mut core = self.shared.core.borrow_mut();
                // A source that was closed meanwhile: its id finds nobody.
                let Some(slot) = core.sources.get_mut(source) else { continue };
                slot.readiness |= readiness;
                (slot.owner, slot.cause(), slot.is_shared)
            };
            self.watch().tell(|| Event::Ready { source, readiness });
            if is_shared {
                cause = self.queue_writer(source, cause);
            }
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
        let core = &mut *self.shared.core.borrow_mut();
        core.ready.give_back();
        debug_assert!(core.current.is_null());
    }

    /// The task that [`take_next`](Handle::take_next) would take, and its kind.
    pub(super) fn next_ready(&self) -> Option<(TaskId, &'static str)> {
        let core = self.shared.core.borrow();
        let task = core.ready.first()?;
        Some((task, core.tasks.get(task)?.boxed.as_ref()?.kind()))
    }

    /// Takes the next task out of the queue and its slot; `None` if it is gone meanwhile.
    pub(super) fn take_next(&self) -> Option<Resume> {
        let resume = {
            let core = &mut *self.shared.core.borrow_mut();
            let task = core.ready.pop()?;
            let slot = core.tasks.get_mut(task)?;
            let cause = std::mem::take(&mut slot.cause);
            debug_assert!(!cause.is_empty(), "a queued task has a cause");
            let boxed = slot.boxed.take()?;
            core.current = task;
            core.current_waker = None;
            Resume { task, boxed, cause, now: core.now }
        };
        let Resume { task, cause, ref boxed, .. } = resume;
        self.watch().tell(|| Event::Resumed { task, kind: boxed.kind(), cause });
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

    /// The tasks that are on the loop, when nothing can be added any more.
    ///
    /// All of them at once: looking for the next one from the beginning each time would be quadratic.
    pub(super) fn close_loop(&self) -> Vec<TaskId> {
        self.shared.wakes.close();
        let core = &mut *self.shared.core.borrow_mut();
        core.refused = Some(Refused::default());
        core.tasks.keys().collect()
    }

    pub(super) fn take_task(&self, task: TaskId) -> Option<Box<dyn Task>> {
        self.shared.core.borrow_mut().tasks.get_mut(task)?.boxed.take()
    }

    /// Drops a task that is on the loop no more. Not under a borrow: its destructor may ask for things.
    /// If it panics, that is no fault of whoever drops it.
    pub(super) fn drop_task(&self, task: TaskId, boxed: Box<dyn Task>) {
        let kind = boxed.kind();
        if let Err(words) = caught(|| drop(boxed)) {
            log::error!("task {task} ({kind}) panicked while it was dropped: {words}");
        }
        self.watch().tell(|| Event::Finished { task, kind });
    }

    /// Drops a task that was given to a loop that is gone. Its destructor may give the loop another one,
    /// which is dropped when this one is done (and not further down the stack), and so on.
    pub(super) fn refuse(&self, task: TaskId, boxed: Box<dyn Task>) {
        let next = |handle: &Handle| {
            let core = &mut *handle.shared.core.borrow_mut();
            let refused = core.refused.as_mut()?;
            let next = refused.tasks.pop_front();
            refused.is_being_emptied = next.is_some();
            next
        };
        {
            let core = &mut *self.shared.core.borrow_mut();
            let Some(refused) = &mut core.refused else { return };
            refused.tasks.push_back((task, boxed));
            if refused.is_being_emptied {
                return;
            }
        }
        for _ in 0..REFUSED_TASKS_DROPPED_MAX {
            let Some((task, boxed)) = next(self) else { return };
            self.drop_task(task, boxed);
        }
        let mut leaked = 0;
        while let Some((_, boxed)) = next(self) {
            leaked += 1;
            std::mem::forget(boxed);
        }
        if leaked > 0 {
            log::error!(
                "destructors of tasks go on giving tasks to a loop that is gone: after \
                 {REFUSED_TASKS_DROPPED_MAX}, {leaked} are leaked"
            );
        }
    }

    /// Not under the borrow: what they hold may hold handles.
    pub(super) fn drop_locals(&self) {
        let locals = std::mem::take(&mut self.shared.core.borrow_mut().locals);
        for local in locals {
            if let Err(words) = caught(|| drop(local)) {
                log::error!("a value of the loop panicked while it was dropped: {words}");
            }
        }
    }

    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        let none = || Err(io::Error::from(io::ErrorKind::Unsupported));
        self.shared.core.borrow().world.descriptor().unwrap_or_else(none)
    }
}
