//! One turn, top to bottom: what asyncio's `_run_once` and libuv's iteration do.
//!
//! [`EventLoop::turn`] is three steps, and a host that wants to pause, to step or to look takes them itself:
//! [`begin_turn`](EventLoop::begin_turn) is phases 1 to 3, [`resume_next`](EventLoop::resume_next) one task of
//! phase 4, [`end_turn`](EventLoop::end_turn) the rest. Nothing else anywhere resumes a task.
//!
//! **Why four phases and no shortcuts.** Readiness, a timer and a wake never call anybody: they put a task into
//! the queue, and phase 4 takes tasks out of it. So a task always runs on an empty stack, in a turn that can be
//! named, for causes that can be listed; no task runs inside of another one's call; and the order in which
//! tasks run is the order in which things happened, which a reader of a trace can check.
//!
//! **Why steps, and no hook that a turn calls.** A hook runs in the middle of the turn, and everything that it must
//! not do there would have to be forbidden. A host that calls the steps has the turn in its own hands: it may wait
//! between two of them for an hour, or never go on, and the loop is whole after each.

use std::io;
use std::time::Duration;

use super::EventLoop;
use super::task::{Cause, Context, Flow, Task};
use crate::events::{Event, Timeout};
use crate::id::TaskId;
use crate::limits::BURST_KEPT;
use crate::panics::caught;
use crate::world::{Readiness, Time};

impl EventLoop {
    /// One turn. Waits for at most `limit` (`None`: as long as the loop likes, zero: not at all).
    /// Returns the number of tasks that were to be resumed.
    ///
    /// # Errors
    /// When the world cannot be waited for: the poller failed (which says that the process is
    /// broken), or nothing can ever happen in a simulated world.
    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        // Phases 1 to 3: work out the timeout, wait, and queue what happened.
        let batch = self.begin_turn(limit)?;
        // Phase 4: resume what is queued now, first come, first served.
        while self.resume_next() {}
        self.end_turn();
        Ok(batch)
    }

    /// Phases 1 to 3 of a turn. Returns how many tasks phase 4 is going to resume, one by each
    /// [`resume_next`](EventLoop::resume_next); [`end_turn`](EventLoop::end_turn) follows.
    ///
    /// A host that left the turn before in the middle has lost nothing: a task that was not resumed then is
    /// still in the queue, before all that were queued later.
    ///
    /// # Errors
    /// See [`turn`](EventLoop::turn).
    pub fn begin_turn(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let shared = &*self.handle.shared;
        // Both are so already, unless a host left the turn before in the middle, or panicked there.
        self.left = 0;
        shared.wakes.set_resuming(false);

        // Phase 1: work out the timeout: zero if anything is ready, else until the next timer, else for ever.
        // A list of wakes that is not empty counts as ready. A thread that adds to it from now on rings the
        // alarm, which ends the wait; that is what `set_resuming(false)` above has promised other threads.
        let (turn, ready, timers, last) = {
            let state = &mut *shared.state.borrow_mut();
            state.turn += 1;
            (state.turn, state.ready.len(), state.timers.len(), state.now)
        };
        shared.watch.tell(|| Event::TurnBegan { turn, ready, timers });
        // The limit counts from now, not from the last wait: a host may have been elsewhere for an hour since then.
        // Without one, nothing here reads the clock: whether a deadline has come is for the world to find out, which
        // has to read it anyway.
        let limit = limit.map(|limit| shared.clock.now() + limit);
        let until = self.next_deadline().into_iter().chain(limit).min();
        shared.watch.tell(|| Event::Waiting { timeout: Timeout::as_of(shared.clock.now(), until) });

        // Phase 2: ask the world, which reads the clock when it comes back: once a turn. All tasks of a turn are
        // given that time: no two of them disagree about what is due, and a test can move time between turns
        // and nowhere else. The loop's clock is the world's without the time for which the loop was held, so a moment
        // is translated on its way out, and on its way back.
        let until = until.map(|until| shared.clock.in_world(until));
        let ended = shared.world.borrow_mut().wait(until, &mut self.arrived)?;
        let now = shared.clock.of_world(ended);
        debug_assert!(now >= last, "time never goes back");
        shared.state.borrow_mut().now = now;
        shared.watch.tell(|| Event::Waited { sources: self.arrived.len() });

        // Phase 3: queue what happened. The three kinds come in a fixed order, so that one seed, or one trace,
        // always leads to one order of resumes; a task for which two of them have happened is queued once, with
        // both causes. What is queued here joins the end of the queue, after what the last turn left in it: a socket
        // that is always ready does not overtake a task that asked to go on. Only `queue_one` is called, which does
        // not look for wakes: those have their place at the end.
        //
        // First readiness, to the owners of the sources.
        for (source, readiness) in self.arrived.drain(..) {
            let (owner, writer, mut cause) = {
                let state = &mut *shared.state.borrow_mut();
                // A source may have been closed since the world reported it: then its id finds nothing.
                let Some(slot) = state.sources.get_mut(source) else { continue };
                // Added, not set: an edge says what is new, and nothing of what was ready before. It is added even
                // if no task wants it at present, because the world is not going to say it again.
                slot.readiness |= readiness;
                slot.is_reported = true;
                let cause = slot.cause(Readiness::BOTH);
                (slot.owner, state.writers.get(&source).copied(), cause)
            };
            shared.watch.tell(|| Event::Ready { source, readiness });
            // Hardly ever are there two, one that reads and one that writes. Each hears of its own direction alone: a
            // task that is resumed for nothing would have to try in vain before it knows.
            if let Some(writer) = writer {
                shared.queue_one(writer, cause & Cause::WRITABLE);
                cause.remove(Cause::WRITABLE);
            }
            shared.queue_one(owner, cause);
        }
        // Then timers that are due; exactly now is due. A timer that is set from now on, even for a moment in
        // the past, fires in the next turn at the earliest: phase 4 sets timers, and this loop has to end. One is
        // taken at a time, so that the state is free while the observer hears of it.
        loop {
            let due = shared.state.borrow_mut().timers.pop_due(now);
            let Some((deadline, task)) = due else { break };
            shared.watch.tell(|| Event::TimerFired { task, deadline });
            shared.queue_one(task, Cause::TIMER);
        }
        // Last, wakes from other threads. One that comes after this look is the next turn's.
        shared.queue_wakes();

        // The batch is fixed now: the tasks that are in the queue at this moment, and no others. A task that
        // asks to go on at once, or two that wake each other, would otherwise keep the loop in phase 4 for
        // ever, and no socket and no timer would be looked at again. What is queued from now on is the next
        // turn's, which then does not wait: a task that requeues itself costs the others one wait of zero,
        // and never their turn.
        shared.wakes.set_resuming(true);
        self.left = shared.state.borrow().ready.len();
        Ok(self.left)
    }

    /// The moment at which the loop wants to turn again even if nothing happens outside: now (or earlier), if
    /// something is ready; else that of the first timer; `None` if only the world can wake it.
    /// Host programs wait for this or for the loop's descriptor, whichever comes first, and then
    /// call `turn(Some(Duration::ZERO))`.
    ///
    /// A moment, and not a duration: a duration would begin to be wrong as soon as it is returned, and would need
    /// the clock to be made.
    pub fn next_deadline(&self) -> Option<Time> {
        let shared = &*self.handle.shared;
        let state = shared.state.borrow();
        let is_busy = !state.ready.is_empty() || shared.wakes.pending();
        if is_busy { Some(state.now) } else { state.timers.first() }
    }

    /// Phase 4, one task of it: resumes the next of the batch. False if there is none left.
    pub fn resume_next(&mut self) -> bool {
        self.resume_next_then(|_, _| {})
    }

    /// As [`resume_next`](EventLoop::resume_next), and shows `look` the task that has just run, before it is
    /// dropped if it has ended: afterwards there would be nothing left to say what ran. A `look` that panics is
    /// logged, and does no harm.
    pub fn resume_next_then(&mut self, look: impl FnOnce(TaskId, &dyn Task)) -> bool {
        let Some((task, mut boxed, cause, now)) = self.take_next() else { return false };
        let handle = &self.handle;
        handle.tell(|| Event::Resumed { task, kind: boxed.kind(), cause });
        let mut cx = Context { handle, now, task, cause, scratch: &mut self.scratch };
        let flow = caught(|| boxed.resume(&mut cx));
        // What a task left in the output buffer, because it panicked, is not the next task's to send.
        self.scratch.output.clear();
        // Before anything is done about its end, and even if it panicked: the host wants to know what took so long,
        // or what it has just stepped over. The look is foreign code as well, and is caught like the task.
        if let Err(words) = caught(|| look(task, &*boxed)) {
            log::error!("the look at task {task} after its resume panicked: {words}");
        }
        let flow = flow.unwrap_or_else(|words| {
            // A panic costs the task that panicked, and no other: one handler with a bug must not take a
            // thousand other connections with it. What was half changed is dropped with the task.
            let kind = boxed.kind();
            log::error!("task {task} ({kind}) panicked and was removed: {words}");
            handle.tell(|| Event::Panicked { task, kind });
            Flow::Done
        });
        self.put_back(task, boxed, flow);
        true
    }

    /// The task that [`resume_next`](EventLoop::resume_next) would resume, and why; `None` if the batch is
    /// over. A host that holds the loop shows it beforehand: it may be the one that never comes back.
    pub fn peek(&self) -> Option<(TaskId, Cause)> {
        let state = self.handle.shared.state.borrow();
        let batch = state.ready.iter().take(self.left);
        // Tasks that were discarded since they were queued are passed over.
        batch.filter_map(|task| Some((*task, state.tasks.get(*task)?.cause))).next()
    }

    /// Ends a turn: from now on a wake rings the alarm, because nobody can know whether the loop is going to turn
    /// again by itself. The host may be waiting for its descriptor.
    pub fn end_turn(&mut self) {
        self.left = 0;
        let shared = &*self.handle.shared;
        shared.wakes.set_resuming(false);
        // Those that came before this rang no alarm, so they are looked for, and after it, not before.
        shared.queue_wakes();
        // What a burst took is given back, when the queue is as short as it gets. Not as soon as it is below its
        // capacity: a loop whose load goes up and down around a limit would allocate in every turn.
        let ready = &mut shared.state.borrow_mut().ready;
        if ready.capacity() > BURST_KEPT && ready.len() <= BURST_KEPT / 2 {
            ready.shrink_to(BURST_KEPT);
        }
    }

    /// Takes the next task of the batch out of the queue, and out of its slot: it is going to ask its handle
    /// for things, which borrows the state again. Its causes are taken away before it runs, not after: what
    /// happens while it runs has to queue it anew, or a wake at the wrong moment would be lost.
    fn take_next(&mut self) -> Option<(TaskId, Box<dyn Task>, Cause, Time)> {
        let state = &mut *self.handle.shared.state.borrow_mut();
        while self.left > 0 {
            self.left -= 1;
            let task = state.ready.pop_front()?;
            // It may have been discarded since it was queued. Searching the queue for it then would have cost as much
            // as the queue is long; passing over it here costs nothing, and it counts as one of the batch.
            let Some(slot) = state.tasks.get_mut(task) else { continue };
            // Both are taken: while it runs, it is neither here nor queued.
            let taken = std::mem::take(slot);
            debug_assert!(!taken.cause.is_empty(), "a queued task has a cause");
            let Some(boxed) = taken.boxed else { continue };
            state.current = Some(task);
            return Some((task, boxed, taken.cause, state.now));
        }
        None
    }

    /// Puts a task back into its slot after a resume, or removes it, whereupon its drop closes its sources and its
    /// id finds nothing. In the queue it is only if it was queued while it ran, perhaps by itself: then it has a
    /// cause already, and is resumed in the next turn.
    fn put_back(&self, task: TaskId, boxed: Box<dyn Task>, flow: Flow) {
        let shared = &*self.handle.shared;
        let ended = {
            let state = &mut *shared.state.borrow_mut();
            state.current = None;
            // Its slot is there, because a task that is out of it cannot be discarded.
            match state.tasks.get_mut(task) {
                Some(slot) if flow != Flow::Done => {
                    slot.boxed = Some(boxed);
                    None
                }
                _ => {
                    state.tasks.remove(task);
                    Some(boxed)
                }
            }
        };
        match ended {
            Some(boxed) => shared.drop_task(task, boxed),
            None => shared.watch.tell(|| Event::Suspended { task, flow }),
        }
        // What this resume woke came before its wish to go on. Looked for after each resume, not once a turn: else
        // what the next task queues by itself would overtake what this one has woken.
        shared.queue_wakes();
        if flow == Flow::Again {
            shared.queue_one(task, Cause::AGAIN);
        }
    }
}
