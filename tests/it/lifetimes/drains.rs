use std::time::Duration;

use helloop::events::Event;
use helloop::http::{Request, Response};
use helloop::limits::{
    ACCEPT_BACKOFF, DRAIN_IDLE_GRACE, DRAIN_TIMEOUT, LINGER_TIMEOUT, Limits, MAKE_ROOM_IDLE_MIN,
};
use helloop::world::sim::Faults;
use rustix::io::Errno;

use crate::sim::{House, address, echo, get, limits};

const INSTANT: Duration = Duration::from_millis(1);

fn house() -> House {
    House::calm(Limits::default(), echo)
}

#[track_caller]
fn assert_last_answer(text: &str) {
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text:?}");
}

#[test]
fn an_empty_server_drains_at_once() {
    let mut house = house();
    house.settle();
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.settle();
    assert!(house.server.is_finished());
    assert_eq!(house.event_loop().handle().task_count(), 0);
    assert_eq!(house.event_loop().next_deadline(), None, "no timer is left");
}

#[test]
fn connections_in_the_accept_queue_are_served_before_the_listener_closes() {
    let mut house = house();
    let clients: Vec<_> = (0..200).map(|_| house.connect()).collect();
    clients.iter().for_each(|client| client.send(&get("/queued")));
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.settle();
    for client in clients {
        assert_last_answer(&client.receive());
        client.assert_end();
    }
    house.pass(Duration::from_secs(3));
    assert!(house.server.is_finished());
    let report = house.server.report();
    assert_eq!((report.connections, report.requests, report.cut), (200, 200, 0));
}

#[test]
fn what_is_in_flight_is_answered_and_then_closed() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(13, faults, Limits::default(), echo);
        let client = house.connect();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
        house.settle();
        house.server.handle().drain(DRAIN_TIMEOUT);
        house.pass(DRAIN_IDLE_GRACE * 4);
        client.assert_quiet();
        client.send("lo");
        house.settle();
        let text = client.receive();
        assert_last_answer(&text);
        assert!(text.ends_with("POST / hello\n"));
        client.assert_end();
        client.peer.finish();
        house.settle();
        assert!(house.server.is_finished());
        assert_eq!(house.server.report().cut, 0);
    }
}

#[test]
fn idle_connections_are_closed_after_their_grace() {
    let mut house = house();
    let [fresh, used] = [house.connect(), house.connect()];
    used.send(&get("/"));
    house.settle();
    assert_eq!(used.answer().0, 200);
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.pass(DRAIN_IDLE_GRACE - INSTANT);
    fresh.assert_quiet();
    used.assert_quiet();
    house.pass(2 * INSTANT);
    for client in [&fresh, &used] {
        assert_eq!(client.receive(), "");
        client.assert_end();
    }
    assert!(house.server.is_finished());
    let idle = "the server shut down while the connection was idle";
    assert_eq!(house.endings(), [idle; 2]);
    assert_eq!(house.server.report().cut, 0);
}

/// The client saw an open connection and used it: the grace is for this.
#[test]
fn a_request_that_raced_the_drain_is_answered() {
    let mut house = house();
    let client = house.connect();
    house.settle();
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.pass(DRAIN_IDLE_GRACE / 2);
    client.send(&get("/raced"));
    house.settle();
    assert_last_answer(&client.receive());
    client.assert_end();
}

/// Its bytes lie in the socket, unread, when the grace is over.
#[test]
fn a_request_that_arrives_with_the_end_of_the_grace_is_answered() {
    let mut house = house();
    let client = std::rc::Rc::new(house.connect());
    house.settle();
    house.server.handle().drain(DRAIN_TIMEOUT);
    let sender = std::rc::Rc::clone(&client);
    house.settle();
    let end_of_grace = house.event_loop().next_deadline().expect("the drain has timers");
    house.net.at(end_of_grace, move |_| sender.send(&get("/raced")));
    house.pass(DRAIN_IDLE_GRACE + INSTANT);
    assert_last_answer(&client.receive());
    client.assert_end();
}

#[test]
fn the_deadline_cuts_what_is_left_and_counts_it() {
    let mut house = house();
    let [stalled, partial] = [house.connect(), house.connect()];
    stalled.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    partial.send("GET / HTT");
    house.settle();
    house.server.handle().drain(Duration::from_secs(5));
    house.pass(Duration::from_secs(5) - INSTANT);
    assert!(!house.server.is_finished());
    house.pass(2 * INSTANT);
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 2);
    assert!(stalled.peer.is_closed() && partial.peer.is_closed());
    assert_eq!(
        house.endings(),
        ["cut while busy: the server was stopped, or its drain took too long"; 2]
    );
    let phases = house.told(|_, event| match event {
        Event::State { task, from, to } => Some((*task, *from, *to)),
        _ => None,
    });
    let drainer = phases.iter().find(|(_, from, _)| *from == "serving").map(|(task, ..)| *task);
    let phases = phases.into_iter().filter(|(task, ..)| Some(*task) == drainer);
    let names: Vec<_> = phases.map(|(_, from, to)| (from, to)).collect();
    let idle = "closing idle connections";
    assert_eq!(names, [("serving", "draining"), ("draining", idle), (idle, "cutting")]);
}

#[test]
fn until_the_delay_is_over_everything_is_accepted_and_each_answer_is_the_last() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(5, faults, Limits::default(), echo);
        let idle = house.connect();
        house.settle();
        house.server.handle().drain_after(Duration::from_secs(5), DRAIN_TIMEOUT);
        for second in 0..5 {
            let (old, new) = (house.connect(), house.connect());
            old.send(&get("/old"));
            new.send(&get("/new"));
            house.pass(Duration::from_millis(999));
            for client in [&old, &new] {
                assert_last_answer(&client.receive());
                client.assert_end();
            }
            assert!(!house.server.is_finished(), "second {second}");
        }
        idle.assert_quiet();
        idle.send(&get("/idle"));
        house.pass(Duration::from_secs(3));
        assert_last_answer(&idle.receive());
        house.pass(Duration::from_secs(3));
        assert!(house.server.is_finished());
        assert_eq!(house.server.report().cut, 0);
        assert_eq!(house.event_loop().next_deadline(), None, "no timer is left");
    }
}

#[test]
fn after_the_delay_comes_the_whole_drain() {
    let mut house = house();
    let busy = house.connect();
    busy.send("GET / HT");
    house.settle();
    house.server.handle().drain_after(Duration::from_secs(5), Duration::from_secs(2));
    house.pass(Duration::from_secs(5) - INSTANT);
    assert!(!house.server.handle().is_draining(), "it is announced");
    house.pass(Duration::from_secs(2));
    assert!(house.server.handle().is_draining());
    assert!(!house.server.is_finished());
    house.pass(2 * INSTANT);
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 1);
    let phases = house.told(|_, event| match event {
        Event::State { from, to, .. } => Some((*from, *to)),
        _ => None,
    });
    let announcing = "announcing the end";
    assert!(phases.contains(&("serving", announcing)), "{phases:?}");
    assert!(phases.contains(&(announcing, "draining")), "{phases:?}");
}

#[test]
fn a_shutdown_does_not_wait_for_the_delay() {
    let mut house = house();
    house.settle();
    house.server.handle().drain_after(Duration::MAX, Duration::MAX);
    house.pass(Duration::from_secs(60));
    assert!(!house.server.is_finished());
    house.server.handle().shutdown();
    house.settle();
    assert!(house.server.is_finished());
}

#[test]
fn a_peer_that_does_not_read_cannot_hold_a_drain_up() {
    let mut house = House::calm(Limits::default(), |_: &Request<'_>, response: &mut Response| {
        response.text("x".repeat(1 << 20));
    });
    let client = house.connect();
    client.send(&get("/"));
    house.settle();
    house.server.handle().drain(Duration::from_secs(5));
    house.pass(Duration::from_secs(5) + INSTANT);
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 1);
}

#[test]
fn a_drain_without_time_cuts_at_once() {
    let mut house = house();
    let busy = house.connect();
    busy.send("GET / HT");
    house.settle();
    house.server.handle().drain(Duration::ZERO);
    house.settle();
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 1);
}

#[test]
fn a_second_drain_changes_nothing() {
    let mut house = house();
    let client = house.connect();
    client.send("GET / HT");
    house.settle();
    house.server.handle().drain(Duration::from_secs(5));
    house.pass(Duration::from_secs(2));
    house.server.handle().drain(Duration::from_secs(60));
    house.pass(Duration::from_secs(3) + INSTANT);
    assert!(house.server.is_finished(), "the first deadline counts");
}

#[test]
fn a_shutdown_ends_everything_at_once_also_in_a_drain() {
    for drains in [false, true] {
        let mut house = house();
        let [idle, busy, lingering] = [house.connect(), house.connect(), house.connect()];
        busy.send("GET / HT");
        lingering.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nand more");
        house.settle();
        if drains {
            house.server.handle().drain(DRAIN_TIMEOUT);
            house.settle();
        }
        house.server.handle().shutdown();
        house.settle();
        assert!(house.server.is_finished());
        assert!([&idle, &busy, &lingering].iter().all(|client| client.peer.is_closed()));
        assert_eq!(house.server.report().cut, 1, "only one had something to say");
        assert_eq!(lingering.answer().0, 200);
        assert_eq!(house.event_loop().handle().task_count(), 0);
        assert_eq!(house.event_loop().next_deadline(), None);
    }
}

/// Idle connections that a shutdown ends were not busy, and no drain timed out.
#[test]
fn a_shutdown_tells_idle_connections_the_truth() {
    let mut house = house();
    let _idle = house.connect();
    house.settle();
    house.server.handle().shutdown();
    house.settle();
    assert_eq!(house.endings(), ["the server shut down while the connection was idle"]);
}

#[test]
fn a_full_server_that_drains_serves_its_queue_too() {
    let limits = limits(|limits| limits.connections_max = Some(2));
    let mut house = House::calm(limits, echo);
    let clients: Vec<_> = (0..6).map(|_| house.connect()).collect();
    clients.iter().for_each(|client| client.send(&get("/")));
    house.settle();
    house.server.handle().drain(DRAIN_TIMEOUT);
    // Nobody hangs up. Who lingers makes room at once, so that only the last ones linger on.
    house.pass(Duration::from_secs(1));
    for client in &clients {
        assert!(client.receive().starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(house.server.report().connections, 6);
    house.pass(LINGER_TIMEOUT);
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 0);
}

/// A peer that was never accepted is cut like the others, if it had asked for something.
#[test]
fn who_waits_in_the_accept_queue_of_a_full_server_is_counted_at_the_deadline() {
    for waiting in [1, 6, 600] {
        let limits = limits(|limits| limits.connections_max = Some(2));
        let mut house = House::calm(limits, echo);
        let busy = [house.connect(), house.connect()];
        busy.iter().for_each(|client| client.send("GET / HTTP/1.1\r\n"));
        house.settle();
        let clients: Vec<_> = (0..waiting).map(|_| house.connect()).collect();
        clients.iter().for_each(|client| client.send(&get("/")));
        let silent = [house.connect(), house.connect()];
        silent[1].peer.finish();
        house.server.handle().drain(Duration::from_secs(5));
        house.pass(Duration::from_secs(5) + INSTANT);
        assert!(house.server.is_finished());
        assert!(clients.iter().chain(&silent).all(|client| client.peer.is_closed()));
        let report = house.server.report();
        assert_eq!((report.cut, report.cut_unaccepted), (2 + waiting, waiting));
    }
}

/// The queue can be looked at only when the connections have left their descriptors.
#[test]
fn who_waits_is_counted_also_when_there_was_no_descriptor() {
    let mut house = House::calm(Limits::default(), echo);
    let busy = house.connect();
    busy.send("GET / HT");
    house.settle();
    // Three attempts until the deadline, one at the deadline, and then there is a descriptor.
    (0..4).for_each(|_| house.net.fail_accept(address(), Errno::MFILE.raw_os_error()));
    let waiting = house.connect();
    waiting.send(&get("/"));
    house.server.handle().drain(ACCEPT_BACKOFF * 5 / 2);
    house.pass(ACCEPT_BACKOFF * 3);
    assert!(house.server.is_finished());
    let report = house.server.report();
    assert_eq!((report.cut, report.cut_unaccepted), (2, 1));
}

/// The loop is the host's: others may still be on it when the server is gone.
#[test]
fn the_loop_outlives_the_server() {
    let mut house = house();
    house.server.handle().shutdown();
    house.settle();
    assert!(house.server.is_finished());
    let handle = house.event_loop().handle().clone();
    let listener = handle.listen(address()).expect("the address is free again");
    drop(listener);
    house.server.handle().drain(DRAIN_TIMEOUT);
    assert_eq!(house.settle(), 1, "an order to a server that is gone wakes nobody");
}

/// A full server takes the next connection from the queue when one has ended, which may be long after
/// the grace of the others is over.
#[test]
fn who_is_accepted_after_the_grace_has_one_of_its_own() {
    let limits = limits(|limits| limits.connections_max = Some(1));
    let mut house = House::calm(limits, echo);
    let first = house.connect();
    first.send("GET / HTTP/1.1\r\n");
    house.settle();
    let [prompt, silent] = [house.connect(), house.connect()];
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.pass(DRAIN_IDLE_GRACE + INSTANT);
    first.send("Host: h\r\n\r\n");
    house.settle();
    assert_last_answer(&first.receive());
    // It lingers, and is closed because somebody waits. That one has a moment to ask.
    house.pass(MAKE_ROOM_IDLE_MIN * 3 / 2);
    prompt.send(&get("/prompt"));
    house.settle();
    assert_last_answer(&prompt.receive());
    prompt.assert_end();
    prompt.peer.finish();
    let accepted = house.net.now();
    house.pass(DRAIN_IDLE_GRACE - INSTANT);
    silent.assert_quiet();
    house.pass(2 * INSTANT);
    silent.assert_end();
    drop(silent);
    house.settle();
    assert!(house.server.is_finished(), "{:?}", house.net.now().since(accepted));
    assert_eq!(house.server.report().cut, 0);
    let idle = "the server shut down while the connection was idle";
    assert_eq!(house.endings().last(), Some(&idle));
}

/// Also when both calls come before the loop turns.
#[test]
fn the_first_drain_says_how_long_it_may_take() {
    for settles in [false, true] {
        let mut house = house();
        let client = house.connect();
        client.send("GET /slow HTTP/1.1\r\n");
        house.settle();
        house.server.handle().drain(Duration::from_secs(2));
        if settles {
            house.settle();
        }
        house.server.handle().drain(Duration::from_secs(5));
        house.pass(Duration::from_secs(2) + INSTANT);
        assert!(house.server.is_finished(), "settles: {settles}");
        assert_eq!(house.server.report().cut, 1);
    }
}
