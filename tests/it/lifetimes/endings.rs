use std::time::Duration;

use helloop::events::Event;
use helloop::http::{Request, Response};
use helloop::limits::{INPUT_BUFFER_BYTES, LINGER_TIMEOUT, Limits};
use helloop::world::sim::Faults;

use crate::sim::{House, echo, get, limits};

const INSTANT: Duration = Duration::from_millis(1);
const CLOSING: &str = "GET /last HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n";

/// Limits with which the first answer is the last: an end that the server decides about.
fn one_request() -> Limits {
    limits(|limits| limits.requests_per_connection_max = Some(1))
}

/// A kernel that closes a socket with unread input sends a reset, and a reset takes what the peer
/// has not read yet with it: the simulated one does so, too.
#[test]
fn input_behind_the_last_answer_does_not_destroy_it() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(5, faults, Limits::default(), echo);
        let client = house.connect();
        client.send(CLOSING);
        client.send(&"more input that nobody wants. ".repeat(10_000));
        house.settle();
        client.send("and still more");
        house.settle();
        assert!(!client.peer.is_reset());
        assert_eq!(client.answer(), (200, "GET /last \n".into()));
        client.assert_end();
        client.peer.finish();
        house.settle();
        assert!(client.peer.is_closed());
        assert!(!client.peer.is_reset());
    }
}

/// Such a peer must not send more: what is left unread cannot turn into a reset.
#[test]
fn who_asks_to_close_and_has_sent_no_more_is_closed_at_once() {
    let pipelined = get("/first") + CLOSING;
    let old = "GET /last HTTP/1.0\r\n\r\n";
    let asked = "the request asked to close";
    for (request, answers, why) in
        [(CLOSING, 1, asked), (&pipelined, 2, asked), (old, 1, "HTTP/1.0 without keep-alive")]
    {
        let mut house = House::calm(Limits::default(), echo);
        let client = house.connect();
        client.send(request);
        house.settle();
        assert!(client.peer.is_closed() && !client.peer.is_reset(), "{request:?}");
        assert_eq!(client.receive().matches("HTTP/1.1 200 OK").count(), answers, "{request:?}");
        client.assert_end();
        assert_eq!(house.endings(), [why]);
        let shut = house.told(|_, event| matches!(event, Event::Shut { .. }).then_some(()));
        assert!(shut.is_empty(), "{request:?}");
    }
}

/// What came so far does not tell that no more is coming.
#[test]
fn who_asks_to_close_is_lingered_for_if_there_may_be_more() {
    let (head, tail) = CLOSING.split_at(10);
    let in_two_pieces = [head, tail].map(str::to_owned).to_vec();
    let with_more_behind = vec![format!("{CLOSING}x")];
    let post = |bytes: usize| {
        let head = "POST / HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n";
        let body = "x".repeat(bytes);
        format!("{head}Content-Length: {bytes}\r\n\r\n{body}")
    };
    let head_bytes = post(10_000).len() - 10_000;
    // A read that fills the buffer does not say whether it was all.
    let of_a_full_buffer = vec![post(INPUT_BUFFER_BYTES - head_bytes)];
    assert_eq!(of_a_full_buffer[0].len(), INPUT_BUFFER_BYTES);
    for pieces in [in_two_pieces, with_more_behind, of_a_full_buffer] {
        let mut house =
            House::calm(Limits::default(), |_: &Request<'_>, response: &mut Response| {
                response.text("taken\n");
            });
        let client = house.connect();
        for piece in &pieces {
            client.send(piece);
            house.settle();
        }
        assert_eq!(client.answer().0, 200);
        client.assert_end();
        assert!(!client.peer.is_closed(), "{} pieces of {}", pieces.len(), pieces[0].len());
        house.pass(LINGER_TIMEOUT + INSTANT);
        assert!(client.peer.is_closed() && !client.peer.is_reset());
    }
}

#[test]
fn a_refused_body_is_read_for_a_while() {
    let mut house = House::calm(Limits::default(), echo);
    let client = house.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    for _ in 0..200 {
        client.send(&"x".repeat(10_000));
        house.settle();
    }
    assert_eq!(client.answer().0, 413);
    client.assert_end();
    client.peer.finish();
    house.settle();
    assert!(client.peer.is_closed());
}

#[test]
fn lingering_ends_in_time_though_the_peer_stays() {
    let mut house = House::calm(one_request(), echo);
    let client = house.connect();
    client.send(&get("/last"));
    house.pass(LINGER_TIMEOUT - INSTANT);
    assert_eq!(client.answer().0, 200);
    assert!(!client.peer.is_closed());
    house.pass(2 * INSTANT);
    assert!(client.peer.is_closed());
    assert_eq!(house.endings(), ["the request limit of a connection was reached"]);
}

#[test]
fn lingering_ends_at_once_when_the_peer_resets() {
    let mut house = House::calm(Limits::default(), echo);
    let client = house.connect();
    client.send(&(CLOSING.to_owned() + "and more"));
    house.settle();
    assert_eq!(house.server.open_connections(), 1);
    client.peer.reset();
    house.settle();
    assert_eq!(house.server.open_connections(), 0);
    assert_eq!(house.endings(), ["the request asked to close"]);
}

/// Each of its bytes would be in time for a timer that every byte resets.
#[test]
fn lingering_ends_in_time_though_the_peer_trickles() {
    let mut house = House::calm(one_request(), echo);
    let client = house.connect();
    client.send(&get("/last"));
    for _ in 0..20 {
        house.pass(LINGER_TIMEOUT / 20 - INSTANT);
        client.send("x");
    }
    assert!(!client.peer.is_closed());
    house.pass(40 * INSTANT);
    assert!(client.peer.is_closed());
}

/// A peer that is always ahead of what is read in one resume never lets the connection wait.
#[test]
fn lingering_ends_in_time_though_the_peer_floods() {
    let mut house = House::calm(
        limits(|limits| {
            limits.requests_per_connection_max = Some(1);
            limits.linger_timeout = INSTANT;
            limits.read_bytes_per_resume_max = 1;
        }),
        echo,
    );
    let client = house.connect();
    client.send(&get("/last"));
    house.settle();
    let began = house.net.now();
    while !client.peer.is_closed() {
        client.send("more");
        house.turn();
        let took = house.net.now().since(began);
        assert!(took < 2 * INSTANT, "it still lingers after {took:?}");
    }
    assert_eq!(house.endings(), ["the request limit of a connection was reached"]);
}

#[test]
fn a_reset_by_the_peer_ends_only_its_connection() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(9, faults, Limits::default(), echo);
        let [idle, busy, good] = [house.connect(), house.connect(), house.connect()];
        busy.send("GET / HT");
        house.settle();
        idle.peer.reset();
        busy.peer.reset();
        house.settle();
        good.send(&get("/"));
        house.settle();
        assert_eq!(good.answer().0, 200);
        assert_eq!(house.endings(), ["the peer reset the connection"; 2]);
        assert_eq!(house.server.open_connections(), 1);
    }
}

#[test]
fn a_reset_while_an_answer_is_written_is_no_failure() {
    let mut house = House::calm(Limits::default(), |_: &Request<'_>, response: &mut Response| {
        response.text("x".repeat(1 << 20));
    });
    let client = house.connect();
    client.send(&get("/"));
    house.settle();
    client.peer.reset();
    house.settle();
    assert_eq!(house.endings(), ["the peer reset the connection"]);
    assert_eq!(house.server.open_connections(), 0);
}

#[test]
fn a_peer_that_vanishes_before_its_answer_is_no_failure() {
    let mut house = House::calm(Limits::default(), echo);
    let client = house.connect();
    client.send(&get("/"));
    drop(client);
    house.pass(INSTANT);
    assert_eq!(house.server.open_connections(), 0);
    assert_eq!(house.endings().len(), 1);
}

#[test]
fn requests_and_a_half_close_in_one_packet_are_answered() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let mut house = House::new(2, faults, Limits::default(), echo);
        let client = house.connect();
        client.send(&(get("/a") + &get("/b")));
        client.peer.finish();
        house.settle();
        assert_eq!(client.answer().1, "GET /a \n");
        assert_eq!(client.answer().1, "GET /b \n");
        client.assert_end();
        assert!(client.peer.is_closed());
        assert_eq!(house.endings(), ["the peer finished"]);
    }
}

/// The answers are longer than the pipe: the end of input waits for them.
#[test]
fn a_half_close_does_not_cut_long_answers() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        let body_bytes = 100_000;
        let service = move |_: &Request<'_>, response: &mut Response| {
            response.text("x".repeat(body_bytes));
        };
        let mut house = House::new(4, faults, Limits::default(), service);
        let client = house.connect();
        client.send(&get("/").repeat(5));
        client.peer.finish();
        let mut text = String::new();
        while !client.peer.at_end() {
            house.settle();
            text += &client.receive();
        }
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 5);
        assert!(text.len() > 5 * body_bytes);
        assert!(!client.peer.is_reset());
    }
}

#[test]
fn a_service_that_panics_takes_nobody_with_it() {
    let mut house =
        House::calm(Limits::default(), |request: &Request<'_>, response: &mut Response| {
            assert_ne!(request.path(), "/panic", "as the test asked");
            response.text("fine\n");
        });
    let [bad, good] = [house.connect(), house.connect()];
    bad.send(&(get("/panic") + &get("/after")));
    good.send(&get("/"));
    house.settle();
    assert_eq!(bad.answer(), (500, "the service failed\n".into()));
    assert_eq!(bad.receive(), "");
    bad.assert_end();
    assert_eq!(good.answer(), (200, "fine\n".into()));
    good.assert_quiet();
    assert_eq!(house.endings(), ["the service panicked"]);
    let panicked = house.told(|_, event| matches!(event, Event::Panicked { .. }).then_some(()));
    assert!(panicked.is_empty(), "the task itself did not");
    drop(bad);
    house.settle();
    assert_eq!(house.server.open_connections(), 1);
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let limits = limits(|limits| limits.requests_per_connection_max = Some(3));
    let mut house = House::calm(limits, echo);
    let client = house.connect();
    for number in 1..=3 {
        client.send(&get("/"));
        house.settle();
        let text = client.receive();
        assert_eq!(text.contains("Connection: close\r\n"), number == 3, "{text}");
    }
    client.assert_end();
    assert_eq!(house.server.report().requests, 3);
}
