//! A timer for a deadline that moves far more often than it comes.
//!
//! The deadlines of a connection, and of a fetch, are extended with every step and hardly ever reached. So a
//! deadline is a field, and to extend it is one write. The timer is lazy: it stays where it was set, fires too
//! early, and is set again by the task that it resumes, which finds that nothing is due.

use std::mem;

use crate::event_loop::{Handle, TimerId};
use crate::id::TaskId;
use crate::world::Time;

/// See the module. It must be [taken back](LazyTimer::cancel) in the end.
#[derive(Debug)]
pub(crate) struct LazyTimer {
    timer: TimerId,
}

impl LazyTimer {
    /// Not set before somebody waits: what is over by then needs none.
    pub(crate) const UNSET: LazyTimer = LazyTimer { timer: TimerId::FIRED };

    /// Call before waiting: makes sure that `task`, always the same one, is resumed at `time` or earlier.
    pub(crate) fn arm(&mut self, time: Time, now: Time, handle: &Handle, task: TaskId) {
        if time == Time::NEVER {
            // The timer that is set, if one is, fires for nothing.
            return;
        }
        let has_fired = self.timer.deadline() <= now;
        if !has_fired && self.timer.deadline() <= time {
            return;
        }
        if !has_fired {
            handle.cancel(self.timer);
        }
        self.timer = handle.at(time, task);
    }

    /// Takes the timer back, if it is set.
    pub(crate) fn cancel(&mut self, handle: &Handle) {
        let timer = mem::replace(&mut self.timer, TimerId::FIRED);
        if timer != TimerId::FIRED {
            handle.cancel(timer);
        }
    }
}

/// A lazy timer of a future, which may go from one task to another while it waits.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(crate) struct LazyAlarm {
    timer: LazyTimer,
    /// The task that it resumes.
    task: TaskId,
}

#[cfg(feature = "client")]
impl LazyAlarm {
    /// See [`LazyTimer::UNSET`].
    pub(crate) fn unset() -> LazyAlarm {
        LazyAlarm { timer: LazyTimer::UNSET, task: TaskId::default() }
    }

    /// As [`LazyTimer::arm`], but `task` may be another one each time: the one that waits now.
    pub(crate) fn arm(&mut self, time: Time, handle: &Handle, task: TaskId) {
        if self.task != task {
            self.timer.cancel(handle);
            self.task = task;
        }
        self.timer.arm(time, handle.now(), handle, task);
    }

    /// See [`LazyTimer::cancel`].
    pub(crate) fn cancel(&mut self, handle: &Handle) {
        self.timer.cancel(handle);
    }
}
