use std::time::Duration;

use helloop::events::{Event, Operation};
use helloop::limits::{ACCEPT_BACKOFF, Limits};
use helloop::world::sim::Faults;
use rustix::io::Errno;

use crate::sim::{House, address, echo, get, limits};

const EMFILE: i32 = Errno::MFILE.raw_os_error();
const ENFILE: i32 = Errno::NFILE.raw_os_error();
const ECONNABORTED: i32 = Errno::CONNABORTED.raw_os_error();
const INSTANT: Duration = Duration::from_millis(1);

/// The states that were told of, each with the one before it, without those of connections.
fn acceptor_states(house: &House) -> Vec<(&'static str, &'static str)> {
    let states = house.told(|_, event| match event {
        Event::State { from, to, .. } => Some((*from, *to)),
        _ => None,
    });
    let is_acceptor = |name| ["accepting", "backing off", "full"].contains(&name);
    states.into_iter().filter(|(from, to)| is_acceptor(from) || is_acceptor(to)).collect()
}

#[test]
fn without_descriptors_it_backs_off_and_resumes() {
    for errno in [EMFILE, ENFILE] {
        let mut house = House::calm(Limits::default(), echo);
        house.settle();
        house.net.fail_accept(address(), errno);
        let client = house.connect();
        client.send(&get("/"));
        house.pass(ACCEPT_BACKOFF - INSTANT);
        assert_eq!(house.server.open_connections(), 0);
        house.pass(2 * INSTANT);
        assert_eq!(client.answer().0, 200);
        let states = [("accepting", "backing off"), ("backing off", "accepting")];
        assert_eq!(acceptor_states(&house), states);
    }
}

/// The accept queue stays readable all the while: who trusts it spins, and would take all of these
/// failures in a moment.
#[test]
fn without_descriptors_for_a_minute_it_does_not_spin() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(1, faults, Limits::default(), echo);
        house.settle();
        let waiting = house.connect();
        waiting.send(&get("/"));
        for _ in 0..20_000 {
            house.net.fail_accept(address(), EMFILE);
        }
        let turns = house.pass(Duration::from_secs(60));
        assert!((600..1300).contains(&turns), "{turns} turns in a minute of 600 attempts");
        waiting.assert_quiet();
    }
}

/// Others live on meanwhile.
#[test]
fn without_descriptors_the_open_connections_are_served() {
    let mut house = House::calm(Limits::default(), echo);
    let open = house.connect();
    house.settle();
    for _ in 0..20 {
        house.net.fail_accept(address(), EMFILE);
    }
    house.pass(Duration::from_millis(500));
    open.send(&get("/"));
    house.settle();
    assert_eq!(open.answer().0, 200);
}

#[test]
fn a_connection_that_was_aborted_in_the_queue_is_skipped() {
    let mut house = House::calm(Limits::default(), echo);
    house.settle();
    for _ in 0..3 {
        house.net.fail_accept(address(), ECONNABORTED);
    }
    let client = house.connect();
    client.send(&get("/"));
    let began = house.net.now();
    house.settle();
    assert_eq!(client.answer().0, 200);
    assert!(house.net.now().since(began) < ACCEPT_BACKOFF, "it did not pause");
}

/// A batch in which one connection was accepted is no reason to pause, whatever became of the rest.
#[test]
fn a_batch_with_failures_goes_on_with_the_next() {
    let mut house = House::calm(limits(|limits| limits.accepts_per_resume_max = 4), echo);
    house.settle();
    for _ in 0..3 {
        house.net.fail_accept(address(), ECONNABORTED);
    }
    let clients = [house.connect(), house.connect()];
    clients.iter().for_each(|client| client.send(&get("/")));
    house.settle();
    assert_eq!(clients.map(|client| client.answer().0), [200, 200]);
    assert!(acceptor_states(&house).is_empty(), "it did not pause");
}

/// Nothing but failures, more than one resume takes: whatever it is, do not spin on it.
#[test]
fn endless_failures_do_not_spin() {
    let mut house = House::calm(Limits::default(), echo);
    house.settle();
    for _ in 0..10_000 {
        house.net.fail_accept(address(), ECONNABORTED);
    }
    let turns = house.pass(Duration::from_secs(1));
    assert!(turns < 40, "{turns} turns in a second");
}

#[test]
fn a_full_server_lets_others_wait_and_takes_them_when_there_is_room() {
    let limits = limits(|limits| limits.connections_max = Some(2));
    let mut house = House::calm(limits, echo);
    let [first, second, third] = [house.connect(), house.connect(), house.connect()];
    let request = get("/");
    let (beginning, rest) = request.split_at(5);
    first.send(beginning);
    second.send(beginning);
    third.send(&get("/"));
    let turns = house.pass(Duration::from_secs(1));
    assert!(turns < 20, "a full server waits, {turns} turns in a second");
    [&first, &second, &third].iter().for_each(|client| client.assert_quiet());
    assert_eq!(house.server.open_connections(), 2);
    first.send(rest);
    first.peer.finish();
    house.settle();
    assert_eq!((first.answer().0, third.answer().0), (200, 200));
    assert_eq!(house.server.open_connections(), 2);
    let states = [("accepting", "full"), ("full", "accepting")];
    assert_eq!(acceptor_states(&house), states);
}

/// No more than the limit, though a crowd comes and goes on a rough network.
#[test]
fn the_limit_of_connections_holds_in_a_crowd() {
    const MAX: usize = 5;
    let mut house =
        House::new(21, Faults::ROUGH, limits(|limits| limits.connections_max = Some(MAX)), echo);
    let clients: Vec<_> = (0..60).map(|_| house.connect()).collect();
    for client in &clients {
        client.send(&get("/"));
        client.peer.finish();
    }
    while clients.iter().any(|client| !client.peer.at_end() && client.receive().is_empty()) {
        house.turn();
        assert!(house.server.open_connections() <= MAX);
    }
    house.settle();
    assert_eq!(house.server.report().connections, 60);
    assert_eq!(house.server.report().requests, 60);
}

/// `accepts_per_resume_max`: between two batches of accepts, the accepted have their turn.
#[test]
fn a_crowd_does_not_keep_the_accepted_waiting() {
    let limits = limits(|limits| limits.accepts_per_resume_max = 4);
    let mut house = House::calm(limits, echo);
    let clients: Vec<_> = (0..20).map(|_| house.connect()).collect();
    clients.iter().for_each(|client| client.send(&get("/")));
    house.settle();
    let order: String = house
        .told(|_, event| match event {
            Event::Accepted { .. } => Some('a'),
            Event::Response { .. } => Some('r'),
            _ => None,
        })
        .into_iter()
        .collect();
    // The acceptor goes to the back of the queue: behind those that it has just spawned.
    assert_eq!(order, "aaaarrrr".repeat(5));
}

/// The queue is asked until it would block, so that no connection waits for the next one.
#[test]
fn the_accept_queue_is_emptied() {
    let mut house = House::calm(Limits::default(), echo);
    let clients: Vec<_> = (0..500).map(|_| house.connect()).collect();
    house.settle();
    assert_eq!(house.server.open_connections(), 500);
    let blocked = house.told(|_, event| match event {
        Event::WouldBlock { operation: Operation::Accept, .. } => Some(()),
        _ => None,
    });
    assert_eq!(blocked.len(), 1);
    drop(clients);
}

#[test]
fn a_server_that_ends_while_it_backs_off_leaves_no_timer() {
    let mut house = House::calm(Limits::default(), echo);
    house.settle();
    house.net.fail_accept(address(), EMFILE);
    house.settle();
    house.server.handle().shutdown();
    house.settle();
    assert!(house.server.is_finished());
    assert_eq!(house.event_loop().next_deadline(), None);
}
