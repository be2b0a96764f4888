//! Plain callbacks, asyncio's `call_soon`, `call_later` and `call_at`: each is a task that runs once.

use std::convert::Infallible;
use std::panic::Location;
use std::time::Duration;

use crate::event_loop::{Cause, Context, Description, Flow, Handle, Task, TimerId};
use crate::id::TaskId;
use crate::world::Time;

/// A callback that was handed to the loop, for taking it back. Dropping this changes nothing.
#[derive(Debug)]
pub struct Call {
    handle: Handle,
    task: TaskId,
    /// Of a callback that waits for its time.
    timer: Option<TimerId>,
}

impl Call {
    /// The callback will not run. Does nothing if it has run.
    pub fn cancel(self) {
        if let Some(timer) = self.timer {
            self.handle.cancel(timer);
        }
        self.handle.discard(self.task);
    }

    /// The moment for which it was scheduled; `None` for "soon".
    pub fn when(&self) -> Option<Time> {
        self.timer.map(TimerId::deadline)
    }
}

impl Handle {
    /// Runs `callback` in the next turn, after everything that is queued.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce(&Handle) + 'static) -> Call {
        let callback = Callback::new(callback);
        let task = self.spawn_task(|_| Box::new(callback));
        Call { handle: self.clone(), task, timer: None }
    }

    /// Runs `callback` once `delay` has passed. Even a delay of zero goes through the timers, and so comes
    /// after what is ready in the next turn.
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce(&Handle) + 'static) -> Call {
        self.call_at(self.now() + delay, callback)
    }

    /// Runs `callback` once the clock has reached `deadline`.
    #[track_caller]
    pub fn call_at(&self, deadline: Time, callback: impl FnOnce(&Handle) + 'static) -> Call {
        let callback = Callback::new(callback);
        let Ok(task) =
            self.try_spawn_task(Cause::empty(), |_| Ok::<_, Infallible>(Box::new(callback)));
        Call { handle: self.clone(), task, timer: Some(self.at(deadline, task)) }
    }
}

/// The task that a callback is.
pub(crate) struct Callback<F> {
    /// `None` once it has run.
    callback: Option<F>,
    /// Where it was handed to the loop.
    site: &'static Location<'static>,
}

impl<F: FnOnce(&Handle)> Callback<F> {
    #[track_caller]
    pub(crate) fn new(callback: F) -> Callback<F> {
        Callback { callback: Some(callback), site: Location::caller() }
    }
}

impl<F: FnOnce(&Handle)> Task for Callback<F> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        if let Some(callback) = self.callback.take() {
            callback(cx.handle());
        }
        Flow::Done
    }

    fn kind(&self) -> &'static str {
        "callback"
    }

    fn describe(&self) -> Description<'_> {
        Description { site: Some(self.site), ..Description::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::watch::Described;
    use crate::world::sim::Sim;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn callbacks_run_once_in_order_unless_cancelled() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        let log = Rc::new(RefCell::new(Vec::new()));
        let says = |text: &'static str| {
            let log = Rc::clone(&log);
            move |handle: &Handle| log.borrow_mut().push((text, handle.turns()))
        };
        handle.call_later(Duration::ZERO, says("later"));
        handle.call_soon(says("soon"));
        handle.call_at(Time::ZERO, says("at"));
        handle.call_soon(says("never")).cancel();
        handle.call_later(Duration::from_secs(1), says("never")).cancel();
        event_loop.run().unwrap();
        assert_eq!(*log.borrow(), [("soon", 1), ("later", 1), ("at", 1)]);
        assert_eq!(handle.task_count(), 0);
    }

    #[test]
    fn a_cancelled_callback_is_dropped_at_once() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let held = Rc::new(());
        let inside = Rc::clone(&held);
        let call = event_loop.handle().call_soon(move |_| drop(inside));
        call.cancel();
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn a_callback_says_when_it_is_due_and_where_it_comes_from() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle();
        let second = Duration::from_secs(1);
        assert_eq!(handle.call_soon(|_| ()).when(), None);
        assert_eq!(handle.call_later(second, |_| ()).when(), Some(handle.now() + second));
        let callback = Callback::new(|_: &Handle| ());
        assert_eq!(callback.kind(), "callback");
        let text = Described(&callback).to_string();
        assert!(text.starts_with("callback created at src/coroutine/callback.rs:"), "{text}");
    }
}
