//! The generator against helloop's own server, and against servers that do wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use helloop::greeting::Greeting;
use helloop::server::Server;

use super::*;
use crate::script::random_names;

/// Runs `load` against helloop on a thread of its own, in this process.
fn against_helloop(load: Load, names: usize, idle: usize, until: Until) -> Measured {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let server = Server::builder().bind("127.0.0.1:0").unwrap();
        send.send(server.local_addrs()[0]).unwrap();
        server.serve(Greeting).unwrap();
    });
    let address = receive.recv().unwrap();
    generate(job(address, load, names, idle, until), &Processes::own()).unwrap()
}

fn job(address: SocketAddr, load: Load, names: usize, idle: usize, until: Until) -> Job {
    let close = matches!(load, Load::PerRequest { .. });
    Job {
        address,
        script: Script::new(&address.to_string(), &random_names(names, 1), close),
        load,
        idle,
        warm_up: Duration::from_millis(20),
        until,
        interrupted: Arc::default(),
    }
}

#[test]
fn every_request_is_answered_and_counted() {
    for (load, names) in [
        (Load::Closed { connections: 3, depth: 1 }, 1),
        (Load::Closed { connections: 3, depth: 16 }, 20),
        (Load::PerRequest { connections: 3 }, 5),
    ] {
        let measured = against_helloop(load, names, 0, Until::Answers(480));
        assert!(measured.answers >= 480, "{load:?}: {}", measured.answers);
        assert_eq!(measured.latency.len(), measured.answers, "{load:?}");
    }
}

#[test]
fn a_window_is_as_long_as_asked_and_idle_connections_do_not_count() {
    let load = Load::Closed { connections: 2, depth: 1 };
    let window = Duration::from_millis(100);
    let measured = against_helloop(load, 1, 300, Until::Time(window));
    assert!(measured.window >= window);
    assert!(measured.answers > 0 && measured.turns > 0);
    assert!(measured.generator > Duration::ZERO);
}

#[test]
fn an_open_loop_asks_what_is_due() {
    let load = Load::Open { connections: 4, per_second: 2_000.0 };
    let measured = against_helloop(load, 3, 0, Until::Time(Duration::from_millis(300)));
    let pace = measured.pace.unwrap();
    assert_eq!(pace.due, pace.answered);
    assert_eq!(pace.lateness.len(), pace.due);
    assert!(pace.due > 0);
}

/// The failure of a run against a server that answers each connection with `bytes` and closes.
fn failure(bytes: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            assert!(read > 0);
            // The generator may be gone by now.
            let _ = stream.write_all(bytes.as_bytes());
        }
    });
    let load = Load::Closed { connections: 1, depth: 1 };
    let job = job(address, load, 1, 0, Until::Answers(10));
    generate(job, &Processes::own()).unwrap_err().to_string()
}

#[test]
fn a_server_that_does_wrong_is_found_out() {
    assert!(failure("HTTP/1.1 404 Not Found\r\n\r\n").contains("not HTTP/1.1 200"));
    assert!(failure("HTTP/1.1 200").contains("closed a connection too early"));
    assert!(failure("").contains("closed a connection too early"));
}

#[test]
fn an_interrupt_ends_a_run() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = Load::Closed { connections: 0, depth: 1 };
    let mut job = job(address, load, 1, 0, Until::Answers(1));
    job.interrupted = Arc::new(AtomicBool::new(true));
    let error = generate(job, &Processes::own()).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
}
