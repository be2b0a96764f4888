//! Waking tasks from outside the loop's queue: `std` wakers, and other threads.
//!
//! A [`Waker`](std::task::Waker) must be callable from every thread, so waking goes through a list
//! behind a mutex. The loop empties it into the ready queue in phase 3, and, so that wakes and
//! direct queueing keep their order, whenever a task is queued and whenever a resume ends.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};

use crate::id::TaskId;
use crate::limits::BURST_KEPT;
use crate::locks::unpoisoned;

/// The list of woken tasks.
///
/// Invariant: while the loop may be waiting (that is, outside phase 4), a list that is not empty
/// has rung the alarm. A waker adds to the list first and looks at `resuming` then; the loop sets `resuming`
/// to false first and looks at the list then. Whichever comes first, one of the two sees the other, so no wake
/// is left lying while the loop waits for ever.
pub(super) struct Wakes {
    list: Mutex<List>,
    /// True if the list may have something in it; lets the loop look without locking. It looks whenever a task
    /// is queued and whenever a resume ends, and hardly ever finds anything.
    pending: AtomicBool,
    /// The loop is asked to stop. Not a task to be resumed: stopping must work on a loop that has none.
    stop: AtomicBool,
    /// True during phase 4, when the loop's thread need not be woken by itself. Most wakes come from there (a
    /// promise that is set, a queue that is filled), and the alarm is a system call.
    resuming: AtomicBool,
    /// The loop's thread. Another thread rings even during phase 4, which may be over before its list is seen.
    thread: ThreadId,
    /// Ends the loop's wait, or the next one if the loop does not wait: a write to an eventfd, which counts.
    alarm: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct List {
    /// In the order of waking, each task once: a thread that wakes one task a million times while
    /// the loop is busy must not cost a million entries.
    tasks: Vec<TaskId>,
    /// Those of `tasks`.
    members: HashSet<TaskId>,
    /// The loop is gone, and wakers that outlive it store nothing.
    closed: bool,
}

impl Wakes {
    pub(super) fn new(alarm: Arc<dyn Fn() + Send + Sync>) -> Arc<Wakes> {
        Arc::new(Wakes {
            list: Mutex::default(),
            pending: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            resuming: AtomicBool::new(false),
            thread: thread::current().id(),
            alarm,
        })
    }

    pub(super) fn push(&self, task: TaskId) {
        let first = {
            let mut list = self.list();
            if list.closed || !list.members.insert(task) {
                return;
            }
            list.tasks.push(task);
            self.pending.store(true, Ordering::Release);
            list.tasks.len() == 1
        };
        if first && !self.in_resume() {
            (self.alarm)();
        }
    }

    pub(super) fn pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Exchanges the woken tasks, in the order of waking, for `empty`, which brings its memory. The
    /// mutex is free again when the caller queues them: that emits events, and an observer may wake a
    /// task.
    pub(super) fn take(&self, empty: &mut Vec<TaskId>) {
        debug_assert!(empty.is_empty());
        let mut list = self.list();
        self.pending.store(false, Ordering::Release);
        std::mem::swap(&mut list.tasks, empty);
        // Clearing a table takes as long as it is large.
        if list.members.capacity() > BURST_KEPT {
            list.members = HashSet::new();
        } else {
            list.members.clear();
        }
    }

    /// The loop ends: from now on, a wake stores nothing.
    pub(super) fn close(&self) {
        let mut list = self.list();
        *list = List { closed: true, ..List::default() };
        self.pending.store(false, Ordering::Release);
    }

    /// True if only the loop itself has this, and so many spare clones that are not used.
    pub(super) fn are_unreachable(self: &Arc<Self>, spare: usize) -> bool {
        Arc::strong_count(self) == 1 + spare
    }

    pub(super) fn set_resuming(&self, resuming: bool) {
        self.resuming.store(resuming, Ordering::Release);
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        if !self.in_resume() {
            (self.alarm)();
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn take_stop(&self) -> bool {
        // Almost always false, and a load is cheaper than a swap.
        self.stopping() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// True if the caller is a task of this loop: the loop will look by itself.
    fn in_resume(&self) -> bool {
        self.resuming.load(Ordering::Acquire) && thread::current().id() == self.thread
    }

    /// No code panics while it holds the lock; and a list of ids is valid whatever happened.
    fn list(&self) -> MutexGuard<'_, List> {
        unpoisoned(self.list.lock())
    }
}

/// Wakes one task of one loop. Waking a task that is gone does nothing. It keeps the list alive, and not the
/// loop: a waker that was forgotten in another thread must not keep sockets open.
struct TaskWaker {
    task: TaskId,
    wakes: Arc<Wakes>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.push(self.task);
    }
}

/// Reaches a loop from other threads. Cheap to clone; does nothing once the loop is gone.
#[derive(Clone)]
pub struct Remote {
    pub(super) wakes: Arc<Wakes>,
}

impl Remote {
    /// Resumes a task in the next turn, with `Cause::WOKEN`.
    pub fn wake(&self, task: TaskId) {
        self.wakes.push(task);
    }

    /// A `std` waker for a task.
    pub fn waker(&self, task: TaskId) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, wakes: Arc::clone(&self.wakes) }))
    }

    /// Makes [`EventLoop::run`](super::EventLoop::run) return after the turn that notices it.
    pub fn shutdown(&self) {
        self.wakes.stop();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("pending", &self.wakes.pending()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// With the number of times that the alarm has rung.
    fn counted() -> (Arc<Wakes>, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rings);
        let alarm = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        (Wakes::new(Arc::new(alarm)), rings)
    }

    fn drained(wakes: &Wakes) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        wakes.take(&mut tasks);
        tasks
    }

    fn tasks() -> [TaskId; 2] {
        let mut ids = slotmap::SlotMap::with_key();
        [(); 2].map(|()| ids.insert(()))
    }

    #[test]
    fn the_alarm_rings_once_and_not_for_a_loop_that_looks_by_itself() {
        let (wakes, rings) = counted();
        let [a, b] = tasks();
        let rings = || rings.swap(0, Ordering::Relaxed);
        wakes.push(b);
        wakes.push(a);
        assert_eq!((rings(), wakes.pending()), (1, true));
        assert_eq!(drained(&wakes), [b, a]);
        assert!(!wakes.pending());
        wakes.set_resuming(true);
        wakes.push(a);
        wakes.stop();
        assert_eq!((rings(), drained(&wakes).len(), wakes.take_stop()), (0, 1, true));
        // Phase 4 may be over before the other thread has finished.
        let elsewhere = || (wakes.push(b), wakes.stop());
        thread::scope(|scope| scope.spawn(elsewhere).join()).unwrap();
        assert_eq!((rings(), drained(&wakes).len(), wakes.take_stop()), (2, 1, true));
        wakes.set_resuming(false);
        wakes.push(a);
        wakes.stop();
        assert_eq!(rings(), 2);
        assert_eq!((wakes.take_stop(), wakes.take_stop(), wakes.stopping()), (true, false, false));
    }

    #[test]
    fn a_task_has_at_most_one_wake_outstanding() {
        let (wakes, rings) = counted();
        let [one, other] = tasks();
        // By one waker, by others for the same task, and by its id.
        let remote = Remote { wakes: Arc::clone(&wakes) };
        let waker = remote.waker(one);
        for _ in 0..100_000 {
            waker.wake_by_ref();
            wakes.push(one);
            remote.waker(one).wake();
        }
        wakes.push(other);
        assert_eq!((wakes.list().tasks.capacity() < 100, rings.load(Ordering::Relaxed)), (true, 1));
        assert_eq!(drained(&wakes), [one, other]);
        // And again one, once that was taken.
        wakes.push(one);
        assert_eq!(drained(&wakes), [one]);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let (wakes, _) = counted();
        let mut ids = slotmap::SlotMap::with_key();
        for _ in 0..10 * BURST_KEPT {
            wakes.push(ids.insert(()));
        }
        assert_eq!(drained(&wakes).len(), 10 * BURST_KEPT);
        let list = wakes.list();
        assert!(list.tasks.capacity() <= BURST_KEPT && list.members.capacity() <= BURST_KEPT);
    }

    #[test]
    fn wakes_of_a_loop_that_is_gone_store_nothing() {
        let (wakes, rings) = counted();
        let [one, other] = tasks();
        wakes.push(one);
        wakes.close();
        for _ in 0..1_000 {
            wakes.push(one);
            wakes.push(other);
        }
        assert_eq!((wakes.pending(), rings.load(Ordering::Relaxed)), (false, 1));
        let list = wakes.list();
        assert_eq!((list.tasks.capacity(), list.members.capacity()), (0, 0));
    }
}
