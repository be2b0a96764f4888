//! Handlers that read the body of their request while it comes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use helloop::events::Event;
use helloop::http::{BodyPolicy, Error, Response};
use helloop::limits::{BODY_PROGRESS_TIMEOUT, Limits};
use helloop::server::{
    OwnedRequest, Reply, RequestBody, Service, streamed_body, streaming, with_body_policy,
};
use helloop::world::sim::Faults;

use crate::sim::{House, get};

/// Less than any limit.
const INSTANT: Duration = Duration::from_millis(1);

/// Reads all, and says what came: `[number of pieces] content`, or what was wrong.
async fn collect(request: OwnedRequest, mut body: RequestBody) -> Response {
    assert!(request.body().is_empty());
    let (mut content, mut response) = (Vec::new(), Response::new());
    loop {
        match body.next().await {
            Ok(Some(piece)) => {
                assert!(!piece.is_empty());
                content.extend(piece);
            }
            Ok(None) => {
                assert_eq!(body.next().await, Ok(None), "the end is for ever");
                response.text(String::from_utf8_lossy(&content));
                return response;
            }
            Err(error) => {
                response.status(error.status()).text(format_args!("{error}\n"));
                return response;
            }
        }
    }
}

fn post(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn length(bytes: usize) -> String {
    post("/", &format!("Content-Length: {bytes}\r\n"))
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[test]
fn a_body_arrives_however_it_is_cut_and_the_connection_goes_on() {
    for faults in [Faults::NONE, Faults::ROUGH] {
        for seed in 0..30_u8 {
            let mut house = House::new(seed.into(), faults, Limits::default(), streaming(collect));
            let client = house.connect();
            let chunks = post("/", CHUNKED) + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
            let (first, rest) = chunks.split_at(usize::from(seed) * chunks.len() / 29);
            client.send(&(length(5) + "abcde" + first));
            house.settle();
            // The next request waits until this one is answered.
            client.send(&(rest.to_owned() + &length(0) + &length(3) + "x"));
            house.settle();
            client.send("yz");
            house.settle();
            let text = client.receive();
            let bodies: Vec<&str> = text
                .split("\r\n\r\n")
                .skip(1)
                .map(|it| it.split("HTTP/1.1").next().unwrap())
                .collect();
            assert_eq!(bodies, ["abcde", "hello world", "", "xyz"], "{faults:?} {seed}: {text}");
        }
    }
}

/// Connections as coroutines collect a body, and hand it on in one piece.
#[cfg(feature = "twin")]
#[test]
fn connections_as_coroutines_answer_the_same() {
    use helloop::server::{Connections, Server};
    use helloop::world::sim::Sim;

    let world = Sim::new(1);
    let net = world.net();
    let builder = Server::builder().connections(Connections::Coroutine);
    let mut house = House::built(builder, Box::new(world), net, streaming(collect));
    let client = house.connect();
    client.send(&(length(5) + "ab"));
    house.settle();
    client.send(&("cde".to_owned() + &length(0)));
    house.settle();
    assert_eq!((client.answer().1.as_str(), client.answer().1.as_str()), ("abcde", ""));
}

#[test]
fn a_handler_is_asked_before_the_body_is_here() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = Rc::clone(&seen);
    let service = streaming(move |_, mut body: RequestBody| {
        let sees = Rc::clone(&sees);
        async move {
            while let Ok(Some(piece)) = body.next().await {
                sees.borrow_mut().push(String::from_utf8(piece).unwrap());
            }
            Response::new()
        }
    });
    let mut house = House::new(1, Faults::NONE, Limits::default(), service);
    let client = house.connect();
    client.send(&(length(6) + "ab"));
    house.settle();
    assert_eq!(*seen.borrow(), ["ab"]);
    client.send("cd");
    house.settle();
    client.assert_quiet();
    assert_eq!(*seen.borrow(), ["ab", "cd"]);
    client.send("ef");
    house.settle();
    assert_eq!((client.answer().0, seen.borrow().len()), (200, 3));
}

#[test]
fn who_does_not_take_what_is_there_is_sent_no_more() {
    let (taken, may_take) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (takes, may) = (Rc::clone(&taken), Rc::clone(&may_take));
    let service = streaming(move |request: OwnedRequest, mut body: RequestBody| {
        let (takes, may) = (Rc::clone(&takes), Rc::clone(&may));
        async move {
            while !may.get() {
                request.handle().sleep(Duration::from_secs(1)).await;
            }
            while let Ok(Some(piece)) = body.next().await {
                takes.set(takes.get() + piece.len());
            }
            Response::new()
        }
    });
    let bytes = 1_000_000;
    let mut house = House::new(1, Faults::NONE, Limits::default(), service);
    let client = house.connect();
    client.send(&length(bytes));
    house.settle();
    client.send(&"x".repeat(bytes));
    // The handler may take its time, longer than a peer may.
    house.pass(BODY_PROGRESS_TIMEOUT * 3);
    client.assert_quiet();
    let reads = |_, event: &Event| match event {
        Event::Read { bytes, .. } => Some(*bytes),
        _ => None,
    };
    let read: usize = house.told(reads).iter().sum();
    assert!(read < bytes / 2, "{read} bytes were read for nobody");
    may_take.set(true);
    house.pass(Duration::from_secs(2));
    assert_eq!((client.answer().0, taken.get()), (200, bytes));
}

#[test]
fn a_peer_that_is_too_slow_is_reported_to_the_handler() {
    let mut house = House::new(1, Faults::NONE, Limits::default(), streaming(collect));
    let client = house.connect();
    client.send(&(length(1_000) + "a"));
    house.settle();
    // A byte now and then postpones nothing.
    for _ in 0..4 {
        house.pass(BODY_PROGRESS_TIMEOUT / 5);
        client.send("b");
    }
    house.pass(BODY_PROGRESS_TIMEOUT / 5 - INSTANT * 10);
    client.assert_quiet();
    house.pass(INSTANT * 20);
    let text = client.receive();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(
        text.contains("Connection: close\r\n") && text.contains(&Error::BodyTimeout.to_string())
    );
    house.pass(Duration::from_secs(3));
    client.assert_end();
    assert_eq!(house.event_loop().next_deadline(), None, "no timer is left");
}

#[test]
fn what_is_wrong_with_a_body_is_reported_and_nothing_after_it_is_read() {
    let mut house = House::new(1, Faults::NONE, Limits::default(), streaming(collect));
    let client = house.connect();
    client.send(&(post("/", CHUNKED) + "3\r\nabc"));
    house.settle();
    client.send(&("x\r\n\r\n".to_owned() + &get("/smuggled")));
    house.settle();
    let text = client.receive();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("Connection: close\r\n"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1);

    let limits = Limits::default().body_bytes_max(4);
    let mut house = House::new(1, Faults::NONE, limits, streaming(collect));
    let client = house.connect();
    client.send(&(post("/", CHUNKED) + "3\r\nabc\r\n"));
    house.settle();
    client.send("2\r\nde\r\n");
    house.settle();
    assert!(client.receive().starts_with("HTTP/1.1 413 "));
}

#[test]
fn an_answer_before_the_end_of_the_body_closes_and_is_not_lost() {
    let early = streaming(|_, mut body: RequestBody| async move {
        let first = body.next().await.unwrap().unwrap();
        let mut response = Response::new();
        response.text(String::from_utf8(first).unwrap());
        response
    });
    let streams = streaming(|request: OwnedRequest, mut body: RequestBody| async move {
        let (mut sender, receiver) = streamed_body();
        drop(request.handle().spawn(async move {
            // What comes goes, piece by piece.
            while let Ok(Some(piece)) = body.next().await {
                sender.send(piece).await.unwrap();
            }
            sender.finish();
        }));
        Reply::Streamed(Response::new(), receiver)
    });
    let mut house = House::new(1, Faults::NONE, Limits::default(), early);
    let client = house.connect();
    client.send(&(length(100) + "first"));
    house.settle();
    let text = client.receive();
    assert!(text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\nfirst"), "{text}");
    client.send("and more that is read for nothing");
    house.settle();
    house.pass(Duration::from_secs(3));
    client.assert_end();

    let mut house = House::new(1, Faults::NONE, Limits::default(), streams);
    let client = house.connect();
    client.send(&(length(6) + "abc"));
    house.settle();
    assert!(client.receive().ends_with("\r\n\r\n3\r\nabc\r\n"));
    client.send("def");
    house.settle();
    assert_eq!(client.receive(), "3\r\ndef\r\n0\r\n\r\n");
}

#[test]
fn a_peer_that_goes_away_within_its_body_cancels_the_handler() {
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let service = streaming(move |_, mut body: RequestBody| {
        let holds = Rc::clone(&holds);
        async move {
            while let Ok(Some(_)) = body.next().await {}
            drop(holds);
            Response::new()
        }
    });
    let mut house = House::new(1, Faults::NONE, Limits::default(), service);
    let client = house.connect();
    client.send(&(length(9) + "abc"));
    house.settle();
    assert_eq!(Rc::strong_count(&held), 3);
    client.peer.finish();
    house.settle();
    assert_eq!(Rc::strong_count(&held), 2, "it is cancelled");

    // One that has sent all of it is answered, as others are.
    let mut house = House::new(1, Faults::NONE, Limits::default(), streaming(collect));
    let client = house.connect();
    client.send(&(length(9) + "abc"));
    house.settle();
    client.send("defghi");
    client.peer.finish();
    house.settle();
    assert!(client.receive().ends_with("abcdefghi"));
}

#[test]
fn one_that_waits_for_100_is_told_to_go_on() {
    let mut house = House::new(1, Faults::NONE, Limits::default(), streaming(collect));
    let client = house.connect();
    client.send(&post("/", "Content-Length: 3\r\nExpect: 100-continue\r\n"));
    house.settle();
    assert_eq!(client.receive(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    house.settle();
    assert!(client.receive().ends_with("\r\n\r\nabc"));
}

/// A handler of another kind that asks for it sees an empty body.
#[test]
fn the_policy_alone_streams_nothing() {
    let service = with_body_policy(crate::sim::echo, |_| BodyPolicy::Stream);
    assert_eq!(
        service.body_policy(&helloop::http::Request::new("GET", "/").unwrap()),
        BodyPolicy::Stream
    );
    let mut house = House::new(1, Faults::NONE, Limits::default(), service);
    let client = house.connect();
    client.send(&(length(9) + "abc"));
    house.settle();
    let text = client.receive();
    assert!(text.contains("Connection: close\r\n"), "{text}");
}
