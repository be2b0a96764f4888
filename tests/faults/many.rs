use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::faults::client::{Client, REQUEST};
use crate::faults::server::Server;

const MANY: usize = 100_000;
const LAST_REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A client with one of many addresses: a single one has fewer ports than there are connections,
/// and each is reserved for a minute after an orderly end.
fn client_from(number: usize, server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let last = u8::try_from(number % 50 + 1).unwrap();
    let address = |octet, port| SocketAddr::from((Ipv4Addr::new(127, 0, 0, octet), port));
    socket.bind(&address(last, 0).into()).unwrap();
    socket.connect(&address(1, server.program.port).into()).unwrap();
    Client::new(socket.into())
}

/// Comes, and leaves in one of four ways.
fn come_and_go(number: usize, server: &Server) {
    let mut client = client_from(number, server);
    match number % 4 {
        0 => client.greet(),
        1 => {
            client.send(LAST_REQUEST);
            assert!(client.until_end().0.ends_with("Hello, World!\n"));
        }
        2 => {
            client.greet();
            client.reset();
        }
        _ => client.reset(),
    }
}

/// A tenth of them shows how much memory the server needs; the others must not need more.
#[test]
#[ignore = "slow: cargo test --test programs faults -- --ignored"]
fn a_hundred_thousand_come_and_go() {
    const KEPT_BYTES_MAX: u64 = 512 << 10;
    let server = Server::start(&[]);
    (0..MANY / 10).for_each(|number| come_and_go(number, &server));
    server.wait_for_connections(0);
    let at_a_tenth = server.resident_bytes();
    (MANY / 10..MANY).for_each(|number| come_and_go(number, &server));
    server.wait_for_connections(0);
    let kept = server.resident_bytes().saturating_sub(at_a_tenth);
    println!("{kept} more bytes are resident after {MANY} connections than after a tenth of them");
    assert!(kept <= KEPT_BYTES_MAX, "{kept} more bytes are resident");
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count(&format!("connections: {}", MANY + 11)), 1);
}

/// One connection, and nobody reads; meanwhile others are served. Then all the answers are there.
#[test]
#[ignore = "slow: cargo test --test programs faults -- --ignored"]
fn a_hundred_thousand_pipelined_requests_are_held_back_and_answered() {
    const HELD_BYTES_MAX: u64 = 192 << 10;
    const CLIENTS: usize = 4;
    let server = Server::start(&[]);
    let requests = REQUEST.repeat(MANY);
    let greedy = server.clients(CLIENTS).into_iter().map(|mut client| {
        let sent = client.send_until_it_stalls(&requests);
        (client, sent)
    });
    let greedy: Vec<(Client, usize)> = greedy.collect();
    (0..1000).for_each(|_| server.program.greet());
    let grown = server.peak_growth_bytes();
    println!("{grown} more bytes were resident for {CLIENTS} clients that do not read");
    assert!(grown <= CLIENTS as u64 * HELD_BYTES_MAX, "{grown} bytes");
    thread::scope(|scope| {
        for (client, sent) in greedy {
            let rest = &requests[sent..];
            scope.spawn(move || client.takes_all(rest, MANY));
        }
    });
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count(&format!("requests answered: {}", CLIENTS * MANY + 1011)), 1);
}
