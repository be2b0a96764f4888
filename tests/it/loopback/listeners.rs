use super::{PATIENCE, ask, connect, drain, read_all, read_greeting};

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::channel;

use helloop::greeting::Greeting;
use helloop::server::{Server, service};
use helloop::world::NO_ADDRESS;

fn connect_unix(path: &Path) -> UnixStream {
    let client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask_unix(path: &Path, target: &str) -> String {
    let mut client = connect_unix(path);
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_is_kept_alive_and_drained_and_its_file_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hello.sock");
    let (peers, seen) = channel();
    let server = Server::builder()
        .access_log(move |access| peers.send(access.peer).unwrap())
        .bind_all(&[&format!("unix:{}", path.display()), "127.0.0.1:0"])
        .unwrap();
    assert_eq!(server.local_paths(), std::slice::from_ref(&path));
    let running = server.spawn(Greeting).unwrap();
    let mut client = connect_unix(&path);
    for _ in 0..3 {
        client.write_all(b"GET /Unix HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"Hello, Unix!\n") {
            let mut buffer = [0; 1024];
            let bytes = client.read(&mut buffer).unwrap();
            assert!(bytes > 0, "{answer:?}");
            answer.extend_from_slice(&buffer[..bytes]);
        }
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), NO_ADDRESS);
    }
    assert!(ask(running.local_addrs()[0], "/both").contains("Hello, both!"));
    let report = drain(running);
    assert_eq!((report.connections, report.requests, report.cut), (2, 4, 0));
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "an idle connection is closed in order");
    assert!(!path.exists());
}

#[test]
fn two_loops_share_one_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hello.sock");
    let first = Server::builder().bind(&format!("unix:{}", path.display())).unwrap();
    let second = Server::builder().bind_beside(&first).unwrap();
    let loops = [first.spawn(Greeting).unwrap(), second.spawn(Greeting).unwrap()];
    for _ in 0..20 {
        assert!(ask_unix(&path, "/World").ends_with("Hello, World!\n"));
    }
    let [first, second] = loops;
    let answered = drain(first).requests;
    assert!(ask_unix(&path, "/World").ends_with("Hello, World!\n"), "the other one listens");
    assert_eq!(answered + drain(second).requests, 21);
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/hello.sock", directory.path().display());
    let _first = Server::builder().bind(&address).unwrap();
    let error = Server::builder().bind(&address).unwrap_err();
    assert!(error.is_in_use());
    let expected = format!("cannot listen on {address}: the path is in use by another program");
    assert_eq!(error.to_string(), expected);
}

/// A listener of the standard library blocks, and waits for more to send: neither is left.
#[test]
fn listeners_of_the_standard_library_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hello.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let server = Server::builder().listeners([tcp]).unwrap().with_listeners([unix]).unwrap();
    assert_eq!((server.local_addrs(), server.local_paths()), (vec![address], vec![path.clone()]));
    let running = server.spawn(Greeting).unwrap();
    let mut idle = connect(address);
    assert!(ask(address, "/World").ends_with("Hello, World!\n"));
    assert!(ask_unix(&path, "/World").ends_with("Hello, World!\n"));
    idle.write_all(b"GET /still HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(read_greeting(&mut idle).ends_with("Hello, still!\n"));
    drain(running);
    assert!(path.exists(), "whoever made the file removes it");
}

/// The new server takes the socket before the old one lets it go: no connection is refused.
#[test]
fn a_socket_that_is_handed_over_never_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |name: &'static str| {
        let server = Server::builder().listeners([listener.try_clone().unwrap()]).unwrap();
        let says = service(move |_, response| {
            response.text(name);
        });
        server.spawn(says).unwrap()
    };
    let old = serve("old");
    assert!(ask(address, "/").ends_with("old"));
    let mut kept = connect(address);
    kept.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"old") {
        let mut buffer = [0; 1024];
        let bytes = kept.read(&mut buffer).unwrap();
        assert!(bytes > 0, "{answer:?}");
        answer.extend_from_slice(&buffer[..bytes]);
    }
    let new = serve("new");
    drain(old);
    assert_eq!(read_all(&mut kept), "", "it is closed in order");
    for _ in 0..20 {
        assert!(ask(address, "/").ends_with("new"));
    }
    drain(new);
}

#[test]
fn what_cannot_be_served_is_refused_by_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let error = Server::builder().listeners([connected]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot listen on descriptor "), "{text}");
    let remedy =
        "it does not listen: a TCP or Unix socket was expected on which listen(2) was called";
    assert!(text.ends_with(remedy), "{text}");
    let error = Server::builder().bind("unix:/nowhere/at/all.sock").unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on unix:/nowhere/at/all.sock: "));
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::NotFound);
}
