//! Handlers that are coroutines: while one takes its time, the loop serves others.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use helloop::event_loop::Handle;
use helloop::http::{Request, Response, Status};
use helloop::limits::{Limits, PARTS_PER_RESUME_MAX};
use helloop::server::{
    BodySender, Builder, Gone, OwnedRequest, Part, Pending, Reply, Server, Service, Start,
    coroutines, streamed_body,
};
use helloop::world::sim::{Faults, PIPE_BYTES, Sim};

use crate::sim::{Client, House, get};

const NAP: Duration = Duration::from_millis(500);

fn text(text: &str) -> Reply {
    let mut response = Response::new();
    response.text(text);
    response.into()
}

/// Answers at once, or after a nap, or not at all.
async fn handle(request: OwnedRequest) -> Reply {
    match request.path() {
        "/nap" => request.handle().sleep(NAP).await,
        "/panic" => panic!("planted"),
        _ => {}
    }
    let body = String::from_utf8_lossy(request.body()).into_owned();
    text(&format!("{} {} {body}", request.method(), request.target()))
}

fn house() -> House {
    House::calm(Limits::default(), coroutines(handle))
}

#[test]
fn others_are_served_while_a_handler_sleeps() {
    let mut house = house();
    let [slow, fast] = [house.connect(), house.connect()];
    slow.send(&get("/nap"));
    house.settle();
    fast.send("POST /x?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    house.settle();
    assert_eq!(fast.answer(), (200, "POST /x?q abc".to_owned()));
    slow.assert_quiet();
    house.pass(NAP);
    assert_eq!(slow.answer(), (200, "GET /nap ".to_owned()));
}

#[test]
fn a_handler_is_known_by_the_line_that_made_its_service() {
    let line = line!() + 1;
    let mut house = House::calm(Limits::default(), coroutines(handle));
    let client = house.connect();
    client.send(&get("/nap"));
    house.settle();
    let snapshot = house.event_loop().handle().snapshot();
    let coroutine = snapshot.tasks.iter().find(|task| task.kind == "coroutine").unwrap();
    let site = coroutine.site.unwrap();
    assert_eq!((site.file(), site.line()), (file!(), line));
}

#[test]
fn a_handler_has_all_of_its_request() {
    async fn tell(request: OwnedRequest) -> Reply {
        assert_eq!(request.header("x-a"), Some("one"), "the first");
        assert_eq!(request.header("X-Other"), None);
        let fields = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value);
            format!("{name}={value}")
        });
        let fields = fields.collect::<Vec<_>>().join(" ");
        let (path, query) = (request.path(), request.query());
        let peer = request.peer().expect("there is one").ip();
        let (method, version) = (request.method(), request.version().as_str());
        text(&format!("{method} {path} {query:?} {version} {peer} {fields}"))
    }

    let mut house = House::calm(Limits::default(), coroutines(tell));
    let client = house.connect();
    client.send("GET /a?b HTTP/1.1\r\nHost: h\r\nX-A:  one \r\nx-a: two\r\n\r\n");
    house.settle();
    let told = "GET /a Some(\"b\") HTTP/1.1 127.0.0.1 Host=h X-A=one x-a=two";
    assert_eq!(client.answer(), (200, told.to_owned()));
    client.send("GET / HTTP/1.0\r\nx-a: one\r\n\r\n");
    house.settle();
    assert!(client.receive().ends_with("\r\n\r\nGET / None HTTP/1.0 127.0.0.1 x-a=one"));
}

#[test]
fn pipelined_requests_wait_for_their_turn() {
    let mut house = house();
    let client = house.connect();
    client.send(&[get("/a"), get("/nap"), get("/b")].concat());
    house.settle();
    assert_eq!(client.answer().1, "GET /a ");
    client.assert_quiet();
    house.pass(NAP);
    assert_eq!([client.answer().1, client.answer().1], ["GET /nap ", "GET /b "]);
}

#[test]
fn a_handler_that_panics_is_a_500_and_costs_one_connection() {
    let mut house = house();
    let [bad, good] = [house.connect(), house.connect()];
    bad.send(&get("/panic"));
    good.send(&get("/"));
    house.settle();
    assert_eq!(bad.answer().0, 500);
    bad.assert_end();
    assert_eq!(good.answer().0, 200);
}

/// Says when it is dropped.
struct Guard(Rc<Cell<bool>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_handler_is_cancelled_when_its_peer_goes_away() {
    for reset in [false, true] {
        let dropped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&dropped);
        let service = coroutines(move |request: OwnedRequest| {
            let guard = Guard(Rc::clone(&flag));
            async move {
                let _guard = guard;
                request.handle().sleep(NAP).await;
                text("never")
            }
        });
        let mut house = House::calm(Limits::default(), service);
        let client = house.connect();
        client.send(&get("/"));
        house.settle();
        if reset {
            client.peer.reset();
        } else {
            client.peer.finish();
        }
        house.settle();
        assert!(dropped.get(), "reset: {reset}");
        assert_eq!(house.endings(), ["the peer went away while the service was at work"]);
        assert_eq!(house.server.open_connections(), 0);
    }
}

#[test]
fn a_peer_that_had_finished_with_its_request_is_answered() {
    let mut house = house();
    let client = house.connect();
    client.send(&get("/nap"));
    client.peer.finish();
    house.pass(2 * NAP);
    assert!(client.receive().ends_with("GET /nap "));
    client.assert_end();
}

#[test]
fn a_drain_waits_for_a_handler() {
    let mut house = house();
    let client = house.connect();
    client.send(&get("/nap"));
    house.settle();
    house.server.handle().drain(2 * NAP);
    house.pass(NAP);
    let text = client.receive();
    assert!(text.contains("Connection: close\r\n") && text.ends_with("GET /nap "), "{text}");
    client.assert_end();
    client.peer.finish();
    house.settle();
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 0);
}

/// A service that hands the sender of its pieces to the test.
fn streaming() -> (House, Rc<RefCell<Option<BodySender>>>) {
    let place = Rc::new(RefCell::new(None));
    let given = Rc::clone(&place);
    let service = coroutines(move |_: OwnedRequest| {
        let given = Rc::clone(&given);
        async move {
            let (sender, receiver) = streamed_body();
            given.replace(Some(sender));
            let mut response = Response::new();
            response.header("Content-Type", "text/event-stream").expect("a good field");
            Reply::Streamed(response, receiver)
        }
    });
    (House::new(1, Faults::NONE, Limits::default(), service), place)
}

#[test]
fn pieces_reach_the_peer_as_they_come() {
    let (mut house, place) = streaming();
    let client = house.connect();
    client.send(&get("/events"));
    house.settle();
    assert!(client.receive().ends_with(
        "Content-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    ));
    let mut sender = place.take().expect("the handler ran");
    let handle = house.event_loop().handle().clone();
    let mut task = handle.spawn(async move {
        sender.send("data: 1\n\n").await.expect("the peer is there");
        sender
    });
    house.settle();
    assert_eq!(client.receive(), "9\r\ndata: 1\n\n\r\n");
    task.take().expect("it has sent").expect("without a panic").finish();
    house.settle();
    client.send(&get("/again"));
    house.settle();
    assert_eq!(house.server.report().requests, 1, "the first answer has ended");
    assert!(client.receive().starts_with("0\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

/// No 500 in the midst of a body, and no last chunk: the peer sees that something is missing.
#[test]
fn an_answer_in_pieces_that_fails_is_cut_off() {
    let (mut house, place) = streaming();
    let client = house.connect();
    client.send(&get("/events"));
    house.settle();
    client.receive();
    let mut sender = place.take().expect("the handler ran");
    let handle = house.event_loop().handle().clone();
    let _task = handle.spawn(async move {
        sender.send("data: 1\n\n").await.expect("the peer is there");
        drop(sender);
    });
    house.settle();
    assert_eq!(client.receive(), "9\r\ndata: 1\n\n\r\n");
    assert!(client.peer.at_end() || client.peer.is_reset(), "the connection is over");
    assert_eq!(house.endings(), ["the service panicked"]);
}

#[test]
fn a_sender_learns_that_its_peer_is_gone() {
    let (mut house, place) = streaming();
    let client = house.connect();
    client.send(&get("/events"));
    house.settle();
    let mut sender = place.take().expect("the handler ran");
    assert!(!sender.is_gone());
    client.peer.reset();
    house.settle();
    assert!(sender.is_gone());
    let handle = house.event_loop().handle().clone();
    let mut task = handle.spawn(async move { sender.send("data").await });
    house.settle();
    assert_eq!(task.take(), Some(Ok(Err(Gone))));
    assert_eq!(Gone.to_string(), "the connection is gone");
}

#[test]
fn a_peer_that_does_not_read_holds_its_sender_up() {
    let (mut house, place) = streaming();
    let client = house.connect();
    client.send(&get("/events"));
    house.settle();
    let mut sender = place.take().expect("the handler ran");
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    let handle = house.event_loop().handle().clone();
    let _task = handle.spawn(async move {
        while sender.send(vec![b'x'; PIPE_BYTES / 2]).await.is_ok() {
            count.set(count.get() + 1);
        }
    });
    house.settle();
    let at_first = sent.get();
    assert!(at_first < 10, "the sender waits: {at_first} pieces");
    client.receive();
    house.settle();
    assert!(sent.get() > at_first, "it goes on when the peer reads");
    client.peer.reset();
    house.settle();
    let at_last = sent.get();
    house.pass(NAP);
    assert_eq!(sent.get(), at_last, "nobody reads, and the sender knows");
}

#[test]
fn a_status_without_a_body_has_no_pieces() {
    let service = coroutines(|_: OwnedRequest| async {
        let (sender, receiver) = streamed_body();
        sender.finish();
        let mut response = Response::new();
        response.status(Status::NO_CONTENT);
        Reply::Streamed(response, receiver)
    });
    let mut house = House::calm(Limits::default(), service);
    let client = house.connect();
    client.send(&get("/"));
    house.settle();
    assert_eq!(
        client.receive(),
        "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    );
}

const OLD: &str = "GET / HTTP/1.0\r\n\r\n";

/// A server that has sent a piece to a client of HTTP/1.0, and will send more.
fn streaming_to_an_old_client() -> (House, Client, BodySender) {
    let (mut house, place) = streaming();
    let client = house.connect();
    client.send(OLD);
    house.settle();
    let mut sender = place.take().expect("the handler ran");
    let mut task = house.event_loop().handle().clone().spawn(async move {
        sender.send("one").await.expect("the peer is there");
        sender
    });
    house.settle();
    assert!(client.receive().ends_with("\r\n\r\none"));
    let sender = task.take().expect("it has sent").expect("without a panic");
    (house, client, sender)
}

/// RFC 9112 section 8: without a length, an orderly end says that this was all.
#[test]
fn only_a_whole_answer_ends_orderly_where_the_end_is_all_that_tells() {
    let (mut house, client, sender) = streaming_to_an_old_client();
    sender.finish();
    house.settle();
    client.assert_end();
    client.peer.finish();
    house.settle();
    assert!(client.peer.is_closed() && !client.peer.is_reset());

    type End = fn(&mut House, &Client);
    let endings: [(&str, End); 3] = [
        ("cut while busy: the server was stopped, or its drain took too long", |house, _| {
            house.server.handle().shutdown();
        }),
        ("cut while busy: the server was stopped, or its drain took too long", |house, _| {
            house.server.handle().drain(NAP);
            house.pass(2 * NAP);
        }),
        ("the peer went away while the service was at work", |_, client| client.peer.finish()),
    ];
    for (why, end) in endings {
        let (mut house, client, _sender) = streaming_to_an_old_client();
        end(&mut house, &client);
        house.settle();
        assert_eq!(house.endings(), [why]);
        assert!(client.peer.is_reset(), "{why}");
    }
}

/// The service is done, and the end of its answer still waits for the peer to read.
#[test]
fn a_whole_answer_that_is_not_taken_ends_with_a_reset_too() {
    let (mut house, client, mut sender) = streaming_to_an_old_client();
    let _task = house.event_loop().handle().clone().spawn(async move {
        sender.send(vec![b'x'; 2 * PIPE_BYTES]).await.expect("the peer is there");
        sender.finish();
    });
    house.settle();
    house.server.handle().shutdown();
    house.settle();
    assert!(client.peer.is_reset());
}

#[test]
fn the_end_of_the_loop_does_not_make_an_answer_look_whole() {
    let (house, client, _sender) = streaming_to_an_old_client();
    drop(house);
    assert!(client.peer.is_reset());
}

/// A long body, of which every piece is there at once.
struct Long {
    piece: Vec<u8>,
    pieces_left: usize,
    has_begun: bool,
}

/// Its bytes: more than any test here takes.
const LONG_BYTES: usize = 4 << 20;

impl Pending for Long {
    fn poll_part(&mut self, _: &mut Context<'_>) -> Poll<Part> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(Part::Head(Response::new()));
        }
        let Some(left) = self.pieces_left.checked_sub(1) else { return Poll::Ready(Part::End) };
        self.pieces_left = left;
        Poll::Ready(Part::Bytes(self.piece.clone()))
    }
}

/// Answers `/long/N` by pieces of N bytes, and everything else at once.
struct Flooding;

impl Service for Flooding {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        response.text(request.path());
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, _: &Handle) -> Start {
        let Some(bytes) = request.path().strip_prefix("/long/") else {
            self.call(request, response);
            return Start::Done;
        };
        let bytes = bytes.parse().expect("a number");
        let (piece, pieces_left) = (vec![b'x'; bytes], LONG_BYTES / bytes);
        Start::Later(Box::new(Long { piece, pieces_left, has_begun: false }))
    }
}

fn ways() -> Vec<fn() -> Builder> {
    #[cfg(feature = "twin")]
    return vec![Server::builder, || {
        Server::builder().connections(helloop::server::Connections::Coroutine)
    }];
    #[cfg(not(feature = "twin"))]
    vec![Server::builder]
}

/// A peer that takes whatever comes, and a service that always has more, leave their turns to others.
#[test]
fn a_long_answer_starves_nobody() {
    for way in ways() {
        for (piece_bytes, pieces_max) in [(100, PARTS_PER_RESUME_MAX), (20_000, 14)] {
            let world = Sim::new(1);
            let net = world.net();
            let mut house = House::built(way(), Box::new(world), net, Flooding);
            let [flooded, modest] = [house.connect(), house.connect()];
            flooded.peer.widen(usize::MAX);
            house.settle();
            flooded.send(&get(&format!("/long/{piece_bytes}")));
            modest.send(&get("/modest"));
            let turns = 10;
            for _ in 0..turns {
                house.turn();
                modest.send(&get("/modest"));
            }
            let answers = modest.receive().matches("200 OK").count();
            assert!(answers >= turns - 1, "{answers} answers in {turns} turns");
            let body = flooded.peer.receive();
            let pieces = body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"x"));
            assert!(pieces.count() <= turns * pieces_max, "pieces of {piece_bytes} bytes");
            flooded.peer.reset();
            house.settle();
        }
    }
}
