//! Real sockets on the loopback, each server on a port that the system chose.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use helloop::greeting::Greeting;
use helloop::http::{Request, Response};
use helloop::limits::Limits;
use helloop::server::{OwnedRequest, Reply, Report, Running, Server, coroutines, streamed_body};

/// The loop in the hands of a program with a loop of its own.
mod hosted;
/// Requests with urgent data among them.
mod urgent;
/// How other runtimes hear of a drain and of the end.
mod awaited;
/// Unix sockets, and sockets that somebody else has opened.
mod listeners;
/// What curl, which somebody else wrote, makes of the server.
mod curl;

/// No test waits for so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn spawn(address: &str) -> Running {
    let server = Server::builder().bind(address).expect("a free port");
    server.spawn(Greeting).expect("a thread")
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("the server listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
    client.set_nodelay(true).expect("a TCP socket");
    client
}

/// Asks to close, so that the answer ends with the stream.
fn ask(address: SocketAddr, target: &str) -> String {
    let mut client = connect(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("the server reads");
    read_all(&mut client)
}

fn read_all(client: &mut TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an orderly end");
    text
}

/// Reads one answer whose body ends with the first `!\n`.
fn read_greeting(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.ends_with(b"!\n") {
        let more = client.read(&mut buffer).expect("an answer");
        assert!(more > 0, "the end came before the answer: {bytes:?}");
        bytes.extend_from_slice(&buffer[..more]);
    }
    String::from_utf8(bytes).expect("text")
}

#[track_caller]
fn drain(server: Running) -> Report {
    server.handle().drain(PATIENCE);
    server.join().expect("the server's thread ends well")
}

fn has_v6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn ipv4_is_served() {
    let server = spawn("127.0.0.1:0");
    let text = ask(server.local_addrs()[0], "/World");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nHello, World!\n"), "{text}");
    let report = drain(server);
    assert_eq!((report.connections, report.requests, report.cut), (1, 1, 0));
}

#[test]
fn ipv6_is_served() {
    if !has_v6() {
        return println!("skipped: no IPv6 on this machine");
    }
    let server = spawn("[::1]:0");
    assert!(ask(server.local_addrs()[0], "/v6").ends_with("Hello, v6!\n"));
    drain(server);
}

#[test]
fn localhost_is_served_in_both_families_on_one_port() {
    let server = spawn("localhost:0");
    let addresses = server.local_addrs().to_vec();
    assert_eq!(addresses.len(), if has_v6() { 2 } else { 1 });
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
    for (number, address) in addresses.iter().enumerate() {
        let name = format!("/family{number}");
        assert!(ask(*address, &name).contains(&name[1..]));
    }
    assert_eq!(drain(server).requests, addresses.len() as u64);
}

#[test]
fn the_service_sees_the_address_of_its_peer() {
    let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
    let show_peer = |request: &Request<'_>, response: &mut Response| {
        response.text(format_args!("{}\n", request.peer().expect("a real peer")));
    };
    let server = server.spawn(show_peer).expect("a thread");
    let mut client = connect(server.local_addrs()[0]);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("the server reads");
    let ours = client.local_addr().expect("it is connected").to_string();
    assert!(read_all(&mut client).ends_with(&format!("\r\n\r\n{ours}\n")));
    drain(server);
}

#[test]
fn two_servers_in_one_process_know_nothing_of_each_other() {
    let (first, second) = (spawn("127.0.0.1:0"), spawn("127.0.0.1:0"));
    assert_ne!(first.local_addrs()[0], second.local_addrs()[0]);
    assert!(ask(first.local_addrs()[0], "/first").contains("first"));
    let address = second.local_addrs()[0];
    drain(first);
    assert!(ask(address, "/second").contains("second"));
    assert_eq!(drain(second).requests, 1);
}

#[test]
fn two_hundred_at_once() {
    let server = spawn("127.0.0.1:0");
    let address = server.local_addrs()[0];
    let mut clients: Vec<TcpStream> = (0..200).map(|_| connect(address)).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            let request = format!("GET /{round}-{number} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(request.as_bytes()).expect("the server reads");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = format!("Hello, {round}-{number}!\n");
            assert!(read_greeting(client).ends_with(&expected));
        }
    }
    drop(clients);
    let report = drain(server);
    assert_eq!((report.connections, report.requests, report.cut), (200, 600, 0));
}

#[test]
fn a_client_byte_by_byte_is_served() {
    let server = spawn("127.0.0.1:0");
    let mut client = connect(server.local_addrs()[0]);
    for byte in b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.write_all(&[*byte]).expect("the server reads");
        thread::yield_now();
    }
    assert!(read_greeting(&mut client).ends_with("Hello, slow!\n"));
    drop(client);
    drain(server);
}

#[test]
fn a_half_close_is_answered() {
    let server = spawn("127.0.0.1:0");
    let mut client = connect(server.local_addrs()[0]);
    client.write_all(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server reads");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert!(read_all(&mut client).ends_with("Hello, half!\n"));
    drain(server);
}

/// SO_LINGER of zero: the close is a reset, in the middle of a request and of an answer.
#[test]
fn clients_that_reset_harm_nobody() {
    let server = spawn("127.0.0.1:0");
    let address = server.local_addrs()[0];
    let mut good = connect(address);
    for number in 0..50 {
        let bad = connect(address);
        socket2::SockRef::from(&bad).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
        let text = if number % 2 == 0 { "GET / HT" } else { "GET / HTTP/1.1\r\nHost: x\r\n\r\n" };
        (&bad).write_all(text.as_bytes()).expect("the server reads");
        drop(bad);
        good.write_all(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server reads");
        assert!(read_greeting(&mut good).ends_with("Hello, good!\n"));
    }
    drop(good);
    drain(server);
}

/// Close with unread input would be a reset, which destroys the answer on its way.
#[test]
fn a_refusal_survives_a_body_that_nobody_reads() {
    let server = spawn("127.0.0.1:0");
    for _ in 0..20 {
        let mut client = connect(server.local_addrs()[0]);
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
        client.write_all(head).expect("the server reads");
        let body = vec![b'x'; 300_000];
        client.write_all(&body).expect("the server reads on, for nothing");
        client.shutdown(Shutdown::Write).expect("it is open");
        assert!(read_all(&mut client).starts_with("HTTP/1.1 413 Content Too Large\r\n"));
    }
    drain(server);
}

#[test]
fn long_answers_reach_a_client_that_reads_late() {
    const BYTES: usize = 8 << 20;
    let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
    let long = |_: &Request<'_>, response: &mut Response| {
        response.text("x".repeat(BYTES));
    };
    let server = server.spawn(long).expect("a thread");
    let mut client = connect(server.local_addrs()[0]);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("the server reads");
    // Meanwhile the server serves others, though the first takes nothing.
    assert!(ask(server.local_addrs()[0], "/").len() > BYTES);
    assert!(read_all(&mut client).len() > BYTES);
    drain(server);
}

/// A peer that asked to close is closed at once: the part of the answer that the kernel holds must arrive all the
/// same.
#[test]
fn an_answer_that_nobody_has_read_outlives_its_connection() {
    // Fits into any socket, so that nothing of it waits in the server.
    const BODY_BYTES: usize = 30_000;
    let new = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    for request in [new, "GET / HTTP/1.0\r\n\r\n"] {
        let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
        let service = |_: &Request<'_>, response: &mut Response| {
            response.text("x".repeat(BODY_BYTES));
        };
        let server = server.spawn(service).expect("a thread");
        let mut client = connect(server.local_addrs()[0]);
        client.write_all(request.as_bytes()).expect("the server reads");
        client.peek(&mut [0]).expect("the beginning of an answer");
        assert_eq!(drain(server).cut, 0);
        assert!(read_all(&mut client).ends_with(&format!("\r\n\r\n{}", "x".repeat(BODY_BYTES))));
    }
}

#[test]
fn a_drain_from_another_thread_closes_the_idle_and_ends() {
    let server = spawn("127.0.0.1:0");
    let address = server.local_addrs()[0];
    let mut idle = connect(address);
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server reads");
    read_greeting(&mut idle);
    let handle = server.handle().clone();
    thread::spawn(move || handle.drain(PATIENCE)).join().expect("it only gives an order");
    assert_eq!(read_all(&mut idle), "", "closed without a word");
    let report = server.join().expect("the server's thread ends well");
    assert_eq!((report.requests, report.cut), (1, 0));
}

#[test]
fn a_drain_before_the_server_runs_is_not_lost() {
    let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
    server.handle().drain(PATIENCE);
    let report = server.serve(Greeting).expect("it serves nobody, and ends");
    assert_eq!(report, Report::default());
}

#[test]
fn a_shutdown_from_another_thread_cuts() {
    let server = spawn("127.0.0.1:0");
    let mut busy = connect(server.local_addrs()[0]);
    busy.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b").expect("the server reads");
    read_greeting(&mut busy);
    server.handle().shutdown();
    assert_eq!(server.join().expect("the server's thread ends well").cut, 1);
    let mut rest = Vec::new();
    // The end or a reset: either way it is over.
    let _ = busy.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = spawn("127.0.0.1:0");
    let address = server.local_addrs()[0].to_string();
    let error = Server::builder().bind(&address).expect_err("it is taken");
    assert!(error.is_in_use() && error.to_string().contains(&address), "{error}");
    drain(server);
}

/// Although the server closed first, so that its connections are in TIME_WAIT. Other tests may get
/// the port meanwhile, but not five times.
#[test]
fn a_port_is_free_again_when_its_server_has_ended() {
    let is_free_again = |_| {
        let server = spawn("127.0.0.1:0");
        let address = server.local_addrs()[0];
        ask(address, "/last");
        drain(server);
        Server::builder().bind(&address.to_string()).is_ok()
    };
    assert!((0..5).any(is_free_again));
}

#[test]
fn limits_that_contradict_each_other_are_an_error_and_no_panic() {
    let limits = crate::sim::limits(|limits| limits.head_bytes_max = 1);
    let server = Server::builder().limits(limits).bind("127.0.0.1:0").expect("a free port");
    let error = server.serve(Greeting).expect_err("no head fits");
    assert!(error.to_string().contains("head_bytes_max is 1"), "{error}");
}

/// With room for two, the third waits in the kernel's queue until somebody leaves.
#[test]
fn a_full_server_serves_the_waiting_when_there_is_room() {
    let limits = crate::sim::limits(|limits: &mut Limits| limits.connections_max = Some(2));
    let server = Server::builder().limits(limits).bind("127.0.0.1:0").expect("a free port");
    let server = server.spawn(Greeting).expect("a thread");
    let address = server.local_addrs()[0];
    let mut clients: Vec<TcpStream> = (0..6).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("the socket has room");
    }
    for mut client in clients {
        read_greeting(&mut client);
    }
    assert_eq!(drain(server).requests, 6);
}

#[test]
fn the_addresses_are_those_that_were_asked_for() {
    let server = spawn("127.0.0.1:0");
    let address = server.local_addrs()[0];
    assert_eq!(address.ip(), IpAddr::from([127, 0, 0, 1]));
    assert_ne!(address.port(), 0);
    server.handle().shutdown();
    server.join().expect("the server's thread ends well");
}

/// How the kernel tells a client of HTTP/1.0 that an answer in pieces is over, which is whole or not.
fn end_of_pieces(is_whole: bool) -> io::Result<usize> {
    // The end comes when the client has read the piece.
    let has_read = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_read);
    let service = coroutines(move |request: OwnedRequest| {
        let flag = Arc::clone(&flag);
        async move {
            let (mut sender, receiver) = streamed_body();
            let handle = request.handle().clone();
            let naps = handle.clone();
            let _task = handle.spawn(async move {
                sender.send("a piece!\n").await.expect("the client is there");
                while !flag.load(Ordering::Relaxed) {
                    naps.sleep(Duration::from_millis(1)).await;
                }
                if is_whole {
                    sender.finish();
                }
            });
            Reply::Streamed(Response::new(), receiver)
        }
    });
    let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
    let server = server.spawn(service).expect("a thread");
    let mut client = connect(server.local_addrs()[0]);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("the server reads");
    assert!(read_greeting(&mut client).ends_with("\r\n\r\na piece!\n"));
    has_read.store(true, Ordering::Relaxed);
    let end = client.read(&mut [0; 1]);
    drop(client);
    drain(server);
    end
}

#[test]
fn a_client_of_http_1_0_can_tell_a_whole_answer_from_one_that_broke_off() {
    assert_eq!(end_of_pieces(true).expect("an orderly end"), 0);
    let error = end_of_pieces(false).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
