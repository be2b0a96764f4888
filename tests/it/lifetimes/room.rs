use std::net::SocketAddr;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::events::Event;
use helloop::http::{Request, Response};
use helloop::limits::{Limits, MAKE_ROOM_IDLE_MIN};
use helloop::server::Server;
use helloop::world::sim::Sim;

use crate::sim::{Client, House, echo, get, limits};

const MADE_ROOM: &str = "idle, it made room for a new connection";
const INSTANT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A server with room for so many.
fn house(connections: usize) -> House {
    House::calm(room_for(connections), echo)
}

fn room_for(connections: usize) -> Limits {
    limits(|limits| limits.connections_max = Some(connections))
}

/// Lets all of them ask, one after the other, and be idle for a second.
fn ask_in_turn(house: &mut House, clients: &[&Client]) {
    for client in clients {
        client.send(&get("/"));
        house.settle();
        assert_eq!(client.answer().0, 200);
    }
    house.pass(SECOND);
}

#[track_caller]
fn assert_answered(client: &Client) {
    assert_eq!(client.answer().0, 200);
}

#[test]
fn who_has_been_idle_longest_makes_room_at_once() {
    let mut house = house(2);
    let [first, second] = [house.connect(), house.connect()];
    house.pass(SECOND);
    let third = house.connect();
    third.send(&get("/"));
    let began = house.net.now();
    house.settle();
    assert_answered(&third);
    assert!(house.net.now().since(began) < INSTANT, "without waiting for anything");
    first.assert_end();
    second.assert_quiet();
    assert_eq!(house.endings(), [MADE_ROOM]);
}

/// A request that is answered counts, not who came first.
#[test]
fn the_order_is_that_of_the_last_answers() {
    let mut house = house(3);
    let [a, b, c] = [house.connect(), house.connect(), house.connect()];
    ask_in_turn(&mut house, &[&c, &a, &b]);
    ask_in_turn(&mut house, &[&c]);
    let mut newcomers = Vec::new();
    for closed in [&a, &b] {
        closed.assert_quiet();
        let newcomer = house.connect();
        newcomer.send(&get("/"));
        house.pass(SECOND);
        closed.assert_end();
        assert_answered(&newcomer);
        newcomers.push(newcomer);
    }
    c.assert_quiet();
    newcomers.iter().for_each(Client::assert_quiet);
}

/// It was chosen when its request lay in the socket and nobody had looked.
#[test]
fn a_request_that_races_with_a_newcomer_is_answered() {
    for others in 0..2 {
        let mut house = house(1 + others);
        let chosen = house.connect();
        let other = (others > 0).then(|| house.connect());
        house.pass(SECOND);
        let newcomer = house.connect();
        newcomer.send(&get("/newcomer"));
        chosen.send(&get("/raced"));
        house.settle();
        assert_eq!(chosen.answer().1, "GET /raced \n");
        if let Some(other) = other {
            // The next one in the order, without delay.
            other.assert_end();
            chosen.assert_quiet();
        } else {
            // It has just been answered, and may be about to ask again.
            chosen.assert_quiet();
            house.pass(MAKE_ROOM_IDLE_MIN + INSTANT);
            chosen.assert_end();
        }
        assert_eq!(newcomer.answer().1, "GET /newcomer \n");
    }
}

#[test]
fn who_is_busy_is_never_asked_and_makes_room_when_it_is_idle() {
    let mut house = house(2);
    let [half, unread] = [house.connect(), house.connect()];
    half.send("GET /slow HTTP/1.1\r\n");
    unread.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12");
    house.settle();
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    let turns = house.pass(SECOND);
    assert!(turns < 20, "a full server waits, {turns} turns in a second");
    [&half, &unread, &newcomer].iter().for_each(|client| client.assert_quiet());
    half.send("Host: h\r\n\r\n");
    house.pass(MAKE_ROOM_IDLE_MIN - INSTANT);
    assert_answered(&half);
    half.assert_quiet();
    house.pass(2 * INSTANT);
    half.assert_end();
    assert_answered(&newcomer);
    unread.send("345");
    house.settle();
    assert_answered(&unread);
}

/// One that lingers has nothing to say any more: it goes before those that may ask again.
#[test]
fn who_lingers_makes_room_first() {
    let mut house = house(2);
    let [idle, lingering] = [house.connect(), house.connect()];
    house.pass(SECOND);
    lingering.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nand more");
    house.pass(MAKE_ROOM_IDLE_MIN);
    assert_answered(&lingering);
    assert!(!lingering.peer.is_closed());
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    house.settle();
    assert_answered(&newcomer);
    assert!(lingering.peer.is_closed());
    idle.assert_quiet();
}

/// ... also if it begins to linger when somebody waits already.
#[test]
fn who_begins_to_linger_makes_room_for_who_waits() {
    let mut house = house(1);
    let busy = house.connect();
    busy.send("GET / HTTP/1.1\r\nConnection: close\r\n");
    house.settle();
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    house.settle();
    newcomer.assert_quiet();
    busy.send("Host: h\r\n\r\nand more");
    house.pass(MAKE_ROOM_IDLE_MIN - INSTANT);
    assert_answered(&busy);
    newcomer.assert_quiet();
    house.pass(2 * INSTANT);
    assert_answered(&newcomer);
    assert!(!busy.peer.is_reset(), "what it had sent was read");
}

/// A peer that asks again soon after each answer is not idle.
#[test]
fn a_peer_between_two_requests_is_left_alone() {
    let mut house = house(1);
    let active = house.connect();
    active.send(&get("/"));
    house.settle();
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    for _ in 0..100 {
        house.pass(MAKE_ROOM_IDLE_MIN / 2);
        assert_answered(&active);
        newcomer.assert_quiet();
        active.send(&get("/"));
        house.settle();
    }
    house.pass(MAKE_ROOM_IDLE_MIN + INSTANT);
    assert_answered(&active);
    active.assert_end();
    assert_answered(&newcomer);
}

/// Nobody is closed on the mere suspicion that somebody might come.
#[test]
fn a_full_server_closes_nobody_while_nobody_comes() {
    let mut house = house(3);
    let clients = [house.connect(), house.connect(), house.connect()];
    clients.iter().for_each(|client| client.send(&get("/")));
    house.pass(SECOND);
    clients.iter().for_each(assert_answered);
    clients.iter().for_each(Client::assert_quiet);
    assert_eq!(house.server.open_connections(), 3);
}

/// Somebody else went by itself in the meantime.
#[test]
fn who_is_not_needed_any_more_stays() {
    let mut house = house(2);
    let [leaving, staying] = [house.connect(), house.connect()];
    house.pass(SECOND);
    leaving.send("GET / HT");
    staying.send(&get("/"));
    house.settle();
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    house.pass(MAKE_ROOM_IDLE_MIN / 2);
    newcomer.assert_quiet();
    leaving.peer.reset();
    house.settle();
    assert_answered(&newcomer);
    house.pass(SECOND);
    assert_answered(&staying);
    staying.assert_quiet();
    // It is the first to go all the same when another one comes.
    let _next = house.connect();
    house.settle();
    staying.assert_end();
    newcomer.assert_quiet();
}

/// Resumes from the arrival of a newcomer to its answer, with so many idle connections.
fn resumes_for_a_newcomer(connections: usize) -> usize {
    let mut house = house(connections);
    let clients: Vec<_> = (0..connections).map(|_| house.connect()).collect();
    clients.iter().for_each(|client| client.send(&get("/")));
    house.pass(SECOND);
    let newcomer = house.connect();
    newcomer.send(&get("/"));
    let before = house.tape.len();
    house.settle();
    assert_answered(&newcomer);
    let events = house.tape.events();
    events[before..].iter().filter(|(_, event)| matches!(event, Event::Resumed { .. })).count()
}

#[test]
fn a_newcomer_costs_the_same_however_many_are_idle() {
    assert_eq!(resumes_for_a_newcomer(50), resumes_for_a_newcomer(400));
}

/// Two listeners, of which one has a crowd: the others do not wait behind the whole crowd.
#[test]
fn who_waited_longest_is_first_over_all_listeners() {
    const CROWD: usize = 300;
    for (crowded, quiet) in [(0, 1), (1, 0)] {
        let world = Sim::new(1);
        let net = world.net();
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let handle = event_loop.handle().clone();
        let addresses = [1, 2].map(|host| SocketAddr::from(([127, 0, 0, host], 8080)));
        let listeners = addresses.map(|address| handle.listen(address).unwrap());
        let service = |_: &Request<'_>, response: &mut Response| {
            response.text("x");
        };
        let server = Server::builder().limits(room_for(10));
        let server = server.attach(&handle, listeners.into(), service).unwrap();
        // Each has said all that it says, so that it leaves when it is answered.
        let crowd: Vec<_> = (0..CROWD).map(|_| net.connect(addresses[crowded])).collect();
        for peer in &crowd {
            peer.send(get("/").as_bytes());
            peer.finish();
        }
        event_loop.turn(None).unwrap();
        let single = net.connect(addresses[quiet]);
        single.send(get("/").as_bytes());
        while single.receive().is_empty() {
            event_loop.turn(None).unwrap();
        }
        let answered = server.report().requests;
        assert!((10..30).contains(&answered), "it came after {answered} of the crowd");
    }
}
