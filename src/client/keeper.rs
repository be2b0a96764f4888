//! The task that watches idle connections.

use super::idle::Sweep;
use crate::coroutine::Place;
use crate::event_loop::{Cause, Context, Flow, Handle, Task};
use crate::lazy_timer::LazyTimer;
use crate::world::Time;

/// Resumed when something happens to an idle connection, or one is too old; gone when there is none.
/// So a loop that runs until no task is left outlives its last fetch by the idle timeout, unless the
/// client is dropped before.
pub(super) struct Keeper<F> {
    handle: Handle,
    /// Looks at a share of them, from a place on; `None` once the client is gone.
    sweep: F,
    timer: LazyTimer,
    /// Where the present look at all of them goes on; `None`: nothing has happened since the last one.
    from: Option<Place>,
    /// Something has happened since the present look began: another follows.
    is_outdated: bool,
}

impl<F: FnMut(Time, Option<Place>) -> Option<Sweep>> Keeper<F> {
    pub(super) fn new(handle: &Handle, sweep: F) -> Keeper<F> {
        Keeper {
            handle: handle.clone(),
            sweep,
            timer: LazyTimer::UNSET,
            from: None,
            is_outdated: false,
        }
    }
}

impl<F: FnMut(Time, Option<Place>) -> Option<Sweep>> Task for Keeper<F> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        // A source does not say which connection it belongs to, so the first report makes us look at all of
        // them, a share at a time; all that is reported meanwhile makes one more look, not one each.
        if !(Cause::TIMER | Cause::AGAIN).contains(cx.cause()) {
            self.is_outdated = true;
        }
        if self.from.is_none() && std::mem::take(&mut self.is_outdated) {
            self.from = Some(Place::FIRST);
        }
        let sweep = (self.sweep)(cx.now(), self.from);
        let Some(Sweep::Left { next, due }) = sweep else { return Flow::Done };
        self.from = next;
        self.timer.arm(due, cx.now(), cx.handle(), cx.task());
        if self.from.is_some() || self.is_outdated { Flow::Again } else { Flow::Wait }
    }

    fn kind(&self) -> &'static str {
        "keeper"
    }
}

impl<F> Drop for Keeper<F> {
    /// Even if the client is dropped before its connections are too old.
    fn drop(&mut self) {
        self.timer.cancel(&self.handle);
    }
}
