//! Plants, into the events of a run that is as it should be, the bug that each checker is for.

use helloop::event_loop::{Cause, Flow};
use helloop::events::{Event, Timeout};
use helloop::limits::Limits;
use helloop::world::Time;
use helloop::world::sim::Faults;

use super::{check, verdicts};
use crate::sim::{House, echo, get, limits};

type Events = Vec<(Time, Event)>;

/// A run in which everything happens, and how much of it happened before the loop was dropped.
fn good_run() -> (Events, usize) {
    let limits = limits(|limits| limits.requests_per_resume_max = 2);
    let mut house = House::new(3, Faults::ROUGH, limits, echo);
    let clients = [house.connect(), house.connect(), house.connect()];
    for client in &clients {
        client.send(&get("/a").repeat(5));
        house.settle();
    }
    clients[0].peer.finish();
    clients[1].send("GET /b");
    house.pass(Limits::default().idle_timeout * 2);
    let tape = house.tape.clone();
    let last = house.connect();
    last.send(&get("/c"));
    house.settle();
    let lived = tape.len();
    drop(house);
    (tape.events(), lived)
}

/// The checker `name` complains of the good run after `plant` has spoilt it.
#[track_caller]
fn check_planted(name: &str, plant: impl FnOnce(&mut Events)) {
    let (mut events, lived) = good_run();
    let length = events.len();
    plant(&mut events);
    let complaints = verdicts(&events, lived + events.len() - length).into_iter();
    let complaints: Vec<String> = complaints.filter_map(Result::err).collect();
    let found = complaints.iter().any(|complaint| complaint.starts_with(name));
    assert!(found, "\"{name}\" did not notice; these did: {complaints:#?}");
}

/// Where the `n`-th event is that is `wanted`.
#[track_caller]
fn place(events: &[(Time, Event)], n: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    let mut places = events.iter().enumerate().filter(|(_, (_, event))| wanted(event));
    places.nth(n).expect("the run has such an event").0
}

fn repeat(events: &mut Events, at: usize) {
    let event = events[at];
    events.insert(at, event);
}

#[test]
fn the_run_without_a_bug_is_good() {
    let (events, lived) = good_run();
    assert_eq!(check(&events, lived), Ok(()));
    assert!(lived < events.len(), "the loop was dropped with a connection on it");
}

#[test]
fn a_clock_that_goes_back() {
    check_planted("time never goes back", |events| {
        let at = place(events, 3, |event| matches!(event, Event::Resumed { .. }));
        events[at].0 = Time::ZERO;
        events[at - 1].0 = Time::from_nanos(1);
    });
}

#[test]
fn a_wait_although_work_is_queued() {
    check_planted("the timeout is zero", |events| {
        let wanted = |event: &Event| matches!(event, Event::Waiting { timeout: Timeout::Zero });
        let at = place(events, 0, wanted);
        events[at].1 = Event::Waiting { timeout: Timeout::Forever };
    });
}

#[test]
fn a_spin_although_nothing_is_queued() {
    check_planted("the timeout is zero", |events| {
        let wanted = |event: &Event| matches!(event, Event::Waiting { timeout: Timeout::Until(_) });
        let at = place(events, 1, wanted);
        events[at].1 = Event::Waiting { timeout: Timeout::Zero };
    });
}

#[test]
fn a_wait_beyond_the_next_timer() {
    check_planted("the timeout is zero", |events| {
        let wanted = |event: &Event| matches!(event, Event::Waiting { timeout: Timeout::Until(_) });
        let at = place(events, 1, wanted);
        events[at].1 = Event::Waiting { timeout: Timeout::Forever };
    });
}

#[test]
fn a_timer_that_fires_early() {
    check_planted("timers fire in order", |events| {
        let at = place(events, 0, |event| matches!(event, Event::TimerFired { .. }));
        let Event::TimerFired { task, .. } = events[at].1 else { unreachable!("just found") };
        events[at].1 = Event::TimerFired { task, deadline: Time::NEVER };
    });
}

#[test]
fn a_timer_that_was_forgotten() {
    check_planted("timers fire in order", |events| {
        let at = place(events, 0, |event| matches!(event, Event::TimerCancelled { .. }));
        events.remove(at);
    });
}

#[test]
fn timers_out_of_order() {
    check_planted("timers fire in order", |events| {
        let fires = |event: &Event| matches!(event, Event::TimerFired { .. });
        let at = place(events, 0, fires);
        let (now, Event::TimerFired { task, .. }) = events[at] else { unreachable!("just found") };
        // An earlier one is passed over.
        events.insert(at, (now, Event::TimerSet { task, deadline: Time::ZERO }));
    });
}

#[test]
fn a_timer_that_is_due_and_does_not_fire() {
    check_planted("a timer that is due", |events| {
        let at = place(events, 0, |event| matches!(event, Event::TimerFired { .. }));
        events.remove(at);
    });
}

#[test]
fn a_task_that_spins() {
    check_planted("who wants to go on", |events| {
        let wanted = |event: &Event| matches!(event, Event::Suspended { flow: Flow::Again, .. });
        let at = place(events, 0, wanted);
        let is_resumed = |(_, event): &(Time, Event)| matches!(event, Event::Resumed { .. });
        let resumed = events[..at].iter().rposition(is_resumed).expect("it was resumed");
        events.drain(resumed + 1..at);
    });
}

#[test]
fn a_task_that_is_resumed_in_the_turn_that_queued_it() {
    check_planted("a batch is what was queued", |events| {
        // Between the two, the turn that should have ended.
        let wanted = |event: &Event| matches!(event, Event::Queued { cause, .. } if cause.contains(Cause::AGAIN));
        let queued = place(events, 0, wanted);
        let is_turn = |event: &Event| matches!(event, Event::TurnBegan { .. });
        let turn = queued + place(&events[queued..], 0, is_turn);
        let is_resumed = |event: &Event| matches!(event, Event::Resumed { .. });
        let resumed = turn + place(&events[turn..], 0, is_resumed);
        events.drain(turn..resumed);
    });
}

#[test]
fn a_task_that_is_queued_twice() {
    check_planted("a batch is what was queued", |events| {
        let at = place(events, 2, |event| matches!(event, Event::Queued { .. }));
        repeat(events, at);
    });
}

#[test]
fn a_task_that_is_left_out_of_its_batch() {
    check_planted("a batch is what was queued", |events| {
        let at = place(events, 1, |event| matches!(event, Event::Resumed { .. }));
        events.remove(at);
    });
}

#[test]
fn a_task_that_is_resumed_twice() {
    check_planted("at most one resume", |events| {
        let at = place(events, 0, |event| matches!(event, Event::Resumed { .. }));
        let (now, Event::Resumed { task, .. }) = events[at] else { unreachable!("just found") };
        let resumed = events[at];
        let suspended = (now, Event::Suspended { task, flow: Flow::Wait });
        // Twice after each other, within one turn.
        events.splice(at..at, [resumed, suspended]);
    });
}

#[test]
fn a_task_that_is_resumed_while_another_runs() {
    check_planted("at most one resume", |events| {
        let at = place(events, 0, |event| matches!(event, Event::Suspended { .. }));
        events.remove(at);
    });
}

#[test]
fn a_source_that_is_closed_twice_or_never_or_used_after() {
    let name = "every source is opened once";
    let is_closed = |event: &Event| matches!(event, Event::Closed { .. });
    check_planted(name, |events| {
        let at = place(events, 0, is_closed);
        repeat(events, at);
    });
    check_planted(name, |events| {
        let at = place(events, 0, is_closed);
        events.remove(at);
    });
    check_planted(name, |events| {
        let at = place(events, 0, is_closed);
        let (now, Event::Closed { source }) = events[at] else { unreachable!("just found") };
        events.insert(at + 1, (now, Event::Read { source, bytes: 1 }));
    });
    check_planted(name, |events| {
        let at = place(events, 1, |event| matches!(event, Event::Opened { .. }));
        repeat(events, at);
    });
}

#[test]
fn a_connection_with_two_endings_or_none() {
    let name = "every connection has one ending";
    let is_ending = |event: &Event| matches!(event, Event::Ending { .. });
    check_planted(name, |events| {
        let at = place(events, 0, is_ending);
        repeat(events, at);
    });
    check_planted(name, |events| {
        let at = place(events, 0, is_ending);
        events.remove(at);
    });
}

#[test]
fn a_request_without_an_answer_or_an_answer_out_of_order() {
    let name = "every request has one answer";
    let is_response = |event: &Event| matches!(event, Event::Response { .. });
    check_planted(name, |events| {
        let at = place(events, 0, is_response);
        events.remove(at);
    });
    check_planted(name, |events| {
        let at = place(events, 1, is_response);
        repeat(events, at);
    });
    check_planted(name, |events| {
        let at = place(events, 0, is_response);
        let ending = place(events, 0, |event| matches!(event, Event::Ending { .. }));
        let (_, Event::Ending { task, .. }) = events[ending] else { unreachable!("just found") };
        let late = Event::Response { task, number: 6, status: 200, body_bytes: 0 };
        events.insert(ending + 1, (events[ending].0, late));
        assert!(at < ending);
    });
}

#[test]
fn a_connection_that_reads_although_it_has_output_to_write() {
    check_planted("who cannot write does not read", |events| {
        let at = place(events, 0, |event| matches!(event, Event::State { to: "flushing", .. }));
        let (now, Event::State { task, .. }) = events[at] else { unreachable!("just found") };
        let is_of_task =
            |event: &Event| matches!(event, Event::Opened { task: of, .. } if *of == task);
        let opened = place(events, 0, is_of_task);
        let Event::Opened { source, .. } = events[opened].1 else { unreachable!("just found") };
        events.insert(at + 1, (now, Event::Read { source, bytes: 1 }));
    });
}
