use std::thread;
use std::time::Duration;

use crate::faults::client::{Client, End, REQUEST};
use crate::faults::server::Server;

#[test]
fn two_thousand_that_say_nothing_cost_nothing() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut server = Server::start(&[]);
    let silent = server.clients(2000);
    server.wait_for_connections(2000);
    server.stays_calm(|_| thread::sleep(Duration::from_millis(500)));
    server.program.greet();
    drop(silent);
    server.recovers_and_ends().no_warnings();
}

#[test]
fn the_silent_are_closed_after_the_idle_timeout() {
    let server = Server::start(&["--idle-timeout", "500ms", "-v"]);
    for mut client in server.clients(200) {
        assert_eq!(client.until_end(), (String::new(), End::Finished));
    }
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: idle for too long"), 200);
}

/// Clients that send `beginning`, and then byte after byte until the server has had enough.
fn dribble(server: &Server, beginning: &[u8]) -> Vec<Client> {
    let mut clients = server.clients(50);
    clients.iter_mut().for_each(|client| client.send(beginning));
    let (mut talking, mut done) = (clients, Vec::new());
    while !talking.is_empty() {
        for mut client in std::mem::take(&mut talking) {
            let list = if client.dribble(b'x').is_some() { &mut done } else { &mut talking };
            list.push(client);
        }
        // The pace of the attack.
        thread::sleep(Duration::from_millis(20));
    }
    done
}

#[test]
fn a_slowloris_in_the_head_is_told_408() {
    let server = Server::start(&["--head-timeout", "500ms", "-v"]);
    for client in dribble(&server, b"GET /World HTTP/1.1\r\nHost: h\r\nX: ") {
        assert!(client.received().starts_with("HTTP/1.1 408 "), "{}", client.received());
    }
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: head: not complete in time"), 50);
}

#[test]
fn a_slowloris_in_the_body_is_told_408() {
    let server = Server::start(&["--body-progress-timeout", "500ms", "-v"]);
    let head = b"POST /World HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
    for client in dribble(&server, head) {
        assert!(client.received().starts_with("HTTP/1.1 408 "), "{}", client.received());
    }
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: body: not complete in time"), 50);
}

/// They have finished, and never close: the server need not wait for them.
#[test]
fn half_closed_connections_are_answered_and_closed() {
    let server = Server::start(&["-v"]);
    let beginnings: [(&[u8], &str); 3] =
        [(b"", ""), (b"GET /World HT", ""), (REQUEST, "HTTP/1.1 200 ")];
    let mut clients = Vec::new();
    for (beginning, _) in beginnings.iter().cycle().take(150) {
        let mut client = server.client();
        client.send(beginning);
        client.finish();
        clients.push(client);
    }
    for (client, (_, answer)) in clients.iter_mut().zip(beginnings.iter().cycle()) {
        let (text, end) = client.until_end();
        assert!(text.starts_with(answer) && text.is_empty() == answer.is_empty(), "{text:?}");
        assert_eq!(end, End::Finished);
    }
    // All of this while the clients' ends are still open.
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: the peer finished within a request"), 50);
}
