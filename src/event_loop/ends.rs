//! How a loop ends: dropped with tasks on it, or waiting for nothing.
//!
//! Neither is on the way of a turn. Both are here because they need to know everything that the loop knows:
//! the one empties it, the other has to be certain that nothing in it can ever happen.

use std::fmt::Write as _;

use super::Handle;
use super::state::Shared;
use super::task::Described;
use crate::limits::DEADLOCK_TASKS_NAMED_MAX;
use crate::panics::caught;

impl Handle {
    /// Ends the loop: drops all that is on it, and refuses what comes after that. Tasks hold handles, and the
    /// loop behind the handles holds the tasks: without this, neither would ever be dropped.
    pub(super) fn close_loop(&self) {
        self.shared.wakes.close();
        self.shared.state.borrow_mut().refused = Some(0);
        // All of them at once, because none can be added any more: looking for the next one from the beginning
        // each time would be quadratic.
        for (task, _) in self.tasks() {
            self.discard(task);
        }
        // After the tasks: a coroutine that is dropped still looks at what coroutines share on this loop.
        let locals = std::mem::take(&mut self.shared.state.borrow_mut().locals);
        for local in locals {
            if let Err(words) = caught(|| drop(local)) {
                log::error!("a value of the loop panicked while it was dropped: {words}");
            }
        }
    }

    /// True if it is certain that no task of this loop will ever be resumed again: nothing is ready, and no
    /// timer is set. What could still resume one is a source of which something is wanted, or a waker or a
    /// [`Remote`](super::Remote) that is held somewhere: by a helper thread, say. A task of this loop may hold one,
    /// too, and never use it; that cannot be known, and then this returns false.
    pub(crate) fn is_deadlocked(&self) -> bool {
        let state = self.shared.state.borrow();
        let Shared { wakes, spare_remotes, .. } = &*self.shared;
        let is_idle = state.timers.first().is_none() && state.ready.is_empty() && !wakes.pending();
        // Readiness that came while no task wanted it is found when one does, and that takes a resume.
        is_idle && state.wanted_sources == 0 && wakes.are_unreachable(spare_remotes.get())
    }

    /// Says, instead of waiting in silence, that nothing can ever happen again: what Go calls "all goroutines
    /// are asleep".
    #[cold]
    pub(super) fn report_deadlock(&self) {
        let tasks = self.tasks();
        // Named are as many as a reader of a log can use; a deadlock of ten thousand tasks is one line, too.
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
