//! How tasks and loops end, whatever their destructors do.

use std::fmt::Write as _;

use super::Handle;
use super::handle::Shared;
use super::state::Refused;
use super::task::{Described, Task};
use crate::events::Event;
use crate::id::TaskId;
use crate::limits::{DEADLOCK_TASKS_NAMED_MAX, REFUSED_TASKS_DROPPED_MAX};
use crate::panics::caught;

impl Handle {
    /// Drops a task that is on the loop no more. Not under a borrow: its destructor may ask for things.
    /// If it panics, that is no fault of whoever drops it.
    pub(super) fn drop_task(&self, task: TaskId, boxed: Box<dyn Task>) {
        let kind = boxed.kind();
        if let Err(words) = caught(|| drop(boxed)) {
            log::error!("task {task} ({kind}) panicked while it was dropped: {words}");
        }
        self.tell(|| Event::Finished { task, kind });
    }

    /// Ends the loop: drops all that is on it, and refuses what comes after that. Tasks hold handles, and the
    /// loop behind the handles holds the tasks: without this, neither would ever be dropped.
    pub(super) fn close_loop(&self) {
        self.shared.wakes.close();
        let tasks: Vec<TaskId> = {
            let state = &mut *self.shared.state.borrow_mut();
            state.refused = Some(Refused::default());
            // All of them at once, because none can be added any more: looking for the next one from the
            // beginning each time would be quadratic.
            state.tasks.keys().collect()
        };
        for task in tasks {
            self.discard(task);
        }
        let locals = std::mem::take(&mut self.shared.state.borrow_mut().locals);
        for local in locals {
            if let Err(words) = caught(|| drop(local)) {
                log::error!("a value of the loop panicked while it was dropped: {words}");
            }
        }
    }

    /// Drops a task that was given to a loop that is gone. Its destructor may give the loop another one,
    /// which is dropped when this one is done (and not further down the stack), and so on.
    pub(super) fn refuse(&self, task: TaskId, boxed: Box<dyn Task>) {
        let next = || {
            let state = &mut *self.shared.state.borrow_mut();
            let refused = state.refused.as_mut()?;
            let next = refused.tasks.pop_front();
            refused.is_being_emptied = next.is_some();
            next
        };
        {
            let state = &mut *self.shared.state.borrow_mut();
            let Some(refused) = &mut state.refused else { return };
            refused.tasks.push_back((task, boxed));
            if refused.is_being_emptied {
                return;
            }
        }
        for _ in 0..REFUSED_TASKS_DROPPED_MAX {
            let Some((task, boxed)) = next() else { return };
            self.drop_task(task, boxed);
        }
        let mut leaked = 0;
        while let Some((_, boxed)) = next() {
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

    /// True if it is certain that no task of this loop will ever be resumed again: nothing is ready, and no
    /// timer is set. What could still resume one is a source of which something is wanted, and whoever holds a waker or a
    /// [`Remote`](super::Remote): a helper thread, say. Whoever holds one may be a task of this loop, too,
    /// which will never use it; that cannot be known, and then this says nothing.
    pub(crate) fn is_deadlocked(&self) -> bool {
        let state = self.shared.state.borrow();
        let Shared { wakes, spare_remotes, .. } = &*self.shared;
        let is_idle = state.timers.first().is_none() && state.ready.is_empty() && !wakes.pending();
        // Readiness that came while nobody wanted it is found when somebody does, and that takes a resume.
        is_idle && state.wanted_sources == 0 && wakes.are_unreachable(spare_remotes.get())
    }

    /// Says, instead of waiting in silence, that nothing can ever happen again: what Go calls "all goroutines
    /// are asleep".
    #[cold]
    pub(super) fn report_deadlock(&self) {
        let tasks = self.tasks();
        let mut who = String::new();
        for (task, _) in tasks.iter().take(DEADLOCK_TASKS_NAMED_MAX) {
            let _ =
                self.look_at(*task, |boxed| write!(who, "; task {task} ({})", Described(boxed)));
        }
        let rest = tasks.len().saturating_sub(DEADLOCK_TASKS_NAMED_MAX);
        if rest > 0 {
            let _ = write!(who, "; and {rest} more");
        }
        log::warn!(
            "nothing can ever happen on this loop again: no task is ready, no timer is set, no socket is \
             waited for, and nobody outside the loop can wake a task. Waiting to be woken{who}"
        );
    }
}
