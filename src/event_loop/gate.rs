//! A gate in front of every turn and every resume: what pauses and steps a loop.

use std::fmt;

use super::Handle;
use crate::id::TaskId;

/// Where the loop stands when it asks its [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Before phase 1 of the turn with this number; nothing of it has happened.
    Turn {
        /// The number that the turn will have.
        turn: u64,
    },
    /// In phase 4, before this task is resumed. Its cause is in the queue, its `Resumed` not told.
    Resume {
        /// The first of the ready queue.
        task: TaskId,
        /// See [`Task::kind`](super::Task::kind).
        kind: &'static str,
    },
}

/// `turn 8`, `resume of task 5.2`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Turn { turn } => write!(f, "turn {turn}"),
            Moment::Resume { task, .. } => write!(f, "resume of task {task}"),
        }
    }
}

/// Somebody who may hold a loop, for as long as it likes: a debugger, a lab.
///
/// **While it holds, the loop's clock stands still.** No timer becomes due, no limit of a peer
/// comes nearer, and no resume counts as slow because of it; when the loop goes on, nothing fires in
/// a burst. The wall clock goes on, and so does the world: the kernel takes connections and bytes
/// meanwhile, and the next wait reports them.
///
/// A gate that panics is removed and logged; the loop goes on.
pub trait Gate {
    /// True if the loop goes on at once. It is asked before every turn and every resume, with the
    /// clock running.
    fn lets_pass(&mut self, moment: Moment, handle: &Handle) -> bool;

    /// Holds the loop until it returns, which blocks the loop's thread. Called when
    /// [`lets_pass`](Gate::lets_pass) has said no, with the clock standing.
    fn hold(&mut self, moment: Moment, handle: &Handle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::observe::{Event, Recorder};
    use crate::world::sim::{Sim, SimClock};
    use crate::world::{Clock, Time, World};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    /// Holds at every moment that is given; the world's clock jumps by a minute meanwhile.
    struct Minute {
        clock: Rc<SimClock>,
        holds_at: fn(Moment) -> bool,
        seen: Rc<RefCell<Vec<String>>>,
    }

    impl Gate for Minute {
        fn lets_pass(&mut self, moment: Moment, _: &Handle) -> bool {
            self.seen.borrow_mut().push(moment.to_string());
            !(self.holds_at)(moment)
        }

        fn hold(&mut self, _: Moment, handle: &Handle) {
            let before = handle.clock();
            self.clock.jump_to(self.clock.now() + 60 * SECOND);
            assert_eq!(handle.clock(), before, "the clock stands");
        }
    }

    fn held(holds_at: fn(Moment) -> bool) -> (EventLoop, Rc<SimClock>, Rc<RefCell<Vec<String>>>) {
        let world = Sim::new(1);
        let Clock::Sim(clock) = world.clock() else { unreachable!("it is simulated") };
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let seen = Rc::<RefCell<Vec<String>>>::default();
        let gate = Minute { clock: Rc::clone(&clock), holds_at, seen: Rc::clone(&seen) };
        assert!(event_loop.set_gate(Some(Box::new(gate))).is_none());
        (event_loop, clock, seen)
    }

    #[test]
    fn it_is_asked_before_every_turn_and_every_resume() {
        let (mut event_loop, _, seen) = held(|_| false);
        let handle = event_loop.handle();
        let first = handle.call_soon(|handle| drop(handle.call_soon(|_| {})));
        drop(first);
        event_loop.run().unwrap();
        let expected = ["turn 1", "resume of task 1", "turn 2", "resume of task 2"];
        assert_eq!(seen.borrow().len(), expected.len());
        for (seen, expected) in seen.borrow().iter().zip(expected) {
            assert!(seen.starts_with(expected), "{seen}, and not {expected}");
        }
    }

    #[test]
    fn timers_fire_neither_early_nor_late_nor_in_a_burst_after_a_hold() {
        // Held before each turn and each resume, some hundred times for a minute.
        let (mut event_loop, world, _) = held(|_| true);
        let fired = Rc::new(RefCell::new(Vec::new()));
        for second in 1..=3 {
            let fired = Rc::clone(&fired);
            event_loop.handle().call_later(second * SECOND, move |handle| {
                fired.borrow_mut().push((handle.now(), handle.turns()));
            });
        }
        event_loop.run().unwrap();
        let expected: Vec<_> =
            (1..=3).map(|turn: u32| (Time::ZERO + turn * SECOND, u64::from(turn))).collect();
        assert_eq!(*fired.borrow(), expected);
        assert!(world.now() > Time::ZERO + 60 * SECOND, "time has passed in the world");
    }

    #[test]
    fn a_hold_makes_nobody_slow() {
        let (mut event_loop, ..) = held(|_| true);
        let recorder = Recorder::new(1_000);
        event_loop.observe(Some(Box::new(recorder.clone())));
        for _ in 0..3 {
            event_loop.handle().call_soon(|_| {});
        }
        event_loop.run().unwrap();
        let events = recorder.events();
        assert!(events.iter().all(|(_, event)| !matches!(event, Event::Stall { .. })));
        let last = events.last().expect("something happened").0;
        assert!(last < Time::ZERO + SECOND, "observers see the time of the loop: {last}");
    }

    #[test]
    fn a_gate_that_panics_is_removed_and_the_clock_goes_on() {
        struct Broken;

        impl Gate for Broken {
            fn lets_pass(&mut self, _: Moment, _: &Handle) -> bool {
                false
            }

            fn hold(&mut self, _: Moment, _: &Handle) {
                panic!("planted");
            }
        }

        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        event_loop.set_gate(Some(Box::new(Broken)));
        let rang = Rc::new(Cell::new(Time::ZERO));
        let at = Rc::clone(&rang);
        event_loop.handle().call_later(SECOND, move |handle| at.set(handle.clock()));
        event_loop.run().unwrap();
        assert_eq!(rang.get(), Time::ZERO + SECOND);
        assert!(event_loop.set_gate(None).is_none());
    }

    #[test]
    fn a_task_that_is_gone_is_not_waited_for() {
        let (mut event_loop, _, seen) = held(|_| false);
        let handle = event_loop.handle().clone();
        let victim = handle.call_soon(|_| unreachable!("it is cancelled"));
        victim.cancel();
        handle.call_soon(|_| {});
        event_loop.run().unwrap();
        assert_eq!(seen.borrow().len(), 2, "{seen:?}");
    }
}
