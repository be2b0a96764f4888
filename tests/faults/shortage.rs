use std::thread;
use std::time::Duration;

use crate::client::{Client, REQUEST};
use crate::server::Server;

/// More clients than a server with 64 descriptors can have, each with a request under way.
fn crowd(server: &Server) -> Vec<Client> {
    let mut crowd = server.clients(100);
    crowd.iter_mut().for_each(|client| client.send(REQUEST));
    crowd
}

/// The first of the crowd leave, and the others are served.
fn half_of_them_leave(crowd: Vec<Client>) {
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
    let mut crowd = crowd(&server);
    server.program.wait_for("Too many open files");
    server.stays_calm(|server| {
        // The next line comes a second later: ten attempts.
        server.program.wait_for("Too many open files");
    });
    crowd[0].answer().unwrap();
    crowd[0].greet();
    crowd[0].send(REQUEST);
    half_of_them_leave(crowd);
    let said = server.recovers_and_ends();
    said.warnings(20, "cannot accept: Too many open files (os error 24); ");
}

/// Each loop has its share of the limit.
#[test]
fn several_loops_at_their_limit_let_others_wait() {
    let mut server = Server::start(&["--loops", "2", "--max-connections", "21"]);
    let crowd = crowd(&server);
    server.program.wait_for("no room for another connection; 11 connections are open");
    server.wait_for_connections(21);
    server.stays_calm(|server| {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(server.connections(), 21);
    });
    half_of_them_leave(crowd);
    server.recovers_and_ends().warnings(20, "no room for another connection; ");
}

#[test]
fn at_its_limit_of_connections_it_lets_others_wait() {
    let mut server = Server::start_with_descriptors(64, &[]);
    let mut crowd = crowd(&server);
    server.program.wait_for("no room for another connection; 32 connections are open");
    server.stays_calm(|server| {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(server.connections(), 32);
    });
    crowd[0].answer().unwrap();
    crowd[0].send(REQUEST);
    half_of_them_leave(crowd);
    server.recovers_and_ends().warnings(20, "no room for another connection; ");
}
