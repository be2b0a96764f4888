//! Who is queued when something happens that a future waits for.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context as PollContext, Waker};

use crate::event_loop::{Context, Flow, Handle, Task};
use crate::id::TaskId;

/// Sources and timers resume a task; a future has a waker. Almost always that waker is the one of the
/// task that polls the future, which is then queued directly: no allocation, no turn in between.
///
/// Combinators that give their children wakers of their own (`FuturesUnordered` and its like) look
/// only at children whose waker was called. For those there is a relay: a small task that is queued
/// in their place, and calls the waker.
pub(crate) struct Relay {
    handle: Handle,
    /// Made when it is first needed.
    task: Option<(TaskId, Rc<RefCell<Option<Waker>>>)>,
}

impl Relay {
    pub(crate) fn new(handle: &Handle) -> Relay {
        Relay { handle: handle.clone(), task: None }
    }

    /// The task to queue for whoever polls with `cx`.
    pub(crate) fn task(&mut self, cx: &PollContext<'_>) -> TaskId {
        if let Some(task) = self.handle.task_behind(cx.waker()) {
            return task;
        }
        let Relay { handle, task } = self;
        let (task, waker) = task.get_or_insert_with(|| {
            let waker = Rc::default();
            let inside = Rc::clone(&waker);
            (handle.spawn_task(|_| Box::new(WakesAnother(inside))), waker)
        });
        let waker = &mut *waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        *task
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((task, _)) = self.task.take() {
            self.handle.discard(task);
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("task", &self.task.as_ref().map(|(task, _)| task)).finish()
    }
}

struct WakesAnother(Rc<RefCell<Option<Waker>>>);

impl Task for WakesAnother {
    fn resume(&mut self, _: &mut Context<'_>) -> Flow {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "relay"
    }
}
