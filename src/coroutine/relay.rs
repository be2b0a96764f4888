//! Which task is queued when something happens that a future waits for.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context as PollContext, Waker};

use super::waker::task_behind;
use crate::event_loop::{Context, Flow, Handle, Task};
use crate::id::TaskId;

/// Sources and timers resume a task; a future has a waker. Almost always that waker is the one of the
/// task that polls the future, which is then queued directly: no allocation, no turn in between.
///
/// Combinators that give their children wakers of their own (`FuturesUnordered` and its like) look
/// only at children whose waker was called. For those there is a relay: a small task that is queued
/// in their place, and calls the waker.
#[derive(Default)]
pub(crate) struct Relay {
    /// Made when it is first needed. In a box, because it is hardly ever needed.
    spawned: Option<Box<Spawned>>,
}

struct Spawned {
    handle: Handle,
    task: TaskId,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Relay {
    /// The task to queue for a future that is polled with `cx`.
    pub(crate) fn task(&mut self, handle: &Handle, cx: &PollContext<'_>) -> TaskId {
        if let Some(task) = task_behind(handle, cx.waker()) {
            return task;
        }
        let spawned = self.spawned.get_or_insert_with(|| Box::new(Spawned::new(handle)));
        let waker = &mut *spawned.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        spawned.task
    }
}

impl Spawned {
    fn new(handle: &Handle) -> Spawned {
        let waker = Rc::default();
        let inside = Rc::clone(&waker);
        let task = handle.spawn_task(|_| Box::new(WakesAnother(inside)));
        Spawned { handle: handle.clone(), task, waker }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.handle.discard(self.task);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("task", &self.spawned.as_ref().map(|spawned| spawned.task))
            .finish()
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
