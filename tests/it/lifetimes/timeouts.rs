use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use helloop::events::Event;
use helloop::limits::{
    BODY_PROGRESS_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, Limits, PROGRESS_BYTES_MIN,
    WRITE_PROGRESS_TIMEOUT,
};
use helloop::world::sim::{Faults, PIPE_BYTES};

use crate::sim::{Client, House, address, echo, get, limits};

const SECOND: Duration = Duration::from_secs(1);
/// Short against every timeout, long against what work costs on the virtual clock.
const INSTANT: Duration = Duration::from_millis(1);

fn house() -> House {
    House::calm(Limits::default(), echo)
}

#[test]
fn an_idle_connection_is_closed_silently_and_not_before_its_time() {
    let mut house = house();
    let client = house.connect();
    house.pass(IDLE_TIMEOUT - INSTANT);
    client.assert_quiet();
    house.pass(2 * INSTANT);
    assert_eq!(client.receive(), "");
    client.assert_end();
    assert_eq!(house.endings(), ["idle for too long"]);
}

#[test]
fn each_request_begins_the_idle_time_anew() {
    let mut house = house();
    let client = house.connect();
    for round in 0..5 {
        house.pass(IDLE_TIMEOUT - SECOND);
        client.send(&get("/"));
        house.settle();
        assert_eq!(client.answer().0, 200, "round {round}");
    }
    house.pass(IDLE_TIMEOUT - INSTANT);
    client.assert_quiet();
    house.pass(2 * INSTANT);
    client.assert_end();
}

/// RFC 9112 section 2.2: some clients end their bodies with one. Nobody has begun a request by it.
#[test]
fn an_empty_line_neither_hurries_nor_prolongs_an_idle_connection() {
    for empty_line in ["\r", "\r\n"] {
        let mut house = house();
        let client = house.connect();
        client.send(&get("/"));
        house.settle();
        assert_eq!(client.answer().0, 200);
        house.pass(IDLE_TIMEOUT - HEAD_TIMEOUT - SECOND);
        client.send(empty_line);
        house.pass(HEAD_TIMEOUT + SECOND - INSTANT);
        client.assert_quiet();
        house.pass(2 * INSTANT);
        assert_eq!(client.receive(), "", "{empty_line:?}");
        client.assert_end();
        assert_eq!(house.endings(), ["idle for too long"]);
    }
}

#[test]
fn a_head_behind_an_empty_line_has_its_time_from_its_own_first_byte() {
    let mut house = house();
    let client = house.connect();
    client.send("\r\n");
    house.pass(3 * HEAD_TIMEOUT);
    client.send("G");
    house.pass(HEAD_TIMEOUT - INSTANT);
    client.assert_quiet();
    house.pass(2 * INSTANT);
    assert_eq!(client.answer().0, 408);
}

/// The deadline is extended by writing a field; the timer that fires early sets itself again.
#[test]
fn a_busy_connection_costs_a_timer_per_idle_time_and_not_per_request() {
    let mut house = house();
    let client = house.connect();
    for _ in 0..300 {
        house.pass(SECOND);
        client.send(&get("/"));
        house.settle();
        client.receive();
    }
    let set = house.told(|_, event| matches!(event, Event::TimerSet { .. }).then_some(())).len();
    assert!(set <= 15, "300 s, 300 requests, {set} timers");
}

#[test]
fn a_request_that_arrives_with_the_deadline_is_answered() {
    let mut house = house();
    let client = house.connect();
    house.settle();
    let deadlines = house.told(|_, event| match event {
        Event::TimerSet { deadline, .. } => Some(*deadline),
        _ => None,
    });
    let client = Rc::new(client);
    let sender = Rc::clone(&client);
    house.net.at(deadlines[0], move |_| sender.send(&get("/")));
    house.pass(IDLE_TIMEOUT + SECOND);
    assert_eq!(client.answer().0, 200);
    client.assert_quiet();
}

/// Sends the bytes of `text`, one a `pause`.
fn dribble(house: &mut House, client: &Client, text: &str, pause: Duration) {
    for byte in text.bytes() {
        client.peer.send(&[byte]);
        house.pass(pause);
    }
}

#[test]
fn a_dribbled_head_is_refused_in_time() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(7, faults, Limits::default(), echo);
        let client = house.connect();
        // Slowloris: each byte would be in time for a timer that every byte resets.
        dribble(&mut house, &client, &"GET / HTTP/1.1\r\n"[..10], SECOND - INSTANT);
        client.assert_quiet();
        house.pass(11 * INSTANT);
        assert_eq!(client.answer(), (408, "head: not complete in time\n".into()));
        client.assert_end();
        assert_eq!(house.net.now().since(Default::default()).as_secs(), HEAD_TIMEOUT.as_secs());
    }
}

/// What counts as progress in a body does not in a head.
#[test]
fn a_head_has_one_limit_however_much_of_it_comes() {
    let mut house = house();
    let client = house.connect();
    client.send("GET / HTTP/1.1\r\nHost: sim\r\n");
    let field = format!("X: {}\r\n", "x".repeat(PROGRESS_BYTES_MIN));
    for _ in 0..4 {
        house.pass(HEAD_TIMEOUT / 4 - INSTANT);
        client.send(&field);
    }
    client.assert_quiet();
    house.pass(5 * INSTANT);
    assert_eq!(client.answer().0, 408);
}

#[test]
fn the_head_time_begins_with_the_first_byte() {
    let mut house = house();
    let client = house.connect();
    house.pass(IDLE_TIMEOUT - SECOND);
    client.send("G");
    house.pass(HEAD_TIMEOUT - INSTANT);
    client.assert_quiet();
    house.pass(2 * INSTANT);
    assert_eq!(client.answer().0, 408);
}

#[test]
fn good_requests_do_not_lengthen_the_time_of_a_head_that_follows() {
    let mut house = house();
    let client = house.connect();
    client.send(&format!("{}GET /b", get("/a")));
    house.settle();
    assert_eq!(client.answer().0, 200);
    house.pass(HEAD_TIMEOUT + INSTANT);
    assert_eq!(client.answer().0, 408);
}

#[test]
fn a_stalled_body_is_refused() {
    let mut house = house();
    let client = house.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello");
    house.pass(BODY_PROGRESS_TIMEOUT - INSTANT);
    client.assert_quiet();
    house.pass(2 * INSTANT);
    assert_eq!(client.answer(), (408, "body: not complete in time\n".into()));
    client.assert_end();
}

/// One byte every 29 s stays alive for ever where only silence is counted.
#[test]
fn a_body_that_moves_too_little_is_refused() {
    let mut house = house();
    let client = house.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
    let pause = BODY_PROGRESS_TIMEOUT / 100;
    dribble(&mut house, &client, &"x".repeat(99), pause);
    client.assert_quiet();
    dribble(&mut house, &client, "xx", pause);
    assert_eq!(client.answer().0, 408);
}

#[test]
fn a_slow_but_moving_body_survives() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(3, faults, Limits::default(), echo);
        let client = house.connect();
        let pieces = 40;
        let length = pieces * PROGRESS_BYTES_MIN;
        client.send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
        for _ in 0..pieces {
            house.pass(BODY_PROGRESS_TIMEOUT - SECOND);
            client.peer.send(&vec![b'x'; PROGRESS_BYTES_MIN]);
        }
        house.settle();
        let (status, body) = client.answer();
        assert_eq!((status, body.len()), (200, "POST / ".len() + length + 1));
        client.assert_quiet();
    }
}

/// A service that answers more than a pipe holds.
fn long_answers(_: &helloop::http::Request<'_>, response: &mut helloop::http::Response) {
    response.text("x".repeat(3 * PIPE_BYTES));
}

#[test]
fn a_peer_that_does_not_read_is_reset() {
    let mut house = House::calm(Limits::default(), long_answers);
    let client = house.connect();
    client.send(&get("/"));
    house.pass(WRITE_PROGRESS_TIMEOUT - INSTANT);
    assert!(!client.peer.is_reset());
    house.pass(2 * INSTANT);
    assert!(client.peer.is_reset(), "what the kernel holds must be freed at once");
    assert_eq!(house.endings(), ["the peer did not take the answer in time"]);
    assert_eq!(house.server.open_connections(), 0);
}

#[test]
fn a_peer_that_reads_too_little_is_reset() {
    let mut house = House::calm(Limits::default(), long_answers);
    let handle = house.event_loop().handle().clone();
    let mut stream = handle.connect(address()).expect("the house listens");
    stream.write_all(get("/").as_bytes()).expect("an empty pipe has room");
    let mut seconds = 0;
    // The pipe is full: each read lets ten more bytes in.
    let error = loop {
        house.pass(SECOND);
        seconds += 1;
        if let Err(error) = stream.read(&mut [0; 10]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!((30..=31).contains(&seconds), "{seconds} s, not {WRITE_PROGRESS_TIMEOUT:?}");
}

#[test]
fn a_peer_that_reads_slowly_gets_everything() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(11, faults, Limits::default(), long_answers);
        let client = house.connect();
        client.send(&get("/"));
        let mut text = String::new();
        for _ in 0..40 {
            house.pass(WRITE_PROGRESS_TIMEOUT - SECOND);
            text += &client.receive();
        }
        assert!(text.ends_with("x") && text.len() > 3 * PIPE_BYTES, "{} bytes", text.len());
        client.assert_end();
        assert_eq!(house.endings(), ["idle for too long"]);
    }
}

#[test]
fn the_date_follows_a_wall_clock_that_is_set_back() {
    let mut house = house();
    let client = house.connect();
    let date = |house: &mut House| {
        client.send(&get("/"));
        house.settle();
        let text = client.receive();
        let line = text.lines().find_map(|line| line.strip_prefix("Date: "));
        line.expect("a Date").to_owned()
    };
    assert_eq!(date(&mut house), "Thu, 01 Jan 2026 00:00:00 GMT");
    house.pass(SECOND);
    assert_eq!(date(&mut house), "Thu, 01 Jan 2026 00:00:01 GMT");
    house.net.set_wall(SystemTime::UNIX_EPOCH);
    house.pass(SECOND);
    assert_eq!(date(&mut house), "Thu, 01 Jan 1970 00:00:01 GMT");
}

#[test]
fn timeouts_that_are_set_are_obeyed() {
    let limits = limits(|limits| limits.idle_timeout = 2 * SECOND);
    let mut house = House::calm(limits, echo);
    let client = house.connect();
    house.pass(2 * SECOND + INSTANT);
    client.assert_end();
}

/// Deadlines far beyond 584 years saturate; nothing overflows.
#[test]
fn endless_timeouts_do_not_overflow() {
    let mut house = House::calm(
        limits(|limits| {
            limits.idle_timeout = Duration::MAX;
            limits.head_timeout = Duration::MAX;
        }),
        echo,
    );
    let client = house.connect();
    client.send("GET / HT");
    house.pass(Duration::from_secs(365 * 24 * 3600));
    client.assert_quiet();
    client.send("TP/1.1\r\nHost: x\r\n\r\n");
    house.settle();
    assert_eq!(client.answer().0, 200);
}
