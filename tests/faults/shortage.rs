use std::thread;
use std::time::Duration;

use crate::faults::client::{Client, End, REQUEST};
use crate::faults::server::Server;

/// Of a request: who has sent no more is busy.
const BEGINNING: &[u8] = REQUEST.split_at(10).0;
const REST: &[u8] = REQUEST.split_at(10).1;

/// More clients than a server with 64 descriptors can have, each of which has sent this.
fn crowd(server: &Server, bytes: &[u8]) -> Vec<Client> {
    let mut crowd = server.clients(100);
    crowd.iter_mut().for_each(|client| client.send(bytes));
    crowd
}

/// All are served, the first of them first. Nobody leaves before twenty are done.
fn are_answered(crowd: Vec<Client>) {
    let mut waiting = crowd;
    while !waiting.is_empty() {
        let first: Vec<Client> = waiting.drain(..waiting.len().min(20)).collect();
        for mut client in first {
            client.answer().unwrap();
        }
    }
}

#[test]
fn without_descriptors_it_waits_and_serves_again() {
    // With its own limit it would not come so far.
    let mut server = Server::start_with_descriptors(64, &["--max-connections", "10000"]);
    let mut crowd = crowd(&server, REQUEST);
    server.program.wait_for("Too many open files");
    server.stays_calm(|server| {
        // The next line comes a second later: ten attempts.
        server.program.wait_for("Too many open files");
    });
    crowd[0].answer().unwrap();
    crowd[0].greet();
    crowd[0].send(REQUEST);
    are_answered(crowd);
    let said = server.recovers_and_ends();
    said.warnings(20, "cannot accept: Too many open files (os error 24); ");
}

/// Each loop has its share of the limit, and somebody more in its hand.
#[test]
fn several_loops_at_their_limit_let_others_wait() {
    let mut server = Server::start(&["--loops", "2", "--max-connections", "21"]);
    let mut crowd = crowd(&server, BEGINNING);
    server.program.wait_for("no room for another connection; 11 connections are open");
    server.wait_for_connections(21 + 2);
    server.stays_calm(|server| {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(server.connections(), 21 + 2);
    });
    crowd.iter_mut().for_each(|client| client.send(REST));
    are_answered(crowd);
    server.recovers_and_ends().warnings(20, "no room for another connection; ");
}

#[test]
fn at_its_limit_of_connections_it_lets_others_wait() {
    let mut server = Server::start_with_descriptors(64, &["--max-connections", "32"]);
    let mut crowd = crowd(&server, BEGINNING);
    server.program.wait_for("no room for another connection; 32 connections are open, others wait until one of them is idle");
    server.stays_calm(|server| {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(server.connections(), 32 + 1);
    });
    crowd[0].send(REST);
    crowd[0].answer().unwrap();
    crowd[0].send(BEGINNING);
    crowd.iter_mut().for_each(|client| client.send(REST));
    are_answered(crowd);
    server.recovers_and_ends().warnings(20, "no room for another connection; ");
}

/// Nobody leaves, and nobody waits for long.
#[test]
fn idle_connections_make_room_for_newcomers() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut clients = server.clients(2);
    server.wait_for_connections(2);
    for _ in 0..20 {
        let mut newcomer = server.client();
        newcomer.greet();
        clients.push(newcomer);
    }
    let remaining = clients.split_off(20);
    for mut client in clients {
        assert_eq!(client.until_end(), (String::new(), End::Finished));
    }
    assert!(remaining.iter().all(Client::hears_nothing));
    drop(remaining);
    server.recovers_and_ends().warnings(20, "no room for another connection; ");
}

/// As many as its descriptors allow, and it keeps few for itself.
#[test]
fn with_few_descriptors_it_has_as_many_connections_as_fit() {
    for descriptors in [32, 64, 128] {
        let mut server = Server::start_with_descriptors(descriptors, &[]);
        let mut clients = server.clients(descriptors as usize);
        clients.iter_mut().for_each(|client| client.send(BEGINNING));
        server.program.wait_for("others wait");
        let (open, all) = (server.connections(), server.open_descriptors());
        let descriptors = descriptors as usize;
        assert!(all <= descriptors && all + 10 >= descriptors, "{all} of {descriptors}");
        assert!(open + 22 >= descriptors, "{open} connections with {descriptors} descriptors");
        clients.iter_mut().for_each(|client| client.send(REST));
        are_answered(clients);
        server.recovers_and_ends().warnings(20, "no room for another connection; ");
    }
}
