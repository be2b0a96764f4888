//! Embedders make mistakes, and each has a defined outcome: the service answers badly,
//! blocks, panics, shuts down, or comes back into the loop from within.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use helloop::coroutine;
use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Event;
use helloop::http::{BodyPolicy, HeaderError, Request, Response, Status};
use helloop::limits::{Limits, OUTPUT_BYTES_MAX};
use helloop::server::{
    OwnedRequest, Reply, Server, ServerHandle, Service, Start, coroutines, streamed_body,
};
use helloop::world::Time;
use helloop::world::sim::Sim;

use crate::sim::{House, address, echo, get};

/// A service made of what it does with the handle of its loop.
struct Starts<F>(F);

impl<F: Fn(&Request<'_>, &mut Response, &Handle)> Service for Starts<F> {
    fn call(&self, _: &Request<'_>, _: &mut Response) {
        unreachable!("`start` does not call it");
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        (self.0)(request, response, handle);
        Start::Done
    }
}

/// One request to a service, and the one answer.
fn ask(service: impl Service + 'static) -> (u16, String) {
    let mut house = House::calm(Limits::default(), service);
    let client = house.connect();
    client.send(&get("/"));
    house.settle();
    client.answer()
}

#[test]
fn fields_that_could_break_the_framing_are_refused_where_they_are_given() {
    let answer = ask(|_: &Request<'_>, response: &mut Response| {
        let outcome = |name, value| Response::new().header(name, value).err();
        assert_eq!(outcome("Content-Length", "7"), Some(HeaderError::Reserved));
        assert_eq!(outcome("transfer-encoding", "chunked"), Some(HeaderError::Reserved));
        assert_eq!(outcome("X Y", "1"), Some(HeaderError::Name));
        assert_eq!(outcome("X", "1\r\nContent-Length: 7"), Some(HeaderError::Value));
        // And whoever does not look at the errors harms nobody either.
        let _ = response.header("Content-Length", "7");
        let _ = response.header("X\r\nY", "1");
        response.text("whole\n");
    });
    assert_eq!(answer, (200, "whole\n".into()));
}

#[test]
fn a_body_is_not_sent_with_a_status_that_has_none() {
    let mut house = House::calm(Limits::default(), |_: &Request<'_>, response: &mut Response| {
        response.status(Status::NO_CONTENT).text("not for the wire\n");
    });
    let client = house.connect();
    client.send(&(get("/") + &get("/")));
    house.settle();
    let text = client.receive();
    assert_eq!(text.matches("HTTP/1.1 204 No Content\r\n").count(), 2, "{text}");
    assert!(!text.contains("wire") && !text.contains("Content-Length"), "{text}");
    client.assert_quiet();
}

#[test]
fn a_huge_body_arrives_whole_and_its_memory_is_given_back() {
    const BYTES: usize = 20_000_000;
    const { assert!(BYTES > 10 * OUTPUT_BYTES_MAX, "pipelining alone never buffers as much") };
    let mut house =
        House::calm(Limits::default(), |request: &Request<'_>, response: &mut Response| {
            let bytes = if request.path() == "/huge" { BYTES } else { 1 };
            response.body("application/octet-stream", vec![b'x'; bytes]).expect("a good type");
        });
    let [huge, other] = [house.connect(), house.connect()];
    huge.send(&get("/huge"));
    house.settle();
    other.send(&get("/"));
    house.settle();
    assert_eq!(other.answer(), (200, "x".into()), "while the huge one waits for its reader");
    let mut received = 0;
    while received < BYTES {
        let piece = huge.receive();
        assert!(!piece.is_empty(), "{received} bytes, and no more");
        received += piece.len();
        house.settle();
    }
    huge.send(&get("/"));
    house.settle();
    assert!(huge.receive().ends_with("\r\n\r\nx"));
}

#[test]
fn an_access_log_that_panics_is_not_called_again() {
    let world = Sim::new(1);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let listener = event_loop.handle().listen(address()).unwrap();
    let (told, lines) = mpsc::channel();
    let builder = Server::builder().access_log(move |access| {
        let target = access.request.map(|request| request.target().to_owned());
        told.send((access.peer, target, access.status.code(), access.body_bytes)).unwrap();
        assert_eq!(access.status, Status::OK, "as the test wants");
    });
    let server = builder.attach(event_loop.handle(), vec![listener], echo).unwrap();
    let [bad, good] = [net.connect(address()), net.connect(address())];
    let mut settle = || while event_loop.turn(Some(Duration::from_nanos(1))).unwrap() > 0 {};
    good.send(get("/a").as_bytes());
    settle();
    bad.send(b"not HTTP\r\n\r\n");
    settle();
    good.send(get("/b").as_bytes());
    settle();
    let expected = [
        (good.address(), Some("/a".to_owned()), 200, "GET /a \n".len()),
        (bad.address(), None, 400, body_bytes(&bad.receive())),
    ];
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), expected);
    assert!(good.receive().ends_with(b"GET /b \n"));
    assert_eq!(server.report().requests, 3);
}

/// Bytes of the body of an answer.
fn body_bytes(answer: &[u8]) -> usize {
    let text = std::str::from_utf8(answer).expect("a refusal is text");
    text.split_once("\r\n\r\n").expect("an answer has a head").1.len()
}

#[test]
fn a_panic_of_the_body_policy_refuses_the_body() {
    struct Panics;

    impl Service for Panics {
        fn call(&self, request: &Request<'_>, response: &mut Response) {
            response.text(format_args!("{} bytes\n", request.body().len()));
        }

        fn body_policy(&self, _: &Request<'_>) -> BodyPolicy {
            panic!("as the test wants");
        }
    }

    let mut house = House::calm(Limits::default(), Panics);
    let client = house.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    house.settle();
    assert_eq!(client.answer(), (200, "0 bytes\n".into()), "the body was read, and not kept");
    client.assert_quiet();
}

/// What a panic leaves, and what panics when it is dropped, leaving another one.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Bomb);
    }
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_costs_one_connection() {
    struct Explodes;

    impl Service for Explodes {
        fn call(&self, request: &Request<'_>, response: &mut Response) {
            if request.path() == "/" {
                panic_any(Bomb);
            }
            response.text("well\n");
        }

        fn body_policy(&self, _: &Request<'_>) -> BodyPolicy {
            panic_any(Bomb);
        }
    }

    let later = coroutines(|request: OwnedRequest| async move {
        if request.path() == "/" {
            panic_any(Bomb);
        }
        let mut response = Response::new();
        response.text("well\n");
        response
    });
    let houses = [House::calm(Limits::default(), Explodes), House::calm(Limits::default(), later)];
    for mut house in houses {
        let [bad, good] = [house.connect(), house.connect()];
        bad.send(&get("/"));
        good.send("POST /well HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        house.settle();
        assert_eq!(bad.answer().0, 500);
        bad.assert_end();
        assert_eq!(good.answer(), (200, "well\n".into()));
        let late = house.connect();
        late.send(&get("/well"));
        house.settle();
        assert_eq!(late.answer(), (200, "well\n".into()));
        assert_eq!(house.endings(), ["the service panicked"]);
    }
}

#[test]
fn an_access_log_and_an_observer_may_leave_what_panics_when_dropped() {
    let world = Sim::new(1);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let listener = event_loop.handle().listen(address()).unwrap();
    // Captured: it goes off when the log is removed.
    let guard = Bomb;
    let builder = Server::builder().access_log(move |_| {
        let _held = &guard;
        panic_any(Bomb);
    });
    let server = builder.attach(event_loop.handle(), vec![listener], echo).unwrap();
    let client = net.connect(address());
    let mut settle = || while event_loop.turn(Some(Duration::from_nanos(1))).unwrap() > 0 {};
    client.send([get("/a"), get("/b")].concat().as_bytes());
    settle();
    assert_eq!(server.report().requests, 2);
    let guard = Bomb;
    event_loop.observe(Some(Box::new(move |_: Time, _: &Event| {
        let _held = &guard;
        panic_any(Bomb);
    })));
    client.send(get("/c").as_bytes());
    while event_loop.turn(Some(Duration::from_nanos(1))).unwrap() > 0 {}
    assert_eq!(server.report().requests, 3);
}

#[test]
fn a_service_that_blocks_stops_everybody_for_that_long_and_nobody_for_good() {
    let (begun, is_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let service = move |request: &Request<'_>, response: &mut Response| {
        if request.path() == "/block" {
            begun.send(()).unwrap();
            released.recv().unwrap();
        }
        response.text("done\n");
    };
    let running = server.spawn(service).unwrap();
    let address = running.local_addrs()[0];
    let fetch = move |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("done\n"), "{text}");
    };
    let blocked = thread::spawn(move || fetch("/block"));
    is_begun.recv().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (0..4)
        .map(|_| {
            let answered = Arc::clone(&answered);
            thread::spawn(move || {
                fetch("/other");
                answered.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    assert_eq!(answered.load(Ordering::SeqCst), 0);
    release.send(()).unwrap();
    blocked.join().unwrap();
    others.into_iter().for_each(|other| other.join().unwrap());
    running.handle().drain(Duration::from_secs(20));
    assert_eq!(running.join().unwrap().requests, 5);
}

#[test]
fn a_service_may_end_its_own_server() {
    for is_drain in [true, false] {
        let ending: Rc<RefCell<Option<ServerHandle>>> = Rc::default();
        let inner = Rc::clone(&ending);
        let service = move |_: &Request<'_>, response: &mut Response| {
            let handle = inner.borrow();
            let handle = handle.as_ref().expect("it was set before anybody asked");
            if is_drain {
                handle.drain(Duration::from_secs(1));
            } else {
                handle.shutdown();
            }
            response.text("fine\n");
        };
        let mut house = House::calm(Limits::default(), service);
        *ending.borrow_mut() = Some(house.server.handle().clone());
        let client = house.connect();
        client.send(&get("/"));
        house.settle();
        assert_eq!(client.answer(), (200, "fine\n".into()), "it is answered first");
        assert_eq!(house.server.is_finished(), !is_drain, "a drain has a grace for the idle");
        house.pass(Duration::from_secs(2));
        assert!(house.server.is_finished());
        client.assert_end();
    }
}

#[test]
fn a_service_may_shut_the_loop_down() {
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let address = server.local_addrs()[0];
    let client = thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, get("/").as_bytes()).unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    });
    let report =
        server.serve(Starts(|_: &Request<'_>, response: &mut Response, handle: &Handle| {
            response.text("the last words\n");
            handle.shutdown();
        }));
    assert_eq!(report.unwrap().requests, 1);
    assert!(client.join().unwrap().ends_with("the last words\n"), "the turn was finished first");
}

#[test]
fn a_service_may_spawn_and_ask_the_loop() {
    let ran = Rc::new(Cell::new(0));
    let counter = Rc::clone(&ran);
    let service = Starts(move |_: &Request<'_>, response: &mut Response, handle: &Handle| {
        let counted = Rc::clone(&counter);
        drop(handle.spawn(async move { counted.set(counted.get() + 1) }));
        let counted = Rc::clone(&counter);
        handle.call_soon(move |_| counted.set(counted.get() + 10));
        assert!(handle.current_task().is_some());
        response.text(format_args!("{} tasks\n", handle.task_count()));
    });
    // The acceptor, the drainer's watch, the connection: as many as there are, plus what it spawned.
    let (status, text) = ask(service);
    assert!(status == 200 && text.ends_with(" tasks\n"), "{status} {text}");
    assert_eq!(ran.get(), 11);
}

#[test]
fn a_service_cannot_pull_the_task_away_in_which_it_runs() {
    let answer = ask(Starts(|_: &Request<'_>, response: &mut Response, handle: &Handle| {
        handle.discard(handle.current_task().expect("it runs in one"));
        response.text("still here\n");
    }));
    assert_eq!(answer, (200, "still here\n".into()));
}

#[test]
fn a_loop_within_a_service_is_another_loop() {
    let answer = ask(|_: &Request<'_>, response: &mut Response| {
        let inner = coroutine::run(|handle| async move {
            handle.sleep(Duration::from_millis(1)).await;
            "from a loop of its own\n"
        });
        response.text(inner.expect("a descriptor for a poller"));
    });
    assert_eq!(answer, (200, "from a loop of its own\n".into()));
}

#[test]
fn the_same_loop_cannot_be_turned_from_within() {
    // A host that shares its loop with its service, which the compiler would not let it do
    // otherwise. What it gets is the panic of its own cell, and its peer a 500.
    let event_loop = Rc::new(RefCell::new(EventLoop::new().unwrap()));
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let address = server.local_addrs()[0];
    let within = Rc::clone(&event_loop);
    let service = move |_: &Request<'_>, response: &mut Response| {
        let turned = within.borrow_mut().turn(Some(Duration::ZERO));
        response.text(format_args!("{turned:?}\n"));
    };
    let handle = event_loop.borrow().handle().clone();
    let attached = server.attach(&handle, service).unwrap();
    let client = thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, get("/").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    while attached.report().requests == 0 || attached.open_connections() > 0 {
        event_loop.borrow_mut().turn(Some(Duration::from_secs(20))).unwrap();
    }
    assert!(client.join().unwrap().starts_with("HTTP/1.1 500 "));
}

#[test]
fn whoever_drops_every_handle_has_a_server_that_runs_on() {
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let address = server.local_addrs()[0];
    drop(server.handle());
    drop(server.spawn(|_: &Request<'_>, response: &mut Response| {
        response.text("still here\n").close();
    }));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, get("/").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("still here\n"), "{text}");
}

#[test]
fn a_loop_that_is_dropped_closes_everything() {
    let mut event_loop = EventLoop::new().unwrap();
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let address = server.local_addrs()[0];
    let attached = server.attach(event_loop.handle(), helloop::greeting::Greeting).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    while attached.open_connections() == 0 {
        event_loop.turn(Some(Duration::from_secs(20))).unwrap();
    }
    drop(event_loop);
    let mut text = String::new();
    assert!(matches!(stream.read_to_string(&mut text), Ok(0) | Err(_)));
    assert!(std::net::TcpStream::connect(address).is_err(), "the listener is gone, too");
    // A handle that outlives its loop says nothing, and breaks nothing.
    attached.handle().drain(Duration::from_secs(1));
    attached.handle().shutdown();
}

#[test]
fn an_answer_in_pieces_that_breaks_off_does_not_look_complete() {
    for request in [get("/"), "GET / HTTP/1.0\r\n\r\n".to_owned()] {
        let service = coroutines(|request: OwnedRequest| async move {
            let (mut sender, receiver) = streamed_body();
            let task = request.handle().spawn(async move {
                let _ = sender.send("a piece\n").await;
                panic!("as the test wants");
            });
            drop(task);
            Reply::Streamed(Response::new(), receiver)
        });
        let mut house = House::calm(Limits::default(), service);
        let client = house.connect();
        client.send(&request);
        house.settle();
        let text = client.receive();
        if request.contains("HTTP/1.0") {
            // Without chunks, only a reset can tell that something is missing.
            assert!(client.peer.is_reset());
        } else {
            client.assert_end();
            assert!(text.contains("a piece\n"), "{text}");
            assert!(!text.ends_with("0\r\n\r\n"), "it would be a lie: {text}");
        }
        assert_eq!(house.endings(), ["the service panicked"]);
    }
}

#[test]
fn a_socket_of_another_world_is_refused() {
    let (mut real, mut simulated) =
        (EventLoop::new().unwrap(), EventLoop::with_world(Box::new(Sim::new(1))));
    let attach = |to: &Handle, of: &Handle, address: &str| {
        let listener = of.listen(address.parse().unwrap()).unwrap();
        Server::builder().attach(to, vec![listener], echo).unwrap_err()
    };
    let error = attach(real.handle(), simulated.handle(), "127.0.0.1:80");
    assert_eq!(error.to_string(), "a simulated socket on a real loop");
    let error = attach(simulated.handle(), real.handle(), "127.0.0.1:0");
    assert_eq!(error.to_string(), "an operating system's socket on a simulated loop");
    // Nothing is left of either.
    for event_loop in [&mut real, &mut simulated] {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.handle().task_count(), 0);
    }
}

#[test]
fn a_coroutine_that_never_ends_is_cut_by_the_drain() {
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let service = coroutines(move |request: OwnedRequest| {
        let holds = Rc::clone(&holds);
        async move {
            if request.path() == "/never" {
                std::future::pending::<()>().await;
            }
            drop(holds);
            Response::new()
        }
    });
    let mut house = House::calm(Limits::default(), service);
    let [patient, gone, other] = [house.connect(), house.connect(), house.connect()];
    patient.send(&get("/never"));
    gone.send(&get("/never"));
    house.settle();
    other.send(&get("/"));
    house.settle();
    assert_eq!(other.answer().0, 200);
    assert_eq!(Rc::strong_count(&held), 4, "the service, and two coroutines");
    drop(gone);
    house.settle();
    assert_eq!(Rc::strong_count(&held), 3, "it is cancelled with its connection");
    house.server.handle().drain(Duration::from_secs(9));
    house.pass(Duration::from_secs(10));
    assert!(house.server.is_finished());
    // With the last of the server's tasks, the service is gone, too.
    assert_eq!((house.server.report().cut, Rc::strong_count(&held)), (1, 1));
}

#[test]
fn the_table_of_mistakes_names_tests_that_exist() {
    let page = include_str!("../../SECURITY.md");
    let tests = concat!(
        include_str!("misuse.rs"),
        include_str!("prefaces.rs"),
        include_str!("lifetimes/endings.rs"),
        include_str!("loopback/hosted.rs"),
        include_str!("loopback/listeners.rs"),
        include_str!("../../src/event_loop/tests/ends.rs"),
        include_str!("../../src/coroutine/tests.rs"),
        include_str!("../../src/coroutine/stream/tests.rs"),
    );
    let names = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| {
        line.trim_end_matches(" |").rsplit_once("| `").map(|(_, name)| name.trim_end_matches('`'))
    });
    let names: Vec<_> = names.filter(|name| !name.contains('/')).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("\nfn {name}()")), "no test is called {name}");
    }
}
