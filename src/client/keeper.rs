//! The task that watches idle connections.

use std::rc::Weak;

use super::pool::Pool;
use crate::event_loop::{Context, Flow, Handle, Task, TimerId};

/// Resumed when something happens to an idle connection, or one is too old; gone when there is none.
/// So a loop that runs until no task is left outlives its last fetch by the idle timeout, unless the
/// client is dropped before.
pub(super) struct Keeper {
    handle: Handle,
    pool: Weak<Pool>,
    timer: Option<TimerId>,
}

impl Keeper {
    pub(super) fn new(handle: &Handle, pool: Weak<Pool>) -> Keeper {
        Keeper { handle: handle.clone(), pool, timer: None }
    }
}

impl Task for Keeper {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let next = self.pool.upgrade().and_then(|pool| pool.sweep(cx.now()));
        let Some(next) = next else { return Flow::Done };
        // A timer that is early sets itself again.
        if self.timer.is_none_or(|timer| timer.deadline() <= cx.now()) {
            self.timer = Some(cx.handle().at(next, cx.task()));
        }
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "keeper"
    }
}

impl Drop for Keeper {
    /// Also when the client is dropped before its connections are too old.
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.handle.cancel(timer);
        }
    }
}
