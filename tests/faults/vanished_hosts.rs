//! Peers whose host is gone, with its power or its cable: nothing of them ever comes again, not even
//! the kernel's word that they are gone. It takes a network that can be cut: two namespaces
//! (network_namespaces(7)) with a pair of virtual interfaces (veth(4)) between them.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::faults::client::{Client, REQUEST};
use crate::faults::namespaces::{ip, is_inside};
use crate::faults::server::{PATIENCE, Server};
use crate::program::command;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const UNREAD: usize = 400_000;

/// The host of the peers: a thread in a network namespace of its own, which does what it is told.
struct FarHost {
    orders: Sender<Box<dyn FnOnce() + Send>>,
}

impl FarHost {
    /// Connects it with this host, which is [`SERVER`] for it.
    fn connected() -> FarHost {
        let (orders, ordered) = channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ordered.iter().for_each(|order| order());
        });
        let host = FarHost { orders };
        let namespace = host.run(|| std::fs::read_link("/proc/thread-self").unwrap());
        ip("link set lo up");
        let namespace = format!("/proc/{}/ns/net", namespace.display());
        ip(&format!("link add name near type veth peer name far netns {namespace}"));
        ip(&format!("address add {SERVER}/24 dev near"));
        ip("link set near up");
        host.run(|| {
            ip("address add 10.9.0.2/24 dev far");
            ip("link set far up");
        });
        host
    }

    fn run<R: Send + 'static>(&self, order: impl FnOnce() -> R + Send + 'static) -> R {
        let (sender, result) = channel();
        self.orders.send(Box::new(move || drop(sender.send(order())))).unwrap();
        result.recv_timeout(PATIENCE).unwrap()
    }

    fn clients(&self, number: usize, server: &Server) -> Vec<Client> {
        let port = server.program.port;
        let connect = move |_| {
            let stream = TcpStream::connect((SERVER, port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Client::new(stream)
        };
        self.run(move || (0..number).map(connect).collect())
    }

    /// Clients that have sent this.
    fn that_sent(&self, number: usize, server: &Server, bytes: &[u8]) -> Vec<Client> {
        let mut clients = self.clients(number, server);
        clients.iter_mut().for_each(|client| client.send(bytes));
        clients
    }

    /// Clients that are idle after a greeting.
    fn that_were_greeted(&self, number: usize, server: &Server) -> Vec<Client> {
        let mut clients = self.clients(number, server);
        clients.iter_mut().for_each(Client::greet);
        clients
    }

    /// Clients that have asked for more than they read.
    fn that_do_not_read(&self, number: usize, server: &Server) -> Vec<Client> {
        let mut clients = self.clients(number, server);
        let requests = REQUEST.repeat(UNREAD);
        for client in &mut clients {
            assert!(client.send_until_it_stalls(&requests) < requests.len());
        }
        clients
    }

    /// From now on no packet comes from there, and none arrives.
    fn vanish(&self) {
        self.run(|| ip("link set far down"));
    }
}

/// A server on every interface, with these flags.
fn serve(flags: &[&str]) -> Server {
    Server::run(&mut command(&[&["serve", "--listen", "0.0.0.0:0", "-v"], flags].concat()))
}

#[test]
fn peers_whose_host_is_gone_end_in_their_time() {
    if !is_inside(module_path!(), "peers_whose_host_is_gone_end_in_their_time") {
        return;
    }
    let far = FarHost::connected();
    let mut server = serve(&[
        "--idle-timeout=2s",
        "--head-timeout=2s",
        "--body-progress-timeout=2s",
        "--write-progress-timeout=5s",
    ]);
    let unread = far.that_do_not_read(3, &server);
    let idle = far.that_were_greeted(4, &server);
    let head = far.that_sent(5, &server, b"GET /World HTTP/1.1\r\nHost: h");
    let upload = b"POST /World HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nab";
    let body = far.that_sent(6, &server, upload);
    // They have read the last answer, and do not close.
    let mut refused = far.that_sent(7, &server, b"GET / HTTP/1.1\r\n\r\n");
    refused.iter_mut().for_each(|client| drop(client.until_end()));
    server.wait_for_connections(3 + 4 + 5 + 6 + 7);
    far.vanish();
    server.stays_calm(|server| {
        (0..10).for_each(|_| server.program.greet());
        server.wait_for_connections(0);
    });
    let said = server.recovers_and_ends();
    said.no_warnings();
    assert_eq!(said.count("ends: the peer did not take the answer in time"), 3);
    assert_eq!(said.count("ends: idle for too long"), 4);
    assert_eq!(said.count("ends: head: not complete in time"), 5);
    assert_eq!(said.count("ends: body: not complete in time"), 6);
    assert_eq!(said.count("ends: Host: "), 7);
    // They are there all the time, and do not know that it is over.
    assert!([idle, head, body].iter().flatten().all(Client::hears_nothing));
    drop((unread, refused));
}

#[test]
fn a_drain_does_not_wait_for_hosts_that_are_gone() {
    if !is_inside(module_path!(), "a_drain_does_not_wait_for_hosts_that_are_gone") {
        return;
    }
    let far = FarHost::connected();
    let mut server = serve(&["--drain-timeout=3s"]);
    let unread = far.that_do_not_read(2, &server);
    let idle = far.that_were_greeted(3, &server);
    let head = far.that_sent(4, &server, b"GET /World HTTP/1.1\r\nHost: h");
    server.wait_for_connections(2 + 3 + 4);
    far.vanish();
    server.program.signal("TERM");
    assert_eq!(server.program.end().0, Some(4));
    let count = |text: &str| server.program.said.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("ends: the server shut down while the connection was idle"), 3);
    assert_eq!(count("ends: cut while busy"), 2 + 4);
    assert_eq!(count("helloop: the drain took longer than 3s: 6 busy connections were cut"), 1);
    assert!([idle, head].iter().flatten().all(Client::hears_nothing));
    drop(unread);
}
