//! The built server behind real gateways, nginx and haproxy, which keep their connections to it.
//!
//! Everything that the catalogue and the transcripts have a peer send is sent through each gateway.
//! Whatever a gateway makes of it (refuses it, mends it, passes it on): the server must get to see
//! exactly the requests that the gateway meant to pass on, in order, each with the answer that the
//! gateway took for its answer. Otherwise something was smuggled. And a request that follows on the
//! same upstream connection must get its own answer.
//!
//! The gateways are the packages `nginx-light` and `haproxy` of Debian. Without them the tests say
//! so and pass, but fail where the variable `CI` is set.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// Starting and ending a gateway.
mod gateway;
/// What the gateway meant, beside what the server saw.
mod ledger;
/// What is sent.
mod inputs;
/// Who the client is, by the PROXY protocol.
mod introductions;
/// Restarts of servers behind a gateway.
mod restarts;
/// Restarts by `helloop drill`.
#[cfg(target_os = "linux")]
mod drills;

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;

use crate::program::{Program, command};
use gateway::{Gateway, Kind};
use inputs::Input;

/// The greeting that a request for `/marker-7` gets.
fn marker_answer(number: usize) -> String {
    format!("\r\n\r\nHello, marker-{number}!\n")
}

/// Sends `bytes` and gives what comes back, until the gateway closes.
fn exchange(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut client = gateway.connect();
    // A gateway may refuse the beginning and close before the end is written.
    let _ = client.write_all(bytes);
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("the gateway never closed after {}", bytes.escape_ascii())
        }
        // It may also reset what it has not read.
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

#[track_caller]
fn run(kind: Kind) {
    if !gateway::is_installed(kind) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("server.json");
    let flags = ["serve", "--listen", "127.0.0.1:0", "--access-log", "json"];
    let mut server = Program::start(command(&flags).stdout(File::create(&log).unwrap()));
    let mut gateway = Gateway::start(kind, directory, server.port);

    let inputs = inputs::all();
    for Input { number, place, bytes } in &inputs {
        exchange(&gateway, bytes);
        let marker =
            format!("GET /marker-{number} HTTP/1.1\r\nHost: marker\r\nConnection: close\r\n\r\n");
        let answer = exchange(&gateway, marker.as_bytes());
        let is_right =
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&marker_answer(*number));
        assert!(is_right, "{kind:?}, behind {place}: {answer}");
    }

    let meant = gateway.end();
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let seen = ledger::seen(&std::fs::read(&log).unwrap());
    ledger::compare(kind, &meant, &seen);
    ledger::check_markers(kind, &seen, &inputs);
}

#[test]
fn nginx_is_not_talked_past() {
    run(Kind::Nginx);
}

#[test]
fn nginx_that_passes_on_as_much_as_it_can_is_not_talked_past() {
    run(Kind::LenientNginx);
}

#[test]
fn haproxy_is_not_talked_past() {
    run(Kind::Haproxy);
}

#[test]
fn haproxy_that_passes_on_as_much_as_it_can_is_not_talked_past() {
    run(Kind::LenientHaproxy);
}
