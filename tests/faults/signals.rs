use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::faults::client::{Client, End, REQUEST};
use crate::faults::server::Server;

const LAST: &str = "\r\nConnection: close\r\n";

/// Asks on and on, four requests ahead of the answers, so that the connection is never idle. Gives
/// the number of answers up to and with the one that was announced to be the last.
fn ask_until_it_is_the_last(client: &mut Client, begun: &mpsc::Sender<()>) -> usize {
    (0..4).for_each(|_| client.send(REQUEST));
    for answers in 1.. {
        let answer = client.answer().unwrap_or_else(|end| panic!("{end:?} after {answers}"));
        if answer.contains(LAST) {
            return answers;
        }
        if answers == 10 {
            begun.send(()).unwrap();
        }
        client.send(REQUEST);
    }
    unreachable!("the server ends before we run out of numbers")
}

#[test]
fn a_drain_under_load_loses_no_request() {
    const CLIENTS: usize = 8;
    let server = Server::start(&[]);
    let (sender, begun) = mpsc::channel();
    let threads: Vec<_> = server
        .clients(CLIENTS)
        .into_iter()
        .map(|mut client| {
            let sender = sender.clone();
            thread::spawn(move || ask_until_it_is_the_last(&mut client, &sender))
        })
        .collect();
    (0..CLIENTS).for_each(|_| begun.recv().unwrap());
    server.program.signal("TERM");
    let answers: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answers >= 10 * CLIENTS);
    server.ended().no_warnings();
}

/// The kernel has accepted them, and the server has no room.
#[test]
fn a_drain_answers_what_waits_in_the_accept_queue() {
    let mut server = Server::start(&["--max-connections", "10"]);
    let (beginning, rest) = REQUEST.split_at(10);
    let mut busy = server.clients(10);
    busy.iter_mut().for_each(|client| client.send(beginning));
    server.wait_for_connections(10);
    let mut queued = server.clients(20);
    queued.iter_mut().for_each(|client| client.send(REQUEST));
    server.program.wait_for("no room");
    server.program.signal("TERM");
    server.program.wait_for("draining");
    busy.iter_mut().for_each(|client| client.send(rest));
    for client in busy.iter_mut().chain(&mut queued) {
        // Nobody leaves before the server has finished: who lingers makes room.
        assert!(client.answer().unwrap().contains(LAST));
        assert_eq!(client.until_end(), (String::new(), End::Finished));
    }
    drop((busy, queued));
    let said = server.ended();
    said.warnings(20, "no room for another connection; ");
    assert_eq!(said.count("requests answered: 40, connections: 40"), 1);
}

/// ... and none comes about until the end: they are cut like those inside, and counted.
#[test]
fn a_drain_counts_whom_it_could_not_let_in() {
    let mut server = Server::start(&["--max-connections", "2", "--drain-timeout", "1s"]);
    let mut busy = server.clients(2);
    busy.iter_mut().for_each(|client| client.send(b"GET /World HT"));
    server.wait_for_connections(2);
    let mut queued = server.clients(6);
    queued.iter_mut().for_each(|client| client.send(REQUEST));
    let _silent = server.clients(2);
    server.program.wait_for("no room");
    server.program.signal("TERM");
    let (code, _) = server.program.end();
    assert_eq!(code, Some(4), "{:?}", server.program.said);
    let told = "the drain took longer than 1s: 8 busy connections were cut, 6 of them before there \
                was room to accept them";
    let said = server.program.said.iter().filter(|line| line.contains(told));
    assert_eq!(said.count(), 1, "{:?}", server.program.said);
    for client in &mut queued {
        assert_eq!(client.until_end().1, End::Reset);
    }
}

/// The kernel has accepted them, the server has not even heard of them.
#[test]
fn a_drain_answers_what_came_while_the_server_stood_still() {
    drain_after_a_stop("1");
}

#[test]
fn a_drain_answers_what_waits_in_the_queues_of_several_loops() {
    drain_after_a_stop("3");
}

fn drain_after_a_stop(loops: &str) {
    let server = Server::start(&["--loops", loops]);
    server.stop();
    let mut queued = server.clients(100);
    queued.iter_mut().for_each(|client| client.send(REQUEST));
    server.program.signal("TERM");
    server.program.signal("CONT");
    for client in &mut queued {
        // Before the server reads of the signal, or after it: both are right.
        assert!(client.answer().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(client.until_end(), (String::new(), End::Finished));
    }
    drop(queued);
    let said = server.ended();
    said.no_warnings();
    assert_eq!(said.count("requests answered: 110, connections: 110"), 1);
}

/// Comes, asks, and comes again, until nobody listens. Gives the number of answers, and whether in
/// the end a listener was closed before this client was accepted.
fn come_until_refused(port: u16, begun: &mpsc::Sender<()>) -> (usize, bool) {
    const LAST_REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for answers in 0.. {
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
            return (answers, false);
        };
        let mut client = Client::new(stream);
        client.send_until_it_stalls(LAST_REQUEST);
        if client.answer().is_err() {
            return (answers, true);
        }
        if answers == 10 {
            begun.send(()).unwrap();
        }
    }
    unreachable!("the server ends before we run out of numbers")
}

/// They find a listener that is closed while they knock: who was accepted before that is answered.
#[test]
fn a_drain_answers_everybody_who_was_accepted() {
    const CLIENTS: usize = 4;
    for loops in ["1", "2", "3"] {
        let server = Server::start(&["--loops", loops]);
        let (port, (sender, begun)) = (server.program.port, mpsc::channel());
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || come_until_refused(port, &sender))
            })
            .collect();
        (0..CLIENTS).for_each(|_| begun.recv().unwrap());
        server.program.signal("TERM");
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let answers = 10 + ends.iter().map(|(answers, _)| answers).sum::<usize>();
        let unheard = ends.iter().filter(|(_, unheard)| *unheard).count();
        println!("{loops} loops: {answers} answers, {unheard} clients came a moment too late");
        let said = server.ended();
        said.no_warnings();
        let all = format!("requests answered: {answers}, connections: {answers}");
        assert_eq!(said.count(&all), 1, "{answers} clients were answered");
    }
}

/// While it stood still every time limit has passed; who sent in time is innocent.
#[test]
fn a_stopped_server_cuts_nobody_when_it_goes_on() {
    let mut flags = Vec::new();
    for limit in ["--head-timeout", "--idle-timeout", "--body-progress-timeout"] {
        flags.extend([limit, "1500ms"]);
    }
    let server = Server::start(&flags);
    let (head, rest_of_head) = REQUEST.split_at(10);
    let body_head = b"GET /World HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n";
    let kinds: [(&[u8], &[u8]); 3] =
        [(b"", REQUEST), (head, rest_of_head), (body_head, &[b'x'; 100])];
    let begin = |beginning: &[u8]| {
        let mut clients = server.clients(50);
        clients.iter_mut().for_each(|client| client.send(beginning));
        clients
    };
    let mut innocent = kinds.map(|(beginning, _)| begin(beginning));
    let mut guilty = begin(head);
    server.wait_for_connections(200);
    server.program.greet();
    server.stop();
    for (clients, (_, rest)) in innocent.iter_mut().zip(kinds) {
        clients.iter_mut().for_each(|client| client.send(rest));
    }
    thread::sleep(Duration::from_millis(1600));
    server.program.signal("CONT");
    for client in innocent.iter_mut().flatten() {
        assert!(client.answer().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    }
    for client in &mut guilty {
        let (text, _) = client.until_end();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text:?}");
    }
    drop((innocent, guilty));
    server.recovers_and_ends().no_warnings();
}

/// Going on after a stop is what makes a system call fail with EINTR without any handler.
#[test]
fn interruptions_are_no_failures() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let (sender, over) = mpsc::channel::<()>();
    let asking = thread::spawn(move || {
        let mut greetings = 0;
        while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
            client.greet();
            greetings += 1;
        }
        greetings
    });
    for _ in 0..50 {
        server.program.signal("STOP");
        server.program.signal("CONT");
    }
    drop(sender);
    assert!(asking.join().unwrap() > 0);
    server.recovers_and_ends().no_warnings();
}
