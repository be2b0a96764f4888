//! The task that watches idle connections.

use std::rc::Weak;

use super::pool::Pool;
use crate::event_loop::{Context, Flow, Task, TimerId};

/// Resumed when something happens to an idle connection, or one is too old; gone when there is none.
/// So a loop that runs until no task is left outlives its last fetch by the idle timeout, unless the
/// client is dropped before.
pub(super) struct Keeper {
    pool: Weak<Pool>,
    timer: Option<TimerId>,
}

impl Keeper {
    pub(super) fn new(pool: Weak<Pool>) -> Keeper {
        Keeper { pool, timer: None }
    }
}

impl Task for Keeper {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let next = self.pool.upgrade().and_then(|pool| pool.sweep(cx.now()));
        let Some(next) = next else {
            if let Some(timer) = self.timer.take() {
                cx.handle().cancel(timer);
            }
            return Flow::Done;
        };
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
