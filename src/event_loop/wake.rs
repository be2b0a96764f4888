//! Waking tasks from other threads.
//!
//! The queue is the loop's own, so a wake goes through a list behind a mutex. The loop empties it into the ready
//! queue in phase 3, and, so that wakes and direct queueing keep their order, whenever a task is queued and
//! whenever a resume ends. (A `std` [`Waker`](std::task::Waker) must be callable from every thread, too: those of
//! coroutines are a task's id and this.)

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::id::TaskId;
use crate::locks::unpoisoned;

/// Reaches a loop from other threads: wakes its tasks, or ends it. Does nothing once the loop is gone, which it
/// does not keep alive: what was forgotten in another thread must not keep sockets open.
///
/// Invariant: while the loop may be waiting (that is, outside phase 4), a list that is not empty has rung the
/// alarm. Whoever wakes adds to the list first and looks at `resuming` then; the loop sets `resuming` to false
/// first and looks at the list then. One of the two comes last and sees what the other did, so no wake is left
/// lying while the loop waits for ever. (That there is a last one, for all threads, is what `SeqCst` says. With
/// `Release` and `Acquire` alone, each could miss what the other has just stored.)
pub struct Remote {
    list: Mutex<List>,
    /// True if the list may have something in it; lets the loop look without locking. It looks whenever a task
    /// is queued and whenever a resume ends, and hardly ever finds anything.
    pending: AtomicBool,
    /// The loop is asked to stop. Not a task to be resumed: stopping must work on a loop that has none.
    stop: AtomicBool,
    /// True during phase 4, after which the loop looks by itself. Most wakes come from there (a promise that is
    /// set, a queue that is filled), or while a loop with much to do is there, and the alarm is a system call.
    resuming: AtomicBool,
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

impl Remote {
    pub(super) fn new(alarm: Arc<dyn Fn() + Send + Sync>) -> Arc<Remote> {
        let (list, pending, stop, resuming) = Default::default();
        Arc::new(Remote { list, pending, stop, resuming, alarm })
    }

    /// Resumes a task in the next turn, with `Cause::WOKEN`. Does nothing if it is gone.
    pub fn wake(&self, task: TaskId) {
        let first = {
            let mut list = self.list();
            if list.closed || !list.members.insert(task) {
                return;
            }
            list.tasks.push(task);
            // Before the lock is free: the loop, which has seen the list empty, must not miss what is in it now.
            self.pending.store(true, Ordering::SeqCst);
            list.tasks.len() == 1
        };
        // The first one has rung for all that come before the loop has looked. Not under the lock, for which the
        // loop would have to wait as soon as it wakes.
        if first {
            self.ring();
        }
    }

    fn ring(&self) {
        if !self.resuming.load(Ordering::SeqCst) {
            (self.alarm)();
        }
    }

    /// True if there is something here for the loop to look at, so that it must not wait.
    pub(super) fn pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst) || self.stop.load(Ordering::SeqCst)
    }

    /// Takes the woken tasks out, in the order of waking. The mutex is free again when the caller queues them. No
    /// memory is kept: wakes from elsewhere are rare, and a burst of them must not cost its memory for ever.
    pub(super) fn take(&self) -> Vec<TaskId> {
        let mut list = self.list();
        self.pending.store(false, Ordering::SeqCst);
        list.members = HashSet::new();
        std::mem::take(&mut list.tasks)
    }

    /// The loop ends: from now on, a wake stores nothing.
    pub(super) fn close(&self) {
        *self.list() = List { closed: true, ..List::default() };
        self.pending.store(false, Ordering::SeqCst);
    }

    pub(super) fn set_resuming(&self, resuming: bool) {
        self.resuming.store(resuming, Ordering::SeqCst);
    }

    /// Makes [`EventLoop::run`](super::EventLoop::run) return after the turn that notices it.
    pub fn shutdown(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(super) fn take_shutdown(&self) -> bool {
        // Almost always false, and a load is cheaper than a swap.
        self.stop.load(Ordering::SeqCst) && self.stop.swap(false, Ordering::SeqCst)
    }

    /// No code panics while it holds the lock; and a list of ids is valid whatever happened.
    fn list(&self) -> MutexGuard<'_, List> {
        unpoisoned(self.list.lock())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BURST_KEPT;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// With the number of times that the alarm has rung.
    fn counted() -> (Arc<Remote>, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rings);
        let alarm = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        (Remote::new(Arc::new(alarm)), rings)
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
        wakes.wake(b);
        wakes.wake(a);
        assert_eq!((rings(), wakes.pending()), (1, true));
        assert_eq!(wakes.take(), [b, a]);
        assert!(!wakes.pending());
        wakes.set_resuming(true);
        wakes.wake(a);
        wakes.shutdown();
        thread::scope(|scope| scope.spawn(|| (wakes.wake(b), wakes.shutdown())).join()).unwrap();
        assert_eq!((rings(), wakes.pending(), wakes.take()), (0, true, vec![a, b]));
        assert_eq!(
            (wakes.take_shutdown(), wakes.take_shutdown(), wakes.pending()),
            (true, false, false)
        );
        wakes.set_resuming(false);
        wakes.wake(a);
        wakes.shutdown();
        assert_eq!(rings(), 2);
    }

    /// However the end of phase 4 and a wake fall together, the loop hears of it: by the alarm, or because it looks.
    #[test]
    fn no_wake_is_lost_at_the_end_of_phase_4() {
        let (ring, alarm) = mpsc::channel();
        let wakes = Remote::new(Arc::new(move || ring.send(()).unwrap()));
        let (done, next) = mpsc::sync_channel(0);
        let [task, _] = tasks();
        let remote = Arc::clone(&wakes);
        thread::scope(|scope| {
            scope.spawn(move || {
                for () in next {
                    remote.wake(task);
                }
            });
            for _ in 0..10_000 {
                wakes.set_resuming(true);
                done.send(()).unwrap();
                wakes.set_resuming(false);
                while !wakes.pending() {
                    let heard = alarm.recv_timeout(Duration::from_secs(60));
                    heard.expect("a wake is lost");
                }
                assert_eq!(wakes.take(), [task]);
            }
            drop(done);
        });
    }

    #[test]
    fn a_task_has_at_most_one_wake_outstanding() {
        let (wakes, rings) = counted();
        let [one, other] = tasks();
        // By one waker, by others for the same task, and by its id.
        let waker = wakes.waker(one);
        for _ in 0..100_000 {
            waker.wake_by_ref();
            wakes.wake(one);
            wakes.waker(one).wake();
        }
        wakes.wake(other);
        assert_eq!((wakes.list().tasks.capacity() < 100, rings.load(Ordering::Relaxed)), (true, 1));
        assert_eq!(wakes.take(), [one, other]);
        // And again one, once that was taken.
        wakes.wake(one);
        assert_eq!(wakes.take(), [one]);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let (wakes, _) = counted();
        let mut ids = slotmap::SlotMap::with_key();
        for _ in 0..10 * BURST_KEPT {
            wakes.wake(ids.insert(()));
        }
        assert_eq!(wakes.take().len(), 10 * BURST_KEPT);
        let list = wakes.list();
        assert!(list.tasks.capacity() <= BURST_KEPT && list.members.capacity() <= BURST_KEPT);
    }

    #[test]
    fn wakes_of_a_loop_that_is_gone_store_nothing() {
        let (wakes, rings) = counted();
        let [one, other] = tasks();
        wakes.wake(one);
        wakes.close();
        wakes.shutdown();
        assert_eq!(wakes.take(), [], "it looks once more, and stays closed");
        assert!(wakes.take_shutdown());
        for _ in 0..1_000 {
            wakes.wake(one);
            wakes.wake(other);
        }
        assert_eq!((wakes.pending(), rings.load(Ordering::Relaxed)), (false, 2));
        let list = wakes.list();
        assert_eq!((list.tasks.capacity(), list.members.capacity()), (0, 0));
    }
}
