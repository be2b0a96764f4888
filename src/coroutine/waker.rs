//! The wakers of coroutines: what a loop knows of them, in one value that hangs on it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::{Context, RawWakerVTable, Wake, Waker};

use crate::event_loop::{self, Handle, Remote};
use crate::id::TaskId;

/// What all coroutines of a loop share.
#[derive(Default)]
pub(super) struct Coroutines {
    /// Coroutines ever spawned: the next one is called `Task-` and one more.
    count: Cell<u64>,
    /// For the next resume that needs a waker.
    spare: Cell<Option<Lent>>,
    /// The coroutine that is being polled, and the waker with which it is.
    polled: Cell<Option<(TaskId, WakerId)>>,
}

impl Coroutines {
    pub(super) fn of(handle: &Handle) -> Rc<Coroutines> {
        handle.local(Coroutines::default)
    }

    /// Counts one more.
    pub(super) fn count_one(&self) -> u64 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    /// A waker for one resume of `task`, which gives it back.
    pub(super) fn lend(&self, task: TaskId, handle: &Handle) -> Lent {
        match self.spare.take() {
            Some(spare) => {
                spare.assign(task);
                spare
            }
            None => Lent::new(task, handle.remote()),
        }
    }

    /// Takes a waker back. If a clone of it is kept, it is the task's from now on.
    pub(super) fn take_back(&self, lent: Lent) -> Option<Waker> {
        if lent.is_kept() {
            return Some(lent.waker);
        }
        self.spare.set(Some(lent));
        None
    }

    /// True if there is a waker for the next resume: it can reach the loop, and wakes nothing.
    pub(super) fn has_spare(&self) -> bool {
        let spare = self.spare.take();
        let has_spare = spare.is_some();
        self.spare.set(spare);
        has_spare
    }

    /// `task` is polled with `waker`, until it is polled no more.
    pub(super) fn polls_with(&self, task: TaskId, waker: &Waker) {
        self.polled.set(Some((task, WakerId::of(waker))));
    }

    pub(super) fn polls_no_more(&self) {
        self.polled.set(None);
    }
}

/// The task that is being polled, if `waker` is the one that it is polled with: a future that waits with
/// this waker may as well have the task queued directly. Combinators give their children other wakers.
pub(crate) fn task_behind(handle: &Handle, waker: &Waker) -> Option<TaskId> {
    let polled = Coroutines::of(handle).polled.get();
    polled.filter(|(_, own)| own.is_same(waker)).map(|(task, _)| task)
}

/// What is woken when something happens on its own loop.
pub(super) enum Waiting {
    /// The coroutine itself, which keeps no waker for that.
    Task(TaskId),
    /// Polled by a combinator, which wants to hear of it by its own waker.
    Waker(Waker),
}

impl Waiting {
    /// What polls with `cx`.
    pub(super) fn of(handle: &Handle, cx: &Context<'_>) -> Waiting {
        task_behind(handle, cx.waker())
            .map_or_else(|| Waiting::Waker(cx.waker().clone()), Waiting::Task)
    }

    pub(super) fn wake(self, handle: &Handle) {
        match self {
            Waiting::Task(task) => handle.wake(task),
            Waiting::Waker(waker) => waker.wake(),
        }
    }
}

/// Which waker it is, without holding it.
#[derive(Clone, Copy)]
struct WakerId {
    data: *const (),
    vtable: &'static RawWakerVTable,
}

impl WakerId {
    fn of(waker: &Waker) -> WakerId {
        WakerId { data: waker.data(), vtable: waker.vtable() }
    }

    /// As `Waker::will_wake`: a `false` may be wrong, a `true` is not, while both wakers live.
    fn is_same(self, waker: &Waker) -> bool {
        self.data == waker.data() && std::ptr::eq(self.vtable, waker.vtable())
    }
}

/// A waker for the length of one resume. Most futures clone none, because sources, timers and the
/// pool of a client know their tasks by id: then the next task gets the same waker, and a task that
/// waits owns none.
pub(super) struct Lent {
    wakes: Arc<WakesOne>,
    waker: Waker,
}

struct WakesOne {
    /// The bits of the task's id. They change only while [`Lent`] alone has the waker.
    task: AtomicU64,
    remote: Arc<Remote>,
}

impl event_loop::Context<'_> {
    /// A waker for the task that is being resumed, callable from every thread: for tasks that poll futures.
    pub fn waker(&self) -> Waker {
        self.handle().remote().waker(self.task())
    }
}

impl Remote {
    /// A waker for a task, callable from every thread. It keeps the list of woken tasks alive, and not the loop.
    pub fn waker(self: &Arc<Remote>, task: TaskId) -> Waker {
        Waker::from(WakesOne::new(task, Arc::clone(self)))
    }
}

impl WakesOne {
    fn new(task: TaskId, remote: Arc<Remote>) -> Arc<WakesOne> {
        Arc::new(WakesOne { task: AtomicU64::new(task.to_bits()), remote })
    }
}

impl Wake for WakesOne {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.remote.wake(TaskId::from_bits(self.task.load(Ordering::Relaxed)));
    }
}

impl Lent {
    /// The two references are those of the fields.
    const OWN_REFERENCES: usize = 2;

    fn new(task: TaskId, remote: Arc<Remote>) -> Lent {
        let wakes = WakesOne::new(task, remote);
        Lent { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// It has been cloned, and the clone may wake the task.
    fn is_kept(&self) -> bool {
        let is_kept = Arc::strong_count(&self.wakes) > Lent::OWN_REFERENCES;
        // Everything that another thread did with its clone happens before what follows here.
        fence(Ordering::Acquire);
        is_kept
    }

    /// From now on it is for another task.
    fn assign(&self, task: TaskId) {
        debug_assert!(!self.is_kept());
        self.wakes.task.store(task.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::world::sim::Sim;

    #[test]
    fn a_lent_waker_is_kept_while_a_clone_lives() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        let woken = Rc::<Cell<u32>>::default();
        let spawn = || {
            let woken = Rc::clone(&woken);
            let never = std::future::poll_fn(move |_| {
                woken.set(woken.get() + 1);
                std::task::Poll::<()>::Pending
            });
            handle.spawn(never).id()
        };
        let (one, other) = (spawn(), spawn());
        event_loop.turn(None).unwrap();
        assert_eq!(woken.take(), 2, "both were spawned");
        let lent = Lent::new(one, handle.remote());
        assert!(!lent.is_kept());
        let clone = lent.waker().clone();
        assert!(lent.is_kept());
        clone.wake();
        assert!(!lent.is_kept());
        event_loop.turn(None).unwrap();
        lent.assign(other);
        lent.waker().wake_by_ref();
        event_loop.turn(None).unwrap();
        assert_eq!(woken.get(), 2, "each was woken once");
    }
}
