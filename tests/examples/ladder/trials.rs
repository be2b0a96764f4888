use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Rung;
use super::client::{Client, LIMIT, PATIENCE, REQUEST};
use super::costs;
use crate::program::{Program, command_of};
use crate::strace::{Strace, has_strace};

/// A client beside others, which are in its way or not.
#[track_caller]
fn is_served(server: &Program, rung: &Rung, row: &str) -> Client {
    let mut client = Client::of(server);
    client.send(REQUEST);
    let must_be = rung.can(row);
    assert_eq!(client.is_answered(must_be), must_be, "{}, {row}", rung.name);
    client
}

/// What stood in its way is gone.
#[track_caller]
fn is_served_now(mut client: Client, rung: &Rung, row: &str) {
    assert!(rung.can(row) || client.is_answered(true), "{}, after {row}", rung.name);
}

pub(super) fn beside_a_silent_client(rung: &Rung) {
    let row = "serves others beside a client that says nothing";
    let server = rung.start();
    let silent = Client::of(&server);
    let other = is_served(&server, rung, row);
    drop(silent);
    is_served_now(other, rung, row);
}

pub(super) fn beside_a_client_that_does_not_read(rung: &Rung) {
    let row = "serves others beside a client that reads no answers";
    let server = rung.start();
    let mut greedy = Client::of(&server);
    let asked = send_until_it_stalls(greedy.stream());
    let other = is_served(&server, rung, row);
    // The answers are all there: the server has not read what it could not answer.
    greedy.finish();
    for number in 0..asked / REQUEST.len() {
        assert_eq!(greedy.answer().0, 200, "{}: answer {number}", rung.name);
    }
    greedy.ends();
    drop(greedy);
    is_served_now(other, rung, row);
}

/// Sends requests until nothing has moved for a while. Gives the number of bytes.
fn send_until_it_stalls(mut stream: &TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let (requests, mut sent) = (REQUEST.repeat(1000), 0);
    loop {
        match stream.write(&requests.as_bytes()[sent % requests.len()..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
            // signal(7): a call with a time limit is not taken up again after a signal.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A client that sends requests without a pause, and reads the answers. Heads are long, so that it is
/// requests that there are always more of, and not answers.
struct Flood {
    stream: TcpStream,
    sent_bytes: AtomicU64,
    answered_bytes: AtomicU64,
}

impl Flood {
    fn write(&self) {
        let flood = format!("GET /flood HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1000)).repeat(64);
        let mut at = 0;
        // It ends when it is shut.
        while let Ok(bytes) = (&self.stream).write(&flood.as_bytes()[at..]) {
            at = (at + bytes) % flood.len();
            self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn read(&self) {
        let mut buffer = [0; 64 * 1024];
        while let Ok(bytes @ 1..) = (&self.stream).read(&mut buffer) {
            self.answered_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// The server is at it, and has a second's work before it.
    fn is_on(&self) -> bool {
        self.answered_bytes.load(Ordering::Relaxed) > 0
            && self.sent_bytes.load(Ordering::Relaxed) > 3_000_000
    }
}

/// Ends a flood, even if the test fails: its threads are waited for.
struct End<'a>(&'a TcpStream);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The server is slowed down, so that there is always another request when it looks: on one machine
/// with its client, it would often find none, and wait by accident.
pub(super) fn beside_a_flood(rung: &Rung) {
    let row = "serves others beside a client that never stops asking";
    if !has_strace() {
        return;
    }
    let server = rung.start();
    // Two milliseconds for each read.
    let slow = ["-e", "trace=recvfrom", "-e", "inject=recvfrom:delay_exit=2000"];
    let whom = ["-f", "-o", "/dev/null", "-p", &server.id().to_string()];
    let mut strace = Strace::run(&[&slow[..], &whom[..]].concat()).unwrap();
    let flood = Flood {
        stream: server.connect(),
        sent_bytes: AtomicU64::new(0),
        answered_bytes: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let end = End(&flood.stream);
        scope.spawn(|| flood.write());
        scope.spawn(|| flood.read());
        let deadline = Instant::now() + PATIENCE;
        while !flood.is_on() {
            assert!(Instant::now() < deadline, "{}: no flood", rung.name);
            thread::sleep(Duration::from_millis(5));
        }
        let other = is_served(&server, rung, row);
        drop(end);
        strace.interrupt();
        is_served_now(other, rung, row);
    });
}

pub(super) fn descriptors_used_up_and_freed(rung: &Rung) {
    let row = "accepts those who wait, once there are descriptors again";
    let path = rung.path();
    let limited = "ulimit -n 32; exec \"$0\" 127.0.0.1:0";
    let mut command = command_of("/bin/sh".as_ref(), &["-c", limited, path.to_str().unwrap()]);
    let server = Program::start_on_stdout(&mut command);
    // Those whom it has no descriptor for wait in the accept queue.
    let mut clients: Vec<_> = (0..64).map(|_| Client::of(&server)).collect();
    clients.iter_mut().for_each(|client| client.send(REQUEST));
    let mut last = clients.pop().unwrap();
    assert!(clients[0].is_answered(true), "{}", rung.name);
    assert!(!last.is_answered(false), "{}: it has descriptors enough", rung.name);
    drop(clients);
    let must_be = rung.can(row);
    assert_eq!(last.is_answered(must_be), must_be, "{}, {row}", rung.name);
    if must_be {
        return;
    }
    // A deaf server hears again when others come, one after the other. Once is not enough: those who
    // have gone while they waited use up the descriptors again.
    let _others: [Client; 4] = std::array::from_fn(|_| {
        let other = Client::of(&server);
        costs::wait_until_it_waits(&server);
        other
    });
    is_served_now(last, rung, row);
}

/// A client that begins a request, and says no more.
pub(super) struct Silent(thread::JoinHandle<Option<Duration>>);

impl Silent {
    const ROW: &str = "ends a client that says nothing for five seconds";

    pub(super) fn begin(rung: &Rung) -> Silent {
        let (server, is_ended) = (rung.start(), rung.can(Silent::ROW));
        Silent(thread::spawn(move || {
            let began = Instant::now();
            let mut client = Client::of(&server);
            client.send("GET /World");
            if is_ended {
                client.ends();
                return Some(began.elapsed());
            }
            thread::sleep(LIMIT + Duration::from_secs(2));
            (!client.is_open()).then(|| began.elapsed())
        }))
    }

    pub(super) fn end(self, rung: &Rung) {
        let after = self.0.join().unwrap();
        assert_eq!(after.is_some(), rung.can(Silent::ROW), "{}: {after:?}", rung.name);
        assert!(after.is_none_or(|after| after >= LIMIT), "{}: {after:?}", rung.name);
    }
}

/// Somebody presses Enter.
pub(super) fn where_everybody_is(rung: &Rung) {
    let row = "says where each client is, when it is asked";
    let (mut server, mut input) = Program::start_with_input(&mut rung.command());
    let mut client = Client::of(&server);
    client.greet();
    input.write_all(b"\n").unwrap();
    match rung.name {
        _ if rung.can(row) => drop(server.wait_for("task 2: reading")),
        // It says that there is somebody.
        "6_coroutines" => drop(server.wait_for("task 2: suspended")),
        _ => client.greet(),
    }
    let says = server.said.iter().any(|line| line.contains("reading"));
    assert_eq!(says, rung.can(row), "{}: {:?}", rung.name, server.said);
}
