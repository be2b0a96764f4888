use crate::faults::client::REQUEST;
use crate::faults::server::Server;

/// What one connection may hold in memory: a full input buffer behind a full output buffer, each
/// of 64 KiB, and half as much again for the allocator.
const HELD_BYTES_MAX: u64 = 192 << 10;
const CLIENTS: usize = 5;

#[test]
fn who_asks_and_does_not_read_is_not_read_from() {
    let mut server = Server::start(&[]);
    let requests = REQUEST.repeat(400_000);
    let mut greedy = server.clients(CLIENTS);
    for client in &mut greedy {
        let sent = client.send_until_it_stalls(&requests);
        assert!(sent < requests.len(), "the server took everything");
    }
    server.stays_calm(|server| (0..10).for_each(|_| server.program.greet()));
    let grown = server.peak_growth_bytes();
    assert!(grown <= CLIENTS as u64 * HELD_BYTES_MAX, "{grown} bytes for {CLIENTS} clients");
    // The moment they read, they are served.
    greedy.iter_mut().for_each(|client| drop(client.answer().unwrap()));
    drop(greedy);
    server.recovers_and_ends().no_warnings();
}

#[test]
fn who_never_reads_is_reset() {
    let server = Server::start(&["--write-progress-timeout", "500ms", "-v"]);
    let requests = REQUEST.repeat(400_000);
    let mut clients = server.clients(3);
    for client in &mut clients {
        assert!(client.send_until_it_stalls(&requests) < requests.len());
    }
    // They are still there when their connections are not.
    server.wait_for_connections(0);
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: the peer did not take the answer in time"), 3);
}
