//! Turns that a host takes step by step.

use super::*;
use crate::world::Clock;
use crate::world::sim::SimClock;
use std::cell::Cell;

const SECOND: Duration = Duration::from_secs(1);

fn with_clock() -> (EventLoop, Rc<SimClock>) {
    let world = Sim::new(1);
    let Clock::Sim(clock) = world.clock() else { unreachable!("it is simulated") };
    (EventLoop::with_world(Box::new(world)), clock)
}

/// Holds the clock before each turn and each resume, while a minute passes in the world.
fn turn_with_holds(event_loop: &mut EventLoop, clock: &SimClock) {
    let hold = |event_loop: &mut EventLoop| {
        let before = event_loop.handle().clock();
        event_loop.hold_clock(|handle| {
            clock.jump_to(clock.now() + 60 * SECOND);
            assert_eq!(handle.clock(), before, "the clock stands");
        });
    };
    hold(event_loop);
    event_loop.begin_turn(None).unwrap();
    while event_loop.peek().is_some() {
        hold(event_loop);
        assert!(event_loop.resume_next());
    }
    event_loop.end_turn();
}

#[test]
fn the_steps_of_a_turn_show_who_is_next_and_who_has_run() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let ends = spawn(&handle, |_| Flow::Done);
    let waits = spawn(&handle, |_| Flow::Wait);
    let gone = spawn(&handle, |_| unreachable!("it is discarded"));
    let panics = spawn(&handle, |_| panic!("planted"));
    assert_eq!(event_loop.peek(), None, "no turn has begun");
    assert!(!event_loop.resume_next());
    handle.discard(gone);
    assert_eq!(event_loop.begin_turn(None).unwrap(), 4);
    let mut seen = Vec::new();
    while let Some((next, cause)) = event_loop.peek() {
        assert_eq!(cause, Cause::SPAWNED);
        // A task that is queued after the batch was fixed is not in it.
        spawn(&handle, |_| Flow::Done);
        assert!(event_loop.resume_next_then(|task, boxed| {
            assert_eq!((task, boxed.kind()), (next, "script"));
            seen.push(task);
        }));
    }
    assert!(!event_loop.resume_next(), "the batch is over");
    event_loop.end_turn();
    assert_eq!(seen, [ends, waits, panics]);
    assert_eq!(event_loop.turn(None).unwrap(), 3);
}

#[test]
fn a_turn_that_was_left_in_the_middle_loses_nobody() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let log = Log::default();
    for name in ["first", "second", "third"] {
        let log = log.clone();
        spawn(&handle, move |cx| {
            log.line(cx, name);
            Flow::Done
        });
    }
    event_loop.begin_turn(None).unwrap();
    event_loop.resume_next();
    // As if the host had panicked here, and turned the loop again.
    assert_eq!(event_loop.turn(None).unwrap(), 2);
    assert_eq!(log.take(), ["first in turn 1", "second in turn 2", "third in turn 2"]);
}

#[test]
fn a_look_that_panics_costs_nobody_anything() {
    let (mut event_loop, _) = simulated();
    let resumes = Rc::<Cell<u32>>::default();
    let count = Rc::clone(&resumes);
    let task = spawn(event_loop.handle(), move |_| {
        count.set(count.get() + 1);
        Flow::Wait
    });
    event_loop.begin_turn(None).unwrap();
    assert!(event_loop.resume_next_then(|_, _| panic!("planted")));
    event_loop.end_turn();
    event_loop.handle().wake(task);
    event_loop.turn(None).unwrap();
    assert_eq!(resumes.get(), 2);
    assert_eq!(event_loop.handle().look_at::<()>(task, |_| panic!("planted")), None);
    event_loop.handle().wake(task);
    event_loop.turn(None).unwrap();
    assert_eq!(resumes.get(), 3);
}

#[test]
fn timers_fire_neither_early_nor_late_nor_in_a_burst_after_a_hold() {
    let (mut event_loop, clock) = with_clock();
    let fired = Rc::new(RefCell::new(Vec::new()));
    for second in 1..=3 {
        let fired = Rc::clone(&fired);
        event_loop.handle().call_later(second * SECOND, move |handle| {
            fired.borrow_mut().push((handle.now(), handle.turns()));
        });
    }
    while event_loop.handle().task_count() > 0 {
        turn_with_holds(&mut event_loop, &clock);
    }
    let expected: Vec<_> =
        (1..=3).map(|turn: u32| (Time::ZERO + turn * SECOND, u64::from(turn))).collect();
    assert_eq!(*fired.borrow(), expected);
    assert!(clock.now() > Time::ZERO + 300 * SECOND, "time has passed in the world");
}

#[test]
fn observers_see_the_time_of_the_loop() {
    let (mut event_loop, clock) = with_clock();
    let recorder = Recorder::new(1_000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    for _ in 0..3 {
        event_loop.handle().call_soon(|_| {});
    }
    turn_with_holds(&mut event_loop, &clock);
    let last = recorder.events().last().expect("something happened").0;
    assert!(last < Time::ZERO + SECOND, "{last}");
}
