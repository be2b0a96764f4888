use std::time::Instant;

use super::client::{Client, LIMIT, REQUEST};
use crate::program::Program;

/// One after the other: rung 1 has time for one client.
#[track_caller]
pub(super) fn all(server: &Program) {
    greetings(server);
    dribbled(server);
    pipelined(server);
    half_closed(server);
    closed(server);
    refused(server);
    Client::of(server).greet();
}

fn greetings(server: &Program) {
    let mut client = Client::of(server);
    client.greet();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert_eq!(client.answer(), (200, "Hello, Anonymous!\n".to_owned()));
    client.greet();
}

/// Every byte in a packet of its own, as far as that can be had.
fn dribbled(server: &Program) {
    let mut client = Client::of(server);
    for byte in REQUEST.split_inclusive(|_: char| true) {
        client.send(byte);
    }
    assert_eq!(client.answer().1, "Hello, World!\n");
}

fn pipelined(server: &Program) {
    let mut client = Client::of(server);
    client.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /");
    assert_eq!(client.answer().1, "Hello, a!\n");
    assert_eq!(client.answer().1, "Hello, b!\n");
    client.send("c HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().1, "Hello, c!\n");
}

/// The end may come in one report with the request: it must neither hide it nor be lost. (Where it is
/// lost, rungs 5 and 6 close when the client's time is over.)
fn half_closed(server: &Program) {
    let began = Instant::now();
    let mut client = Client::of(server);
    client.send(&REQUEST.repeat(2));
    client.finish();
    assert_eq!(client.answer().1, "Hello, World!\n");
    assert_eq!(client.answer().1, "Hello, World!\n");
    client.ends();

    let mut client = Client::of(server);
    client.greet();
    client.send("GET /nobody-will-se");
    client.finish();
    client.ends();
    assert!(began.elapsed() < LIMIT, "its end was not seen");
}

fn closed(server: &Program) {
    for last in ["GET /a HTTP/1.1\r\nconnection: CLOSE\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n"] {
        let mut client = Client::of(server);
        client.greet();
        client.send(last);
        assert_eq!(client.answer().1, "Hello, a!\n");
        client.ends();
    }
}

fn refused(server: &Program) {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(33));
    let refusals = [
        ("nothing like HTTP\r\n\r\n", 400),
        (long.as_str(), 431),
        (many.as_str(), 431),
        ("DELETE /World HTTP/1.1\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    ];
    for (head, status) in refusals {
        let shown = &head[..head.len().min(40)];
        let mut client = Client::of(server);
        // The good one before it is answered.
        client.send(&format!("{REQUEST}{head}"));
        assert_eq!(client.answer().0, 200);
        assert_eq!(client.answer().0, status, "{shown}");
        client.ends();
    }
}
