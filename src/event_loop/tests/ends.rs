//! How loops and tasks end, also where destructors, payloads and observers are hostile, and what is left
//! behind: nothing.

use super::*;
use crate::limits::{BURST_KEPT, REFUSED_TASKS_DROPPED_MAX};
use std::cell::Cell;
use std::panic::panic_any;

/// A task that does nothing, and drops this with it.
struct Holds<T>(#[allow(dead_code, reason = "held")] T);

impl<T> Task for Holds<T> {
    fn resume(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "holds"
    }
}

thread_local! {
    /// Slots that were visited on this thread by those who asked for all tasks. Whoever wants only the next one
    /// asks for all, too: the slots before it may be empty, and are visited.
    pub(in crate::event_loop) static SLOTS_VISITED: Cell<usize> = const { Cell::new(0) };
}

/// Slots that are visited to drop a loop with so many tasks.
fn visits_to_drop(tasks: usize) -> usize {
    let (event_loop, _) = simulated();
    for _ in 0..tasks {
        event_loop.handle().spawn_task(|_| Box::new(Holds(())));
    }
    SLOTS_VISITED.set(0);
    drop(event_loop);
    SLOTS_VISITED.get()
}

#[test]
fn dropping_a_loop_costs_what_its_tasks_cost() {
    let (few, many) = (visits_to_drop(500), visits_to_drop(4_000));
    assert!(
        few >= 500 && many <= 12 * few,
        "8 times as many tasks: {many} visits instead of {few}"
    );
}

/// Gives the loop another one like it when it is dropped.
struct Respawns {
    handle: Handle,
    dropped: Rc<Cell<usize>>,
}

impl Drop for Respawns {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        let next = Respawns { handle: self.handle.clone(), dropped: Rc::clone(&self.dropped) };
        self.handle.spawn_task(move |_| Box::new(Holds(next)));
    }
}

#[test]
fn a_destructor_that_gives_the_loop_another_task_does_not_keep_it_for_ever() {
    let (event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let dropped = Rc::<Cell<usize>>::default();
    let first = Respawns { handle: handle.clone(), dropped: Rc::clone(&dropped) };
    handle.spawn_task(move |_| Box::new(Holds(first)));
    drop(event_loop);
    assert_eq!((dropped.get(), handle.task_count()), (1 + REFUSED_TASKS_DROPPED_MAX, 0));
}

#[test]
fn a_loop_that_is_gone_drops_what_it_is_given_and_keeps_nothing() {
    let (event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    drop(event_loop);
    let held = Rc::new(());
    for _ in 0..3 {
        let task = Holds((handle.clone(), Rc::clone(&held)));
        let id = handle.spawn_task(move |_| Box::new(task));
        handle.wake(id);
        handle.remote().waker(id).wake();
        handle.at(handle.now(), id);
        let inside = Rc::clone(&held);
        handle.call_soon(move |_| drop(inside));
        let inside = Rc::clone(&held);
        handle.call_later(Duration::ZERO, move |_| drop(inside));
        let local = handle.local(|| (handle.clone(), Rc::clone(&held)));
        drop(local);
    }
    assert_eq!((Rc::strong_count(&held), handle.task_count()), (1, 0));
    assert_eq!((handle.timers().len(), handle.ready().len()), (0, 0));
}

#[test]
fn a_destructor_that_panics_is_the_fault_of_nobody_else() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("planted");
        }
    }

    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let log = Log::default();
    let victim = handle.spawn_task(|_| Box::new(Holds(Panics)));
    let survives = log.clone();
    spawn(&handle, move |cx| {
        cx.handle().discard(victim);
        survives.line(cx, "still here");
        Flow::Done
    });
    event_loop.turn(None).unwrap();
    assert_eq!(log.take(), ["still here in turn 1"]);
    // And when the loop itself goes, the others are dropped all the same.
    let held = Rc::new(());
    let inside = Rc::clone(&held);
    handle.spawn_task(|_| Box::new(Holds(Panics)));
    handle.spawn_task(move |_| Box::new(Holds(inside)));
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_panic_whose_payload_panics_costs_its_task_only() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }

    let (mut event_loop, _) = simulated();
    let log = Log::default();
    spawn(event_loop.handle(), |_| panic_any(Bomb));
    let other = log.clone();
    spawn(event_loop.handle(), move |cx| {
        other.line(cx, "still here");
        Flow::Done
    });
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["still here in turn 1"]);
}

#[test]
fn an_observer_may_wake_tasks() {
    let (mut event_loop, _) = simulated();
    let log = Log::default();
    let handle = event_loop.handle().clone();
    let sleeper = |name: &'static str| {
        let log = log.clone();
        spawn(&handle, move |cx| {
            if cx.cause() == Cause::SPAWNED {
                return Flow::Wait;
            }
            log.line(cx, name);
            Flow::Done
        })
    };
    let [first, second, third] = ["first", "second", "third"].map(sleeper);
    event_loop.turn(None).unwrap();
    // When it hears of a task that was woken, it wakes another one, by a waker and by its handle.
    let wakers = Cell::new(Some((handle.remote().waker(third), handle.clone())));
    event_loop.observe(Some(Box::new(move |_: Time, event: &Event| {
        if matches!(event, Event::Queued { .. })
            && let Some((waker, handle)) = wakers.take()
        {
            waker.wake();
            handle.wake(third);
        }
    })));
    handle.remote().waker(first).wake();
    handle.remote().waker(second).wake();
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["first in turn 2", "second in turn 2", "third in turn 2"]);
}

#[test]
fn the_memory_of_a_burst_of_ready_tasks_is_given_back() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    for _ in 0..10 * BURST_KEPT {
        handle.call_soon(|_| {});
    }
    event_loop.run().unwrap();
    assert!(handle.shared.state.borrow().ready.capacity() <= 2 * BURST_KEPT);
}
